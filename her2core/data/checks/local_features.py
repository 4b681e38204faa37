"""Local features of patches, and pairs of patches that share tissue though framed, turned or magnified differently.

A fingerprint of the whole patch fails where copies share only a part of their tissue. Here SIFT key points (Lowe 2004,
Int J Comput Vis 60:91, doi 10.1023/B:VISI.0000029664.99615.94; descriptors as RootSIFT, Arandjelovic and Zisserman
2012) are found in each patch. Two patches are candidates where several of their descriptors fall into one cell of an
inverted multi-index (Babenko and Lempitsky 2015, IEEE TPAMI 37:1247, doi 10.1109/TPAMI.2014.2361319) with the same
difference of scale and angle (weak geometric consistency: Jegou et al. 2008, doi 10.1007/978-3-540-88682-2_24). Of each
candidate, matches are fitted with a rotation, scale and shift by RANSAC. Time grows with the number of patches, not of
pairs; it is measured by benchmarks/copies.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from her2core.io.images import RGBImage

#: Key points kept per patch, and the side in pixels to which larger patches are reduced.
POINTS, SIDE = 128, 256
#: Matches that agree on one rotation, scale and shift from which two patches share tissue, and their share of matches.
MIN_INLIERS, MIN_INLIER_SHARE = 9, 0.25
#: Cells to which a descriptor is compared on each side, votes of a candidate, and candidates of a patch.
_NEAREST, _MIN_VOTES, _MAX_CANDIDATES = 4, 3, 20
#: The first and the last of these beyond so many patches, where time and memory matter more than the last copies.
_MANY, _NEAREST_OF_MANY, _CANDIDATES_OF_MANY = 20_000, 2, 10
#: Descriptors in a cell on average, most cells of a side, and the share of patches, and number of descriptors, beyond
#: which a cell says nothing: with a fixed number the time grows with the patches, not with their square.
_IN_CELL, _MAX_CELLS, _COMMON, _MOST_IN_CELL = 8, 1024, 0.02, 400
#: Matches with about one difference of scale and angle without which none is fitted.
_MIN_AGREEING = 7
#: Changes of scale that are accepted, distance of an inlier in pixels, and least extent of inliers along both axes.
_SCALES, _TOLERANCE, _EXTENT = (0.3, 3.4), 4.0, 0.12
_ANGLES, _OCTAVES = 12, 2
_VOTES_AT_ONCE, _OWNERS_AT_ONCE = 4_000_000, 1000
#: Other patches, and their share of all, with the same key point in the same place from which it belongs to a scale
#: bar, stamp or frame.
_REPEATED, _REPEATED_SHARE = 3, 0.01


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Key points of patches.

    Parameters
    ----------
    points : ndarray, float32 (N, POINTS, 4)
        x, y, size and angle (degrees) at the scale at which they were found; NaN where there are fewer.
    descriptors : ndarray, uint8 (N, POINTS, 128)
        RootSIFT, times 255.
    sides : ndarray, float32 (N,)
        Larger side of the picture in which they were found.
    """

    points: np.ndarray
    descriptors: np.ndarray
    sides: np.ndarray

    @classmethod
    def empty(cls, count: int) -> LocalFeatures:
        """No key points of ``count`` patches, to be filled by `add`.

        Examples
        --------
        >>> LocalFeatures.empty(2).descriptors.shape
        (2, 128, 128)
        """
        points = np.full((count, POINTS, 4), np.nan, np.float32)
        return cls(points, np.zeros((count, POINTS, 128), np.uint8), np.ones(count, np.float32))

    def add(self, row: int, image: RGBImage) -> None:
        """Find the key points of one patch.

        Parameters
        ----------
        row : int
        image : uint8 array (H, W, 3)
        """
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = SIDE / max(grey.shape)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found, descriptors = cv2.SIFT.create(nfeatures=4 * POINTS, contrastThreshold=0.02).detectAndCompute(grey, None)
        self.sides[row] = max(grey.shape)
        if descriptors is None:
            return
        size = np.array([p.size for p in found])
        strength = np.array([p.response for p in found])
        strongest = np.argsort(-strength, kind="stable")[: POINTS // 2]
        rest = np.setdiff1d(np.argsort(-size, kind="stable")[:POINTS], strongest, assume_unique=False)
        chosen = np.concatenate([strongest, rest[np.argsort(-size[rest], kind="stable")]])[:POINTS]
        self.points[row, : len(chosen)] = [(*found[i].pt, found[i].size, found[i].angle) for i in chosen]
        kept = descriptors[chosen]
        root = np.sqrt(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-9))
        self.descriptors[row, : len(chosen)] = np.rint(255 * root)


def shared_tissue(
    features: LocalFeatures,
    rows: np.ndarray,
    *,
    source: np.ndarray | None = None,
    part: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of patches that share tissue.

    Parameters
    ----------
    features : LocalFeatures
    rows : ndarray, int (M,)
        Patches that are compared.
    source, part : ndarray, int (M,), optional
        As ``search.find_candidates`` takes them: pairs within one image, or within one part, are left out.
    seed : int
        Of the cells.

    Returns
    -------
    first, second : ndarray, int (P,)
        Positions in ``rows``, the lower first; most inliers first.
    inliers : ndarray, int (P,)

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    >>> field = cv2.resize(noise, (240, 240), interpolation=cv2.INTER_CUBIC)
    >>> features = LocalFeatures.empty(2)
    >>> features.add(0, field[:160, :160])
    >>> features.add(1, field[60:220, 60:220])
    >>> first, second, inliers = shared_tissue(features, np.arange(2))
    >>> first.tolist(), second.tolist()
    ([0], [1])
    """
    first, second, valid = _candidates(features, rows, source, part, seed)
    inliers = np.array([_inliers(features, rows, valid, i, j) for i, j in zip(first, second, strict=True)], int)
    kept = np.flatnonzero(inliers >= MIN_INLIERS)
    order = kept[np.lexsort((second[kept], first[kept], -inliers[kept]))]
    return first[order], second[order], inliers[order]


def _candidates(
    features: LocalFeatures, rows: np.ndarray, source: np.ndarray | None, part: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs to verify, and which key points of ``rows`` are compared: not those of a scale bar, stamp or frame."""
    points = features.points[rows]
    valid = np.isfinite(points[:, :, 0])
    if (valid.any(axis=1)).sum() < 2:
        return np.empty(0, int), np.empty(0, int), valid
    cells = _Cells(_Descriptors(features.descriptors, rows, *np.nonzero(valid)), len(rows), seed)
    place, size, angle = points[valid][:, :2], points[valid][:, 2], points[valid][:, 3]
    usable = cells.distinctive()
    repeated = np.zeros(len(place), int)
    for asking, answer in cells.hits(usable):
        there = (np.abs(place[asking] - place[answer]) <= _TOLERANCE).all(axis=1)
        there &= (np.abs(np.log2(size[answer] / size[asking])) < 0.5) & (np.abs(angle[answer] - angle[asking]) < 15)
        there &= cells.owner[asking] < cells.owner[answer]
        for of in (asking, answer):
            repeated += np.bincount(of[there], minlength=len(place))
    usable &= repeated < max(_REPEATED, _REPEATED_SHARE * len(rows))
    valid[valid] = usable
    every: list[tuple[np.ndarray, np.ndarray]] = []
    for begin in range(0, len(rows), _OWNERS_AT_ONCE):  # a pair is voted for from its lower side only
        low, high = np.searchsorted(cells.owner, (begin, begin + _OWNERS_AT_ONCE))
        own = low + np.flatnonzero(usable[low:high])
        every.append(_votes(cells, own, usable, place=(size, angle), source=source, part=part))
    pairs, number = (np.concatenate(column) for column in zip(*every, strict=True))
    best = np.lexsort((-number, pairs))
    best = best[np.unique(pairs[best], return_index=True)[1]]
    (first, second), number = np.divmod(pairs[best], len(rows)), number[best]
    rank = np.lexsort((-number, first))
    starts = np.flatnonzero(np.diff(first[rank], prepend=-1))
    order = np.arange(len(rank)) - np.repeat(starts, np.diff(np.r_[starts, len(rank)]))
    rank = np.sort(rank[order < (_MAX_CANDIDATES if len(rows) <= _MANY else _CANDIDATES_OF_MANY)])
    return first[rank], second[rank], valid


def _votes(
    cells: _Cells,
    own: np.ndarray,
    usable: np.ndarray,
    *,
    place: tuple[np.ndarray, np.ndarray],
    source: np.ndarray | None,
    part: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs, as one number each, and their votes for one difference of scale and angle, where there are enough."""
    (size, angle), patches = place, cells.patches
    found: list[np.ndarray] = []
    for asking, answer in cells.hits(usable, own):
        i, j = cells.owner[asking], cells.owner[answer]
        keep = i < j
        if source is not None:
            keep &= source[i] != source[j]
        if part is not None:
            keep &= part[i] != part[j]
        asking, answer, i, j = asking[keep], answer[keep], i[keep], j[keep]
        octave = np.rint(_OCTAVES * np.log2(size[answer] / size[asking])).astype(int).clip(-4, 4) + 4
        turn = np.rint((angle[answer] - angle[asking]) / (360 / _ANGLES)).astype(int) % _ANGLES
        found.append(((i.astype(np.int64) * patches + j) * 9 + octave) * _ANGLES + turn)
    keys, number = np.unique(np.concatenate(found) if found else np.empty(0, np.int64), return_counts=True)
    kept = number >= _MIN_VOTES
    return keys[kept] // (9 * _ANGLES), number[kept]


@dataclass(frozen=True, eq=False)
class _Descriptors:
    """Descriptors in use, by the position of their patch and of the point in it; nothing is copied."""

    every: np.ndarray
    rows: np.ndarray
    owner: np.ndarray
    point: np.ndarray

    def __len__(self) -> int:
        return len(self.owner)

    def half(self, which: np.ndarray | slice, columns: slice) -> np.ndarray:
        """One half of some of them, float32."""
        chosen: np.ndarray = self.every[self.rows[self.owner[which]], self.point[which], columns]
        return chosen.astype(np.float32)


class _Cells:
    """Inverted multi-index of descriptors: a cell is a pair of cells of their halves."""

    def __init__(self, descriptors: _Descriptors, patches: int, seed: int) -> None:
        self.owner, self.patches = descriptors.owner, patches
        self.nearest = _NEAREST if self.patches <= _MANY else _NEAREST_OF_MANY
        self.halves = [_cells(descriptors, h, self.nearest, seed) for h in (slice(0, 64), slice(64, 128))]
        self.count = int(max(half.max() for half in self.halves)) + 1
        words = self._words(0, 0)
        self.order = np.argsort(words, kind="stable")
        self.ordered = words[self.order]

    def _words(self, a: int, b: int, of: np.ndarray | slice = slice(None)) -> np.ndarray:
        return self.halves[0][of, a].astype(np.int64) * self.count + self.halves[1][of, b]

    @property
    def limit(self) -> int:
        """Descriptors of a cell beyond which it says nothing."""
        return min(max(8 * _IN_CELL, round(_COMMON * self.patches)), _MOST_IN_CELL)

    def distinctive(self) -> np.ndarray:
        """Descriptors whose own cell is not one of many patches, bool (n,)."""
        words = self._words(0, 0)
        low, high = (np.searchsorted(self.ordered, words, side=side) for side in ("left", "right"))
        return np.asarray(high - low <= self.limit)

    def hits(self, usable: np.ndarray, own: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Usable descriptors (``own`` of them) and those of their nearest cells, in blocks, without common cells."""
        own = np.flatnonzero(usable) if own is None else own
        for a in range(self.nearest):
            for b in range(self.nearest):
                words = self._words(a, b, own)
                low, high = (np.searchsorted(self.ordered, words, side=s) for s in ("left", "right"))
                length = np.where(high - low > self.limit, 0, high - low)
                ends = np.cumsum(length)
                at = 0
                while at < len(length):
                    stop = max(at + 1, int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _VOTES_AT_ONCE)))
                    some = length[at:stop]
                    place = np.repeat(np.arange(at, stop), some)
                    answer = self.order[low[place] + np.arange(len(place)) - np.repeat(np.cumsum(some) - some, some)]
                    keep, asking = usable[answer], own[place]
                    yield asking[keep], answer[keep]
                    at = stop


def _cells(values: _Descriptors, columns: slice, nearest: int, seed: int) -> np.ndarray:
    """Nearest cells of half descriptors, int (n, nearest): k-means of a sample, then an exhaustive comparison."""
    from sklearn.cluster import MiniBatchKMeans

    count = int(np.clip(np.sqrt(len(values) / _IN_CELL), 8, _MAX_CELLS))
    rng = np.random.default_rng(seed)
    sample = values.half(rng.choice(len(values), min(len(values), 40 * count), replace=False), columns)
    model = MiniBatchKMeans(count, random_state=seed, n_init=1, max_iter=20, batch_size=4096).fit(sample)
    centres = model.cluster_centers_.astype(np.float32)
    norms = (centres**2).sum(axis=1)
    found = np.empty((len(values), nearest), np.int32)
    for begin in range(0, len(values), 65_536):
        some = slice(begin, begin + 65_536)
        distance = norms - 2 * values.half(some, columns) @ centres.T
        near = np.argpartition(distance, range(nearest), axis=1)[:, :nearest]
        found[some] = near
    return found


def _agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether enough matches have one difference of scale and angle, so that fitting them is worth its time."""
    octave = np.rint(np.log2(b[:, 2] / a[:, 2])).astype(int).clip(-2, 2) + 2
    turn = np.floor((b[:, 3] - a[:, 3]) / (360 / _ANGLES)).astype(int) % _ANGLES
    counts = np.zeros((5, _ANGLES), int)
    np.add.at(counts, (octave, turn), 1)
    near = counts + np.roll(counts, 1, axis=1)
    return bool((near[:-1] + near[1:]).max() >= _MIN_AGREEING)


def _inliers(features: LocalFeatures, rows: np.ndarray, valid: np.ndarray, first: int, second: int) -> int:
    """Matches of two patches that agree on a rotation, scale and shift; 0 where they are too few or too close."""
    one, other = rows[first], rows[second]
    a, b = features.points[one][valid[first]], features.points[other][valid[second]]
    if min(len(a), len(b)) < MIN_INLIERS:
        return 0
    left, right = (
        features.descriptors[row][kept].astype(np.float32) / 255
        for row, kept in ((one, valid[first]), (other, valid[second]))
    )
    likeness = left @ right.T
    forward, backward = likeness.argmax(axis=1), likeness.argmax(axis=0)
    mutual = np.flatnonzero(backward[forward] == np.arange(len(a)))
    mutual = mutual[likeness[mutual, forward[mutual]] > 0.8]
    if len(mutual) < MIN_INLIERS:
        return 0
    if not _agree(a[mutual], b[forward[mutual]]):
        return 0
    source, target = a[mutual, :2], b[forward[mutual], :2]
    cv2.setRNGSeed(0)
    matrix, inside = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=500, confidence=0.995
    )
    if matrix is None:
        return 0
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0])) * float(features.sides[one] / features.sides[other])
    held = inside.ravel().astype(bool)
    spread = np.ptp(source[held], axis=0) / features.sides[one]
    places = len(np.unique(np.rint(source[held] / 2), axis=0))  # one place with several angles is one match
    good = _SCALES[0] <= scale <= _SCALES[1] and held.mean() >= MIN_INLIER_SHARE and spread.min() >= _EXTENT
    return places if good else 0
