"""Operating points: counts and rates against scikit-learn, intervals of resampled patients, speed, resampling."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from bounds import effective, jackknife_t, sizes_of_clusters, wilson, without_each
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from her2core.errors import Her2Error
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics.concordance import concordant_pairs
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.resampling import Clusters, bootstrap_counts, bootstrap_weights
from her2core.evidence.thresholds import COUNTS, RATES, operating_point, threshold_for_sensitivity

CLASSES = ("negative", "equivocal", "positive")
few = settings(max_examples=60, deadline=None)


def predictions(n=240, patients=24, *, seed=0, known=True) -> Predictions:
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    labels = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + rng.normal(size=(patients, 3))[patient] + 1.5 * np.eye(3)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = {"patient_id": pd.Series(patient).astype("str")} if known else {}
    return Predictions(id_table(ids, n), probs, labels, CLASSES)


def theirs(positive, called) -> dict[str, float]:
    tn, fp, fn, tp = sk.confusion_matrix(positive, called, labels=[False, True]).ravel()
    return {
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
        "recall": sk.recall_score(positive, called, zero_division=np.nan),
        "specificity": sk.recall_score(~positive, ~called, zero_division=np.nan),
        "precision": sk.precision_score(positive, called, zero_division=np.nan),
        "npv": sk.precision_score(~positive, ~called, zero_division=np.nan),
        "predicted_positive_rate": np.mean(called),
    }


@given(seed=st.integers(0, 10**6), threshold=st.floats(0, 1), of=st.sampled_from(CLASSES))
@few
def test_counts_and_rates_equal_scikit_learn_s(seed, threshold, of):
    p = predictions(60, 12, seed=seed)
    i = CLASSES.index(of)
    found = operating_point(p, of=of, threshold=threshold, resamples=20).set_index("metric")
    assert list(found.index) == [*COUNTS, *RATES]
    for metric, value in theirs(p.labels == i, p.probs[:, i] >= threshold).items():
        assert found.loc[metric, "value"] == pytest.approx(value, nan_ok=True), metric


def test_a_probability_equal_to_the_threshold_is_called():
    p = predictions()
    level = float(p.probs[7, 2])
    at, above = (
        operating_point(p, of="positive", threshold=t, resamples=10)
        .set_index("metric")
        .loc["predicted_positive_rate", "value"]
        for t in (level, np.nextafter(level, 2))
    )
    assert at - above == pytest.approx(1 / 240)


def test_intervals_are_those_of_figures_recomputed_without_each_patient():
    p = predictions()
    found = operating_point(p, of="positive", threshold=0.4, resamples=80, seed=5).set_index("metric")

    def figures(rows):
        return theirs(p.labels[rows] == 2, p.probs[rows, 2] >= 0.4)

    called, positive = p.probs[:, 2] >= 0.4, p.labels == 2
    rows = {"recall": positive, "specificity": ~positive, "precision": called, "npv": ~called}
    for metric, left in without_each(p, figures).items():
        if metric in RATES:
            sizes = sizes_of_clusters(p, rows.get(metric))
            bounds = jackknife_t(found.loc[metric, "value"], left, sizes)
            assert tuple(found.loc[metric, ["lower_95", "upper_95"]]) == pytest.approx(bounds), metric
            assert found.loc[metric, "interval_method"] == "logit jackknife t"
        else:
            assert found.loc[metric, "interval_method"] == "percentile"
            assert found.loc[metric, "lower_95"] <= found.loc[metric, "value"] <= found.loc[metric, "upper_95"]
    assert set(found["resampling_unit"]) == {"patient"}
    assert set(found["note"]) == {""}


def test_unknown_patients_are_said_in_the_words_of_the_metric_table():
    p = predictions(known=False)
    found = operating_point(p, of="negative", threshold=0.4, resamples=50)
    note = metric_table(p, metrics=["accuracy"])["note"].iloc[0]
    assert "patients unknown" in note
    assert (found["note"] == note).all()
    assert set(found["resampling_unit"]) == {"patch"}


def test_a_rate_without_denominator_is_nan_with_the_reason():
    p = predictions()
    found = operating_point(p, of="positive", threshold=1.1, resamples=50).set_index("metric")
    assert np.isnan(found.loc["precision", "value"])
    assert found.loc["precision", "note"] == "cannot be computed: no patch reaches the threshold"
    assert found.loc["recall", "value"] == 0
    assert tuple(found.loc["specificity", ["lower_95", "upper_95"]]) == pytest.approx(
        wilson(1, effective(sizes_of_clusters(p, p.labels != 2)))
    )


@given(seed=st.integers(0, 10**6), sensitivity=st.one_of(st.just(1.0), st.floats(0.01, 1)))
@few
def test_the_threshold_is_the_highest_that_reaches_the_sensitivity(seed, sensitivity):
    p = predictions(60, 12, seed=seed)
    scores = p.probs[p.labels == 1, 1]
    found = threshold_for_sensitivity(p, of="equivocal", sensitivity=sensitivity)
    assert np.mean(scores >= found) >= sensitivity
    assert np.mean(scores >= np.nextafter(found, 2)) < sensitivity
    assert found in scores


def choose(p: Predictions, sensitivity: float) -> float:
    return threshold_for_sensitivity(p, of="positive", sensitivity=sensitivity)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: operating_point(p, of="Positive", threshold=0.5), "`of` to be one of 'negative', 'equivocal'"),
        (lambda p: operating_point(p, of="positive", threshold=float("nan")), "`threshold` to be a number .* got NaN"),
        (lambda p: operating_point(p.where(np.arange(0)), of="positive", threshold=0.5), "at least one prediction"),
        (lambda p: choose(p, sensitivity=0), "`sensitivity` to be above 0 and at most 1, but got 0"),
        (lambda p: choose(p, sensitivity=95), "Give a proportion, such as 0.95"),
        (lambda p: choose(p.where(p.labels != 2), sensitivity=0.9), "at least one patch that is"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(Her2Error, match=message):
        call(predictions())


def test_moving_the_slider_is_quick_for_many_patches():
    p = predictions(100_000, 2_000)
    operating_point(p, of="positive", threshold=0.5)
    spent = []
    for threshold in (0.2, 0.4, 0.6, 0.8):
        began = time.process_time()
        operating_point(p, of="positive", threshold=threshold)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.1


# resampling many clusters


def spread(counts) -> np.ndarray:
    return np.concatenate([counts.mean(axis=0), counts.std(axis=0)])


@pytest.mark.parametrize("case", ["rows", "alike", "all different"])
def test_many_clusters_are_resampled_in_another_way_with_the_same_distribution(monkeypatch, case):
    rng = np.random.default_rng(0)
    n = 3_000
    codes = {"rows": np.arange(n), "alike": np.arange(n) % 1_000, "all different": np.arange(n) % 60}[case]
    group = Clusters(codes, codes.max() + 1, "patient", "")
    cells = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    plain = bootstrap_counts(group, cells=cells, kinds=3, resamples=3_000, seed=1)
    assert plain.sum(axis=1).mean() == pytest.approx(n)
    if case == "all different":
        monkeypatch.setattr("her2core.evidence.resampling._MAX_CELLS", 0)
        monkeypatch.setattr("her2core.evidence.resampling._KEPT_DRAWN", 0)
    other = bootstrap_counts(group, cells=cells, kinds=3, resamples=3_000, seed=1, limit=0)
    if case == "all different":
        np.testing.assert_array_equal(other, plain)
    else:
        assert not np.array_equal(other, plain)
        np.testing.assert_allclose(spread(other), spread(plain), rtol=0.06)
    np.testing.assert_array_equal(
        other, bootstrap_counts(group, cells=cells, kinds=3, resamples=3_000, seed=1, limit=0)
    )


def test_draws_are_those_of_one_call_and_cannot_be_spoilt():
    drawn = np.random.default_rng(np.random.SeedSequence([4, 3_000])).integers(0, 3_000, (700, 3_000))
    flat = (drawn + np.arange(700)[:, None] * 3_000).ravel()
    np.testing.assert_array_equal(
        bootstrap_weights(3_000, 700, 4), np.bincount(flat, minlength=700 * 3_000).reshape(700, 3_000)
    )
    with pytest.raises(ValueError, match="read-only"):
        bootstrap_weights(3_000, 700, 4)[0, 0] = 1


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 400),
    groups=st.integers(1, 40),
    decimals=st.integers(0, 4),
    pure=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_concordant_pairs_are_exact_for_any_ties_and_groups(seed, n, groups, decimals, pure):
    rng = np.random.default_rng(seed)
    scores, codes = np.round(rng.normal(size=n), decimals), rng.integers(0, groups, n)
    positive = codes % 2 == 0 if pure else rng.random(n) < rng.random()
    found = concordant_pairs(scores, positive=positive, groups=codes, group_count=groups)
    up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
    above = (scores[up][:, None] > scores[down]) + (scores[up][:, None] == scores[down]) / 2
    expected = np.zeros((groups, groups))
    np.add.at(expected, (codes[up][:, None], codes[down][None, :]), above)
    np.testing.assert_array_equal(found, expected)


def test_concordant_pairs_are_exact_where_float32_would_not_be():
    rng = np.random.default_rng(0)
    n = 12_000  # two groups: more pairs than float32 counts one by one
    scores, positive, codes = rng.normal(size=n), rng.random(n) < 0.5, rng.integers(0, 2, n)
    found = concordant_pairs(scores, positive=positive, groups=codes, group_count=2)
    for i in range(2):
        for j in range(2):
            rows = (positive & (codes == i)) | (~positive & (codes == j))
            pairs = (positive & (codes == i)).sum() * (~positive & (codes == j)).sum()
            assert found[i, j] == round(sk.roc_auc_score(positive[rows], scores[rows]) * pairs)
