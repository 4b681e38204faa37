"""First weights from files of other programs: names under any prefix, counts, and what is blamed."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

from her2core.errors import WeightsError
from her2core.networks.registry import build_network
from her2core.networks.weights import start_from

PREFIXES = ["", "module.", "model.", "backbone.", "encoder.", "module.model.", "model.encoder.", "state_dict.net."]


@pytest.fixture(scope="module")
def source() -> dict[str, torch.Tensor]:
    """A ResNet of timm with 7 classes, each tensor with numbers of its own."""
    model = timm.create_model("test_resnet", num_classes=7)
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(5)
        for name, value in model.state_dict().items()
    }


@pytest.fixture(scope="module")
def torchvisions() -> dict[str, torch.Tensor]:
    return resnet50(weights=None, num_classes=7).state_dict()


def started(tmp_path, state: dict[str, torch.Tensor], name: str = "timm:test_resnet"):
    """A network of 3 classes that started from a file of these tensors, its state before and after, and the facts."""
    save_file({n: v.contiguous() for n, v in state.items()}, tmp_path / "w.safetensors")
    network = build_network(name, 3)
    before = {n: v.clone() for n, v in network.state_dict().items()}
    facts = start_from(network, f"file:{tmp_path / 'w.safetensors'}")
    return before, network.state_dict(), facts


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_timm_network_takes_every_tensor_but_the_last_layers_under_any_prefix(tmp_path, source, prefix):
    before, after, facts = started(tmp_path, {prefix + n: v for n, v in source.items()})
    trunk = {n: v for n, v in source.items() if not n.startswith("fc.")}
    for name, value in trunk.items():
        torch.testing.assert_close(after[f"model.{name}"], value, msg=name)
    for name in ("model.fc.weight", "model.fc.bias"):
        torch.testing.assert_close(after[name], before[name])
    assert (facts["tensors_filled"], facts["tensors_fresh"]) == (len(trunk), 2)
    said = facts["loaded"]
    assert said.startswith(f"{len(trunk)} of {len(trunk) + 2} tensors loaded")
    assert "2 last-layer tensors left out: model.fc.weight, model.fc.bias" in said
    assert "not used" not in said
    assert "not in the file" not in said


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "encoder.", "module.encoder."])
def test_the_built_in_network_takes_torchvisions_names_under_any_prefix(tmp_path, torchvisions, prefix):
    before, after, facts = started(tmp_path, {prefix + n: v for n, v in torchvisions.items()}, "her2_resnet50")
    trunk = {n: v for n, v in torchvisions.items() if not n.startswith("fc.")}
    assert facts["tensors_filled"] == len(trunk) == 318
    torch.testing.assert_close(after["stem.0.weight"], torchvisions["conv1.weight"])
    torch.testing.assert_close(after["stem.1.running_mean"], torchvisions["bn1.running_mean"])
    for name in ("layer1.0.conv1.weight", "layer4.2.bn3.bias", "layer3.0.downsample.0.weight"):
        torch.testing.assert_close(after[name], torchvisions[name])
    torch.testing.assert_close(after["classifier.weight"], before["classifier.weight"])
    assert f"2 other tensors of the file not used: {prefix}fc.bias, {prefix}fc.weight" in facts["loaded"]


def test_the_built_in_network_takes_its_own_names_under_a_prefix(tmp_path):
    theirs = build_network("her2_resnet50", 12).state_dict()
    _, after, facts = started(tmp_path, {f"module.{n}": v for n, v in theirs.items()}, "her2_resnet50")
    assert facts["tensors_filled"] == len(theirs) - 2
    torch.testing.assert_close(after["layer2.1.conv2.weight"], theirs["layer2.1.conv2.weight"])


def test_what_does_not_fit_is_listed(tmp_path, source):
    changed = {f"backbone.{n}": v for n, v in source.items() if not n.startswith("fc.")}
    changed["backbone.layer2.0.conv1.weight"] = torch.zeros(3, 3, 3, 3)
    del changed["backbone.bn1.running_mean"]
    changed |= {"projector.0.weight": torch.zeros(4, 4), "queue": torch.zeros(9)}
    before, after, facts = started(tmp_path, changed)
    own = {"model.layer2.0.conv1.weight", "model.bn1.running_mean"}
    for name in own:
        torch.testing.assert_close(after[name], before[name])
    assert facts["tensors_filled"] == len(source) - 2 - len(own)
    said = facts["loaded"]
    assert "the file's names start with 'backbone.'" in said
    absent = said.partition("2 tensors not in the file in this shape: ")[2].partition(";")[0]
    assert set(absent.split(", ")) == own
    unused = said.partition("3 other tensors of the file not used: ")[2]
    assert set(unused.split(", ")) == {"backbone.layer2.0.conv1.weight", "projector.0.weight", "queue"}


def test_a_long_list_is_cut_and_counted(tmp_path, source):
    state = source | {f"head.{n}.weight": torch.zeros(1) for n in range(20)}
    said = started(tmp_path, state)[2]["loaded"]
    assert "20 other tensors of the file not used: " in said
    assert said.endswith("and 14 more")


def test_other_names_are_not_blamed_on_the_architecture(tmp_path, source):
    renamed = {f"x{i}_{n.rpartition('.')[0]}.{n.rpartition('.')[2]}": v for i, (n, v) in enumerate(source.items())}
    own = build_network("timm:test_resnet", 7).state_dict()
    save_file(renamed, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="The architecture fits: rename the tensors") as refused:
        start_from(build_network("timm:test_resnet", 7), f"file:{tmp_path / 'w.safetensors'}")
    assert f"{len(own)} of {len(own)} tensors of the right shape under other names" in str(refused.value)


def test_another_architecture_is_blamed(tmp_path, torchvisions):
    save_file(torchvisions, tmp_path / "w.safetensors")
    network = build_network("timm:test_resnet", 3)
    before = {n: v.clone() for n, v in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"weights of the same network.*Start from weights of the same architecture"):
        start_from(network, f"file:{tmp_path / 'w.safetensors'}")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])
