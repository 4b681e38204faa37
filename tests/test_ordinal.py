"""Kappa, Matthews correlation, NPV and log-likelihood: what they tell apart, and when they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from her2core.evidence.metrics.confusion import confusion_matrix, matthews_correlation
from her2core.evidence.metrics.ordinal import quadratic_kappa
from her2core.evidence.metrics.per_class import negative_predictive_value
from her2core.evidence.metrics.probabilistic import negative_log_likelihood


@given(seed=st.integers(0, 10**6), k=st.integers(2, 5), n=st.integers(2, 60))
@settings(max_examples=60, deadline=None)
def test_the_figures_of_a_confusion_matrix_are_scikit_learn_s(seed, k, n):
    y, guess = np.random.default_rng(seed).integers(0, k, (2, n))
    matrix = confusion_matrix(y, predicted=guess, classes=k)
    if len(set(y)) > 1 and len(set(guess)) > 1:
        kappa = sk.cohen_kappa_score(y, guess, weights="quadratic", labels=range(k))
        assert quadratic_kappa(matrix) == pytest.approx(kappa)
        assert matthews_correlation(matrix) == pytest.approx(sk.matthews_corrcoef(y, guess))
    else:
        assert np.isnan(matthews_correlation(matrix))
    expected = [sk.precision_score(y != i, guess != i, zero_division=np.nan) for i in range(k)]
    np.testing.assert_allclose(negative_predictive_value(matrix), expected)


def test_kappa_sees_how_far_off_an_answer_is_and_matthews_does_not():
    near, far = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 10]]), np.array([[8, 0, 2], [0, 10, 0], [0, 0, 10]])
    assert quadratic_kappa(near) > quadratic_kappa(far) + 0.05
    assert matthews_correlation(near) == pytest.approx(matthews_correlation(far))
    assert quadratic_kappa(np.eye(3)) == matthews_correlation(np.eye(3)) == 1
    assert quadratic_kappa(np.eye(3)[::-1]) == -1


def test_one_class_only_has_no_kappa_and_no_correlation():
    alone = np.array([[5, 0], [0, 0]])
    assert np.isnan(quadratic_kappa(alone))
    assert np.isnan(matthews_correlation(alone))
    assert quadratic_kappa(np.array([[5, 0], [3, 0]])) == 0, "always the same prediction: no better than chance"
    np.testing.assert_array_equal(negative_predictive_value(np.array([[5, 0], [3, 0]])), [np.nan, 5 / 8])


@given(seed=st.integers(0, 10**6), k=st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_the_mean_negative_log_likelihood_is_scikit_learn_s(seed, k):
    rng = np.random.default_rng(seed)
    probs, labels = rng.dirichlet(np.ones(k), 40), rng.integers(0, k, 40)
    probs[0] = np.eye(k)[(labels[0] + 1) % k]  # a probability of 0 for the true class
    theirs = sk.log_loss(labels, probs, labels=range(k))
    assert negative_log_likelihood(probs, labels=labels).mean() == pytest.approx(theirs)
