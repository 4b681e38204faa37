"""Are kappa, Matthews, NPV, average precision and loss scikit-learn's, and their intervals those of patients?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bounds import by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from her2core.errors import EvaluationError
from her2core.evidence import ordinal
from her2core.evidence.intervals import metric_table
from her2core.evidence.old_metrics import confusion
from her2core.evidence.ordinal import (
    average_precision_draws,
    matthews,
    negative_predictive_value,
    ordinal_table,
    quadratic_kappa,
)
from her2core.evidence.predictions import Predictions, id_table

CLASSES = ("negative", "equivocal", "positive")
few = settings(max_examples=60, deadline=None)


def predictions(n=240, patients=24, *, seed=0, known=True, ties=False, k=3) -> Predictions:
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    labels = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) + rng.normal(size=(patients, k))[patient] + 1.5 * np.eye(k)[labels]
    odds = np.exp(np.round(logits) if ties else logits)
    ids = {"patient_id": pd.Series(patient).astype("str")} if known else {}
    classes = CLASSES if k == 3 else tuple(f"class {i}" for i in range(k))
    return Predictions(id_table(ids, n), odds / odds.sum(axis=1, keepdims=True), labels, classes)


def theirs(y, guess, probs) -> dict[tuple[str, str], float]:
    """The table's figures by scikit-learn; every class must be there."""
    k = probs.shape[1]
    ap = [sk.average_precision_score(y == i, probs[:, i]) for i in range(k)]
    found = {
        ("quadratic_kappa", ""): sk.cohen_kappa_score(y, guess, weights="quadratic", labels=range(k)),
        ("matthews", ""): sk.matthews_corrcoef(y, guess),
        ("negative_log_likelihood", ""): sk.log_loss(y, probs, labels=range(k)),
        ("macro_average_precision", ""): np.mean(ap),
    }
    for i in range(k):
        found["npv", CLASSES[i]] = sk.precision_score(y != i, guess != i, zero_division=np.nan)
        found["average_precision", CLASSES[i]] = ap[i]
    return found


@given(seed=st.integers(0, 10**6), k=st.integers(2, 5), n=st.integers(2, 60))
@few
def test_the_figures_of_a_confusion_matrix_are_scikit_learn_s(seed, k, n):
    y, guess = np.random.default_rng(seed).integers(0, k, (2, n))
    matrix = confusion(y, predicted=guess, classes=k)
    if len(set(y)) > 1 and len(set(guess)) > 1:
        kappa = sk.cohen_kappa_score(y, guess, weights="quadratic", labels=range(k))
        assert quadratic_kappa(matrix) == pytest.approx(kappa)
        assert matthews(matrix) == pytest.approx(sk.matthews_corrcoef(y, guess))
    else:
        assert np.isnan(matthews(matrix))
    expected = [sk.precision_score(y != i, guess != i, zero_division=np.nan) for i in range(k)]
    np.testing.assert_allclose(negative_predictive_value(matrix), expected)


def test_kappa_sees_how_far_off_an_answer_is_and_matthews_does_not():
    near, far = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 10]]), np.array([[8, 0, 2], [0, 10, 0], [0, 0, 10]])
    assert quadratic_kappa(near) > quadratic_kappa(far) + 0.05
    assert matthews(near) == pytest.approx(matthews(far))
    assert quadratic_kappa(np.eye(3)) == matthews(np.eye(3)) == 1
    assert quadratic_kappa(np.eye(3)[::-1]) == -1


def test_figures_of_a_stack_are_those_of_each():
    stack = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3))
    for figure in (quadratic_kappa, matthews, negative_predictive_value):
        np.testing.assert_allclose(figure(stack)[2, 3], figure(stack[2, 3]))


def test_one_class_only_has_no_kappa_and_no_correlation():
    alone = np.array([[5, 0], [0, 0]])
    assert np.isnan(quadratic_kappa(alone))
    assert np.isnan(matthews(alone))
    assert quadratic_kappa(np.array([[5, 0], [3, 0]])) == 0, "always the same answer: no better than chance"
    np.testing.assert_array_equal(negative_predictive_value(np.array([[5, 0], [3, 0]])), [np.nan, 5 / 8])


@given(seed=st.integers(0, 10**6), ties=st.booleans())
@few
def test_average_precision_under_weights_is_scikit_learn_s(seed, ties):
    rng = np.random.default_rng(seed)
    scores, positive, codes = rng.normal(size=80), rng.random(80) < 0.3, rng.integers(0, 7, 80)
    scores = np.round(scores + positive, 0 if ties else 9)
    weights = np.concatenate([np.ones((1, 7)), rng.integers(0, 4, (6, 7))])
    found = average_precision_draws(scores, positive=positive, codes=codes, weights=weights)
    for w, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(80), w.astype(int)[codes])
        if len(set(positive[rows])) < 2:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(sk.average_precision_score(positive[rows], scores[rows]))


@pytest.mark.parametrize("ties", [False, True])
def test_every_row_is_scikit_learn_s_and_its_interval_that_of_resampled_patients(ties):
    p = predictions(ties=ties)
    table = ordinal_table(p, resamples=60, seed=3).set_index(["metric", "class"])
    expected = theirs(p.labels, p.predicted, p.probs)
    assert sorted(table.index) == sorted(expected)
    bounds = by_rows(p, lambda r: theirs(p.labels[r], p.predicted[r], p.probs[r]), resamples=60, seed=3)
    for key, value in expected.items():
        assert table.loc[key, "value"] == pytest.approx(value), key
        assert tuple(table.loc[key, ["lower_95", "upper_95"]]) == pytest.approx(bounds[key]), key
    assert set(table["resampling_unit"]) == {"patient"}
    assert set(table["n_clusters"]) == {24}


def test_the_columns_are_those_of_the_metric_table_so_that_both_can_be_joined():
    p = predictions()
    ours, theirs_ = ordinal_table(p, resamples=20), metric_table(p, resamples=20)
    assert sorted(ours) == sorted(theirs_)
    assert not set(ours["metric"]) & set(theirs_["metric"])


def test_unknown_patients_and_the_order_of_classes_are_said():
    table = ordinal_table(predictions(known=False), resamples=20).set_index("metric")
    assert table["note"].str.startswith("patients unknown; resamples patches").all()
    assert table.loc["quadratic_kappa", "note"].endswith("classes in the order negative, equivocal, positive")


def test_a_probability_of_zero_for_the_truth_is_finite_and_said():
    p = predictions(30, 6)
    probs = np.where(np.arange(30)[:, None] == 4, np.eye(3)[(p.labels + 1) % 3], p.probs)
    row = ordinal_table(Predictions(p.frame, probs, p.labels, CLASSES), resamples=20).set_index("metric")
    row = row.loc["negative_log_likelihood"]
    assert row["value"] == pytest.approx(sk.log_loss(p.labels, probs, labels=range(3)))
    assert "1 with probability 0 of the truth" in row["note"]


@pytest.mark.parametrize("case", ["one class", "constant", "one patient", "one row", "all right"])
def test_extreme_predictions_give_a_stated_result(case):
    p = predictions(60, 12)
    if case == "one class":
        p = p.where(p.labels == 2)
    elif case == "constant":
        p = Predictions(p.frame, np.full((60, 3), 1 / 3), p.labels, p.classes)
    elif case == "one patient":
        p = p.where((p.frame["patient_id"] == "3").to_numpy())
    elif case == "one row":
        p = p.where(np.arange(60) == 0)
    else:
        p = Predictions(p.frame, np.eye(3)[p.labels], p.labels, p.classes)
    table = ordinal_table(p, resamples=40)
    assert (table["value"].notna() | table["note"].str.contains("cannot be computed")).all()
    assert (table["lower_95"].notna() | table["note"].str.contains("cannot be computed|no interval")).all()
    figures = table.set_index(["metric", "class"])["value"]
    if case == "all right":
        assert figures["quadratic_kappa", ""] == figures["matthews", ""] == 1
    if case == "constant":
        assert figures["quadratic_kappa", ""] == 0
        assert np.isnan(figures["matthews", ""])
        assert figures["average_precision", "positive"] == pytest.approx(np.mean(p.labels == 2))


def test_more_clusters_than_the_weights_hold_are_bundled_whole(monkeypatch):
    p = predictions(600, known=False)
    exact = ordinal_table(p, resamples=400).set_index(["metric", "class"])
    monkeypatch.setattr(ordinal, "MAX_GROUPS", 60)
    bundled = ordinal_table(p, resamples=400).set_index(["metric", "class"])
    for key in (("negative_log_likelihood", ""), ("average_precision", "positive")):
        assert bundled.loc[key, "value"] == exact.loc[key, "value"]
        widths = [float(t.loc[key, "upper_95"] - t.loc[key, "lower_95"]) for t in (bundled, exact)]
        assert widths[0] == pytest.approx(widths[1], rel=0.3)


def test_fewer_resamples_of_a_large_table_are_said(monkeypatch):
    monkeypatch.setattr(ordinal, "MAX_WALKED", 1)
    table = ordinal_table(predictions(), resamples=300).set_index("metric")
    assert (table.loc["average_precision", "note"] == "interval from 200 resamples").all()
    assert table.loc["matthews", "note"] == ""


def test_no_rows_are_refused():
    with pytest.raises(EvaluationError, match="Expected at least one prediction, but got none"):
        ordinal_table(predictions().where(np.zeros(240, bool)))
