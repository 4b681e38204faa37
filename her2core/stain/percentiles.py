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


def upper_order(values: _Floats, percent: float, number: int | None = None) -> tuple[float, float, float]:
    """The two order statistics that enclose a percentile, and how far it lies between them.

    Parameters
    ----------
    values : float array (N,)
        At least one that is not NaN.
    percent : float
        50 to 100; the nearer to 100, the less is ordered.
    number : int, optional
        How many are not NaN: the percentile is that of these. All of them when left out.

    Returns
    -------
    lower, upper : float
    weight : float
        0 to 1: the percentile as ``numpy.percentile`` interpolates is ``lower + weight * (upper - lower)``.

    Examples
    --------
    >>> upper_order(np.arange(101, dtype=np.float32), 98.5)
    (98.0, 99.0, 0.5)
    >>> upper_order(np.array([np.nan, 3.0, 1.0, 2.0]), 75.0, number=3)
    (2.0, 3.0, 0.5)
    """
    count = len(values) if number is None else number
    position = percent / 100 * (count - 1)
    below = min(math.floor(position + 1e-9), count - 1)
    needed = count - below
    largest = values[:0]
    if count >= _SHORT:
        sample = values[: len(values) // _STEP * _STEP].reshape(-1, _STEP)[:, :_NEIGHBOURS].ravel()
        sample = sample if number is None else sample[~np.isnan(sample)]
        place = len(sample) - 12 - math.ceil(2 * needed * len(sample) / count)
        if place > len(sample) // 2:
            largest = values.compress(values >= np.sort(sample)[place])
    if len(largest) < needed:
        largest = values if number is None else values[~np.isnan(values)]
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
