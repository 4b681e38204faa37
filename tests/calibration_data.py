"""Predictions with known calibration, for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import settings

from her2core.evidence.metrics.recalibration import calibration_in_the_large, calibration_intercept, calibration_slope
from her2core.evidence.predictions import Predictions, id_table

CLASSES = ("negative", "equivocal", "positive")
FUNCTIONS = (calibration_slope, calibration_intercept, calibration_in_the_large)
few = settings(max_examples=40, deadline=None)


def predictions(n=240, patients=24, *, seed=0, known=True, temperature=1.0, effect=0.0, digits=None) -> Predictions:
    """Labels drawn from softmax of the scores: calibrated at ``temperature`` 1, overconfident below."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    logits = 1.5 * rng.normal(size=(n, 3))
    labels = (logits + effect * rng.normal(size=(patients, 3))[patient] + rng.gumbel(size=(n, 3))).argmax(axis=1)
    odds = np.exp((logits if digits is None else np.round(logits, digits)) / temperature)
    ids = {"patch_id": pd.Series(np.arange(n)).astype("str")}
    if known:
        ids["patient_id"] = pd.Series(patient).astype("str")
    return Predictions(id_table(ids, n), odds / odds.sum(axis=1, keepdims=True), labels, CLASSES)


def changed(p: Predictions, probs) -> Predictions:
    return Predictions(p.frame, np.asarray(probs, float), p.labels, p.classes)


def value(table, metric, of=""):
    return table[(table["metric"] == metric) & (table["class"] == of)].iloc[0]


def logit(p):
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(p) - np.log1p(-p)
