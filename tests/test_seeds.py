"""Metrics over seeds: the mean of the runs, with the same patients drawn for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bounds import jackknife_t, sizes_of_clusters

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.metrics import METRICS, metrics_of
from her2core.evidence.metrics.confusion import balanced_accuracy, confusion_matrix
from her2core.evidence.predictions import read_predictions
from her2core.evidence.resampling import jackknife_weights
from her2core.evidence.seeds import summarize_seeds

CLASSES = ("negative", "equivocal", "positive")


def run(seed: int, *, patients=range(30), skill=1.5, each=8):
    """Test predictions of one run: patients of its own test part, all patches of one label."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in patients:
        for patch in range(each):
            scores = rng.normal(0, 1, 3)
            scores[patient % 3] += skill
            rows.append([f"{patient}-{patch}", f"P{patient:02d}", "test", CLASSES[patient % 3], *scores])
    names = ["patch_id", "patient_id", "split", "label", *(f"logit_{c}" for c in CLASSES)]
    return read_predictions(pd.DataFrame(rows, columns=names))


def test_the_value_is_the_mean_of_the_runs_and_the_extremes_are_theirs():
    runs = [run(0), run(1), run(2)]
    table = summarize_seeds({"a": runs, "b": [run(3)]}, reference="b", resamples=200).table
    row = table[(table["group"] == "a") & (table["metric"] == "accuracy")].iloc[0]
    each = [np.mean(p.predicted == p.labels) for p in runs]
    assert row["value"] == pytest.approx(np.mean(each))
    assert (row["lowest"], row["highest"]) == (pytest.approx(min(each)), pytest.approx(max(each)))
    assert row["lower_95"] < row["value"] <= row["upper_95"]
    assert set(table["metric"]) == {m.name for m in metrics_of("metrics") if not m.per_class}


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_the_interval_is_that_of_a_loop_over_the_same_draws(unit):
    first = [run(0, patients=range(0, 24)), run(1, patients=range(6, 30))]  # test parts that overlap in part
    found = summarize_seeds({"a": first, "b": [run(2)]}, reference="b", unit=unit, resamples=150)
    names = [f"P{i:02d}" for i in range(30)]
    at_unit = [p if unit == "patch" else aggregate(p, unit) for p in first]

    def figure(weights):
        values = []
        for p in at_unit:
            copies = np.repeat(np.arange(len(p)), [int(weights[names.index(w)]) for w in p.frame["patient_id"]])
            matrix = confusion_matrix(p.labels[copies], predicted=p.predicted[copies], classes=3)
            values.append(balanced_accuracy(matrix))
        return np.mean(values)

    row = found.table[(found.table["group"] == "a") & (found.table["metric"] == "balanced_accuracy")].iloc[0]
    left = np.array([figure(weights) for weights in jackknife_weights(30)])
    if unit == "patch":
        expected = jackknife_t(row["value"], left, sizes_of_clusters(at_unit[0]))
        assert (row["lower_95"], row["upper_95"]) == pytest.approx(expected)
    else:
        assert row["interval_method"] == "Wilson score"
        assert row["lower_95"] < row["value"] <= row["upper_95"]


def test_a_difference_is_paired_and_said_plainly():
    same = [run(0), run(1)]
    found = summarize_seeds({"a": same, "b": same, "worse": [run(5, skill=0.2)]}, reference="a", resamples=300)
    equal = found.differences[found.differences["group"] == "b"]
    assert (equal[["difference", "lower_95", "upper_95"]] == 0).all(axis=None)
    assert set(equal["statement"]) == {"no difference can be shown"}
    assert (found.differences["p_value_holm"] >= found.differences["p_value"]).all()
    worse = found.differences[found.differences["group"] == "worse"]
    for row in worse.itertuples():  # a loss that is higher is worse
        loss = METRICS[row.metric].direction == "lower"
        assert row.statement == f"{'higher' if loss else 'lower'} than a", row.metric
        assert row.lower_95 > 0 if loss else row.upper_95 < 0, row.metric


def test_without_patients_single_rows_are_drawn_and_every_row_says_so():
    p = run(0)
    unknown = replace(p, frame=p.frame.assign(patient_id="unknown"))
    found = summarize_seeds({"a": [unknown], "b": [unknown]}, reference="a", resamples=200)
    assert set(found.table["resampling_unit"]) == {"patch"}
    assert found.table["note"].str.contains("patients unknown; resamples single rows").all()
    assert set(found.table["n_clusters"]) == {len(p)}
    one = replace(p, frame=p.frame.assign(patient_id="P1"))
    assert (
        summarize_seeds({"a": [one]}, reference="a", resamples=200).table["note"].str.contains("only 1 patient;").all()
    )


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"a": []}, "at least one run"),
        ({"b": [run(0)]}, "at least one run"),
        (
            {
                "a": [run(0)],
                "b": [
                    read_predictions(
                        pd.DataFrame(
                            {
                                "patient_id": ["1", "2"],
                                "label": ["x", "y"],
                                "probability_x": [0.9, 0.1],
                                "probability_y": [0.1, 0.9],
                            }
                        )
                    )
                ],
            },
            "same classes",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(groups, said):
    with pytest.raises(EvaluationError, match=said):
        summarize_seeds(groups, reference="a")
