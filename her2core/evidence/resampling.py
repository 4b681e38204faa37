"""Which patients are drawn again and again, or left out? Predictions in; clusters, their weights and counts out.

For ``evidence.intervals``. Everything follows a seed, and memory stays bounded for a million rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from her2core.evidence.predictions import Predictions

MIN_CLUSTERS = 5
#: Beyond so many clusters they are left out in random bundles, not one by one: t hardly differs from the normal then.
MAX_LEFT_OUT = 200
#: Beyond so many single draws (clusters times resamples) equal clusters are drawn together.
_MAX_DRAWN = 40_000_000
#: Up to so many single draws the weights are kept: units of one table, positions of one slider use the same.
_KEPT_DRAWN = 4_000_000
#: Beyond so many numbers a table of counts by cluster is held sparsely.
_MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class Clusters:
    """``codes`` int (N,), ``count`` clusters, ``unit`` what a cluster is, ``note`` what to say beside the interval."""

    codes: np.ndarray
    count: int
    unit: str
    note: str


def clusters(predictions: Predictions) -> Clusters:
    """What to resample: patients where they are known and at least MIN_CLUSTERS, single rows otherwise."""
    n, unit = len(predictions), predictions.unit
    why = "patients unknown"
    if predictions.patients_known:
        codes, names = predictions.patients
        if len(names) >= MIN_CLUSTERS:
            return Clusters(codes, len(names), "patient", "")
        why = f"only {len(names)} patient{'s' if len(names) != 1 else ''}"
    if unit == "patient":
        return Clusters(np.arange(n), n, unit, f"{why}: too few for an interval to be trusted")
    units = f"{unit}es" if unit == "patch" else f"{unit}s"
    return Clusters(
        np.arange(n), n, unit, f"{why}; resamples {units}, which are not independent: the interval is too narrow"
    )


def holding(group: Clusters, rows: np.ndarray) -> int:
    """How many clusters hold any of these rows, bool (N,)."""
    return int(np.count_nonzero(np.bincount(group.codes[rows])))


def resampled_counts(
    group: Clusters, *, cells: np.ndarray, kinds: int, resamples: int, seed: int, limit: int = _MAX_DRAWN
) -> np.ndarray:
    """float64 (resamples, kinds): how many rows of each kind a resample of the clusters holds.

    ``cells`` int (N,) says of which kind a row is, 0 to ``kinds`` - 1 (a cell of a confusion matrix, say). Up to
    ``limit`` single draws, and where hardly two clusters are equal, these are the counts under the weights of
    ``draws``. Beyond it clusters of equal counts are drawn together, as many as a multinomial says, which has the same
    distribution. Either way memory stays bounded.
    """
    if group.count * resamples > limit:
        alike = _alike(group, cells, kinds)
        if alike is not None:
            vectors, times = alike
            drawn = _generator(group.count, seed).multinomial(group.count, times / times.sum(), size=resamples)
            return drawn.astype(np.float64) @ vectors
    few = group.count * resamples <= _KEPT_DRAWN
    per_cluster = _per_cluster(group, cells, kinds)
    parts = [draws(group.count, resamples, seed)] if few else _drawn(group.count, resamples, seed)
    return np.concatenate([part.astype(np.float64, copy=False) @ per_cluster for part in parts])


def _per_cluster(group: Clusters, cells: np.ndarray, kinds: int) -> np.ndarray | csr_array:
    """How many rows of each kind a cluster holds, float64 (clusters, kinds); sparse where that would be large."""
    if group.count * kinds > _MAX_CELLS:
        return csr_array((np.ones(len(cells)), (group.codes, cells)), shape=(group.count, kinds))
    counts = np.bincount(group.codes * kinds + cells, minlength=group.count * kinds)
    return counts.reshape(-1, kinds).astype(np.float64)


def _alike(group: Clusters, cells: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Different count vectors of clusters, float64 (M, kinds), and how many clusters have each; None if M is large."""
    if group.count == len(cells):  # a cluster is a row
        return np.eye(kinds), np.bincount(cells, minlength=kinds)
    if group.count * kinds > _MAX_CELLS:
        return None
    per_cluster = _per_cluster(group, cells, kinds).astype(np.int64)
    base = per_cluster.max(axis=0) + 1
    if np.log2(base).sum() > 62:
        return None
    place = np.concatenate([[1], np.cumprod(base[:-1])])  # mixed radix: one number a count vector
    _, first, times = np.unique(per_cluster @ place, return_index=True, return_counts=True)
    return (per_cluster[first].astype(np.float64), times) if 8 * len(first) <= group.count else None


def draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """float64 (resamples, count), read only: how often each cluster is drawn; each row sums to ``count``."""
    return (_kept_draws if count * resamples <= _KEPT_DRAWN else _all_draws)(count, resamples, seed)


def _all_draws(count: int, resamples: int, seed: int) -> np.ndarray:
    weights, at = np.empty((resamples, count)), 0
    for part in _drawn(count, resamples, seed):
        weights[at : at + len(part)] = part
        at += len(part)
    weights.flags.writeable = False
    return weights


_kept_draws = lru_cache(maxsize=2)(_all_draws)


def _drawn(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The rows of ``draws``, some at a time: int (b, count)."""
    rng, step = _generator(count, seed), max(1, 2**18 // max(count, 1))
    for at in range(0, resamples, step):
        rows = min(step, resamples - at)
        drawn = rng.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


def _generator(count: int, seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, count]))


def left_out(count: int) -> np.ndarray:
    """float64 (J, count): every cluster once, but for one that is left out of each row (or one random bundle, so that
    J is at most MAX_LEFT_OUT). A single cluster is not left out."""
    bundle = _bundles(count)
    return (np.arange(bundle.max() + 1)[:, None] != bundle).astype(np.float64) if count > 1 else np.ones((1, count))


def left_out_counts(group: Clusters, *, cells: np.ndarray, kinds: int) -> np.ndarray:
    """float64 (J, kinds): as ``resampled_counts``, under the weights of ``left_out``."""
    bundle = _bundles(group.count)
    rows = bundle.max() + 1
    counts = np.bincount(bundle[group.codes] * kinds + cells, minlength=rows * kinds).reshape(rows, kinds)
    return (counts.sum(axis=0) - counts if group.count > 1 else counts).astype(np.float64)


def _bundles(count: int) -> np.ndarray:
    return np.arange(count) if count <= MAX_LEFT_OUT else np.random.default_rng(0).permutation(count) % MAX_LEFT_OUT
