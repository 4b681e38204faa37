"""Rules that aggregate patch probabilities to a slide or patient.

``mean`` of the probabilities; ``majority`` vote; ``top_k``, for each class the mean over the tenth of the patches with
the highest probability of it (a small focus counts); ``noisy_or``, a class is present as soon as one patch shows it
(Pearl 1988, ISBN 1-55860-479-0). ``mean`` is used unless another is asked for; ``aggregate.choose_rule`` chooses one on
validation data, which costs accuracy on test data (benchmarks/results/aggregation_rule.json).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.evidence.arguments import check_choice
from her2core.evidence.metrics.metric import Floats

Ints = NDArray[np.int64]

#: Rule unless another is asked for.
DEFAULT_RULE = "mean"
#: In place of a rule: the one that is best on the validation part.
BY_VALIDATION = "validation"
#: Proportion of a unit's patches that ``top_k`` averages, at least one patch.
TOP_PROPORTION = 0.1
#: Significant digits of an aggregated probability: rounding errors of a sum, which depend on number and order of the
#: patches, must not decide between units or classes that are equal.
DIGITS = 12
#: Weight of the mean, by which classes that a rule leaves equal are ranked.
_TIE = 1e-6


def _mean(probs: Floats, codes: Ints, count: Ints) -> Floats:
    return np.stack([np.bincount(codes, weights=p, minlength=len(count)) / count for p in probs.T], axis=1)


def _majority(probs: Floats, codes: Ints, count: Ints) -> Floats:
    classes = probs.shape[1]
    votes = np.bincount(codes * classes + probs.argmax(axis=1), minlength=len(count) * classes)
    return votes.reshape(-1, classes) / count[:, None]


def _top_k(probs: Floats, codes: Ints, count: Ints) -> Floats:
    kept = np.maximum(1, np.ceil(TOP_PROPORTION * count - 1e-9).astype(int))
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    columns = []
    for p in probs.T:
        order = np.lexsort((-p, codes))  # unit after unit, its patches from high to low
        high = np.arange(len(p)) - starts[codes[order]] < kept[codes[order]]
        columns.append(np.bincount(codes[order][high], weights=p[order][high], minlength=len(count)) / kept)
    return np.stack(columns, axis=1)


def _noisy_or(probs: Floats, codes: Ints, count: Ints) -> Floats:
    absent = np.log1p(-np.clip(probs, 0, 1 - 1e-12))
    return np.stack([-np.expm1(np.bincount(codes, weights=a, minlength=len(count))) for a in absent.T], axis=1)


#: Name -> probs float (N, K), codes int (N,), patches of each unit int (U,) -> float (U, K), not yet summing to one.
RULES: dict[str, Callable[[Floats, Ints, Ints], Floats]] = {
    "mean": _mean,
    "majority": _majority,
    "top_k": _top_k,
    "noisy_or": _noisy_or,
}


def combine(probs: ArrayLike, codes: ArrayLike, *, rule: str) -> Floats:
    """Aggregate the probabilities of patches to their units.

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Probabilities of the patches.
    codes : array_like of int, shape (N,)
        Unit of each patch, 0 to U - 1, each at least once.
    rule : {'mean', 'majority', 'top_k', 'noisy_or'}
        Of ``RULES``. Under all but ``mean``, classes that a rule leaves equal are ranked by the mean.

    Returns
    -------
    ndarray of float64, shape (U, K)
        Rows sum to one.

    Raises
    ------
    ConfigError
        For an unknown rule.

    Examples
    --------
    >>> combine([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 0, 0], rule="mean").round(3)
    array([[0.567, 0.433]])
    >>> combine([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], [0, 0, 0], rule="majority").round(3)
    array([[0.333, 0.667]])
    """
    check_choice("rule", rule, RULES)
    units, values = np.asarray(codes, np.int64), np.asarray(probs, np.float64)
    count = np.bincount(units)
    found = RULES[rule](values, units, count)
    if rule != "mean":
        found = found / found.sum(axis=1, keepdims=True) + _TIE * _mean(values, units, count)
    return _rounded(found / found.sum(axis=1, keepdims=True))


def _rounded(values: Floats) -> Floats:
    scale = 10.0 ** (DIGITS - np.ceil(np.log10(np.clip(values, 1e-280, None))))
    return np.asarray(np.round(values * scale) / scale)
