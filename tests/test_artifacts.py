"""Artifacts of a finished run, and their addition to a run of an older version."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core import load_predictor, open_run
from her2core.data.checks import check_manifest
from her2core.data.manifest import WINDOW, read_manifest
from her2core.errors import Her2Error, RunError, WeightsError
from her2core.evidence.conformal import PredictionSets, fit_prediction_sets
from her2core.io.files import sha256_file, write_json
from her2core.io.tables import read_table
from her2core.networks.cost import network_cost
from her2core.ood import read_ood_detector
from her2core.runs.export import export_run
from her2core.runs.folder import WEIGHTS
from her2core.training.artifacts import complete_run, write_artifacts

MADE = ("dataset.parquet", "checks.json", "ood.safetensors", "evaluation/cost.json", "evaluation/prediction_sets.csv")
GIVEN = ("prediction_sets", "ood")


def copy_of(run, target: Path) -> Path:
    return Path(shutil.copytree(run.path, target, copy_function=os.link))


def older(run, target: Path) -> Path:
    """The run as it was finished before there were artifacts."""
    copy = copy_of(run, target)
    for name in MADE:
        (copy / name).unlink()
    write_json(copy / "model.card.json", {k: v for k, v in run.card.items() if k not in GIVEN})
    return copy


def same_card(ours: dict, theirs: dict) -> bool:
    """But for the ood file's last digits, in which two forwards through the same weights may differ."""
    known, there = ours["ood"], theirs["ood"]
    exact = all(known[k] == there[k] for k in known if k not in ("sha256", "threshold"))
    rest = {k: v for k, v in ours.items() if k != "ood"} == {k: v for k, v in theirs.items() if k != "ood"}
    return exact and rest and known["threshold"] == pytest.approx(there["threshold"], rel=1e-3)


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


# A fresh run


def test_the_data_table_is_the_manifest_with_its_split_and_without_any_place_on_disk(tiny_run, tiny_manifest):
    manifest = read_manifest(tiny_manifest)
    dataset = tiny_run.dataset
    assert not {"path", *WINDOW} & set(dataset)
    same = [c for c in manifest.frame if c not in ("path", *WINDOW)]
    assert {"patch_id", "patient_id", "slide_id", "site", "scanner", "mpp", "her2_ihc", "ish", "label"} <= set(same)
    assert sorted(dataset) == sorted([*same, "split"])
    pd.testing.assert_frame_equal(dataset[same], manifest.frame[same], check_dtype=False)
    saved = tiny_run.splits.set_index("patch_id")["split"]
    assert dataset["split"].tolist() == saved[dataset["patch_id"]].tolist()
    assert str(tiny_manifest.parent) not in (tiny_run.path / "dataset.parquet").read_bytes().decode("latin-1")


def test_the_checks_are_those_of_manifest_and_split(tiny_run, tiny_manifest):
    report = check_manifest(read_manifest(tiny_manifest), tiny_run.splits, contents=True)
    assert len(report.outcomes) > len(report) > 0

    def stored(checks):
        return [o for o in checks.outcomes if o.code != "embedding-site"]  # needs the network

    assert stored(tiny_run.checks) == stored(report)


def test_the_sets_follow_from_the_validation_patients_and_are_measured_on_the_test_part(tiny_run):
    val, test = tiny_run.validation_predictions(), tiny_run.test_predictions()
    patients = val.frame["patient_id"]
    sets = fit_prediction_sets(val.probs, labels=val.labels, patients=patients, classes=tiny_run.classes)
    assert PredictionSets.from_card(tiny_run.card["prediction_sets"], run_classes=tiny_run.classes) == sets
    table = tiny_run.table("prediction_sets").fillna({"class": ""})
    assert set(table["unit"]) == {"patch", "patient"}
    table = table[table["unit"] == "patch"].set_index("class")
    assert table["n"].tolist() == [*np.bincount(test.labels, minlength=3), len(test)]
    assert sum(sets.rows) == len(val)
    enough = patients.nunique() >= 9
    assert sets.given == enough
    if enough:
        inside = sets.sets(test.probs)
        held = inside[np.arange(len(test)), test.labels]
        assert table.loc["", "set_coverage"] == pytest.approx(held.mean(), abs=1e-6)
        assert table.loc["", "mean_size"] == pytest.approx(inside.sum(axis=1).mean(), abs=1e-6)


def test_the_cost_is_that_of_the_released_weights_on_a_named_machine(tiny_run):
    cost = tiny_run.cost
    assert cost["parameters"] == tiny_run.info["parameters"]
    assert cost["weights_bytes"] == (tiny_run.path / WEIGHTS).stat().st_size
    assert cost["px"] == tiny_run.card["input"]["px"]
    assert cost["rounds"] == 2  # conftest.brief_cost
    assert inspect.signature(network_cost).parameters["rounds"].default == 30
    assert cost["hardware"] == tiny_run.info["hardware"]
    assert 0.2 < cost["latency_ratio"] < 5


def test_the_card_names_the_ood_file(tiny_run):
    known = tiny_run.card["ood"]
    found = read_ood_detector(tiny_run.path / "ood.safetensors", sha256=known["sha256"])
    assert {**found.facts(), "sha256": known["sha256"]} == known


# A run that was finished earlier


def test_an_older_run_says_what_it_lacks_and_how_to_get_it(tiny_run, tmp_path):
    run = open_run(older(tiny_run, tmp_path / "old"))
    assert run.cost is None
    for name in ("dataset", "checks"):
        with pytest.raises(RunError, match=f"Expected {name}.* older version .*. Run: her2 runs complete "):
            getattr(run, name)


def test_an_older_run_is_given_what_a_fresh_one_has_and_nothing_else_changes(tiny_run, tmp_path):
    path = older(tiny_run, tmp_path / "old")
    before = contents(path)
    completed = complete_run(path)
    after = contents(path)
    assert set(after) == set(contents(tiny_run.path))
    assert {k for k in before if before[k] != after[k]} == {"model.card.json"}
    assert list(completed.card)[: len(tiny_run.card) - 2] == [k for k in tiny_run.card if k not in GIVEN]
    assert same_card(completed.card, tiny_run.card)
    fresh = contents(tiny_run.path)
    assert {n for n in MADE if after[n] != fresh[n]} <= {"evaluation/cost.json", "ood.safetensors"}
    measured, there = completed.cost, tiny_run.cost
    assert (measured["flops"], measured["parameters"]) == (there["flops"], there["parameters"])
    assert load_predictor(completed).predict([np.full((64, 64, 3), 200, np.uint8)])[0].error is None


def test_a_complete_run_may_be_completed_again(tiny_run, tmp_path):
    path = copy_of(tiny_run, tmp_path / "again")
    assert same_card(complete_run(path).card, tiny_run.card)
    assert not [p for p in path.rglob("*") if p.name.startswith(".")]


def test_a_run_for_review_gets_what_needs_no_weights(tiny_run, tmp_path):
    run = export_run(tiny_run.path, tmp_path / "review", weights=False)
    for name in ("checks.json", "dataset.parquet", "evaluation/baselines.csv"):
        (run.path / name).unlink()
    cost = (run.path / "evaluation" / "cost.json").read_bytes()
    completed = complete_run(run.path)
    pd.testing.assert_frame_equal(completed.dataset, tiny_run.dataset)
    pd.testing.assert_frame_equal(completed.baselines, tiny_run.baselines)
    found, there = (
        {c["code"]: c["status"] for c in json.loads((p / "checks.json").read_text()) if "embedding" not in c["code"]}
        for p in (run.path, tiny_run.path)
    )
    assert found == there
    assert not completed.has_weights
    assert (run.path / "evaluation" / "cost.json").read_bytes() == cost


def test_the_manifest_may_have_moved_but_must_be_the_same(tiny_run, tiny_manifest, tmp_path):
    path = older(tiny_run, tmp_path / "old")
    config = (path / "config.yaml").read_text().replace(str(tiny_manifest), str(tmp_path / "gone.parquet"))
    (path / "config.yaml").unlink()
    (path / "config.yaml").write_text(config)
    before = contents(path)
    with pytest.raises(Her2Error, match=r"Expected a CSV, Parquet or Excel file, but got no such file"):
        complete_run(path)
    manifest = read_manifest(tiny_manifest)
    fewer = manifest.subset(manifest.frame["patch_id"][1:]).write(tmp_path / "fewer.parquet")
    with pytest.raises(RunError, match=r"Expected the manifest that this run was trained on, but got one"):
        complete_run(path, manifest=fewer)
    assert contents(path) == before
    absent = shutil.copy(tiny_manifest, tmp_path / "absent.parquet")
    with pytest.raises(RunError, match=r"every file that the manifest names, but got 36 missing"):
        complete_run(path, manifest=absent)
    assert contents(path) == before
    moved = manifest.write(tmp_path / "moved.parquet")
    assert same_card(complete_run(path, manifest=moved).card, tiny_run.card)


@pytest.mark.parametrize("config", ["name: tiny\n", "manifest: 3\n", "- a\n", "a: [\n", ""])
def test_a_configuration_that_names_no_manifest_is_said(tiny_run, tmp_path, config):
    path = copy_of(tiny_run, tmp_path / "run")
    (path / "config.yaml").unlink()
    (path / "config.yaml").write_text(config)
    with pytest.raises(
        RunError, match="field 'manifest'|names the manifest, but got .* --manifest PATH|fields and values in YAML"
    ):
        complete_run(path)


def test_tampered_weights_are_refused_and_nothing_is_written(tiny_run, tmp_path):
    path = older(tiny_run, tmp_path / "old")
    weights = bytearray((path / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (path / WEIGHTS).unlink()
    (path / WEIGHTS).write_bytes(weights)
    before = contents(path)
    with pytest.raises(WeightsError, match="the weights that the card names"):
        complete_run(path)
    assert contents(path) == before


def test_what_fails_on_the_way_leaves_the_run_as_it_was(tiny_run, tiny_manifest, tmp_path, monkeypatch):
    from her2core.training import artifacts

    def broken(*_):
        raise RuntimeError("the clock stopped")

    monkeypatch.setattr(artifacts, "network_cost", broken)
    path = copy_of(tiny_run, tmp_path / "run")
    (path / "evaluation" / "cost.json").unlink()
    before = contents(path)
    with pytest.raises(RuntimeError, match="the clock stopped"):
        complete_run(path)
    assert contents(path) == before


def test_a_predefined_split_and_windows_of_the_manifest_stay_out_of_the_table(tiny_run, tiny_manifest, tmp_path):
    """As in her2st, whose manifest brings a split of its own and cuts windows from slides."""
    from her2core.data.manifest import Manifest
    from her2core.data.prepare import Prepare

    manifest = read_manifest(tiny_manifest)
    frame = manifest.frame.assign(split="test", gene_share=0.5, x=0.0, y=0.0, width=64.0, height=64.0)
    windows = Manifest(frame, manifest.scheme, manifest.root, manifest.facts)
    path = copy_of(tiny_run, tmp_path / "run")
    predictor = load_predictor(tiny_run)
    card, dataset = write_artifacts(
        path,
        tiny_run.card,
        network=predictor.network,
        manifest=windows,
        split=tiny_run.splits,
        prepare=Prepare(64, None),
        table=tiny_run.predictions,
    )
    pd.testing.assert_frame_equal(dataset, read_table(path / "dataset.parquet").frame, check_dtype=False)
    assert not {"path", *WINDOW} & set(dataset)
    assert set(dataset["gene_share"]) == {0.5}
    assert dataset["split"].value_counts().to_dict() == tiny_run.splits["split"].value_counts().to_dict()
    assert card["prediction_sets"] == tiny_run.card["prediction_sets"]
