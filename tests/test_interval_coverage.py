"""Coverage of the 95 % intervals over simulated cohorts, a short form of benchmarks/interval_coverage.py, and parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bounds import expanded, wilson
from scipy.stats import binomtest, norm, t

from benchmarks.interval_coverage import ACCEPTED, DESIGNS, PATIENTS, Design, cohort, coverage, signal_for
from her2core.evidence.intervals import EXPANDED, PERCENTILE, expanded_tail, interval_row
from her2core.evidence.jackknife import jackknife_row, wilson_interval
from her2core.evidence.metric_table import metric_table
from her2core.evidence.resampling import MAX_LEFT_OUT, Clusters, clusters, jackknife_counts, jackknife_weights
from her2core.evidence.sample_size import effective_clusters, sample_size

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
HARD = Design("80/15/5", "lognormal", "patch", 0.97)


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """A hard design: 40 patients of unequal classes and sizes, 97 % accuracy by patch."""
    return pd.DataFrame(coverage(150, HARD, (40,))).set_index(["metric", "class"])


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "matthews_correlation"])
def test_intervals_that_know_the_patients_hold_the_truth_where_those_of_single_patches_do_not(measured, metric):
    noise = 0.04  # twice the standard error of a proportion of 0.95 over this many cohorts
    row = measured.loc[(metric, "")]
    assert row["coverage"] >= ACCEPTED[0] - noise
    assert row["naive_coverage"] < 0.8


def test_the_benchmark_covers_every_design_and_states_its_command():
    result = json.loads((RESULTS / "interval_coverage.json").read_text())
    rows = pd.read_csv(RESULTS / "interval_coverage.csv", keep_default_na=False, na_values=[""])
    assert result["cohorts_of_each_design"] >= 300
    assert f"benchmarks/interval_coverage.py {result['cohorts_of_each_design']}" in result["command"]
    metrics = rows[["metric", "class"]].drop_duplicates()
    assert len(rows) == len(DESIGNS) * len(PATIENTS) * len(metrics)
    assert set(rows["patients"]) == {20, 40, 60, 120}
    expected = metric_table(cohort(DESIGNS[0], 30, signal_for(DESIGNS[0]), 0))["metric"]
    assert set(metrics["metric"]) == set(expected)
    overall = rows[rows["class"].isna() & (rows["without_interval"] <= 0.8)]
    for unit, found in result["summary"].items():
        assert found["accuracy"]["mean_coverage"] == pytest.approx(
            overall[(overall["unit"] == unit) & (overall["metric"] == "accuracy")]["coverage"].mean(), abs=1e-3
        )


def test_the_calibration_benchmark_states_its_command():
    result = json.loads((RESULTS / "calibration_coverage.json").read_text())
    assert f"benchmarks/calibration_coverage.py {result['cohorts_of_each_size']}" in result["command"]
    assert {"ece_equal_mass", "brier", "calibration_slope"} <= {r["metric"] for r in result["rows"]}
    assert all(0 <= r["ours"]["coverage"] <= 1 for r in result["rows"])


# the parts of the interval


@pytest.mark.parametrize("patients", [2.0, 5, 12.5, 60, 1e7])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_tails_are_hesterberg_s(monkeypatch, patients, level):
    monkeypatch.setattr("her2core.evidence.intervals.LEVEL", level)
    expected = norm.cdf(np.sqrt(patients / (patients - 1)) * t.ppf((1 - level) / 2, patients - 1))
    assert expanded_tail(patients) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert expanded_tail(patients) <= (1 - level) / 2 + 1e-12


def test_of_a_mean_the_interval_is_nearly_student_s():
    """For a mean of n normal values, percentiles that far out are those of the t interval."""
    rng = np.random.default_rng(0)
    for n in (8, 20, 60):
        x = rng.normal(size=n)
        draws = x[rng.integers(0, n, (40_000, n))].mean(axis=1)
        row = interval_row("mean", "", x.mean(), draws, (x.sum() - x) / (n - 1))
        half = t.ppf(0.975, n - 1) * x.std(ddof=1) / np.sqrt(n)
        assert row["upper_95"] - row["lower_95"] == pytest.approx(2 * half, rel=0.12)
        assert (row["lower_95"], row["upper_95"]) == pytest.approx(expanded(x.mean(), draws, (x.sum() - x) / (n - 1)))


def test_patients_who_carry_a_figure_are_counted():
    rng = np.random.default_rng(0)
    influence = rng.normal(size=100)
    assert 60 < effective_clusters(0.0, influence) <= 100
    few = np.where(np.arange(100) < 12, influence, 0.0)
    assert effective_clusters(0.5, 0.5 + few) <= 12
    assert effective_clusters(0.5, 0.5 + few) == pytest.approx(effective_clusters(0.0, few[:12]))
    assert effective_clusters(0.0, np.where(np.arange(100) < 2, 1e3, 1e-3) * influence) < 6
    assert effective_clusters(0.0, 1e-6 * influence) == pytest.approx(effective_clusters(0.0, influence))
    assert effective_clusters(1.0, np.ones(50)) == 2
    assert effective_clusters(1.0, np.array([np.nan, 1.0])) == 2


@pytest.mark.parametrize("count", [1, 2, 7, MAX_LEFT_OUT, 3 * MAX_LEFT_OUT + 5])
def test_one_cluster_after_another_is_left_out_or_one_bundle(count):
    weights = jackknife_weights(count)
    assert len(weights) == min(count, MAX_LEFT_OUT)
    assert set(np.unique(weights)) <= {0.0, 1.0}
    if count > 1:
        assert (weights == 0).sum(axis=0).tolist() == [1] * count
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.arange(count), rng.integers(0, count, 50)])
    cells = rng.integers(0, 4, len(codes))
    per_cluster = np.zeros((count, 4))
    np.add.at(per_cluster, (codes, cells), 1)
    found = jackknife_counts(Clusters(codes, count, "patient", ""), cells=cells, kinds=4)
    np.testing.assert_array_equal(found, weights @ per_cluster)


def test_bundles_of_patients_left_out_tell_as_much_as_each_alone(monkeypatch):
    p = cohort(Design("balanced", "equal", "patch", 0.85), 500, 2.5, 3)
    bundled = metric_table(p)
    monkeypatch.setattr("her2core.evidence.resampling.MAX_LEFT_OUT", 500)
    alone = metric_table(p)
    width = alone["upper_95"] - alone["lower_95"]
    assert ((bundled["upper_95"] - bundled["lower_95"]) / width).median() == pytest.approx(1, abs=0.05)
    assert ((bundled["upper_95"] - bundled["lower_95"]) / width).between(0.7, 1.4).all()


def test_a_row_says_how_its_interval_was_made():
    rng = np.random.default_rng(0)
    draws, left = rng.normal(0.7, 0.1, 400), 0.7 + 0.01 * rng.normal(size=20)
    plain, wide = interval_row("m", "", 0.7, draws), interval_row("m", "", 0.7, draws, left)
    assert (plain["interval_method"], wide["interval_method"]) == (PERCENTILE, EXPANDED)
    assert (plain["lower_95"], plain["upper_95"]) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert wide["lower_95"] < plain["lower_95"] < plain["upper_95"] < wide["upper_95"]
    same = interval_row("m", "", 1, np.ones(400), np.ones(20))
    assert same["lower_95"] == same["upper_95"] == 1
    assert same["note"] == "identical in every resample: the interval has no width"
    few = interval_row("m", "", 0.7, draws, left[:4])
    assert few["note"] == "few effective clusters (about 4): the interval may be too narrow"
    assert wide["note"] == plain["note"] == ""
    missing = interval_row("m", "", 0.7, np.where(np.arange(400) < 100, np.nan, draws), left)
    assert missing["interval_method"] == ""
    assert np.isnan(missing["lower_95"])


@pytest.mark.parametrize(("right", "of"), [(7, 8), (4, 8), (8, 8), (0, 8), (59, 60), (118, 120)])
def test_a_proportion_of_patients_has_wilson_s_interval(right, of):
    size = sample_size(Clusters(np.arange(of), of, "patient", ""), np.ones(of, bool))
    outcome = np.arange(of) < right
    row = jackknife_row("accuracy", "", outcome.mean(), (right - outcome) / (of - 1), size=size)
    theirs = binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert (row["lower_95"], row["upper_95"]) == pytest.approx((theirs.low, theirs.high))
    assert row["interval_method"] == "Wilson score"


@pytest.mark.parametrize("n", [2.5, 20, 1000])
@pytest.mark.parametrize("p", [0, 0.03, 0.5, 1])
def test_wilson_s_bounds_solve_their_equation(p, n):
    assert wilson_interval(p, n) == pytest.approx(wilson(p, n), abs=1e-9)


def test_a_metric_of_one_never_has_an_interval_without_width():
    p = cohort(Design("balanced", "equal", "patch", 0.85), 30, 50.0, 0)
    for at in (p, cohort(Design("balanced", "equal", "patient", 0.92), 30, 50.0, 0)):
        table = metric_table(at, metrics=["accuracy", "quadratic_kappa", "matthews_correlation", "average_precision"])
        assert (table["value"] == 1).all()
        assert (table["lower_95"] < 0.95).all()
        assert (table["upper_95"] == 1).all()


def test_patients_of_the_simulation_are_clusters_and_reach_the_accuracy():
    p = cohort(HARD, 4000, signal_for(HARD), 3)
    assert clusters(p).count == 4000
    assert (p.predicted == p.labels).mean() == pytest.approx(0.97, abs=0.005)
    sizes = np.bincount(clusters(p).codes)
    assert (sizes.min(), sizes.max()) == (1, 500)
