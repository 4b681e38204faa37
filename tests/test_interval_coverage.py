"""Coverage of the 95 % intervals over simulated cohorts: a short form of benchmarks/interval_coverage.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bounds import exact, expanded
from scipy.stats import binomtest, norm, t

from benchmarks.interval_coverage import ACCEPTED, cohort, unknown_patients
from her2core.evidence.intervals import EXACT, EXPANDED, PERCENTILE, effective_clusters, expanded_tail, interval_row
from her2core.evidence.metric_table import metric_table
from her2core.evidence.reliability import RECALIBRATION
from her2core.evidence.resampling import MAX_LEFT_OUT, Clusters, clusters, jackknife_counts, jackknife_weights

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "interval_coverage.json"
COHORTS, NAIVE_COHORTS, PATIENTS, RESAMPLES = 400, 150, 60, 400
METRICS = (
    ("accuracy", ""),
    ("balanced_accuracy", ""),
    ("macro_f1", ""),
    ("macro_auroc", ""),
    ("recall", "negative"),
    ("recall", "positive"),
    ("specificity", "positive"),
    ("precision", "equivocal"),
    ("one_vs_rest_accuracy", "positive"),
)


NAMES = list(dict.fromkeys(metric for metric, _ in METRICS))


@pytest.fixture(scope="module")
def coverage() -> dict[str, dict]:
    """Method -> metric -> share of cohorts whose interval holds the truth; cohorts are not those of the benchmark."""
    rows = json.loads(RESULTS.read_text())["rows"]
    truth = {(r["metric"], r["class"]): r["truth"] for r in rows if r["unit"] == "patch"}
    inside: dict = {"ours": {m: [] for m in METRICS}, "naive": {m: [] for m in METRICS}}
    for seed in range(COHORTS):
        patches = cohort(PATIENTS, [1, seed])
        given = {"ours": patches, **({"naive": unknown_patients(patches)} if seed < NAIVE_COHORTS else {})}
        for method, p in given.items():
            table = metric_table(p, metrics=NAMES, resamples=RESAMPLES).set_index(["metric", "class"])
            for m in METRICS:
                low, high = table.loc[m, "lower_95"], table.loc[m, "upper_95"]
                if np.isfinite(low):
                    inside[method][m].append(low <= truth[m] <= high)
    return {method: {m: float(np.mean(held)) for m, held in of.items()} for method, of in inside.items()}


@pytest.mark.parametrize("metric", METRICS, ids=" ".join)
def test_intervals_that_draw_patients_hold_the_truth_as_often_as_they_say(coverage, metric):
    noise = 0.011  # standard error of a share of 0.95 over this many cohorts; the benchmark simulates more
    assert ACCEPTED[0] - noise <= coverage["ours"][metric] <= ACCEPTED[1] + noise


@pytest.mark.parametrize("metric", METRICS, ids=" ".join)
def test_intervals_that_draw_patches_do_not(coverage, metric):
    assert coverage["naive"][metric] < 0.87
    assert coverage["naive"][metric] < coverage["ours"][metric] - 0.08


def test_the_benchmark_s_results_are_complete_and_say_how_they_were_made():
    result = json.loads(RESULTS.read_text())
    assert result["cohorts_of_each_size"] >= 500
    assert f"benchmarks/interval_coverage.py {result['cohorts_of_each_size']}" in result["command"]
    assert set(result["summary"]) == {"30", "60", "100", "200"}
    named = {(r["metric"], r["class"]) for r in result["rows"]}
    assert set(METRICS) <= named
    assert {"quadratic_kappa", "matthews_correlation", "npv", "average_precision", "ece_equal_mass", "brier"} <= {
        m for m, _ in named
    }
    for r in result["rows"]:
        assert 0 <= r["ours"]["coverage"] <= 1
        assert ("naive" in r) == (r["unit"] == "patch" and r["metric"] not in RECALIBRATION)


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
    p = cohort(500, 3)
    bundled = metric_table(p, resamples=400)
    monkeypatch.setattr("her2core.evidence.resampling.MAX_LEFT_OUT", 500)
    alone = metric_table(p, resamples=400)
    width = alone["upper_95"] - alone["lower_95"]
    assert (
        (bundled[["lower_95", "upper_95"]] - alone[["lower_95", "upper_95"]]).abs().max(axis=1) < 0.05 * width
    ).all()
    assert ((bundled["upper_95"] - bundled["lower_95"]) / width).median() == pytest.approx(1, abs=0.02)


def test_a_row_says_how_its_interval_was_made():
    rng = np.random.default_rng(0)
    draws, left = rng.normal(0.7, 0.1, 400), 0.7 + 0.01 * rng.normal(size=20)
    plain, wide = interval_row("m", "", 0.7, draws), interval_row("m", "", 0.7, draws, left, denominator_clusters=20)
    assert (plain["interval_method"], wide["interval_method"]) == (PERCENTILE, EXPANDED)
    assert (plain["lower_95"], plain["upper_95"]) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert wide["lower_95"] < plain["lower_95"] < plain["upper_95"] < wide["upper_95"]
    for value in (0, 1):
        row = interval_row("m", "", value, np.full(400, value), np.full(20, value), denominator_clusters=20)
        assert (row["lower_95"], row["upper_95"]) == pytest.approx(exact(value, 20))
        assert row["interval_method"] == EXACT
        theirs = binomtest(20 * value, 20).proportion_ci(0.95, method="exact")
        assert (row["lower_95"], row["upper_95"]) == pytest.approx((theirs.low, theirs.high))
        same = interval_row("m", "", value, np.full(400, value), np.full(20, value))
        assert same["lower_95"] == same["upper_95"] == value
        assert same["note"] == "identical in every resample: the interval has no width"
    few = interval_row("m", "", 0.7, draws, left[:4])
    assert few["note"] == "few effective clusters (about 4): the interval may be too narrow"
    assert wide["note"] == plain["note"] == ""
    missing = interval_row("m", "", 0.7, np.where(np.arange(400) < 100, np.nan, draws), left)
    assert missing["interval_method"] == ""
    assert np.isnan(missing["lower_95"])


def test_patients_of_the_simulation_are_clusters():
    p = cohort(60, 3)
    assert clusters(p).count == 60
    assert 200 < len(p) < 800
    assert np.bincount(p.labels, minlength=3).min() > 0
