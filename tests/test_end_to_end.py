"""Real tissue from import to map, by command line: import, check, train, evaluate, predict, explain."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from her2core.cli import main
from her2core.errors import Her2Error
from her2core.io.images import read_image

CLASSES = ("Tumor", "Stroma", "Necrosis", "Haemorrhage")


@pytest.fixture
def her2(monkeypatch, capsys, tmp_path, brief_cost):
    """Type a command in the test's folder; its JSON answer."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["her2", *map(str, words), "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert left.value.code == 0, f"{words}: {out[-500:]} {err[-1500:]}"
        return json.loads(out.strip().splitlines()[-1])

    return call


def _config(folder: Path, manifest: str, unit: str, **network) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "e2e",
                "manifest": manifest,
                "split": {"unit": unit},
                "input": {"px": 64},
                "network": network,
                "train": {"epochs": 1, "batch_size": 8, "lr": 0.0005, "warmup_epochs": 0},
                "hardware": {"accelerator": "cpu"},
            }
        )
    )
    return path


def test_real_tiles_from_folders_to_a_map(her2, real_data, tmp_path):
    tiles = tmp_path / "tiles"
    for name in CLASSES:
        (tiles / name).mkdir(parents=True)
        for tile in sorted((real_data / "tissue_tiles" / name).iterdir())[:15]:
            (tiles / name / tile.name).symlink_to(tile)
    made = her2("data", "import", "folder", tiles, "--out", "m.parquet", "--set", "mpp=0.25")
    assert made["classes"] == dict.fromkeys(sorted(CLASSES), 15)
    assert made["patients"] is None
    codes = {f["code"] for f in her2("data", "check", "m.parquet", "--contents")}
    assert "unknown-patients" in codes

    config = _config(tmp_path, "m.parquet", "patch_random", name="her2_resnet50")
    trained = her2("train", config, "--quiet")
    assert any("Random patch split" in w for w in trained["warnings"])
    run = tmp_path / trained["run"]

    found = her2("evaluate", run)
    assert {r["unit"] for r in found["metrics"]} == {"patch"}
    assert {u["unit"] for u in found["units"] if not u["assessed"]} == {"slide", "patient"}
    assert all("too narrow" in r["note"] for r in found["metrics"] if r["value"] is not None)
    assert sum(c["count"] for c in found["confusion"]) == 12

    first = sorted((tiles / "Tumor").iterdir())[0]
    (answer,) = her2("predict", run, first)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    shown = her2("explain", run, first, "--target", "Tumor", "--out", "map.png")
    assert shown["target"] == "Tumor"
    assert read_image(tmp_path / "map.png").shape == (470, 448, 3)
    assert [r["path"] for r in her2("runs", "list", "--in", "runs")["runs"]] == [trained["run"]]


def test_her2st_sections_to_evidence(her2, real_data, tmp_path):
    """60 spots of two sections, in the data set's own layout: C4 for training and validation, C5 for testing."""
    source, root = real_data / "her2st" / "data", tmp_path / "her2st"
    (root / "ST-imgs").mkdir(parents=True)
    (root / "ST-imgs" / "C").mkdir()
    for folder in ("ST-cnts", "ST-spotfiles"):
        (root / folder).mkdir()
    for section in ("C4", "C5"):
        (root / "ST-imgs" / "C" / section).symlink_to(source / "ST-imgs" / "C" / section)
        (root / "ST-cnts" / f"{section}.tsv.gz").symlink_to(source / "ST-cnts" / f"{section}.tsv.gz")
        name = f"{section}_selection.tsv"
        spots = (source / "ST-spotfiles" / name).read_text().splitlines(keepends=True)
        (root / "ST-spotfiles" / name).write_text("".join(spots[:1] + spots[1::3][:60]))
    made = her2("data", "import", "her2st", root, "--out", "m.parquet")
    assert made["facts"]["test_sections"] == ["C5"]
    assert made["facts"]["thresholds_from"] == ["C4"]
    assert "not a HER2 class" in made["facts"]["claim"]

    config = _config(tmp_path, "m.parquet", "predefined", name="timm:resnet10t")
    run = tmp_path / her2("train", config, "--quiet")["run"]
    card = json.loads((run / "model.card.json").read_text())
    assert card["scheme"]["is_her2"] is False
    assert card["classes"] == ["low", "middle", "high"]
    assert card["input"]["field_um"] == pytest.approx(154, abs=2)
    found = her2("evaluate", run)
    assert {u["unit"]: u["assessed"] for u in found["units"]} == {"patch": True, "slide": False, "patient": False}
    assert any("make no claim about new patients" in w for w in found["warnings"])
    assert {r["resampling_unit"] for r in found["metrics"]} == {"patch"}
    assert all("only 1 patient" in r["note"] for r in found["metrics"])


def test_fields_of_another_hospital_are_read_and_answered(real_data, tiny_predictor):
    """BreCaHAD fields are no patches of the training data: they must be decoded and answered, with what is odd said."""
    answers = tiny_predictor.predict(sorted((real_data / "brecahad").iterdir()))
    assert len(answers) == 10
    for answer in answers:
        assert answer.error is None
        assert sum(answer.probabilities) == pytest.approx(1)
        assert "unstable_stain" not in answer.flags


def test_what_is_no_slide_is_refused_in_a_sentence(real_data):
    with pytest.raises(Her2Error, match=r"broken\.svs"):
        read_image(real_data / "slides" / "broken.svs")
