"""Paired tests against independent implementations, and comparisons of runs."""

from __future__ import annotations

import os
import shutil
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from app_steps import evaluate_again
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.multitest import multipletests

from her2core.errors import ConfigError
from her2core.evidence.compare import compare_many, compare_runs
from her2core.evidence.intervals import expanded_tail
from her2core.evidence.paired_tests import bootstrap_p, delong, holm, mcnemar
from her2core.evidence.statements import NO_DIFFERENCE, NO_SPREAD


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_statsmodels_exact_test(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    a, b = rng.random(n) < rng.uniform(0.2, 0.9), rng.random(n) < rng.uniform(0.2, 0.9)
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    if np.array_equal(a, b):
        assert mcnemar(a, b) == 1
    else:
        assert mcnemar(a, b) == pytest.approx(oracle_mcnemar(table, exact=True).pvalue)


def delong_by_pairs(positive, first, second):
    """The definition, pair by pair (DeLong et al. 1988, equations 2 to 6)."""
    up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
    v10, v01 = [], []
    for scores in (first, second):
        psi = (scores[up][:, None] > scores[down]) + 0.5 * (scores[up][:, None] == scores[down])
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    s = np.cov(v10) / len(up) + np.cov(v01) / len(down)
    error = np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])
    return error, 2 * norm.sf(abs(np.mean(v10[1]) - np.mean(v10[0])) / error)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_delong_is_its_definition_with_and_without_ties(seed, ties):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 120))
    positive = np.arange(n) % 3 == 0
    scores = rng.normal(size=(2, n)) + positive * rng.uniform(0, 2, (2, 1))
    scores = scores.round(0 if ties else 9)
    error, p = delong(positive, first=scores[0], second=scores[1])
    expected = delong_by_pairs(positive, *scores)
    if expected[0] > 1e-9:
        assert (error, p) == pytest.approx(expected, rel=1e-6)
    order = rng.permutation(n)
    assert delong(positive[order], first=scores[0][order], second=scores[1][order]) == pytest.approx((error, p))


def test_delong_says_what_it_cannot():
    x = np.array([0.1, 0.2, 0.3, 0.4])
    assert np.isnan(delong(np.array([True, False, False, False]), first=x, second=x)[1])
    assert delong(np.array([True, True, False, False]), first=x, second=x) == (0.0, 1.0)
    error, p = delong(np.array([True, True, False, False]), first=x, second=-x)
    assert error == 0
    assert np.isnan(p)


@given(st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_holm_is_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(rng.integers(1, 13)) ** 3, rng.integers(1, 9))  # with ties, zeros and ones
    with mock.patch("gc.collect"):  # statsmodels collects all garbage before each call: half a second beside torch
        theirs = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm(p), theirs, atol=1e-12)


def test_a_few_patches_do_not_show_that_a_network_is_better(tiny_run, other):
    """Three of six patches, all that is tested, turned right: McNemar's exact test gives 0.25, the plain percentile
    interval would leave zero out."""
    good = other("good", lambda f: right(f, tiny_run.classes, 9))
    bad = other("bad", lambda f: right(f, tiny_run.classes, 9) * (np.arange(len(f)) % 2)[:, None] + np.eye(3)[[0]])
    found = compare_runs(bad, good)
    row = found.table.set_index("metric").loc["accuracy"]
    assert row["statement"].startswith("cannot be compared: only 3 patients")
    assert row["p_value"] > 0.05
    assert row["difference"] > 0.3
    assert row["lower_95"] <= 0


def test_the_p_value_is_below_5_percent_where_the_interval_leaves_zero_out():
    rng = np.random.default_rng(0)
    for patients in (3.0, 7.5, 40.0):
        for shift in rng.uniform(0, 5, 20):
            drawn = rng.normal(shift, 1, 3999)
            tail = expanded_tail(patients)
            share = (np.sum(drawn <= 0) + 1) / 4000
            assert (bootstrap_p(drawn, effective=patients) < 0.05) == (share < tail)
    assert bootstrap_p(drawn, effective=1e9) == pytest.approx(bootstrap_p(drawn), rel=1e-4)


def test_holm_leaves_unknown_out():
    found = holm(np.array([0.01, np.nan, 0.03]))
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], [0.02, 0.03])


def test_bootstrap_p_is_never_zero_and_symmetric():
    assert bootstrap_p(np.full(999, 2.0)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.full(999, -2.0)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.zeros(10)) == 1
    assert np.isnan(bootstrap_p(np.full(3, np.nan)))


@pytest.fixture
def other(tiny_run, tmp_path):
    """Makes a copy of the tiny run with other scores."""

    def make(name: str, scores, **changes) -> object:
        target = shutil.copytree(tiny_run.path, tmp_path / name, copy_function=os.link)
        frame = tiny_run.predictions.assign(**changes)
        columns = [f"logit_{c}" for c in tiny_run.classes]
        frame[columns] = scores(frame).astype(np.float32)
        evaluate_again(target, frame)
        return target

    return make


def right(frame: pd.DataFrame, classes, strength: float) -> np.ndarray:
    return np.stack([(frame["label"] == c).to_numpy(float) for c in classes], axis=1) * strength


def test_a_network_against_itself_shows_no_difference(tiny_run):
    for unit in ("patch", "slide", "patient"):
        found = compare_runs(tiny_run, tiny_run, unit=unit)
        known = found.table["lower_95"].notna()
        assert known.any()
        assert (found.table.loc[known, "difference"].abs() < 1e-12).all()
        assert found.table["statement"].str.startswith("cannot be compared: only 3 patients").all()
        assert (found.table.loc[known, "p_value"] == 1).all()


def test_values_are_those_of_each_run_alone_and_the_better_is_named(tiny_run, other):
    rng = np.random.default_rng(0)
    good = other("good", lambda f: right(f, tiny_run.classes, 6) + rng.normal(size=(len(f), 3)), split="test")
    bad = other("bad", lambda f: rng.normal(size=(len(f), 3)), split="test")
    found = compare_runs(bad, good)
    table = found.table.set_index(["metric", "class"])
    for run, column in ((bad, "first"), (good, "second")):
        metrics = pd.read_csv(run / "evaluation" / "metrics.csv", keep_default_na=False, na_values=["", "nan"])
        metrics = metrics[metrics["unit"] == "patch"].assign(**{"class": metrics["class"].fillna("")})
        metrics = metrics.set_index(["metric", "class"])["value"]
        for key in table.index:
            assert table.loc[key, column] == pytest.approx(metrics[key], abs=1e-6, nan_ok=True)
    assert table.loc[("accuracy", ""), "statement"] == "good is better"
    assert table.loc[("accuracy", ""), "p_value"] < 0.05
    turned = compare_runs(good, bad).table.set_index(["metric", "class"])
    pd.testing.assert_series_equal(turned["difference"], -table["difference"])
    np.testing.assert_allclose(turned["lower_95"], -table["upper_95"], equal_nan=True)


def test_exact_tests_stand_where_rows_are_patients_and_only_there(tiny_run, other):
    rng = np.random.default_rng(1)
    a, b = (other(name, lambda f: rng.normal(size=(len(f), 3)), split="test") for name in "ab")
    assert (compare_runs(a, b).table["exact_test"] == "").all()
    found = compare_runs(a, b, unit="patient").table
    assert found.set_index("metric").loc["accuracy", "exact_test"] == "McNemar"
    assert set(found.query("metric == 'auroc' and exact_p_value.notna()")["exact_test"]) == {"DeLong"}
    assert found["exact_p_value"].dropna().between(0, 1).all()
    assert len(found["exact_p_value"].dropna()) >= 2


def test_several_runs_are_corrected_and_a_small_difference_is_no_difference(tiny_run, other):
    rng, all_patches = np.random.default_rng(2), {"split": "test", "patient_id": "unknown"}
    good = other(
        "good",
        lambda f: right(f, tiny_run.classes, 6) + rng.normal(size=(len(f), 3)),
        split="test",
        patient_id="unknown",
    )
    near = other(
        "near",
        lambda f: right(f, tiny_run.classes, 6) + rng.normal(size=(len(f), 3)),
        split="test",
        patient_id="unknown",
    )
    bad = other("bad", lambda f: rng.normal(size=(len(f), 3)), **all_patches)
    table = compare_many(good, [near, bad]).set_index("run")
    assert table.loc["near", "statement"] == NO_DIFFERENCE
    assert table.loc["bad", "statement"] == "good is better"
    np.testing.assert_allclose(table["p_value_holm"], multipletests(table["p_value"], method="holm")[1])
    with pytest.raises(ConfigError, match="argument `metrics` to be out of 'accuracy'"):
        compare_many(good, [bad], metric="charm")
    with pytest.raises(ConfigError, match="argument `of` to be one of"):
        compare_many(good, [bad], metric="recall", of="charm")
    with pytest.raises(ConfigError, match="argument `unit` to be one of 'patch', 'slide', 'patient', but got 'site'"):
        compare_runs(good, bad, unit="site")


def test_auroc_of_the_comparison_is_scikit_learns(tiny_run):
    found = compare_runs(tiny_run, tiny_run).table.set_index(["metric", "class"])
    frame = tiny_run.predictions.query("split == 'test'")
    scores = frame[[f"logit_{c}" for c in tiny_run.classes]].to_numpy(float) / tiny_run.card["temperature"]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    for i, name in enumerate(tiny_run.classes):
        expected = roc_auc_score(frame["label"] == name, probs[:, i])
        assert found.loc[("auroc", name), "first"] == pytest.approx(expected)


def cohort(patients: int, wrong: int) -> pd.DataFrame:
    """Four patches a patient, of which the first ``wrong`` patients are predicted wrong in full."""
    rows = []
    for patient in range(patients):
        label = "ab"[patient % 2]
        predicted = label if patient >= wrong else "ab"[1 - patient % 2]
        rows += [
            {
                "patch_id": f"{patient}-{i}",
                "patient_id": f"P{patient}",
                "label": label,
                "probability_a": 0.9 if predicted == "a" else 0.1,
                "probability_b": 0.1 if predicted == "a" else 0.9,
            }
            for i in range(4)
        ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_fewer_than_six_patients_never_show_that_one_is_better(unit):
    few = compare_runs(cohort(5, 5), cohort(5, 0), unit=unit, resamples=200).table
    assert few["statement"].str.startswith("cannot be compared: only 5 patients").all()
    more = compare_runs(cohort(24, 14), cohort(24, 0), unit=unit, resamples=200, names=("bad", "good")).table
    assert more.set_index("metric").loc["accuracy", "statement"] == "good is better"


def test_an_interval_without_width_is_no_ground_for_a_statement():
    """All 8 patients wrong against all right: the same difference in every resample, so the interval has no width."""
    found = compare_runs(cohort(8, 8), cohort(8, 0), resamples=200).table.set_index("metric")
    assert found.loc["accuracy", ["lower_95", "upper_95"]].tolist() == [1, 1]
    assert found.loc["accuracy", "statement"] == NO_SPREAD
