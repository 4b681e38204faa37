"""Networks: architecture, registry, options, and weight files. Oracle: torchvision's ResNet50."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

from her2core.errors import NetworkError, WeightsError
from her2core.networks.her2_resnet import DepthwiseSeparable, SqueezeExcitation, rename_torchvision
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import NETWORKS, build_network, find_network, parameter_count
from her2core.networks.resnet50 import resnet50_trunk
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import load_into, save_weights, start_from


def test_trunk_is_torchvisions_resnet50():
    """With SE and DSC off and stride 32, the network is resnet50: same features from the same weights."""
    torch.manual_seed(0)
    theirs = resnet50(weights=None).eval()
    ours = build_network("resnet50", 5, output_stride=32).eval()
    result = ours.load_state_dict(rename_torchvision(theirs.state_dict()), strict=False)
    assert set(result.missing_keys) == {"classifier.weight", "classifier.bias"}
    assert not result.unexpected_keys
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.layer4(
            theirs.layer3(theirs.layer2(theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))))
        )
        torch.testing.assert_close(ours.features(x), expected)


@pytest.mark.parametrize("zero_init", [False, True])
def test_a_seed_gives_torchvisions_random_weights_and_the_same_numbers_after_them(zero_init):
    torch.manual_seed(3)
    theirs, then = resnet50(weights=None, zero_init_residual=zero_init).state_dict(), torch.rand(3)
    torch.manual_seed(3)
    ours, now = resnet50_trunk(zero_init=zero_init), torch.rand(3)
    found = {f"{name}.{k}": v for name, part in ours._asdict().items() for k, v in part.state_dict().items()}
    expected = rename_torchvision(theirs)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert torch.equal(now, then)


def test_stride_sixteen_changes_no_parameter():
    a, b = build_network("resnet50", 3, output_stride=32), build_network("resnet50", 3, output_stride=16)
    assert {n: v.shape for n, v in a.state_dict().items()} == {n: v.shape for n, v in b.state_dict().items()}
    x = torch.zeros(1, 3, 128, 128)
    assert a.eval().features(x).shape[2:] == (4, 4)
    assert b.eval().features(x).shape[2:] == (8, 8)


def test_zero_init_makes_every_residual_block_the_identity():
    network = build_network("resnet50", 3, zero_init=True).eval()
    x = torch.rand(1, 256, 8, 8)  # positive, as after the ReLU before it
    torch.testing.assert_close(network.layer1[1](x), x)
    assert not torch.allclose(build_network("resnet50", 3).eval().layer1[1](x), x)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("her2_resnet50", [SqueezeExcitation, DepthwiseSeparable]),
        ("her2_resnet50_swapped", [DepthwiseSeparable, SqueezeExcitation]),
        ("resnet50", []),
        ("resnet50_se", [SqueezeExcitation]),
        ("resnet50_dsc", [DepthwiseSeparable]),
    ],
)
def test_each_part_can_be_switched(name, blocks):
    network = build_network(name, 3).eval()
    assert [type(b) for b in network.cascade] == blocks
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert name in NETWORKS


def test_squeeze_excitation_by_hand():
    block = SqueezeExcitation(4, reduction=2)
    x = torch.randn(3, 4, 5, 5)
    pooled = x.mean((2, 3))
    weights = torch.sigmoid(
        torch.relu(pooled @ block.squeeze.weight.T + block.squeeze.bias) @ block.excite.weight.T + block.excite.bias
    )
    torch.testing.assert_close(block(x), x * weights.reshape(3, 4, 1, 1))


def test_depthwise_separable_is_depthwise_then_pointwise():
    block = DepthwiseSeparable(8, 6)
    assert block.depthwise.groups == 8
    assert block.depthwise.weight.shape == (8, 1, 3, 3)
    assert block.pointwise.weight.shape == (6, 8, 1, 1)
    assert block(torch.randn(2, 8, 7, 7)).shape == (2, 6, 7, 7)


def test_forward_is_head_of_features():
    for name in ("her2_resnet50", "timm:resnet18", "timm:vit_tiny_patch16_224"):
        network = build_network(name, 3).eval()
        x = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            torch.testing.assert_close(network(x), network.head(network.features(x)))


@pytest.mark.parametrize(("name", "offer"), [("her2_resnet5", "her2_resnet50"), ("timm:resnet5O", "timm:resnet50")])
def test_unknown_name_offers_near_matches(name, offer):
    with pytest.raises(NetworkError, match=offer):
        build_network(name, 3)


def test_a_name_without_the_prefix_is_offered_timms():
    with pytest.raises(NetworkError, match="timm:efficientnet_b0"):
        build_network("efficientnet_b0", 3)
    for name in ("timm:hf-hub:timm/resnet18", "timm:local-dir:/tmp", "timm:/etc/passwd"):
        with pytest.raises(NetworkError, match="a known network"):
            build_network(name, 3)
    with pytest.raises(NetworkError, match="a hub id"):
        build_network("hub:../secret", 3)


@pytest.mark.parametrize("name", [*NETWORKS, "timm:test_resnet"])
def test_every_entry_is_data_and_builds_a_patch_network(name):
    spec = find_network(name)
    assert spec.name == name
    assert spec.label
    assert spec.description.endswith(".")
    assert "doi " in spec.reference
    assert len(spec.defaults.mean) == len(spec.defaults.std) == 3
    assert isinstance(build_network(name, 2), PatchNetwork)


def test_an_ablation_fixes_the_blocks_that_its_name_states():
    assert "se" not in find_network("resnet50").options
    assert "order" not in find_network("her2_resnet50_swapped").options
    with pytest.raises(NetworkError, match="options of resnet50 "):
        build_network("resnet50", 3, se=True)


@pytest.mark.parametrize(
    "options",
    [
        {"pretrained": True},
        {"checkpoint_path": "/tmp/w.pth"},
        {"pretrained_cfg": {"url": "https://example.org"}},
        {"pretrained_cfg_overlay": {"file": "w.pth"}},
        {"cache_dir": "/tmp"},
        {"url": "https://example.org"},
        {"in_chans": 1},
        {"num_classes": 7},
        {"features_only": True},
        {"norm_layer": {"path": "x"}},
        {"depths": [{"file": "x"}]},
    ],
)
def test_timms_options_are_its_architecture_alone(options, monkeypatch):
    import timm

    def build(*args, **kwargs):
        raise AssertionError("refused before anything is built")

    monkeypatch.setattr(timm, "create_model", build)
    with pytest.raises(NetworkError, match=next(iter(options))):
        build_network("timm:test_resnet", 3, **options)


def test_an_option_that_the_model_itself_does_not_take_is_refused():
    with pytest.raises(NetworkError, match=r"options that timm:test_resnet can be built with.*reg_tokens"):
        build_network("timm:test_resnet", 3, reg_tokens=4)
    with pytest.raises(NetworkError, match="options that her2_resnet50 can be built with"):
        build_network("her2_resnet50", 3, se_reduction=0)
    with pytest.raises(NetworkError, match="Did you mean output_stride"):
        build_network("timm:test_resnet", 3, output_strid=16)


def test_options_are_checked():
    with pytest.raises(NetworkError, match="droput"):
        build_network("her2_resnet50", 3, droput=0.1)
    with pytest.raises(NetworkError, match="`output_stride` to be 16 or 32"):
        build_network("her2_resnet50", 3, output_stride=8)
    with pytest.raises(NetworkError, match="two classes"):
        build_network("her2_resnet50", 1)
    with pytest.raises(NetworkError, match="'se_dsc' or 'dsc_se'"):
        build_network("her2_resnet50", 3, order="dsc")


def test_weights_round_trip_in_half_precision(tmp_path):
    network = build_network("timm:resnet18", 3)
    sha256 = save_weights(network, tmp_path / "w.safetensors")
    (tmp_path / "any.txt").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("w.safetensors", "any.txt")}
    assert len(modes) == 1  # whoever may read other files may read the weights
    state = read_weights(tmp_path / "w.safetensors", sha256=sha256)
    assert (tmp_path / "w.safetensors").stat().st_size < 2.2 * parameter_count(network)
    for name, value in network.state_dict().items():
        last = name.startswith("model.fc.")  # it is small and may leave float16's range, so it stays as it is
        expected = value.half().float() if value.is_floating_point() and not last else value
        torch.testing.assert_close(state[name], expected)
    load_into(build_network("timm:resnet18", 3), state, where="test")


def test_tampered_truncated_and_missing_weights_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    sha256 = save_weights(build_network("timm:resnet18", 3), path)
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(WeightsError, match=r"other bytes .*model\.safetensors"):
        read_weights(path, sha256=sha256)
    path.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(WeightsError, match="whole safetensors"):
        read_weights(path)
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "none.safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = build_network("timm:test_resnet", 3)
    for value in (float("nan"), float("inf")):
        with torch.no_grad():
            network.get_submodule(network.last_layer).weight[0, 0] = value
        save_weights(network, tmp_path / "w.safetensors")
        with pytest.raises(WeightsError, match=r"finite numbers, but got NaN or infinity in 1 of .*model\.fc\.weight"):
            read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights.ckpt"])
def test_pickles_are_refused_whatever_their_name(tmp_path, name):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / name).write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(WeightsError, match="pickled"):
        read_weights(tmp_path / name)
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(WeightsError, match="pickled"):
        read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_named():
    state = build_network("resnet50_se", 3).state_dict()
    with pytest.raises(WeightsError, match="missing"):
        load_into(build_network("her2_resnet50", 3), state, where="x")


def test_start_from_file_fills_the_trunk_and_leaves_the_classifier(tmp_path):
    source = build_network("her2_resnet50", 12)
    save_weights(source, tmp_path / "w.safetensors", half=False)
    network = build_network("her2_resnet50", 3)
    before = network.classifier.weight.clone()
    start = start_from(network, f"file:{tmp_path / 'w.safetensors'}")
    assert start["tensors_fresh"] == 2
    torch.testing.assert_close(network.layer4[2].conv3.weight, source.layer4[2].conv3.weight)
    torch.testing.assert_close(network.classifier.weight, before)


def test_start_from_torchvisions_own_names(tmp_path):
    theirs = resnet50(weights=None)
    save_file(theirs.state_dict(), tmp_path / "r50.safetensors")
    network = build_network("her2_resnet50", 3)
    start_from(network, f"file:{tmp_path / 'r50.safetensors'}")
    torch.testing.assert_close(network.stem[0].weight, theirs.conv1.weight)


def test_start_from_a_run_verifies_it(tiny_run, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(tiny_run.path, copy)
    described = tiny_run.card["network"]
    four = partial(build_network, described["name"], 4, **described["options"])
    start = start_from(four(), f"run:{copy}")
    assert start["tensors_fresh"] == 2
    blob = bytearray((copy / "model.safetensors").read_bytes())
    blob[-3] ^= 4
    (copy / "model.safetensors").write_bytes(blob)
    with pytest.raises(WeightsError, match="other bytes"):
        start_from(four(), f"run:{copy}")


def test_start_refusals(tmp_path, monkeypatch):
    network = build_network("her2_resnet50", 3)
    with pytest.raises(WeightsError, match="none, imagenet, hub"):
        start_from(network, "magic")
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="0 of"):
        start_from(network, f"file:{tmp_path / 'w.safetensors'}")

    import torchvision.models as models

    def offline(self, **_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(models.ResNet50_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match="Without a network connection use init file"):
        start_from(network, "imagenet")


def test_imagenet_weights_fill_the_trunk(monkeypatch):
    """The hub cannot be reached in tests: its answer is stood in for by a fresh resnet50 of the same shape."""
    import torchvision.models as models

    theirs = resnet50(weights=None)
    monkeypatch.setattr(models.ResNet50_Weights, "get_state_dict", lambda self, **_: theirs.state_dict())
    network = build_network("her2_resnet50", 3)
    start = start_from(network, "imagenet")
    assert start["tensors_filled"] == len(rename_torchvision(theirs.state_dict()))
    np.testing.assert_array_equal(network.layer1[0].conv1.weight.detach(), theirs.layer1[0].conv1.weight.detach())
