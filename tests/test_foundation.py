"""Foundation models built from their hub ids and used frozen, on a small stand-in in a hub's cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file

from her2core import load_predictor, train
from her2core.errors import NetworkError, WeightsError
from her2core.networks.foundation import FoundationNetwork
from her2core.networks.registry import build_network
from her2core.networks.weights import start_from
from her2core.study.backbones import backbone_jobs, load_study
from her2core.study.jobs import run_jobs
from her2core.training.config import make_config

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "study" / "foundation.yaml"
#: A small transformer of the same kind as Virchow2: registers beside the class token, gated layers.
SHAPE = {
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
    "reg_tokens": 4,
    "global_pool": "token",
    "init_values": 1e-5,
}
OPTIONS = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub's cache on this disk that holds ``stand-in/small``, and no other way to a hub."""
    import huggingface_hub.constants as hub

    torch.manual_seed(4)
    mlp = timm.layers.SwiGLUPacked
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, mlp_layer=mlp, act_layer="silu", **SHAPE)
    folder = tmp_path / "hub" / "models--stand-in--small"
    snapshot = folder / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123456789abcdef")
    save_file(model.state_dict(), snapshot / "model.safetensors")
    described = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 0,
        "num_features": 32,
        "model_args": SHAPE,
        "pretrained_cfg": {
            "input_size": [3, 64, 64],
            "num_classes": 0,
            "classifier": "head",
            "first_conv": "patch_embed.proj",
        },
    }
    (snapshot / "config.json").write_text(json.dumps(described))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return model.eval()


@pytest.mark.parametrize("pool", ["class", "mean", "class_mean"])
def test_embeddings_are_those_of_the_hubs_weights(hub, pool):
    network = build_network("hub:stand-in/small", 3, pool=pool, **OPTIONS).eval()
    x = torch.rand(2, 3, 64, 64)
    assert not torch.allclose(network.features(x), hub.forward_features(x)), "before its weights it is random"
    with pytest.raises(WeightsError, match="leaves a foundation model random"):
        start_from(network, "none")
    start = start_from(network, "hub")
    assert start["source"] == "stand-in/small"
    assert len(start["sha256"]) == 64
    network.eval()
    tokens = hub.forward_features(x)
    torch.testing.assert_close(network.features(x), tokens)
    expected = {"class": tokens[:, 0], "mean": tokens[:, 5:].mean(1)}
    expected["class_mean"] = torch.cat([expected["class"], expected["mean"]], dim=1)
    torch.testing.assert_close(network.embed(tokens), expected[pool])
    assert network.head(tokens).shape == (2, 3)
    torch.testing.assert_close(network.feature_map(tokens)[:, :, 0, 1], tokens[:, 6])


def test_a_linear_probe_on_it_is_a_whole_run(hub, tiny_manifest, tmp_path):
    config = make_config(
        {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "input": {"px": 64},
            "frozen": {"head": "linear"},
            "network": {"name": "hub:stand-in/small", "options": {"pool": "class_mean", **OPTIONS}, "init": "hub"},
            "hardware": {"accelerator": "cpu", "features": str(tmp_path / "features")},
        }
    )
    run = train(config, root=tmp_path / "runs", progress=False)
    assert run.info["start"]["source"] == "stand-in/small"
    predictor = load_predictor(run)
    released = predictor.network.state_dict()["model.patch_embed.proj.weight"]
    torch.testing.assert_close(released, hub.state_dict()["patch_embed.proj.weight"].half().float())


def test_unavailable_weights_name_the_remedy(hub):
    with pytest.raises(WeightsError, match=r"description of stand-in/absent.*Accept its licence"):
        build_network("hub:stand-in/absent", 3)
    with pytest.raises(NetworkError, match="option `pool` to be one of 'class'"):
        build_network("hub:stand-in/small", 3, pool="max", **OPTIONS)
    with pytest.raises(NetworkError, match="layer in timm.layers"):
        build_network("hub:stand-in/small", 3, mlp_layer="SwiGLUUnpacked")
    with pytest.raises(WeightsError, match="Choose one"):
        start_from(build_network("timm:lcnet_050", 3), "hub")
    with pytest.raises(WeightsError, match="Choose one"):
        start_from(build_network("hub:stand-in/small", 3, **OPTIONS), "imagenet")


def test_a_network_that_is_no_transformer_is_refused(monkeypatch):
    monkeypatch.setattr(FoundationNetwork, "_create", lambda self, pretrained: timm.create_model("lcnet_050"))
    with pytest.raises(NetworkError, match="vision transformer"):
        build_network("hub:stand-in/small", 3)


def test_the_released_study_names_them_frozen_and_for_review():
    study = load_study(CONFIG)
    named = {n.name for n in study.networks}
    assert {"hub:MahmoodLab/UNI", "hub:paige-ai/Virchow2", "hub:bioptimus/H-optimus-0"} <= named
    for n in study.networks:
        if n.name.startswith("hub:"):
            assert n.init == "hub"
            assert n.frozen
            assert not n.weights, "their licences forbid passing them on"
    assert {j.config.input.px for j in backbone_jobs(study)} == {224}


def test_that_study_runs_on_stand_ins(hub, tiny_manifest, tmp_path):
    """The released list, hub ids and sizes replaced; an unavailable one is reported and the others are trained."""
    plan = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    plan["run"] |= {
        "name": "tiny",
        "manifest": str(tiny_manifest),
        "split": {"unit": "patient", "seed": 3},
        "hardware": {"accelerator": "cpu", "features": str(tmp_path / "features")},
    }
    plan["run"]["input"] = {"px": 64}
    for entry in plan["networks"]:
        if entry["name"].startswith("hub:"):
            pool = entry["options"]["pool"]
            entry["options"] = {**OPTIONS, "pool": pool}
            entry["name"] = "hub:stand-in/absent" if "UNI" in entry["name"] else "hub:stand-in/small"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    study = load_study(tmp_path / "study.yaml")
    failed = run_jobs(backbone_jobs(study), tmp_path / "out", progress=False)
    assert list(failed) == ["uni-seed0"]
    assert "description of stand-in/absent" in failed["uni-seed0"]
