"""How do many patches become one answer? Probabilities of patches and their unit in; probabilities of each unit out.

Four rules, by name: ``mean`` of the probabilities; ``majority`` vote; ``top_k``, for each class the mean over the tenth
of the patches that show it most (a small focus counts); ``noisy_or``, a class is there as soon as one patch shows it
(Pearl 1988, ISBN 1-55860-479-0). Which of them serves is chosen on validation data, never on test data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Share of a unit's patches that ``top_k`` looks at, at least one patch.
TOP_SHARE = 0.1
#: Weight of the mean where a rule leaves two classes equal, so that a tie is broken by it.
_TIE = 1e-6


def _mean(probs: np.ndarray, codes: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(codes, weights=p, minlength=len(count)) / count for p in probs.T], axis=1)


def _majority(probs: np.ndarray, codes: np.ndarray, count: np.ndarray) -> np.ndarray:
    classes = probs.shape[1]
    votes = np.bincount(codes * classes + probs.argmax(axis=1), minlength=len(count) * classes)
    return votes.reshape(-1, classes) / count[:, None]


def _top_k(probs: np.ndarray, codes: np.ndarray, count: np.ndarray) -> np.ndarray:
    kept = np.maximum(1, np.ceil(TOP_SHARE * count - 1e-9).astype(int))
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    columns = []
    for p in probs.T:
        order = np.lexsort((-p, codes))  # unit after unit, its patches from high to low
        high = np.arange(len(p)) - starts[codes[order]] < kept[codes[order]]
        columns.append(np.bincount(codes[order][high], weights=p[order][high], minlength=len(count)) / kept)
    return np.stack(columns, axis=1)


def _noisy_or(probs: np.ndarray, codes: np.ndarray, count: np.ndarray) -> np.ndarray:
    absent = np.log1p(-np.clip(probs, 0, 1 - 1e-12))
    return np.stack([-np.expm1(np.bincount(codes, weights=a, minlength=len(count))) for a in absent.T], axis=1)


#: Name -> probs float (N, K), codes int (N,), patches of each unit int (U,) -> float (U, K), not yet summing to one.
RULES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "majority": _majority,
    "top_k": _top_k,
    "noisy_or": _noisy_or,
}


def combine(probs: np.ndarray, codes: np.ndarray, *, rule: str) -> np.ndarray:
    """float (N, K) and unit codes int (N,), 0 to U - 1, each at least once -> float64 (U, K), rows that sum to one.

    Under all but ``mean``, classes that a rule leaves equal are told apart by the mean.
    """
    count = np.bincount(codes)
    found = RULES[rule](np.asarray(probs, np.float64), codes, count)
    if rule != "mean":
        found = found / found.sum(axis=1, keepdims=True) + _TIE * _mean(probs, codes, count)
    return found / found.sum(axis=1, keepdims=True)
