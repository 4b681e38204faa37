"""Which of many patches look alike enough to be laid over each other? Vectors in; the likeliest pairs out.

Every patch is compared with every other in blocks: memory grows with the number of patches and not with its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.data.checks.fingerprint import CORNER, turned_vectors

#: Cosine between vectors from which two patches are laid over each other.
MIN_SIMILARITY = 0.75
#: At most this many of a patch's likeliest partners are looked at; a pair needs to be among those of one of the two.
PARTNERS = 8
_ROWS, _COLUMNS = 512, 2048
#: Pairs held at once, before all but the likeliest are dropped.
_HELD = 2_000_000


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be near-duplicates, each once; arrays of length P.

    A window (0 to 4, as `fingerprint.windows`) of ``first`` looks like the whole of ``second`` in ``pose``.
    """

    first: np.ndarray
    second: np.ndarray
    pose: np.ndarray
    window: np.ndarray

    def start(self) -> np.ndarray:
        """float32 (P, 4): the first guess for `alignment.agreement`, of ``first`` and the turned ``second``."""
        side = np.where(self.window == 0, 1.0, CORNER)
        towards = np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)])[self.window] * (1 - side)[:, None]
        stretch = 1 / side
        return np.stack([stretch, -towards[:, 0] * stretch, stretch, -towards[:, 1] * stretch], axis=1).astype("f4")


def find_candidates(
    vectors: np.ndarray, *, apart: np.ndarray | None = None, within: np.ndarray | None = None
) -> Candidates:
    """The likeliest partners of each patch.

    Parameters
    ----------
    vectors : float32 (5, N, D) as `fingerprint.vectors` gives.
    apart : int (N,), groups inside which pairs are not sought (images that windows are cut from).
    within : int (N,), parts of a split; pairs are sought across parts only. All pairs where left out.
    """
    count = vectors.shape[1]
    posed = [np.ascontiguousarray(turned_vectors(vectors[0], pose).T) for pose in range(8)]
    pieces: list[tuple[np.ndarray, ...]] = []
    for top in range(0, count, _ROWS):
        for left in range(0, count, _COLUMNS):
            columns = [turned[:, left : left + _COLUMNS] for turned in posed]
            first, second, similarity = _alike(vectors[:, top : top + _ROWS], columns)
            first, second = first + top, second + left
            keep = first != second
            if apart is not None:
                keep &= apart[first] != apart[second]
            if within is not None:
                keep &= within[first] != within[second]
            pieces.append(_likeliest(first[keep], second[keep], similarity[keep]))
        if sum(len(piece[0]) for piece in pieces) > _HELD:
            pieces = [_likeliest(*_joined(pieces))]
    first, second, similarity = _likeliest(*_joined(pieces))
    # A pair may be found from both sides: the better one is kept.
    order = np.argsort(-similarity, kind="stable")
    key = np.minimum(first, second)[order] * count + np.maximum(first, second)[order]
    kept = np.sort(order[np.unique(key, return_index=True)[1]])
    return Candidates(first[kept], second[kept], *_how(vectors, posed, first[kept], second[kept]))


def _alike(own: np.ndarray, posed: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns whose similarity, at the best window and pose, is MIN_SIMILARITY or more; and the similarity."""
    best = np.full((own.shape[1], posed[0].shape[1]), -1, np.float32)
    scratch = np.empty_like(best)
    for turned in posed:
        for window in own:
            np.matmul(window, turned, out=scratch)
            np.maximum(best, scratch, out=best)
    i, j = np.nonzero(best >= MIN_SIMILARITY)
    return i, j, best[i, j]


def _joined(pieces: list[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*pieces, strict=True)] if pieces else [np.empty(0, int)] * 3


def _likeliest(first: np.ndarray, second: np.ndarray, similarity: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pairs among the PARTNERS likeliest of ``first``, or among those of ``second``."""
    kept = np.zeros(len(first), bool)
    for one, other in ((first, second), (second, first)):
        order = np.lexsort((other, -similarity, one))
        starts = np.flatnonzero(np.diff(one[order], prepend=-1))
        place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        kept[order[place < PARTNERS]] = True
    return first[kept], second[kept], similarity[kept]


def _how(
    vectors: np.ndarray, posed: list[np.ndarray], first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pose of ``second`` and the window of ``first`` in which they look most alike, int (P,) each."""
    chosen = np.zeros(len(first), int)
    for begin in range(0, len(first), _ROWS):
        some = slice(begin, begin + _ROWS)
        own = vectors[:, first[some]]
        each = [np.einsum("pd,dp->p", window, turned[:, second[some]]) for turned in posed for window in own]
        chosen[some] = np.argmax(each, axis=0)
    return np.divmod(chosen, len(vectors))
