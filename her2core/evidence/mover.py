"""Intervals of sums, differences and ratios of independent estimates, from the interval of each (MOVER).

The method of variance estimates recovery takes the distances of an estimate from its own bounds as its spread, so that
intervals which respect a range, such as Wilson's, give one of a function of several estimates that does so too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Estimate(NamedTuple):
    """An estimate with its bounds.

    Parameters
    ----------
    value, low, high : float
        Bounds are NaN where there is no interval.
    """

    value: float
    low: float
    high: float


def weighted_sum(terms: Iterable[tuple[float, Estimate]]) -> Estimate:
    """Sum of independent estimates with known weights.

    Parameters
    ----------
    terms : iterable of (float, Estimate)
        Weight, at least 0, and estimate; terms of weight 0 count for nothing.

    Returns
    -------
    Estimate
        Bounds are NaN where one of a term is.

    References
    ----------
    Zou & Donner 2008, doi 10.1002/sim.3095.

    Examples
    --------
    >>> found = weighted_sum([(0.5, Estimate(0.8, 0.7, 0.9)), (0.5, Estimate(0.6, 0.5, 0.7))])
    >>> [round(x, 3) for x in found]
    [0.7, 0.629, 0.771]
    """
    kept = [(weight, term) for weight, term in terms if weight]
    value = sum(weight * term.value for weight, term in kept)
    below = math.sqrt(sum((weight * (term.value - term.low)) ** 2 for weight, term in kept))
    above = math.sqrt(sum((weight * (term.high - term.value)) ** 2 for weight, term in kept))
    return Estimate(value, value - below, value + above)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Difference of two independent estimates.

    Parameters
    ----------
    first, second : Estimate
        With bounds at one level, which is that of the result.

    Returns
    -------
    Estimate
        ``first`` less ``second``; bounds are NaN where one of either is.

    References
    ----------
    Newcombe 1998, Statistics in Medicine 17:873 (method 10); Zou & Donner 2008, doi 10.1002/sim.3095.

    Examples
    --------
    >>> found = difference(Estimate(56 / 70, 0.6918, 0.877), Estimate(48 / 80, 0.4905, 0.7004))
    >>> [round(x, 4) for x in found]
    [0.2, 0.0524, 0.3339]
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


def ratio(top: Estimate, bottom: Estimate) -> Estimate:
    """Ratio of two independent estimates that are not negative.

    Parameters
    ----------
    top, bottom : Estimate
        At least 0.

    Returns
    -------
    Estimate
        Infinite, without bounds, where ``bottom`` is 0; the upper bound is infinite where that of ``bottom`` reaches 0.

    References
    ----------
    Newcombe 2016, doi 10.1177/0962280213502144.

    Examples
    --------
    >>> [round(x, 3) for x in ratio(Estimate(0.0, 0.0, 0.1), Estimate(0.8, 0.7, 0.9))]
    [0.0, 0.0, 0.126]
    """
    if bottom.value <= 0:
        return Estimate(math.inf if top.value > 0 else math.nan, math.nan, math.nan)
    product = top.value * bottom.value

    def root(end: float, other: float) -> float:
        return math.sqrt(max(0.0, product**2 - end * other * (2 * top.value - end) * (2 * bottom.value - other)))

    low = (product - root(top.low, bottom.high)) / (bottom.high * (2 * bottom.value - bottom.high) or math.nan)
    divisor = bottom.low * (2 * bottom.value - bottom.low)
    high = (product + root(top.high, bottom.low)) / divisor if divisor > 0 else math.inf
    return Estimate(top.value / bottom.value, max(0.0, low), high)
