"""Cluster bootstrap and delete-one jackknife: which clusters are drawn or left out, and the counts that follow.

Whole patients are drawn with replacement, so that patches of one patient stay together (Field & Welsh 2007, doi
10.1111/j.1467-9868.2007.00593.x). Everything follows a seed, and memory stays bounded for a million rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from her2core.evidence.metrics.metric import Floats
from her2core.evidence.predictions import Predictions

Ints = NDArray[np.int64]
#: Fewer known patients than this, and single rows are resampled instead.
MIN_CLUSTERS = 5
#: Beyond so many clusters, random bundles of clusters take their place where every cluster has a weight of its own.
MAX_GROUPS = 2000
#: Beyond so many clusters they are left out in random bundles, not singly: t hardly differs from the normal then.
MAX_LEFT_OUT = 200
#: Rows times resamples that metrics may pass over one by one; larger tables get fewer resamples.
MAX_ROW_PASSES = 400_000_000
#: Beyond so many single draws (clusters times resamples) equal clusters are drawn together.
_MAX_DRAWN = 40_000_000
#: Up to so many single draws the weights are cached: the units of one table use the same.
_KEPT_DRAWN = 4_000_000
#: Beyond so many numbers a table of counts by cluster is sparse.
_MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class Clusters:
    """What is resampled.

    Parameters
    ----------
    codes : ndarray of int64, shape (N,)
        Cluster of each row, 0 to ``count`` - 1.
    count : int
        Number of clusters.
    unit : str
        What a cluster is: patient, or the unit of the rows.
    note : str
        Warning for every interval, empty where patients are resampled.
    """

    codes: Ints
    count: int
    unit: str
    note: str


class GroupWeights(NamedTuple):
    """Weights of groups of rows: ``codes`` int64 (N,), ``bootstrap`` (resamples, G), ``jackknife`` (J, G)."""

    codes: Ints
    bootstrap: Floats
    jackknife: Floats


def clusters(predictions: Predictions) -> Clusters:
    """Choose what to resample: patients where known and at least ``MIN_CLUSTERS``, single rows otherwise.

    Parameters
    ----------
    predictions : Predictions

    Returns
    -------
    Clusters

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> clusters(read_predictions(frame)).note
    'patients unknown; resamples patches, which are not independent: the interval is too narrow'
    """
    n, unit = len(predictions), predictions.unit
    why = "patients unknown"
    if predictions.patients_known:
        codes, names = predictions.patients
        if len(names) >= MIN_CLUSTERS:
            return Clusters(codes, len(names), "patient", "")
        why = f"only {len(names)} patient{'s' if len(names) != 1 else ''}"
    if unit == "patient":
        return Clusters(np.arange(n), n, unit, f"{why}: too few for a reliable interval")
    units = f"{unit}es" if unit == "patch" else f"{unit}s"
    return Clusters(
        np.arange(n), n, unit, f"{why}; resamples {units}, which are not independent: the interval is too narrow"
    )


def bootstrap_counts(
    group: Clusters, *, cells: Ints, kinds: int, resamples: int, seed: int, limit: int = _MAX_DRAWN
) -> Floats:
    """Rows of each kind in every resample of the clusters.

    Parameters
    ----------
    group : Clusters
    cells : ndarray of int64, shape (N,)
        Kind of each row, 0 to ``kinds`` - 1: a cell of a confusion matrix, for example.
    kinds : int
    resamples, seed : int
    limit : int
        Up to so many single draws, and where hardly two clusters are equal, these are the counts under
        ``bootstrap_weights``. Beyond it clusters of equal counts are drawn together from a multinomial, which has the
        same distribution.

    Returns
    -------
    ndarray of float64, shape (resamples, kinds)

    Examples
    --------
    >>> group = Clusters(np.arange(4), 4, "patch", "")
    >>> counts = bootstrap_counts(group, cells=np.array([0, 0, 0, 1]), kinds=2, resamples=1000, seed=0)
    >>> counts.sum(axis=1).min(), counts.mean(axis=0).round(1)
    (np.float64(4.0), array([3., 1.]))
    """
    if group.count * resamples > limit:
        alike = _alike(group, cells, kinds)
        if alike is not None:
            vectors, times = alike
            drawn = _generator(group.count, seed).multinomial(group.count, times / times.sum(), size=resamples)
            return drawn.astype(np.float64) @ vectors
    few = group.count * resamples <= _KEPT_DRAWN
    per_cluster = _per_cluster(group, cells, kinds)
    parts = [bootstrap_weights(group.count, resamples, seed)] if few else _drawn(group.count, resamples, seed)
    return np.concatenate([part.astype(np.float64, copy=False) @ per_cluster for part in parts])


def resampled_means(values: Floats, clusters: NDArray[np.int64], *, resamples: int, seed: int) -> tuple[float, Floats]:
    """Mean over rows, and in each bootstrap sample of their clusters.

    The same clusters and seed give the same samples, so that means of paired values may be subtracted draw by draw.

    Parameters
    ----------
    values : ndarray of float64, shape (N,)
    clusters : ndarray of int64, shape (N,)
        Number of each row's cluster, from 0, none left out.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    float
    ndarray of float64, shape (resamples,)

    Examples
    --------
    >>> value, draws = resampled_means(np.array([0.0, 1.0, 1.0]), np.array([0, 1, 1]), resamples=50, seed=0)
    >>> round(value, 3), draws.shape
    (0.667, (50,))
    """
    sums, counts = np.bincount(clusters, weights=values), np.bincount(clusters)
    weights = bootstrap_weights(len(counts), resamples, seed)
    return float(np.mean(values)), (weights @ sums) / (weights @ counts)


def bootstrap_weights(count: int, resamples: int, seed: int) -> Floats:
    """How often each cluster is drawn in every resample.

    Parameters
    ----------
    count : int
        Number of clusters.
    resamples, seed : int

    Returns
    -------
    ndarray of float64, shape (resamples, count), read only
        Whole numbers; every row sums to ``count``.

    Examples
    --------
    >>> weights = bootstrap_weights(5, 3, seed=0)
    >>> weights.shape, weights.sum(axis=1)
    ((3, 5), array([5., 5., 5.]))
    """
    return (_cached_weights if count * resamples <= _KEPT_DRAWN else _weights)(count, resamples, seed)


def jackknife_weights(count: int) -> Floats:
    """Every cluster once, but for one that is left out of each row.

    Parameters
    ----------
    count : int
        Number of clusters; beyond ``MAX_LEFT_OUT`` one random bundle after another is left out.

    Returns
    -------
    ndarray of float64, shape (J, count)
        A single cluster is not left out.

    Examples
    --------
    >>> jackknife_weights(3)
    array([[0., 1., 1.],
           [1., 0., 1.],
           [1., 1., 0.]])
    """
    bundle = _bundles(count)
    return (np.arange(bundle.max() + 1)[:, None] != bundle).astype(np.float64) if count > 1 else np.ones((1, count))


def jackknife_counts(group: Clusters, *, cells: Ints, kinds: int) -> Floats:
    """Rows of each kind with one cluster after another left out.

    Parameters
    ----------
    group : Clusters
    cells : ndarray of int64, shape (N,)
        Kind of each row, 0 to ``kinds`` - 1.
    kinds : int

    Returns
    -------
    ndarray of float64, shape (J, kinds)

    Examples
    --------
    >>> group = Clusters(np.array([0, 0, 1]), 2, "patient", "")
    >>> jackknife_counts(group, cells=np.array([0, 1, 1]), kinds=2)
    array([[0., 1.],
           [1., 1.]])
    """
    bundle = _bundles(group.count)
    rows = bundle.max() + 1
    counts = np.bincount(bundle[group.codes] * kinds + cells, minlength=rows * kinds).reshape(rows, kinds)
    return (counts.sum(axis=0) - counts if group.count > 1 else counts).astype(np.float64)


def group_weights(group: Clusters, *, resamples: int, seed: int) -> GroupWeights:
    """Weights of groups of rows in every resample, and with one group after another left out.

    Parameters
    ----------
    group : Clusters
    resamples, seed : int

    Returns
    -------
    GroupWeights
        Groups are the clusters; beyond ``MAX_GROUPS``, or ``MAX_LEFT_OUT`` without resamples, random bundles of whole
        clusters, so that the table stays small.

    Examples
    --------
    >>> found = group_weights(Clusters(np.array([0, 0, 1]), 2, "patient", ""), resamples=10, seed=0)
    >>> found.codes, found.bootstrap.shape, found.jackknife.shape
    (array([0, 0, 1]), (10, 2), (2, 2))
    """
    codes, count = group.codes, group.count
    if not resamples and count > MAX_LEFT_OUT:  # the jackknife alone: what is left out together is one group
        codes, count = _bundles(count)[codes], MAX_LEFT_OUT
    elif count > MAX_GROUPS:
        codes, count = _generator(count, seed).permutation(count)[codes] % MAX_GROUPS, MAX_GROUPS
    return GroupWeights(codes, bootstrap_weights(count, resamples, seed), jackknife_weights(count))


def affordable_resamples(resamples: int, rows: int) -> tuple[int, str]:
    """Number of resamples for a metric that passes over all rows in each of them.

    Parameters
    ----------
    resamples : int
        As requested.
    rows : int
        Rows of the table.

    Returns
    -------
    used : int
        At least 200 of those requested, and all where they are within ``MAX_ROW_PASSES``.
    note : str
        That there are fewer; empty where there are not.

    Examples
    --------
    >>> affordable_resamples(2000, 600), affordable_resamples(2000, 1_000_000)
    ((2000, ''), (400, 'interval from 400 resamples'))
    """
    used = int(min(resamples, max(200, MAX_ROW_PASSES // max(rows, 1))))
    return used, f"interval from {used} resamples" if used < resamples else ""


def _per_cluster(group: Clusters, cells: Ints, kinds: int) -> Floats | csr_array:
    """Rows of each kind of a cluster, float64 (clusters, kinds); sparse where that would be large."""
    if group.count * kinds > _MAX_CELLS:
        return csr_array((np.ones(len(cells)), (group.codes, cells)), shape=(group.count, kinds))
    counts = np.bincount(group.codes * kinds + cells, minlength=group.count * kinds)
    return counts.reshape(-1, kinds).astype(np.float64)


def _alike(group: Clusters, cells: Ints, kinds: int) -> tuple[Floats, Ints] | None:
    """Distinct count vectors of clusters, float64 (M, kinds), and how many clusters have each; None if M is large."""
    if group.count == len(cells):  # a cluster is a row
        return np.eye(kinds), np.bincount(cells, minlength=kinds)
    if group.count * kinds > _MAX_CELLS:
        return None
    per_cluster = np.asarray(_per_cluster(group, cells, kinds)).astype(np.int64)
    base = per_cluster.max(axis=0) + 1
    if np.log2(base).sum() > 62:
        return None
    place = np.concatenate([[1], np.cumprod(base[:-1])])  # mixed radix: one number per count vector
    _, first, times = np.unique(per_cluster @ place, return_index=True, return_counts=True)
    return (per_cluster[first].astype(np.float64), times) if 8 * len(first) <= group.count else None


def _weights(count: int, resamples: int, seed: int) -> Floats:
    weights, at = np.empty((resamples, count)), 0
    for part in _drawn(count, resamples, seed):
        weights[at : at + len(part)] = part
        at += len(part)
    weights.flags.writeable = False
    return weights


_cached_weights = lru_cache(maxsize=2)(_weights)


def _drawn(count: int, resamples: int, seed: int) -> Iterator[Ints]:
    """The rows of ``bootstrap_weights``, some at a time: int (b, count)."""
    rng, step = _generator(count, seed), max(1, 2**18 // max(count, 1))
    for at in range(0, resamples, step):
        rows = min(step, resamples - at)
        drawn = rng.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


def _generator(count: int, seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, count]))


def _bundles(count: int) -> Ints:
    return np.arange(count) if count <= MAX_LEFT_OUT else np.random.default_rng(0).permutation(count) % MAX_LEFT_OUT
