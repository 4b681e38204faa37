"""Training patients of an earlier run, whose weights are the first ones, in this test part."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from her2core.data.manifest import Manifest, read_manifest
from her2core.data.splits import split_manifest
from her2core.io.files import write_parquet
from her2core.training.config import make_config
from her2core.training.earlier_run import start_warnings
from her2core.training.fit import train


@pytest.fixture
def earlier(tiny_run, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_run.path, tmp_path / "earlier"))


def changed(path: Path, **columns) -> None:
    from her2core.runs.folder import open_run

    write_parquet(path / "dataset.parquet", open_run(path).dataset.assign(**columns))


def warned(manifest: Manifest, init: str, seed: int = 5) -> list[str]:
    return start_warnings(init, manifest, split_manifest(manifest, "patient", seed=seed))


@pytest.mark.parametrize("kind", ["run:{}", "file:{}/model.safetensors"])
def test_training_patients_of_the_earlier_run_in_this_test_part_are_counted(tiny_manifest, tiny_run, kind):
    manifest, init = read_manifest(tiny_manifest), kind.format(tiny_run.path)
    split = split_manifest(manifest, "patient", seed=5)
    test = set(manifest.frame.merge(split, on="patch_id").query("split == 'test'")["patient_id"])
    known = set(tiny_run.dataset.query("split != 'test'")["patient_id"])
    (said,) = warned(manifest, init)
    assert said.startswith(f"{len(test & known)} of the {len(test)} patient ids of this test part ")
    assert 0 < len(test & known) < len(test) or test <= known
    assert init in said
    assert warned(manifest, init, seed=0) == [], "the same split: no patient of this test part was trained on"


def test_patients_that_are_not_told_cannot_be_checked(tiny_manifest, earlier, tmp_path):
    manifest, init = read_manifest(tiny_manifest), f"run:{earlier}"
    changed(earlier, patient_id="unknown", patch_id=lambda t: "other " + t["patch_id"])
    (said,) = warned(manifest, init)
    assert said.endswith("overlap with this test part cannot be checked.")
    changed(earlier, patient_id=[f"own {i}" for i in range(36)])
    assert warned(manifest, init) == []
    (earlier / "dataset.parquet").unlink()
    assert "cannot be checked" in warned(manifest, init)[0]
    (tmp_path / "weights-alone").mkdir()
    assert "cannot be checked" in warned(manifest, f"run:{tmp_path / 'weights-alone'}")[0]
    assert warned(manifest, "imagenet") == warned(manifest, "none") == []


def test_patches_of_unknown_patients_are_compared_too(tiny_manifest, earlier):
    changed(earlier, patient_id="unknown")
    (said,) = warned(read_manifest(tiny_manifest), f"run:{earlier}")
    assert "patches of this test part are among the training patches" in said


def test_drawn_patches_and_real_tissue_have_no_patient_in_common(tiny_manifest, tiny_run):
    manifest = read_manifest(tiny_manifest)
    real = replace(manifest, facts={**manifest.facts, "synthetic": False})
    assert warned(real, f"run:{tiny_run.path}") == []


def test_the_chain_of_first_weights_is_followed_and_ends(tiny_manifest, tiny_run, earlier):
    card = json.loads((earlier / "model.card.json").read_text())
    changed(earlier, patient_id=[f"own {i}" for i in range(36)], patch_id=[f"own {i}" for i in range(36)])
    for start, expected in ((f"run:{tiny_run.path}", [f"run:{tiny_run.path}"]), (f"run:{earlier}", [])):
        card["network"]["init"] = start
        (earlier / "model.card.json").write_text(json.dumps(card))
        said = warned(read_manifest(tiny_manifest), f"run:{earlier}")
        assert [w.partition("(")[2].partition(")")[0] for w in said] == expected


def test_the_overlap_is_a_limit_of_the_run(tiny_manifest, tiny_run, tmp_path, brief_cost):
    content = {
        "name": "second",
        "manifest": str(tiny_manifest),
        "input": {"px": 32},
        "network": {"name": "timm:resnet10t", "init": f"run:{tiny_run.path}"},
        "split": {"seed": 5},
        "serving": False,
        "train": {"epochs": 1},
        "hardware": {"accelerator": "cpu"},
    }
    run = train(make_config(content), root=tmp_path, progress=False)
    (said,) = (w for w in run.warnings if "ids of training patients" in w)
    assert said in run.card["limits"]
