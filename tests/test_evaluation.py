"""Evaluation of predictions by patch, slide and patient: values, units, refusals, files and result objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cohorts import CLASSES, as_frame, simulated
from sklearn import metrics as sk

from her2core.errors import ConfigError, EvaluationError, Her2Error, TableError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.evaluation import TABLES, UNITS, evaluate, evaluate_folder
from her2core.evidence.metrics.probabilistic import expected_calibration_error
from her2core.evidence.predictions import Predictions


def test_an_evaluation_holds_three_units_each_by_its_name():
    p = simulated()
    e = evaluate(p)
    assert list(e.units["unit"]) == list(UNITS)
    assert e.units["assessed"].all()
    assert list(e.units["n"]) == [240, 48, 24]
    assert e.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))
    by_patient = aggregate(p, "patient")
    accuracy = sk.accuracy_score(by_patient.labels, by_patient.predicted)
    assert e.value("accuracy", unit="patient") == pytest.approx(accuracy)
    recall = sk.recall_score(p.labels, p.predicted, average=None)[2]
    assert e.value("recall", of="positive") == pytest.approx(recall)
    assert e.units["ece"].iloc[0] == pytest.approx(expected_calibration_error(p.probs, labels=p.labels))
    for unit, n in zip(UNITS, (240, 48, 24), strict=True):
        cells = e.confusion[e.confusion["unit"] == unit]
        assert cells["count"].sum() == n
        np.testing.assert_allclose(cells.groupby("true")["proportion_of_true"].sum(), 1)
    matrix = e.confusion[e.confusion["unit"] == "patch"].pivot(index="true", columns="predicted", values="count")
    expected = sk.confusion_matrix(p.labels, p.predicted)
    np.testing.assert_array_equal(matrix.loc[list(CLASSES), list(CLASSES)], expected)


def test_a_unit_that_cannot_be_assessed_is_named_with_the_reason():
    e = evaluate(simulated(patient_id="unknown"))
    row = e.units.set_index("unit").loc["patient"]
    assert not row["assessed"]
    assert "a patient id in every row" in row["reason"]
    assert row["n"] == 0
    assert "patient" not in set(e.metrics["unit"])
    assert "slide" in set(e.metrics["unit"])
    with pytest.raises(EvaluationError, match=r"accuracy of all classes by patient.*Assessed here: patch, slide"):
        e.value("accuracy", unit="patient")


def test_only_the_part_asked_for_is_evaluated():
    p = simulated(split=["val"] * 120 + ["test"] * 120)
    assert evaluate(p).units["n"].iloc[0] == 120
    val = evaluate(p, part="val")
    assert val.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels[:120], p.predicted[:120]))
    with pytest.raises(ConfigError, match="argument `part` to be one of 'test', 'val', but got 'train'"):
        evaluate(p, part="train")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_any_tool_s_predictions_file_can_be_evaluated(tmp_path, suffix):
    p = simulated()
    frame = as_frame(p).drop(columns=["split", "site"])
    path = tmp_path / f"other.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    assert evaluate(path).value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))


def test_a_file_that_is_no_predictions_is_refused(tmp_path):
    with pytest.raises(Her2Error, match="no such file"):
        evaluate(tmp_path / "none.parquet")
    with pytest.raises(Her2Error, match=r"run\.json"):
        evaluate(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="a probability column for each"):
        evaluate(tmp_path / "x.csv")


@pytest.mark.parametrize("case", ["all wrong", "one class", "constant", "one row"])
def test_extreme_predictions_give_a_stated_result(case):
    p = simulated(60, 12)
    n = np.arange(60)
    if case == "all wrong":
        p = Predictions(p.frame, np.eye(3)[(p.labels + 1) % 3], p.labels, p.classes)
    elif case == "one class":
        p = p.where(p.labels == 2)
    elif case == "constant":
        p = Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes)
    else:
        p = p.where(n == 0)
    e = evaluate(p)
    m = e.metrics[e.metrics["unit"] == "patch"].set_index(["metric", "class"])
    expected = {
        "all wrong": 0.0,
        "one class": sk.accuracy_score(p.labels, p.predicted),
        "constant": 1 / 3,
        "one row": None,
    }[case]
    if expected is not None:
        assert m.loc[("accuracy", ""), "value"] == pytest.approx(expected)
    if case == "constant":
        assert m.loc[("macro_auroc", ""), "value"] == 0.5
        assert m.loc[("macro_auroc", ""), "note"] == "no interval: the same whichever patient is left out"
    bounded = m["lower_95"].notna() & m["upper_95"].notna()
    assert (bounded | (m["note"] != "")).all(), "a bound is missing and nothing says why"


def test_a_run_folder_s_tables_are_written_and_read_back(tmp_path):
    p = simulated()
    as_frame(p, "logit_").assign(**{f"logit_{c}": np.log(p.probs[:, i]) for i, c in enumerate(CLASSES)}).to_parquet(
        tmp_path / "predictions.parquet"
    )
    e = evaluate_folder(
        tmp_path, {"classes": list(CLASSES), "temperature": 1.0, "scheme": {"is_her2": False}}, ["careful"]
    )
    assert e.warnings == ("careful",)
    for name in TABLES:
        written = pd.read_csv(tmp_path / "evaluation" / f"{name}.csv", keep_default_na=False, na_values=[""])
        assert len(written) == len(getattr(e, name))
    metrics = pd.read_csv(tmp_path / "evaluation" / "metrics.csv")
    np.testing.assert_allclose(metrics["value"], e.metrics["value"], atol=1e-6)
    assert e.value("accuracy") == pytest.approx(sk.accuracy_score(p.labels, p.predicted))
