"""Bounds of intervals by plain loops: what the fast code under test must reproduce."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, t

from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import bootstrap_weights, clusters


def expanded(value: float, drawn, left, level: float = 0.95) -> tuple[float, float]:
    """Expanded percentile bounds: of a value, in resamples, and with one patient after another left out."""
    influence = np.array([x - value for x in left if np.isfinite(x)])
    influence[np.abs(influence) < 1e-12] = 0
    patients = 2.0
    if influence.any():
        part = influence**2 / np.sum(influence**2)
        patients = max(2.0, min(3 / np.sum(part**2), np.count_nonzero(influence)))
    tail = norm.cdf(np.sqrt(patients / (patients - 1)) * t.ppf((1 - level) / 2, patients - 1))
    return tuple(np.quantile([x for x in drawn if np.isfinite(x)], [tail, 1 - tail]))


def exact(value: int, patients: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper & Pearson where all patients are right (1) or none is (0)."""
    bound = ((1 - level) / 2) ** (1 / patients)
    return (bound, 1.0) if value == 1 else (0.0, 1 - bound)


def by_rows(p: Predictions, figures, *, resamples: int, seed: int) -> dict:
    """key -> bounds; ``figures`` takes positions of rows, each as often as drawn, and gives {key: number}.

    The tables under test have fewer patients than are left out in bundles.
    """
    group = clusters(p)
    positions = np.arange(len(p))
    whole = figures(positions)
    resampled = [
        figures(np.repeat(positions, w[group.codes]))
        for w in bootstrap_weights(group.count, resamples, seed).astype(int)
    ]
    without = [figures(positions[group.codes != left]) for left in range(group.count)]
    return {key: expanded(whole[key], [f[key] for f in resampled], [f[key] for f in without]) for key in whole}
