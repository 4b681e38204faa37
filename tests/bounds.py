"""Bounds of intervals by plain loops: what the fast code under test must reproduce."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit
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


def jackknife_t(value: float, left, sizes, *, limits: tuple[float, float] = (0, 1), level: float = 0.95):
    """Bounds of a metric of rows in clusters: of a value, with one cluster after another left out, and their sizes."""
    left, sizes = np.asarray(left, float), np.asarray(sizes, float)
    moved = left - left.mean()
    variance = np.sum(moved**2) * (len(left) - 1) / len(left)
    part = np.where(np.abs(moved) < 1e-12, 0, moved) ** 2 / np.sum(moved**2)
    by_influence = max(2.0, min(3 / np.sum(part**2), np.count_nonzero(part)))
    by_size = 1 / np.sum((sizes**2 / np.sum(sizes**2)) ** 2)
    degrees = max(1.0, min(2 / (1 / by_influence + 1 / by_size), len(left) - 1))
    quantile = t.ppf((1 + level) / 2, degrees)
    if np.isinf(limits[1]):
        factor = np.exp(quantile * np.sqrt(variance) / value)
        return value / factor, value * factor
    width = limits[1] - limits[0]
    p = (value - limits[0]) / width
    rows = min(p * (1 - p) * width**2 / variance, sizes.sum())
    half = quantile / np.sqrt(rows * p * (1 - p))
    return tuple(limits[0] + width * expit([logit(p) - half, logit(p) + half]))


def wilson(p: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's bounds: the two proportions x for which (p - x)^2 = z^2 x (1 - x) / n."""
    z2 = norm.ppf((1 + level) / 2) ** 2 / n
    return tuple(np.sort(np.roots([1 + z2, -(2 * p + z2), p**2]).real))


def effective(sizes) -> float:
    """Kish's effective number of clusters of these sizes."""
    return np.sum(sizes) ** 2 / np.sum(np.square(sizes))


def sizes_of_clusters(p: Predictions, rows=None) -> np.ndarray:
    """Rows of each cluster, of those rows alone where they are given."""
    codes = clusters(p).codes
    sizes = np.bincount(codes if rows is None else codes[rows])
    return sizes[sizes > 0]


def without_each(p: Predictions, figures) -> dict:
    """key -> the figure with one cluster after another left out; ``figures`` as for ``by_rows``."""
    codes, positions = clusters(p).codes, np.arange(len(p))
    left = [figures(positions[codes != i]) for i in range(codes.max() + 1)]
    return {key: [f[key] for f in left] for key in left[0]}


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
