"""Exhaustive search for similar patches among all pairs, in blocks of bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.data.checks.fingerprint import CORNER, oriented_vectors

#: Cosine similarity of vectors from which two patches are candidates.
MIN_SIMILARITY = 0.75
#: Nearest neighbours kept per patch; a pair must be among those of one of its two patches.
MAX_NEIGHBOURS = 8
_ROWS, _COLUMNS = 512, 2048
#: Pairs in memory at once, before all but the nearest neighbours are dropped.
_MAX_PAIRS = 2_000_000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of patches that may be near-duplicates, each pair once; arrays of length P.

    Parameters
    ----------
    first, second : ndarray, int (P,)
        Indices of the two patches.
    orientation : ndarray, int (P,)
        Orientation of ``second`` (0 to 7) in which the two are most similar.
    window : ndarray, int (P,)
        Window of ``first`` (0 to 4, as `fingerprint.windows`) that resembles the whole of ``second``.
    """

    first: np.ndarray
    second: np.ndarray
    orientation: np.ndarray
    window: np.ndarray

    def start(self) -> np.ndarray:
        """First guess for `alignment.aligned_correlation` of ``first`` and the oriented ``second``, float32 (P, 4)."""
        side = np.where(self.window == 0, 1.0, CORNER)
        towards = np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)])[self.window] * (1 - side)[:, None]
        scale = 1 / side
        return np.stack([scale, -towards[:, 0] * scale, scale, -towards[:, 1] * scale], axis=1).astype("f4")


def find_candidates(
    vectors: np.ndarray, *, source: np.ndarray | None = None, part: np.ndarray | None = None
) -> Candidates:
    """Find the nearest neighbours of each patch.

    Parameters
    ----------
    vectors : ndarray, float32 (5, N, D)
        As `fingerprint.vectors` gives them.
    source : ndarray, int (N,), optional
        Image from which each patch was cut; pairs within one image are left out.
    part : ndarray, int (N,), optional
        Part of a split; only pairs across parts are kept.

    Returns
    -------
    Candidates

    Examples
    --------
    >>> from her2core.data.checks.fingerprint import SIDE, vectors
    >>> images = np.random.default_rng(0).random((3, SIDE, SIDE))
    >>> images[2] = images[0].T
    >>> found = find_candidates(vectors(images))
    >>> found.first.tolist(), found.second.tolist(), found.orientation.tolist()
    ([0], [2], [1])
    """
    count = vectors.shape[1]
    by_orientation = [np.ascontiguousarray(oriented_vectors(vectors[0], o).T) for o in range(8)]
    pieces: list[tuple[np.ndarray, ...]] = []
    for top in range(0, count, _ROWS):
        for left in range(0, count, _COLUMNS):
            columns = [turned[:, left : left + _COLUMNS] for turned in by_orientation]
            first, second, similarity = _similar(vectors[:, top : top + _ROWS], columns)
            first, second = first + top, second + left
            keep = first != second
            if source is not None:
                keep &= source[first] != source[second]
            if part is not None:
                keep &= part[first] != part[second]
            pieces.append(_nearest(first[keep], second[keep], similarity[keep]))
        if sum(len(piece[0]) for piece in pieces) > _MAX_PAIRS:
            pieces = [_nearest(*_joined(pieces))]
    first, second, similarity = _nearest(*_joined(pieces))
    # A pair may be found from both sides: the better one is kept.
    order = np.argsort(-similarity, kind="stable")
    key = np.minimum(first, second)[order] * count + np.maximum(first, second)[order]
    kept = np.sort(order[np.unique(key, return_index=True)[1]])
    return Candidates(first[kept], second[kept], *_best_match(vectors, by_orientation, first[kept], second[kept]))


def _similar(own: np.ndarray, by_orientation: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and similarity of pairs that reach MIN_SIMILARITY at the best window and orientation."""
    best = np.full((own.shape[1], by_orientation[0].shape[1]), -1, np.float32)
    scratch = np.empty_like(best)
    for turned in by_orientation:
        for window in own:
            np.matmul(window, turned, out=scratch)
            np.maximum(best, scratch, out=best)
    i, j = np.nonzero(best >= MIN_SIMILARITY)
    return i, j, best[i, j]


def _joined(pieces: list[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*pieces, strict=True)] if pieces else [np.empty(0, int)] * 3


def _nearest(first: np.ndarray, second: np.ndarray, similarity: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pairs among the MAX_NEIGHBOURS nearest of ``first``, or among those of ``second``."""
    kept = np.zeros(len(first), bool)
    for one, other in ((first, second), (second, first)):
        order = np.lexsort((other, -similarity, one))
        starts = np.flatnonzero(np.diff(one[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        kept[order[rank < MAX_NEIGHBOURS]] = True
    return first[kept], second[kept], similarity[kept]


def _best_match(
    vectors: np.ndarray, by_orientation: list[np.ndarray], first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Orientation of ``second`` and window of ``first`` of the highest similarity, int (P,) each."""
    chosen = np.zeros(len(first), int)
    for begin in range(0, len(first), _ROWS):
        some = slice(begin, begin + _ROWS)
        own = vectors[:, first[some]]
        each = [np.einsum("pd,dp->p", window, turned[:, second[some]]) for turned in by_orientation for window in own]
        chosen[some] = np.argmax(each, axis=0)
    orientation, window = np.divmod(chosen, len(vectors))
    return orientation, window
