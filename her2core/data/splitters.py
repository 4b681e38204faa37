"""Site-preserved folds: a splitter in scikit-learn's form that keeps each site's patients in one fold.

Patients of one site share scanner, staining and case mix, so that a network that recognises the site gains where the
site is in training and test (Howard et al. 2021). They balance the classes over folds by quadratic programming; here
sites are assigned one after another, the largest first, to the fold that stays best balanced, and the best of several
orders is kept (our choice). Where this would leave a class without a patient to train on, the site is divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

#: Orders of the sites that are tried.
ORDERS = 50


class SitePreservedKFold(StratifiedGroupKFold):
    """K folds of patients with each site in one fold, as far as every class keeps a patient outside of each fold.

    Parameters
    ----------
    n_splits : int
        Folds, at least 2.
    random_state : int
        Of the orders tried.

    Attributes
    ----------
    divided : tuple of str
        After ``split``: sites whose patients are in several folds, because they hold all patients of a class.

    References
    ----------
    Howard et al. 2021, The impact of site-specific digital histology signatures on deep learning model accuracy and
    bias, doi 10.1038/s41467-021-24698-1.

    Examples
    --------
    >>> splitter = SitePreservedKFold(2, random_state=0)
    >>> labels, sites = [0, 1, 0, 1, 0, 1, 0, 1], ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> folds = [sorted({sites[i] for i in test}) for _, test in splitter.split(labels, labels, sites)]
    >>> sorted(map(len, folds)), splitter.divided
    ([2, 2], ())
    """

    divided: tuple[str, ...] = ()

    def __init__(self, n_splits: int = 5, *, random_state: int = 0) -> None:
        super().__init__(n_splits=n_splits, shuffle=True, random_state=random_state)

    def _iter_test_indices(self, X: Any, y: Any, groups: Any) -> Iterator[NDArray[np.int64]]:
        """The only method that scikit-learn's splitters of this kind define; ``split`` makes the rest of it."""
        labels, sites = np.unique(y, return_inverse=True)[1], np.asarray(groups).astype(str)
        rng = np.random.default_rng(self.random_state)
        tried = [self._assign(labels, sites, rng) for _ in range(ORDERS)]
        best, self.divided = min(tried, key=lambda found: (len(found[1]), _imbalance(labels, found[0], self.n_splits)))
        for fold in range(self.n_splits):
            yield np.flatnonzero(best == fold)

    def _assign(
        self, labels: NDArray[np.int64], sites: NDArray[np.str_], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        classes = int(labels.max()) + 1
        total = np.bincount(labels, minlength=classes)
        names = np.unique(sites)
        rng.shuffle(names)
        names = names[np.argsort([-int((sites == name).sum()) for name in names], kind="stable")]
        folds = np.full(len(labels), -1, np.int64)
        held = np.zeros((self.n_splits, classes), np.int64)
        divided = []
        for name in names:
            members = np.flatnonzero(sites == name)
            fold = _best_fold(held, np.bincount(labels[members], minlength=classes), total)
            if fold is not None:
                folds[members] = fold
                held[fold] += np.bincount(labels[members], minlength=classes)
                continue
            divided.append(str(name))
            for member in rng.permutation(members):
                one = np.bincount(labels[[member]], minlength=classes)
                chosen = _best_fold(held, one, total)
                fold = int(held.sum(axis=1).argmin()) if chosen is None else chosen
                folds[member] = fold
                held[fold] += one
        return folds, tuple(sorted(divided))


def _best_fold(held: NDArray[np.int64], added: NDArray[np.int64], total: NDArray[np.int64]) -> int | None:
    """The fold that stays best balanced of those that leave a patient of every class outside, or None."""
    best, lowest = None, (np.inf, np.inf)
    for fold in range(len(held)):
        after = held[fold] + added
        if (after >= total).any():
            continue
        counts = held.copy()
        counts[fold] = after
        score = float((counts / total).std(axis=0).mean()), float(after.sum())
        if score < lowest:
            best, lowest = fold, score
    return best


def _imbalance(labels: NDArray[np.int64], folds: NDArray[np.int64], count: int) -> float:
    shares = [np.bincount(folds[labels == k], minlength=count) / (labels == k).sum() for k in range(labels.max() + 1)]
    return float(np.std(shares, axis=1).mean())
