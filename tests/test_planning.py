"""Effective sample of correlated patches, and the number of patients that an interval needs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway
from statsmodels.stats.proportion import proportion_confint

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.metric_table import metric_table
from her2core.evidence.planning import effective_sample, intraclass_correlation, patients_for_width, pilot, width_table
from her2core.evidence.predictions import read_predictions


def rows(patients: int, each: int, *, rate: float, spread: float, seed: int = 0) -> pd.DataFrame:
    """Two classes; a patient's patches are right with a probability of their own, of beta distribution."""
    rng = np.random.default_rng(seed)
    own = rng.beta(rate / spread, (1 - rate) / spread, patients)
    patient = np.repeat(np.arange(patients), each)
    right = rng.random(len(patient)) < own[patient]
    label = patient % 2
    predicted = np.where(right, label, 1 - label)
    return pd.DataFrame(
        {
            "patch_id": [f"p{i}" for i in range(len(patient))],
            "patient_id": [f"P{i}" for i in patient],
            "label": np.array(["a", "b"])[label],
            "probability_a": np.where(predicted == 0, 0.8, 0.2),
            "probability_b": np.where(predicted == 0, 0.2, 0.8),
        }
    )


def test_the_intraclass_correlation_follows_from_the_f_statistic_of_equal_clusters():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 1)) + rng.normal(size=(12, 8))
    f = f_oneway(*x).statistic
    found = intraclass_correlation(x.ravel(), clusters=np.repeat(np.arange(12), 8))
    assert found == pytest.approx((f - 1) / (f + 7))


def test_the_effective_sample_is_that_of_the_variance_over_many_cohorts():
    """Beta-binomial patches: the variance of the accuracy over cohorts is that of the stated number of rows."""
    spread, patients, each, rate = 0.5, 40, 25, 0.8
    cohorts = [rows(patients, each, rate=rate, spread=spread, seed=s) for s in range(300)]
    accuracies = [((c["probability_a"] > 0.5) == (c["label"] == "a")).mean() for c in cohorts]
    expected = rate * (1 - rate) / np.var(accuracies)
    found = [effective_sample(read_predictions(c)).effective_rows for c in cohorts[:60]]
    assert np.median(found) == pytest.approx(expected, rel=0.2)
    assert expected < patients * each / 5


def test_rows_without_patients_or_without_errors_have_no_effective_sample():
    frame = rows(10, 4, rate=0.7, spread=0.3)
    assert effective_sample(read_predictions(frame.drop(columns="patient_id"))) is None
    perfect = frame.assign(probability_a=np.where(frame["label"] == "a", 0.9, 0.1))
    perfect["probability_b"] = 1 - perfect["probability_a"]
    assert effective_sample(read_predictions(perfect)) is None
    with pytest.raises(EvaluationError, match="some right and some wrong"):
        pilot(read_predictions(perfect))
    one_each = frame.drop_duplicates("patient_id")
    assert effective_sample(read_predictions(one_each)) is None


@pytest.mark.parametrize(("width", "proportion"), [(0.1, 0.5), (0.1, 0.98), (0.3, 0.9), (0.05, 0.8)])
def test_the_planned_number_is_the_smallest_whose_wilson_interval_is_narrow_enough(width, proportion):
    n = patients_for_width(width, proportion=proportion)

    def wide(count):
        low, high = proportion_confint(proportion * count, count, method="wilson")
        return high - low

    assert wide(n) <= width < wide(n - 1)


def test_correlated_patches_need_more_patients_than_independent_ones():
    numbers = [patients_for_width(0.1, proportion=0.9, patches=20, correlation=c) for c in (0.0, 0.3, 0.6, 1.0)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == pytest.approx(patients_for_width(0.1, proportion=0.9), rel=0.05)  # t, and on the log odds
    unequal = patients_for_width(0.1, proportion=0.9, patches=20, correlation=0.3, variation=1.0)
    assert unequal / numbers[1] == pytest.approx((1 + 39 * 0.3) / (1 + 19 * 0.3), rel=0.05)


@pytest.mark.parametrize("unequal", [False, True])
def test_the_planned_number_gives_intervals_of_about_that_width(unequal):
    """Few patients of 25 patches on average, simulated; a number for equal patients would be far too small."""
    rng = np.random.default_rng(3)
    several = np.array([5, 5, 5, 85]) if unequal else np.full(4, 25)
    variation = several.std() / several.mean()
    n = patients_for_width(0.3, proportion=0.8, patches=25, correlation=0.3, variation=variation)
    widths = []
    for _ in range(60):
        patient = np.repeat(np.arange(n), np.resize(several, n))
        right = rng.random(len(patient)) < rng.beta(0.8 * 7 / 3, 0.2 * 7 / 3, n)[patient]
        frame = pd.DataFrame({"patient_id": [f"P{i}" for i in patient], "label": np.where(patient % 2, "a", "b")})
        frame["predicted"] = np.where(right, frame["label"], np.where(patient % 2, "b", "a"))
        row = metric_table(read_predictions(frame), metrics=["accuracy"]).iloc[0]
        widths.append(row["upper_95"] - row["lower_95"])
    assert np.median(widths) == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"proportion": 1.2}, {"patches": 0}, {"correlation": -0.1}])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"argument `{next(iter(wrong))}`"):
        patients_for_width(**{"width": 0.1, **wrong})


def test_the_command_plans_from_a_pilot_and_the_evaluation_says_what_patches_are_worth(her2, tmp_path):
    frame = rows(30, 20, rate=0.8, spread=0.5)
    frame.to_csv(tmp_path / "pilot.csv", index=False)
    code, out, err = her2("plan", "--width", "0.1", "--pilot", tmp_path / "pilot.csv", "--json")
    assert code == 0, err
    found = json.loads(out)
    worth = effective_sample(read_predictions(frame))
    assert found["correlation"] == pytest.approx(worth.intraclass_correlation)
    assert found["patches"] == 20
    assert found["patients"] == patients_for_width(
        0.1, proportion=found["proportion"], patches=20, correlation=worth.intraclass_correlation
    )
    code, out, err = her2("evaluate", tmp_path / "pilot.csv")
    assert code == 0, err
    assert worth.sentence in out


def test_the_widths_by_patients_are_those_of_statsmodels_and_fit_the_number_needed():
    for row in width_table(proportion=0.8, most=400).itertuples():
        expected = proportion_confint(0.8 * row.patients, row.patients, method="wilson")
        assert (row.lower_95, row.upper_95) == pytest.approx(expected, abs=1e-9)
    table = width_table(proportion=0.8, patches=10, correlation=0.25, most=400)
    needed = patients_for_width(0.1, proportion=0.8, patches=10, correlation=0.25)
    assert (table.loc[table["patients"] >= needed, "width"] <= 0.1).all()
    assert (table.loc[table["patients"] < needed, "width"] > 0.1).all()
    with pytest.raises(ConfigError, match="at least 5"):
        width_table(most=4)
