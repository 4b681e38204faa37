"""ROC and precision-recall curves against scikit-learn, point by point, thinned without loss of area."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from her2core.evidence.curves import AREA_TOLERANCE, MAX_POINTS, pr_points, roc_points, undefined_classes
from her2core.evidence.predictions import Predictions, id_table

CLASSES = ("negative", "equivocal", "positive")
few = settings(max_examples=60, deadline=None)


def predictions(n=150, *, seed=0, decimals=9, strength=1.0, labels=None) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n) if labels is None else labels
    n = len(labels)
    probs = np.round(rng.dirichlet(np.ones(3), n) + strength * np.eye(3)[labels] * rng.random((n, 1)), decimals)
    return Predictions(id_table({}, n), probs / 2, labels, CLASSES)


def of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["class"] == name].reset_index(drop=True)


@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([1, 2, 9]))
@few
def test_roc_points_are_scikit_learn_s_also_with_ties(seed, decimals):
    p = predictions(seed=seed, decimals=decimals)
    points = roc_points(p)
    for i, name in enumerate(CLASSES):
        ours = of(points, name)
        fpr, tpr, thresholds = sk.roc_curve(p.labels == i, p.probs[:, i], drop_intermediate=False)
        np.testing.assert_allclose(ours[["fpr", "tpr", "threshold"]], np.stack([fpr, tpr, thresholds], axis=1))
        assert ours["auroc"].unique() == pytest.approx(sk.roc_auc_score(p.labels == i, p.probs[:, i]))


@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([1, 2, 9]))
@few
def test_precision_recall_points_and_average_precision_are_scikit_learn_s(seed, decimals):
    p = predictions(seed=seed, decimals=decimals)
    points = pr_points(p)
    for i, name in enumerate(CLASSES):
        precision, recall, thresholds = sk.precision_recall_curve(p.labels == i, p.probs[:, i])
        theirs = np.stack([recall[:-1], precision[:-1], thresholds], axis=1)[::-1]  # without their made-up last point
        ours = of(points, name)
        np.testing.assert_allclose(ours[["recall", "precision", "threshold"]], theirs)
        expected = sk.average_precision_score(p.labels == i, p.probs[:, i])
        assert ours["average_precision"].unique() == pytest.approx(expected)
        assert ours["prevalence"].unique() == pytest.approx(np.mean(p.labels == i))
    assert not undefined_classes(p)


@pytest.mark.parametrize("strength", [0.0, 1.0, 6.0])
def test_a_large_curve_is_thinned_and_keeps_its_area(strength):
    p = predictions(60_000, strength=strength)
    roc, pr = roc_points(p), pr_points(p)
    for i, name in enumerate(CLASSES):
        ours = of(roc, name)
        exact = sk.roc_auc_score(p.labels == i, p.probs[:, i])
        assert len(ours) <= MAX_POINTS
        assert abs(np.trapezoid(ours["tpr"], ours["fpr"]) - exact) < 1e-3
        assert tuple(ours.iloc[0][["fpr", "tpr"]]) == (0, 0)
        assert tuple(ours.iloc[-1][["fpr", "tpr"]]) == (1, 1)
        assert (ours[["fpr", "tpr"]].diff().iloc[1:] >= 0).all(axis=None)
        fpr, tpr, thresholds = sk.roc_curve(p.labels == i, p.probs[:, i], drop_intermediate=False)
        kept = np.isin(thresholds, ours["threshold"])
        np.testing.assert_allclose(ours[["fpr", "tpr"]], np.stack([fpr[kept], tpr[kept]], axis=1), rtol=1e-12)
        points = of(pr, name)
        assert len(points) <= MAX_POINTS
        expected = sk.average_precision_score(p.labels == i, p.probs[:, i])
        assert abs(np.trapezoid(points["precision"], points["recall"]) - expected) < 2e-3


@pytest.mark.parametrize("steps", [150, 199, 300, 401, 700])
def test_stairs_keep_their_corners(steps):
    """The worst a curve can be: as many corners as the limit, and more, all of the same size."""
    labels = np.repeat(np.arange(2 * steps) % 2, 40)
    scores = np.arange(len(labels))[::-1] / len(labels)
    p = Predictions(id_table({}, len(labels)), np.stack([1 - scores, scores], axis=1), labels, ("no", "yes"))
    points = roc_points(p)
    for name in p.classes:
        ours = of(points, name)
        assert len(ours) <= MAX_POINTS
        assert abs(np.trapezoid(ours["tpr"], ours["fpr"]) - ours["auroc"].iloc[0]) <= AREA_TOLERANCE
        if 2 * steps < MAX_POINTS - 1:  # every corner has a place
            assert np.trapezoid(ours["tpr"], ours["fpr"]) == pytest.approx(ours["auroc"].iloc[0], abs=1e-12)


def test_fewer_points_may_be_wanted_but_the_area_stays():
    points = roc_points(predictions(5_000, strength=0.3), max_points=10)
    for name in CLASSES:
        ours = of(points, name)
        assert len(ours) < 100
        assert abs(np.trapezoid(ours["tpr"], ours["fpr"]) - ours["auroc"].iloc[0]) <= AREA_TOLERANCE


def test_a_class_without_cases_or_with_only_cases_has_no_curve_and_a_reason():
    p = predictions(labels=np.zeros(30, np.int64))
    reasons = undefined_classes(p)
    assert reasons == {
        "negative": "every patch is truly negative",
        "equivocal": "no patch is truly equivocal",
        "positive": "no patch is truly positive",
    }
    for table in (roc_points(p), pr_points(p)):
        assert table.empty
        assert list(table)[:2] == ["class", "threshold"]
    two = predictions(labels=np.arange(30) % 2)
    assert set(roc_points(two)["class"]) == set(pr_points(two)["class"]) == set(CLASSES[:2])
    assert list(undefined_classes(two)) == ["positive"]


def test_constant_scores_are_one_step():
    p = Predictions(id_table({}, 20), np.full((20, 2), 0.5), np.arange(20) % 2, ("a", "b"))
    assert of(roc_points(p), "a")[["fpr", "tpr"]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert set(roc_points(p)["auroc"]) == {0.5}
    assert of(pr_points(p), "a")[["recall", "precision"]].to_numpy().tolist() == [[1, 0.5]]
