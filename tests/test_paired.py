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
from scipy.stats import t as t_distribution
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from her2core.errors import ConfigError
from her2core.evidence.compare import compare_many, compare_runs
from her2core.evidence.paired_tests import delong, holm, mcnemar
from her2core.evidence.statements import NO_DIFFERENCE, NO_SPREAD, UNKNOWN_PATIENTS


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
    """All patches of three patients turned right."""
    good = other("good", lambda f: right(f, tiny_run.classes, 9))
    bad = other("bad", lambda f: right(f, tiny_run.classes, 9) * (np.arange(len(f)) % 2)[:, None] + np.eye(3)[[0]])
    found = compare_runs(bad, good, unit="patch")
    assert found.statement.startswith("cannot be compared: only 3 patients")
    assert found.table.set_index("metric").loc["accuracy", "difference"] > 0.3


def test_the_interval_is_students_t_of_the_paired_differences_of_patients():
    """Equal patients, accuracy: the jackknife's standard error is that of the mean of their differences."""
    rng = np.random.default_rng(3)
    first, second = (cohort(24, 0) for _ in range(2))
    for table, rate in ((first, 0.3), (second, 0.2)):
        wrong = rng.random(len(table)) < rate
        table.loc[wrong, ["probability_a", "probability_b"]] = table.loc[
            wrong, ["probability_b", "probability_a"]
        ].values
    found = compare_runs(first, second, unit="patch").table.set_index("metric").loc["accuracy"]
    right = [
        ((t["probability_a"] > 0.5) == (t["label"] == "a")).groupby(t["patient_id"]).mean().to_numpy()
        for t in (first, second)
    ]
    d = right[1] - right[0]
    assert found["difference"] == pytest.approx(d.mean())
    u = d - d.mean()
    degrees = min(3 * np.sum(u**2) ** 2 / np.sum(u**4), 24) - 1
    half = t_distribution.ppf(0.975, degrees) * d.std(ddof=1) / np.sqrt(24)
    assert found["upper_95"] - found["difference"] == pytest.approx(half, rel=1e-6)
    assert found["p_value"] == pytest.approx(
        2 * t_distribution.sf(abs(d.mean()) / d.std(ddof=1) * np.sqrt(24), degrees)
    )
    power = t_distribution.ppf(0.975, degrees) + t_distribution.ppf(0.8, degrees)
    assert found["detectable_difference"] == pytest.approx(power * d.std(ddof=1) / np.sqrt(24))


def test_holm_leaves_unknown_out():
    found = holm(np.array([0.01, np.nan, 0.03]))
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], [0.02, 0.03])


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
        assert (found.table["difference"].dropna().abs() < 1e-12).all()
        assert found.table[["lower_95", "p_value"]].isna().all(axis=None)
        assert found.statement.startswith("cannot be compared: only 3 patients")
    many = cohort(20, 4)
    assert compare_runs(many, many).statement == NO_DIFFERENCE


def test_values_are_those_of_each_run_alone_and_the_better_is_named(tiny_run, other):
    rng = np.random.default_rng(0)
    good = other("good", lambda f: right(f, tiny_run.classes, 6) + rng.normal(size=(len(f), 3)), split="test")
    bad = other("bad", lambda f: rng.normal(size=(len(f), 3)), split="test")
    found = compare_runs(bad, good, unit="patch", primary="accuracy")
    table = found.table.set_index(["metric", "class"])
    for run, column in ((bad, "first"), (good, "second")):
        metrics = pd.read_csv(run / "evaluation" / "metrics.csv", keep_default_na=False, na_values=["", "nan"])
        metrics = metrics[metrics["unit"] == "patch"].assign(**{"class": metrics["class"].fillna("")})
        metrics = metrics.set_index(["metric", "class"])["value"]
        for key in table.index:
            assert table.loc[key, column] == pytest.approx(metrics[key], abs=1e-6, nan_ok=True)
    assert table.loc[("accuracy", ""), "statement"] == "good is better"
    assert table.loc[("accuracy", ""), "p_value"] < 0.05
    turned = compare_runs(good, bad, unit="patch").table.set_index(["metric", "class"])
    pd.testing.assert_series_equal(turned["difference"], -table["difference"])
    np.testing.assert_allclose(turned["lower_95"], -table["upper_95"], equal_nan=True)


def test_classical_tests_stand_where_rows_are_patients_and_only_there(tiny_run, other):
    rng = np.random.default_rng(1)
    a, b = (other(name, lambda f: rng.normal(size=(len(f), 3)), split="test") for name in "ab")
    assert (compare_runs(a, b, unit="patch").table["classical_test"] == "").all()
    found = compare_runs(a, b).table
    assert found.set_index("metric").loc["accuracy", "classical_test"] == "McNemar, exact"
    ranked = found.query("metric == 'auroc' and classical_p_value.notna()")
    assert set(ranked["classical_test"]) == {"DeLong, asymptotic"}
    assert found["classical_p_value"].dropna().between(0, 1).all()
    assert len(found["classical_p_value"].dropna()) >= 2


def test_several_runs_are_corrected_and_a_small_difference_is_no_difference(tiny_run, other):
    """Each patch counts as a patient of its own."""
    rng = np.random.default_rng(2)
    every = {"split": "test", "patient_id": tiny_run.predictions["patch_id"].to_numpy()}

    def good_scores(f):
        return right(f, tiny_run.classes, 6) + rng.normal(size=(len(f), 3))

    good, near = (other(name, good_scores, **every) for name in ("good", "near"))
    bad = other("bad", lambda f: rng.normal(size=(len(f), 3)), **every)
    worse = other("worse", lambda f: rng.normal(size=(len(f), 3)), **every)
    table = compare_many(good, [near, bad, worse]).set_index("run")
    assert table.loc["near", "statement"] == NO_DIFFERENCE
    assert table.loc["bad", "statement"] == "good is better"
    known = table.dropna(subset=["p_value"])
    assert len(known) >= 2
    np.testing.assert_allclose(known["p_value_holm"], multipletests(known["p_value"], method="holm")[1])
    with pytest.raises(ConfigError, match="argument `metrics` to be out of 'accuracy'"):
        compare_many(good, [bad], metric="charm")
    with pytest.raises(ConfigError, match="argument `of` to be one of"):
        compare_many(good, [bad], metric="recall", of="charm")
    with pytest.raises(ConfigError, match="argument `unit` to be one of 'patch', 'slide', 'patient', but got 'site'"):
        compare_runs(good, bad, unit="site")


def test_without_patients_nothing_is_said_of_patches():
    first, second = (cohort(24, wrong).drop(columns="patient_id") for wrong in (14, 0))
    found = compare_runs(first, second, unit="patch")
    assert found.statement == UNKNOWN_PATIENTS
    assert found.primary["lower_95"] > 0


def test_auroc_of_the_comparison_is_scikit_learns(tiny_run):
    found = compare_runs(tiny_run, tiny_run, unit="patch").table.set_index(["metric", "class"])
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
    few = compare_runs(cohort(5, 5), cohort(5, 0), unit=unit)
    assert few.statement.startswith("cannot be compared: only 5 patients")
    assert compare_runs(cohort(24, 14), cohort(24, 0), unit=unit, names=("bad", "good")).statement == "good is better"


def test_a_class_of_two_patients_is_no_ground_for_a_statement():
    first, second = (cohort(24, wrong) for wrong in (14, 0))
    rare = first["patient_id"].isin(["P1", "P3"]) | (first["label"] == "a")
    found = compare_runs(first[rare], second[rare])
    assert found.statement == "cannot be compared: only 2 patients of b; at least 3 are needed"


def test_a_difference_that_does_not_vary_counts_with_the_number_of_patients():
    """All 8 patients wrong against all right: the same difference whichever patient is left out."""
    found = compare_runs(cohort(8, 8), cohort(8, 0)).primary
    assert (found["difference"], found["statement"]) == (1, "second is better")
    assert 0 < found["p_value"] < 0.05
    assert found["lower_95"] < compare_runs(cohort(40, 40), cohort(40, 0)).primary["lower_95"] < 1
    kappa = compare_runs(cohort(8, 8), cohort(8, 0), primary="matthews_correlation")
    assert kappa.statement == NO_SPREAD  # no proportion


def test_columns_in_another_order_are_the_same_run():
    first, second = cohort(24, 6), cohort(24, 2)
    found = compare_runs(first, second).table
    turned = compare_runs(first, second[second.columns[::-1]]).table
    pd.testing.assert_frame_equal(found, turned)


def test_a_class_of_three_patients_who_do_not_differ_is_not_known_exactly():
    """One of two equally good operating points: 8 of 20 negatives lost, and by chance none of 3 positives gained."""
    label = np.array(["negative"] * 20 + ["positive"] * 3)
    ids = {"patch_id": range(23), "patient_id": [f"P{i}" for i in range(23)], "label": label}
    first = pd.DataFrame({**ids, "predicted": label})
    found = compare_runs(first, first.assign(predicted=np.where(np.arange(23) < 8, "positive", label))).primary
    assert found["difference"] == pytest.approx(-0.2)
    assert found["statement"] == NO_DIFFERENCE
    low, _ = proportion_confint(0, 3, method="wilson")[::-1]
    assert found["upper_95"] > -0.2 + low / 2  # the recall of positives may well be this much higher
