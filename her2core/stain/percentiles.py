"""Percentiles near the ends of long arrays, exact and without ordering what lies between.

A sample gives a bound that somewhat more values exceed than are asked for; the order statistics are taken from those
alone. Where the sample misleads, all values are ordered.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

#: Eight neighbours in so many values are sampled: less memory is read than for single ones.
_STEP, _NEIGHBOURS = 296, 8
#: Values fewer than this are ordered at once.
_SHORT = 4096

_Floats = npt.NDArray[np.floating[Any]]


def upper_order(values: _Floats, percent: float) -> tuple[float, float, float]:
    """The two order statistics that enclose a percentile, and how far it lies between them.

    Parameters
    ----------
    values : float array (N,)
        Without NaN, N at least 1.
    percent : float
        50 to 100; the nearer to 100, the less is ordered.

    Returns
    -------
    lower, upper : float
    weight : float
        0 to 1: the percentile as ``numpy.percentile`` interpolates is ``lower + weight * (upper - lower)``.

    Examples
    --------
    >>> upper_order(np.arange(101, dtype=np.float32), 98.5)
    (98.0, 99.0, 0.5)
    """
    position = percent / 100 * (len(values) - 1)
    below = min(math.floor(position + 1e-9), len(values) - 1)
    needed = len(values) - below
    largest = values
    if len(values) >= _SHORT:
        sample = values[: len(values) // _STEP * _STEP].reshape(-1, _STEP)[:, :_NEIGHBOURS].ravel()
        place = len(sample) - 12 - math.ceil(2 * needed * len(sample) / len(values))
        if place > len(sample) // 2:
            chosen = values[values >= np.sort(sample)[place]]
            largest = chosen if len(chosen) >= needed else values
    first = len(largest) - needed
    last = min(first + 1, len(largest) - 1)
    ordered = np.sort(largest) if len(largest) < _SHORT else np.partition(largest, (first, last))
    return float(ordered[first]), float(ordered[last]), max(0.0, position - below)


def upper_percentile(values: _Floats, percent: float) -> float:
    """A percentile from 50 to 100, as ``numpy.percentile`` interpolates it.

    Parameters
    ----------
    values, percent
        As in `upper_order`.

    Returns
    -------
    float

    Examples
    --------
    >>> upper_percentile(np.arange(101, dtype=np.float32), 99.0)
    99.0
    """
    lower, upper, weight = upper_order(values, percent)
    return lower + weight * (upper - lower)
