"""Temperature scaling and the expected calibration error, against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from her2core.errors import EvaluationError
from her2core.evidence.calibration import TEMPERATURE_RANGE, fit_temperature, probabilities
from her2core.evidence.metrics.probabilistic import expected_calibration_error

few = settings(max_examples=60, deadline=None)


@given(seed=st.integers(0, 10**6), bins=st.integers(2, 20), k=st.integers(2, 5))
@few
def test_ece_equals_torchmetrics(seed, bins, k):
    rng = np.random.default_rng(seed)
    probs, labels = rng.dirichlet(np.ones(k) * 0.7, 200), rng.integers(0, k, 200)
    theirs = multiclass_calibration_error(
        torch.tensor(probs), torch.tensor(labels), num_classes=k, n_bins=bins, norm="l1"
    )
    assert expected_calibration_error(probs, labels=labels, bins=bins) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_by_hand():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.35, 0.65]])
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert expected_calibration_error(probs, labels=labels, bins=10) == pytest.approx((4 * 0.15 + 2 * 0.15) / 6)
    assert expected_calibration_error(np.eye(2), labels=np.array([0, 1])) == 0
    assert expected_calibration_error(np.eye(2), labels=np.array([1, 0])) == 1


@given(seed=st.integers(0, 10**6), true=st.floats(0.3, 5))
@settings(max_examples=20, deadline=None)
def test_the_temperature_is_the_best_of_a_fine_grid_and_scipy_s(seed, true):
    rng = np.random.default_rng(seed)
    clean = rng.normal(scale=2, size=(300, 3))
    labels = np.array([rng.choice(3, p=softmax(row)) for row in clean])
    logits = clean * true

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(300), labels].mean()

    assert loss(true) == pytest.approx(sk.log_loss(labels, softmax(logits / true, axis=1), labels=[0, 1, 2]))
    found = fit_temperature(logits, labels=labels)
    grid = np.geomspace(*TEMPERATURE_RANGE, 200)
    assert loss(found) <= min(loss(t) for t in grid) + 1e-6
    theirs = minimize_scalar(loss, bounds=TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-6}).x
    assert found == pytest.approx(theirs, rel=0.01)
    assert found == pytest.approx(true, rel=0.35)


def test_a_temperature_that_runs_away_stops_at_its_bound():
    perfect = 0.5 * np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(perfect, labels=np.array([0, 1, 2, 0])) == pytest.approx(TEMPERATURE_RANGE[0], rel=0.01)
    assert fit_temperature(perfect, labels=np.array([1, 2, 0, 1])) == pytest.approx(TEMPERATURE_RANGE[1], rel=0.01)


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.array([[0, np.nan, 1]]), np.array([[0, np.inf, 1.0]])])
def test_a_temperature_needs_finite_scores(bad):
    with pytest.raises(EvaluationError, match=r"Expected finite scores.*diverge"):
        fit_temperature(bad, labels=np.zeros(len(bad), int))


def test_temperature_moves_probabilities_but_not_the_class():
    logits = np.random.default_rng(0).normal(scale=50, size=(40, 3))
    for t in (0.05, 1.0, 20.0):
        probs = probabilities(logits, t)
        np.testing.assert_allclose(probs.sum(axis=1), 1)
        np.testing.assert_array_equal(probs.argmax(axis=1), logits.argmax(axis=1))
    assert probabilities(logits, 20).max() < probabilities(logits, 0.05).max()
    assert np.isfinite(probabilities([[1e4, -1e4, 0]])).all()
