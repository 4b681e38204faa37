"""Search for similar patches: exhaustive up to a number of patches, and within cells of similar vectors beyond.

Beyond EXHAUSTIVE the vectors are divided into cells by k-means, and each is compared with those of its nearest cells
only (an inverted file: Sivic and Zisserman 2003, doi 10.1109/ICCV.2003.1238663), so that time grows with the number of
patches to the power of 1.5. Blocks have bounded memory either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from her2core.data.checks.fingerprint import CORNER, oriented_vectors

#: Cosine similarity of vectors from which two patches are candidates.
MIN_SIMILARITY = 0.75
#: Nearest neighbours kept per patch; a pair must be among those of one of its two patches.
MAX_NEIGHBOURS = 8
_ROWS, _COLUMNS = 512, 2048
#: Patches beyond which only the nearest cells are compared; similarity and neighbours of a candidate then, and cells.
EXHAUSTIVE, _MIN_SIMILARITY_OF_MANY, _NEIGHBOURS_OF_MANY, _CELLS_COMPARED = 12_000, 0.85, 2, 4
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
    held = 0
    neighbours = MAX_NEIGHBOURS if count <= EXHAUSTIVE else _NEIGHBOURS_OF_MANY
    pieces: list[tuple[np.ndarray, ...]] = []
    blocks = _all_pairs if count <= EXHAUSTIVE else _within_cells
    for first, second, similarity in blocks(vectors, by_orientation):
        keep = first != second
        if source is not None:
            keep &= source[first] != source[second]
        if part is not None:
            keep &= part[first] != part[second]
        pieces.append(_nearest(neighbours, first[keep], second[keep], similarity[keep]))
        held += len(pieces[-1][0])
        if held > _MAX_PAIRS:
            pieces = [_nearest(neighbours, *_joined(pieces))]
            held = len(pieces[0][0])
    first, second, similarity = _nearest(neighbours, *_joined(pieces))
    # A pair may be found from both sides: the better one is kept.
    order = np.argsort(-similarity, kind="stable")
    key = np.minimum(first, second)[order] * count + np.maximum(first, second)[order]
    kept = np.sort(order[np.unique(key, return_index=True)[1]])
    return Candidates(first[kept], second[kept], *_best_match(vectors, by_orientation, first[kept], second[kept]))


def _all_pairs(vectors: np.ndarray, by_orientation: list[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    count = vectors.shape[1]
    for top in range(0, count, _ROWS):
        for left in range(0, count, _COLUMNS):
            columns = [turned[:, left : left + _COLUMNS] for turned in by_orientation]
            first, second, similarity = _similar(vectors[:, top : top + _ROWS], columns)
            yield first + top, second + left, similarity


def _within_cells(vectors: np.ndarray, by_orientation: list[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Similar pairs in which the turned second patch lies in one of the cells nearest to the first."""
    from sklearn.cluster import MiniBatchKMeans

    count = vectors.shape[1]
    turned = np.concatenate([t.T for t in by_orientation])
    cells = round(2 * np.sqrt(len(turned)))
    rng = np.random.default_rng(0)
    sample = turned[rng.choice(len(turned), min(len(turned), 30 * cells), replace=False)]
    model = MiniBatchKMeans(cells, random_state=0, n_init=1, max_iter=20, batch_size=4096).fit(sample)
    centres = model.cluster_centers_.astype(np.float32)
    asked = vectors.reshape(-1, vectors.shape[2])
    members = _by_cell(turned, centres, 1)
    askers = _by_cell(asked, centres, _CELLS_COMPARED)
    for cell in range(cells):
        own, other = askers[cell], members[cell]
        for begin in range(0, len(own), _COLUMNS):
            some = own[begin : begin + _COLUMNS]
            similarity = asked[some] @ turned[other].T
            i, j = np.nonzero(similarity >= _MIN_SIMILARITY_OF_MANY)
            yield some[i] % count, other[j] % count, similarity[i, j]


def _by_cell(values: np.ndarray, centres: np.ndarray, nearest: int) -> list[np.ndarray]:
    """Rows of ``values`` of each cell, where each row is in its ``nearest`` cells."""
    norms = (centres**2).sum(axis=1)
    found = np.empty((len(values), nearest), np.int32)
    for begin in range(0, len(values), 32_768):
        distance = norms - 2 * values[begin : begin + 32_768] @ centres.T
        found[begin : begin + 32_768] = np.argpartition(distance, nearest - 1, axis=1)[:, :nearest]
    flat, rows = found.ravel(), np.repeat(np.arange(len(values)), nearest)
    order = np.argsort(flat, kind="stable")
    return np.split(rows[order], np.searchsorted(flat[order], np.arange(1, len(centres))))


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


def _nearest(neighbours: int, first: np.ndarray, second: np.ndarray, similarity: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pairs among so many nearest neighbours of ``first``, or among those of ``second``; a pair may be there twice."""
    kept = np.zeros(len(first), bool)
    for one, other in ((first, second), (second, first)):
        order = np.lexsort((other, -similarity, one))
        starts = np.flatnonzero(np.diff(one[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        kept[order[rank < neighbours]] = True
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
