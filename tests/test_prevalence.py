"""Predictive values at a stated prevalence, and the intervals of sums and ratios that they rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from her2core.errors import ConfigError
from her2core.evidence.mover import Estimate, ratio, weighted_sum
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.prevalence import predictive_value_table, predictive_values


def patients(cases: int, others: int, *, sensitivity: float, specificity: float, seed: int) -> Predictions:
    """One row a patient, predicted with these rates."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [cases, others])
    predicted = np.where(labels, rng.random(len(labels)) < sensitivity, rng.random(len(labels)) >= specificity)
    ids = {"patient_id": pd.Series(np.arange(len(labels))).astype("str")}
    frame = id_table(ids, len(labels))
    return Predictions(
        frame, None, labels, ("negative", "positive"), unit="patient", predicted_labels=predicted.astype(int)
    )


def test_a_third_of_positives_flatters_the_predictive_value():
    """The issue's figures: 0.77 where a third is positive is 0.54 at 15 %."""
    specificity = 1 - 0.77 * (1 / 0.77 - 1) / 2  # of a sensitivity of 0.77 with a PPV of 0.77 at one third
    assert predictive_values(0.77, specificity=specificity, prevalence=1 / 3)[0] == pytest.approx(0.77)
    assert predictive_values(0.77, specificity=specificity, prevalence=0.15)[0] == pytest.approx(0.54, abs=0.005)


def test_at_the_prevalence_of_the_test_part_they_are_those_of_its_counts():
    p = patients(40, 80, sensitivity=0.8, specificity=0.9, seed=0)
    table = predictive_value_table(p, prevalence=1 / 3, of=["positive"]).set_index("metric")
    right = p.predicted == p.labels
    assert table.loc["ppv", "value"] == pytest.approx(right[p.predicted == 1].mean())
    assert table.loc["npv", "value"] == pytest.approx(right[p.predicted == 0].mean())
    assert table.loc[["ppv_observed", "npv_observed"], "value"].tolist() == pytest.approx(
        table.loc[["ppv", "npv"], "value"].tolist()
    )
    assert set(table["prevalence"].round(6)) == {round(1 / 3, 6)}
    assert table.loc["ppv", "note"].startswith("assumes the sensitivity and specificity")


def test_a_population_of_that_prevalence_has_these_values():
    p = patients(200, 200, sensitivity=0.85, specificity=0.8, seed=1)
    rates = [(p.predicted == p.labels)[p.labels == k].mean() for k in (1, 0)]
    positive = np.random.default_rng(2).random(400_000) < 0.08
    called = np.random.default_rng(3).random(400_000) < np.where(positive, rates[0], 1 - rates[1])
    table = predictive_value_table(p, prevalence=0.08, of=["positive"]).set_index("metric")["value"]
    assert table["ppv"] == pytest.approx(positive[called].mean(), abs=0.006)
    assert table["npv"] == pytest.approx((~positive)[~called].mean(), abs=0.002)


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.8, 0.9), (0.95, 0.97)])
def test_the_interval_covers_the_value_of_the_population(sensitivity, specificity):
    truth = predictive_values(sensitivity, specificity=specificity, prevalence=0.15)
    held = {"ppv": [], "npv": []}
    for seed in range(400):
        p = patients(20, 40, sensitivity=sensitivity, specificity=specificity, seed=seed)
        table = predictive_value_table(p, prevalence=0.15, of=["positive"]).set_index("metric")
        for metric, true in zip(held, truth, strict=True):
            low, high = table.loc[metric, ["lower_95", "upper_95"]]
            held[metric].append(low <= true <= high)
    # Wilson's own interval of a rate of 0.95 among 20 covers in 92.5 %: 17 of 20 has an upper bound of 0.948.
    assert all(np.mean(hits) >= 0.925 - 3 * 0.013 for hits in held.values())
    assert np.mean(list(held.values())) >= 0.93


def test_no_false_positive_does_not_make_the_interval_certain():
    p = patients(20, 40, sensitivity=1.0, specificity=1.0, seed=0)
    row = predictive_value_table(p, prevalence=0.15, of=["positive"]).set_index("metric").loc["ppv"]
    # The upper bound of the false-positive rate of 0 in 40 by Wilson is z^2 / (40 + z^2).
    z2 = stats.norm.ppf(0.975) ** 2
    worst = 0.15 / (0.15 + 0.85 * z2 / (40 + z2))
    assert row["value"] == 1
    assert row["upper_95"] == pytest.approx(1)
    assert 0.5 < row["lower_95"] < worst + 0.01


def test_what_is_never_predicted_has_no_value_and_the_note_says_so():
    p = patients(20, 40, sensitivity=0.0, specificity=1.0, seed=0)
    table = predictive_value_table(p, prevalence=0.15, of=["positive"]).set_index("metric")
    assert np.isnan(table.loc["ppv", "value"])
    assert "nothing would be predicted so" in table.loc["ppv", "note"]
    assert table.loc["npv", "value"] == pytest.approx(0.85)


def test_patients_with_both_classes_are_said():
    rng = np.random.default_rng(0)
    ids = {"patient_id": pd.Series(np.arange(60) % 12).astype("str")}
    p = Predictions(
        id_table(ids, 60),
        None,
        np.arange(60) // 12 % 2,
        ("negative", "positive"),
        predicted_labels=rng.integers(0, 2, 60),
    )
    note = predictive_value_table(p, prevalence=0.15, of=["positive"]).set_index("metric").loc["ppv", "note"]
    assert "12 patients with both" in note


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, 15, float("nan")])
def test_a_prevalence_out_of_range_is_refused(prevalence):
    with pytest.raises(ConfigError, match="argument `prevalence` to be above 0 and below 1"):
        predictive_value_table(patients(9, 9, sensitivity=0.5, specificity=0.5, seed=0), prevalence=prevalence)


def test_sums_and_ratios_of_normal_estimates_have_the_textbook_intervals():
    """With symmetric intervals MOVER is the root of the sum of squares, and Fieller's interval for a ratio."""
    a, b, z = (0.8, 0.02), (0.5, 0.03), 1.96
    one, two = (Estimate(v, v - z * s, v + z * s) for v, s in (a, b))
    total = weighted_sum([(0.3, one), (0.7, two), (0.0, Estimate(np.nan, np.nan, np.nan))])
    half = z * np.hypot(0.3 * a[1], 0.7 * b[1])
    assert total == pytest.approx((0.59, 0.59 - half, 0.59 + half))
    g = (z * b[1] / b[0]) ** 2
    centre = (a[0] / b[0]) / (1 - g)
    spread = z / (b[0] * (1 - g)) * np.sqrt(a[1] ** 2 + (a[0] / b[0]) ** 2 * b[1] ** 2 - g * a[1] ** 2)
    assert ratio(one, two) == pytest.approx((a[0] / b[0], centre - spread, centre + spread))


def test_a_ratio_to_nothing_has_no_interval():
    found = ratio(Estimate(0.1, 0.0, 0.2), Estimate(0.0, 0.0, 0.1))
    assert found.value == np.inf
    assert np.isnan(found.low)
    assert ratio(Estimate(0.1, 0.0, 0.2), Estimate(0.3, 0.0, 0.5)).high == np.inf
