"""Prediction sets of a run: by patch and patient, measured, stored on the card, and fitted again without training."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from cohorts import CLASSES, hard, read

from her2core import open_run
from her2core.cli import cli
from her2core.errors import EvaluationError, RunError
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.predictions import read_predictions
from her2core.evidence.run_sets import coverage_table, fit_run_sets, refit_run_sets, sets_entry, sets_of_card


def test_patients_are_calibrated_on_the_mean_of_their_patches():
    val = read(n=1200, patients=120).part("val")
    sets = fit_run_sets(val)
    codes, names = val.patients
    mean = pd.DataFrame(val.probs).groupby(codes).mean().to_numpy()
    label = pd.Series(val.labels).groupby(codes).first().to_numpy()
    for k in range(3):
        scores = np.sort(1 - mean[label == k, k])
        rank = int(np.ceil((len(scores) + 1) * 0.9 - 1e-9))
        assert sets["patient"].thresholds[k] == pytest.approx(scores[rank - 1])
    assert sets["patient"].rows == sets["patch"].patients
    assert sum(sets["patient"].rows) == len(names)
    entry = json.loads(json.dumps(sets_entry(sets), allow_nan=False))
    assert sets_of_card(entry, run_classes=CLASSES) == sets


@pytest.mark.parametrize(("kind", "said"), [("unknown patients", "rows without"), ("a single patient", "with several")])
def test_where_there_are_no_patients_there_are_no_sets_of_them_and_that_is_said(kind, said):
    sets = fit_run_sets(hard(kind))
    assert not sets["patient"].given
    assert said in sets["patient"].reason
    entry = json.loads(json.dumps(sets_entry(sets)))
    assert sets_of_card(entry, run_classes=CLASSES) == sets
    if kind == "unknown patients":
        assert sets["patch"].patients is None
        assert "patches are taken as exchangeable" in sets["patch"].note
    else:
        assert "only 1 patient" in sets["patch"].reason


def test_a_finished_run_gets_its_sets_again_without_training(tiny_run, tmp_path):
    path = shutil.copytree(tiny_run.path, tmp_path / "run")
    card = json.loads((path / "model.card.json").read_text())
    pooled = {
        "coverage": 0.9,
        "classes": card["classes"],
        "thresholds": dict.fromkeys(card["classes"], 0.5),
        "validation_patches": dict.fromkeys(card["classes"], 9),
    }
    (path / "model.card.json").write_text(json.dumps({**card, "prediction_sets": pooled}))
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert PredictionSets.from_card(pooled, run_classes=tuple(card["classes"])).note.startswith("patches are taken")
    found = CliRunner().invoke(cli, ["runs", "sets", str(path), "--json"])
    assert found.exit_code == 0, found.output
    assert open_run(path).card == tiny_run.card
    assert json.loads(found.output)["prediction_sets"] == tiny_run.card["prediction_sets"]
    changed = {p.name for p, content in before.items() if p.read_bytes() != content}
    assert changed <= {"model.card.json", "prediction_sets.csv"}
    assert {p for p in path.rglob("*") if p.is_file()} == set(before)


def test_a_run_that_cannot_give_sets_is_left_as_it_is(tiny_run, tmp_path):
    path = shutil.copytree(tiny_run.path, tmp_path / "run")
    table = pd.read_parquet(path / "predictions.parquet")
    table[table["split"] == "test"].to_parquet(path / "predictions.parquet", index=False)
    card = (path / "model.card.json").read_bytes()
    with pytest.raises(EvaluationError, match="at least one prediction"):
        refit_run_sets(path)
    assert (path / "model.card.json").read_bytes() == card
    with pytest.raises(RunError):
        refit_run_sets(tmp_path / "absent")


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patch_id": list("abcd"),
            "patient_id": ["1", "1", "1", "2"],
            "label": ["negative", "negative", "negative", "equivocal"],
            "probability_negative": [0.9, 0.2, 0.6, 0.1],
            "probability_equivocal": [0.1, 0.8, 0.3, 0.9],
            "probability_positive": [0.0, 0.0, 0.1, 0.0],
        }
    )


def test_the_table_says_how_often_and_how_large_also_with_patients_weighing_the_same():
    sets = PredictionSets(0.9, CLASSES, (0.5, 0.2, 0.3), (50, 50, 50), (20, 20, 20))
    table = coverage_table(sets, read_predictions(frame(), classes=CLASSES)).set_index("class")
    assert table.index.tolist() == [*CLASSES, ""]
    assert table["n"].tolist() == [3, 1, 0, 4]
    assert table["patients"].tolist() == [1, 1, 0, 2]
    # sets: negative; equivocal; negative; equivocal
    assert table["set_coverage"].tolist() == pytest.approx([2 / 3, 1, np.nan, 3 / 4], nan_ok=True)
    assert table["set_coverage_by_patient"].tolist() == pytest.approx([2 / 3, 1, np.nan, 5 / 6], nan_ok=True)
    assert table.loc["", ["mean_size", "singleton_rate", "empty_rate"]].tolist() == [1.0, 1.0, 0.0]
    assert set(table["note"]) == {""}


def test_sets_that_hold_none_are_counted_and_sets_not_given_have_no_coverage():
    p = read_predictions(frame(), classes=CLASSES)
    empty = coverage_table(PredictionSets(0.9, CLASSES, (0.05, 0.05, 0.05), (50, 50, 50)), p).iloc[-1]
    assert (empty["empty_rate"], empty["mean_size"], empty["set_coverage"]) == (1.0, 0.0, 0.0)
    none = PredictionSets(0.9, CLASSES, (), (3, 1, 0), (1, 1, 0), kind="none", reason="only 2 patients")
    table = coverage_table(none, p)
    assert table[["set_coverage", "set_coverage_by_patient", "mean_size", "empty_rate"]].isna().all(axis=None)
    assert set(table["note"]) == {"only 2 patients"}
    assert table["n"].tolist() == [3, 1, 0, 4]
