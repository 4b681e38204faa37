"""Cost of a network: FLOPs, memory and time. Oracle: multiply-adds counted layer by layer."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from her2core.networks.cost import network_cost
from her2core.networks.registry import build_network, parameter_count


def multiply_adds(network: nn.Module, px: int) -> int:
    """Of convolutions and linear layers, from the shapes that pass through them."""
    total = 0

    def count(module, given, made):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += made.numel() * module.weight[0].numel()
        else:
            total += made.numel() * module.in_features

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, px, px))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(
    ("name", "options"),
    [("her2_resnet50", {}), ("resnet50_dsc", {"output_stride": 32}), ("timm:mobilenetv3_small_050", {})],
)
def test_flops_are_twice_the_multiply_adds(name, options):
    network = build_network(name, 3, **options)
    cost = network_cost(network, 64, rounds=2)
    assert cost["flops"] == 2 * multiply_adds(network, 64)
    assert cost["parameters"] == parameter_count(network)


def test_a_plain_resnet50_costs_what_torchvision_says():
    from torchvision.models import ResNet50_Weights

    published = ResNet50_Weights.IMAGENET1K_V2.meta
    cost = network_cost(build_network("resnet50", 1000, output_stride=32), 32, rounds=2)
    # Convolutions take 7 x 7 times fewer operations at 32 px than at the published 224; the last layer takes as many.
    last = 2048 * 1000 / 1e9
    assert 49 * (cost["flops"] / 2e9 - last) + last == pytest.approx(published["_ops"], abs=0.01)
    assert cost["parameters"] == published["num_params"]


def test_time_is_measured_and_a_larger_network_takes_longer_than_a_plain_resnet50():
    small = network_cost(build_network("timm:mobilenetv3_small_050", 3), 64, rounds=6)
    large = network_cost(build_network("timm:resnet152", 3), 64, rounds=6)
    assert small["latency_ratio"] < 1 < large["latency_ratio"]
    assert small["throughput_per_s"] > large["throughput_per_s"]
    for cost in (small, large):
        low, high = cost["latency_quartiles_ms"]
        assert 0 < low <= cost["latency_ms"] <= high
        low, high = cost["latency_ratio_quartiles"]
        assert low <= cost["latency_ratio"] <= high
        assert cost["threads"] == torch.get_num_threads()
        assert (cost["px"], cost["rounds"], cost["torch"]) == (64, 6, torch.__version__)
        assert json.loads(json.dumps(cost, allow_nan=False)) == cost


def test_memory_is_what_torchs_own_profiler_counts():
    from torch.profiler import ProfilerActivity, profile

    network = build_network("timm:mobilenetv3_small_050", 3).eval().to(memory_format=torch.channels_last)
    batch = torch.rand(16, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        network(batch)
    changes = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    allocated = peak = 0
    for change in sorted(changes, key=lambda e: e.start_ns()):
        allocated += change.nbytes()
        peak = max(peak, allocated)
    state = sum(v.numel() * v.element_size() for v in network.state_dict().values())
    assert network_cost(network, 64, rounds=2)["memory_bytes"] == pytest.approx(state + peak, rel=0.05)


def test_a_network_that_is_served_can_be_measured():
    network = build_network("timm:mobilenetv3_small_050", 2).eval().requires_grad_(False)
    assert network_cost(network, 32, rounds=2)["memory_bytes"] > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_the_network_is_left_as_it_was():
    network = build_network("timm:mobilenetv3_small_050", 2).train().half()
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cost = network_cost(network, 32, rounds=2)
    assert cost["precision"] == "float32 on the CPU"
    assert network.training
    assert all(p.requires_grad and p.dtype == torch.float16 and not p.is_inference() for p in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(torch.rand(3), expected), "measuring has used up random numbers of the training"
