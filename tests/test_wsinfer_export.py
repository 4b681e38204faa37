"""Runs as model folders of WSInfer: its schema, and the probabilities of ``Predictor``.

The oracle is ``Predictor`` on the same pixels; the schema is wsinfer-zoo 0.6's (schemas/model-config.schema.json).
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from her2core import load_predictor
from her2core.errors import ConfigError, RunError
from her2core.evidence.reservation import reservation
from her2core.inference.wsinfer_export import (
    TOLERANCE,
    WsinferNetwork,
    check_patches,
    difference_from,
    export_wsinfer,
    wsinfer_config,
)

RUN = Path(__file__).resolve().parents[1] / "models" / "her2-tcga"
#: Fields that the schema requires; it names no others.
FIELDS = {
    "spec_version",
    "architecture",
    "num_classes",
    "class_names",
    "patch_size_pixels",
    "spacing_um_px",
    "transform",
}


@pytest.fixture(scope="module")
def predictor():
    return load_predictor(RUN, engine="torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "wsinfer"
    export_wsinfer(RUN, folder)
    return folder


@pytest.fixture(scope="module")
def network(folder) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates what WSInfer loads models with
        return torch.jit.load(str(folder / "torchscript_model.pt"))


def as_wsinfer(folder: Path, network: torch.jit.ScriptModule, patch: np.ndarray) -> np.ndarray:
    """What WSInfer computes for one patch: the transforms of config.json one by one, the network, softmax."""
    image = Image.fromarray(patch)
    for step in json.loads((folder / "config.json").read_text())["transform"]:
        image = getattr(transforms, step["name"])(**step.get("arguments", {}))(image)
    with torch.no_grad():
        return torch.softmax(network(image[None]), dim=1)[0].numpy()


def test_the_folder_is_what_wsinfer_and_qupath_look_for(folder, predictor):
    assert {p.name for p in folder.iterdir()} == {"torchscript_model.pt", "config.json", "README.md"}
    config = json.loads((folder / "config.json").read_text())
    assert set(config) == {*FIELDS, "transform"}
    assert config["spec_version"] == "1.0"
    assert config["class_names"] == list(predictor.classes)
    assert config["num_classes"] == len(set(config["class_names"])) == 3
    assert config["patch_size_pixels"] * config["spacing_um_px"] == pytest.approx(predictor.prepare.field_um)
    assert isinstance(config["patch_size_pixels"], int)
    assert {step["name"] for step in config["transform"]} == {"Resize", "ToTensor"}
    card = (folder / "README.md").read_text()
    assert reservation(predictor.run) in card
    assert all(limit in card for limit in predictor.run.card["limits"])
    assert "Research use only" in card


def test_wsinfer_gets_the_probabilities_of_the_run(folder, network, predictor):
    patches = [check_patches(224)[0], check_patches(300)[1], np.full((224, 224, 3), 245, np.uint8)]
    patches.append((0.6 * patches[0] + 90).astype(np.uint8))  # weakly stained
    right = predictor.predict(patches)
    assert [bool(p.flags) for p in right][2], "glass is normalised by neither"
    # Probabilities of this run differ by less than 0.01 between these patches.
    for patch, prediction in zip(patches, right, strict=True):
        assert np.allclose(as_wsinfer(folder, network, patch), prediction.probabilities, atol=2e-4)


def test_real_tissue_has_the_probabilities_of_the_run(network, predictor, real_data):
    files = sorted((real_data / "tcga_brca" / "fields").glob("*.png"))[::30]
    patches = [np.asarray(Image.open(file).convert("RGB").resize((224, 224))) for file in files]
    assert difference_from(predictor, network, patches)[1] < TOLERANCE


def test_the_comparison_sees_a_missing_stain_step(predictor):
    card = predictor.run.card
    bare = WsinferNetwork(predictor.network, None, *predictor.scaling, card["temperature"])
    assert difference_from(predictor, bare)[1] > 2 * TOLERANCE


def test_what_cannot_be_exported_is_refused(her2, folder, predictor):
    with pytest.raises(RunError, match="does not exist yet"):
        export_wsinfer(RUN, folder)
    card = {**predictor.run.card, "input": {"px": 224}}
    with pytest.raises(ConfigError, match="field of view"):
        wsinfer_config(card)
    code, _, err = her2("runs", "export", RUN, "--to", "w", "--format", "wsinfer", "--without-weights")
    assert code == 1
    assert "--without-weights" in err
    assert not Path("w").exists()
