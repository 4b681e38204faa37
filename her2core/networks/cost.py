"""Computational cost of a network: parameters, FLOPs, memory and measured time.

FLOPs as torch.utils.flop_counter counts them: a multiply and an add are two, in convolutions, matrix products and
attention; elementwise operations (normalisation, activation, pooling) are not counted. Time depends on the machine and
on its other users, so a plain ResNet50 is timed in turns with the network, and the ratio is the figure to show. Memory
is that of tensors as torch.distributed._tools.mem_tracker follows them, parameters and buffers included; workspace of
kernels, the program and its libraries come on top.
"""

from __future__ import annotations

import copy
import time
from statistics import median, quantiles
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode

from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network, parameter_count

_WARM_UP, _BATCH, _BATCHES = 3, 16, 3


@torch.inference_mode()
def network_cost(network: PatchNetwork, px: int, *, rounds: int = 30) -> dict[str, Any]:
    """Cost of one square patch on this machine's CPU in float32.

    Parameters
    ----------
    network : PatchNetwork
        With 3 input channels; a copy is measured.
    px : int
        Side of the patch in pixels.
    rounds : int, default 30
        Timed forward passes of each network after a warm-up, with torch's current number of threads; at least 2.

    Returns
    -------
    dict
        JSON-ready: ``parameters``; ``flops`` of one patch; ``latency_ms`` and ``latency_quartiles_ms`` of one patch by
        itself; ``latency_ratio`` and ``latency_ratio_quartiles``, the time of a forward pass over that of the ResNet50
        next to it, median and quartiles over the rounds; ``throughput_per_s``, patches a second in batches of 16, and
        ``throughput_ratio`` over that of the ResNet50; ``memory_bytes``, the peak during such a batch; and how each
        was measured.

    Examples
    --------
    >>> cost = network_cost(build_network("timm:test_resnet", 3), 32, rounds=2)
    >>> cost["parameters"], cost["flops"] > 0, cost["px"]
    (372979, True, 32)
    """
    network = _ready(copy.deepcopy(network))
    with torch.random.fork_rng(devices=[]):  # its initial weights must not use up the training's random numbers
        # As torchvision builds it: neither the paper's blocks nor our finer feature map.
        plain = _ready(build_network("resnet50", 2, output_stride=32))
    one = torch.rand(1, 3, px, px, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter:
        network(one)
    alone, ratios = [], []
    for done in range(_WARM_UP + rounds):
        # Each goes first in every other round, so that order gives neither an advantage.
        order = (network, plain) if done % 2 else (plain, network)
        spent = {module: _milliseconds(module, one) for module in order}
        if done >= _WARM_UP:
            alone.append(spent[network])
            ratios.append(spent[network] / spent[plain])
    batch = one.expand(_BATCH, 3, px, px).contiguous(memory_format=torch.channels_last)
    whole: dict[PatchNetwork, list[float]] = {module: [] for module in (network, plain)}
    for done in range(1 + _BATCHES):
        for module in (network, plain) if done % 2 else (plain, network):
            took = _milliseconds(module, batch)
            if done:
                whole[module].append(took)
    tracker = MemTracker()
    tracker.track_external(cast(nn.Module, network))  # every patch network is one
    with tracker:
        network(batch)
    return {
        "parameters": parameter_count(network),
        "flops": counter.get_total_flops(),
        "flops_definition": "2 x multiply-adds of one patch, as torch.utils.flop_counter counts them",
        "latency_ms": round(median(alone), 3),
        "latency_quartiles_ms": _quartiles(alone),
        "latency_ratio": round(median(ratios), 3),
        "latency_ratio_quartiles": _quartiles(ratios),
        "latency_ratio_definition": "to a plain ResNet50 (torchvision's) at the same px, timed in turns in one process",
        "throughput_per_s": round(1e3 * _BATCH / median(whole[network]), 1),
        "throughput_ratio": round(median(whole[plain]) / median(whole[network]), 3),
        "throughput_batch": _BATCH,
        "memory_bytes": tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"],
        "memory_definition": f"peak of all tensors, float32, {_BATCH} patches at once, parameters included",
        "px": px,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "precision": "float32 on the CPU",
        "torch": torch.__version__,
    }


def _ready(network: PatchNetwork) -> PatchNetwork:
    # The memory tracker hooks the gradients of parameters, which those of a served network do not require.
    return network.float().cpu().eval().to(memory_format=torch.channels_last).requires_grad_()


def _quartiles(values: list[float]) -> list[float]:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return [round(low, 3), round(high, 3)]


def _milliseconds(network: PatchNetwork, batch: Tensor) -> float:
    began = time.perf_counter()
    network(batch)
    return 1e3 * (time.perf_counter() - began)
