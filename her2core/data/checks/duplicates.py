"""Checks for images that occur more than once: identical pixels, and near-duplicates.

Identical images have the same pixels, however their files are encoded. Near-duplicates are found in two ways. Copies
framed alike: similar vectors (`search`), then thumbnails that correlate after registration (`alignment`). Copies that
share a part of their tissue, turned or magnified: key points (`local_features`). Sensitivity to each disturbance and
the number of false pairs are measured by benchmarks/copies.py and benchmarks/planted_tissue.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from her2core.data.checks.alignment import aligned_correlation
from her2core.data.checks.contents import MOST_WITH_KEY_POINTS
from her2core.data.checks.fingerprint import has_structure, oriented, structured_fraction, vectors
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.local_features import shared_tissue
from her2core.data.checks.outcome import MAX_LISTED, CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.checks.search import find_candidates
from her2core.data.manifest import UNKNOWN, WINDOW

#: Correlations from which two thumbnails show the same tissue: of the whole, and of fine structure.
MIN_WHOLE, MIN_FINE = 0.85, 0.8
#: Where less than SPARSE of a patch has fine structure (fat: a strand on an empty field), fine structure must correlate
#: better.
SPARSE, MIN_FINE_SPARSE = 0.3, 0.9
_CHUNK = 4096
FRAMED_ONLY = (
    f"beyond {MOST_WITH_KEY_POINTS:,} patches only copies framed alike are searched for; crops, rotations and shifts "
    "are not"
)


def identical_images(inputs: CheckInputs) -> Result:
    """Find patches with the same pixels under different ids; with a split, only those in different parts of it.

    Patches without structure (blank, black) do not count as copies of each other.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> images = np.random.default_rng(0).random((2, 48, 48))
    >>> contents = Contents(np.array(["9f", "9f"], object), images, np.zeros((2, 14)), {})
    >>> identical_images(example_inputs(contents=contents)).pairs
    [('0.png', '1.png')]
    """
    contents, has_split = inputs.images, inputs.split is not None
    if not contents.readable.any():
        return CouldNotRun("no image could be read")
    frame = inputs.frame.assign(_digest=contents.digests, _part=inputs.parts())
    structured = has_structure(contents.thumbnails.astype(np.float32))
    frame = frame[contents.readable & structured & frame["_part"].notna()]
    counts = frame.groupby("_digest")["_part" if has_split else "patch_id"].nunique()
    rows = frame[frame["_digest"].isin(counts.index[counts > 1])]
    if rows.empty:
        return None
    pairs: list[tuple[str, str]] = []
    for _, group in rows.groupby("_digest", sort=False):
        head = group.iloc[0]
        others = group[group["_part"] != head["_part"]] if has_split else group
        pairs += [(head["patch_id"], other) for other in others["patch_id"] if other != head["patch_id"]]
        if len(pairs) >= MAX_LISTED:
            break
    number = int(np.sum(counts > 1))
    images = "1 image" if number == 1 else f"{number} images"
    return Found(
        "each image in one part of the split only" if has_split else "each image once",
        f"{images} under several patch ids" + (" in different parts" if has_split else ""),
        patch_ids(rows),
        pairs,
    )


def near_duplicates(inputs: CheckInputs) -> Result:
    """Find pairs that show the same tissue in different pixels; with a split, only pairs across its parts.

    Without a split a finding is a warning where the two patches are of different or unknown patients, because a split
    by patient would not keep them together, and information otherwise. Windows of one image are compared by their
    coordinates (`neighbours`), not here.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> image = np.random.default_rng(0).random((48, 48))
    >>> contents = Contents(np.array(["9f", "a3"], object), np.stack([image, image.T]), np.zeros((2, 14)), {})
    >>> near_duplicates(example_inputs(contents=contents)).pairs
    [('0.png', '1.png')]
    """
    contents, part = inputs.images, inputs.parts()
    if not contents.readable.any():
        return CouldNotRun("no image could be read")
    structured = has_structure(contents.thumbnails.astype(np.float32))
    usable = np.flatnonzero(contents.readable & structured & part.notna().to_numpy())
    if len(usable) < 2:
        return NotApplicable("fewer than two patches have visible structure")
    frame = inputs.frame.iloc[usable]
    source = None
    if all(c in frame for c in WINDOW):
        source = pd.factorize(frame["path"].where(frame["x"].notna(), frame["patch_id"]))[0]
    parts = None if inputs.split is None else pd.factorize(part.iloc[usable])[0]
    first, second, _ = near_pairs(contents.thumbnails[usable], source=source, part=parts)
    digests = contents.digests[usable]
    differ = digests[first] != digests[second]
    first, second = first[differ], second[differ]
    framed_only = contents.local is None and len(frame) > MOST_WITH_KEY_POINTS
    framed = set(zip(first.tolist(), second.tolist(), strict=True))
    if contents.local is not None:
        one, other, _ = shared_tissue(contents.local, usable, source=source, part=parts)
        new = [
            n
            for n, pair in enumerate(zip(one.tolist(), other.tolist(), strict=True))
            if pair not in framed and digests[pair[0]] != digests[pair[1]]
        ]
        first, second = np.r_[first, one[new]], np.r_[second, other[new]]
    if not len(first):
        return CouldNotRun(FRAMED_ONLY) if framed_only else None
    ids, patients = frame["patch_id"].to_numpy(), frame["patient_id"].to_numpy()
    different_patients = (patients[first] != patients[second]) | (patients[first] == UNKNOWN)
    patients_known = not (patients == UNKNOWN).any()
    count = "1 pair" if len(first) == 1 else f"{len(first)} pairs"
    return Found(
        "the same tissue in one part of the split only" if inputs.split is not None else "the same tissue once",
        f"{count} of patches that show the same tissue"
        + (
            f", {len(first) - len(framed)} of them only in part, turned or magnified"
            if len(first) > len(framed)
            else ""
        )
        + (f", {int(different_patients.sum())} of them from different patients" if patients_known else ""),
        list(dict.fromkeys(ids[np.stack([first, second], axis=1).ravel()])),
        list(zip(ids[first], ids[second], strict=True)),
        severity=None if inputs.split is not None or different_patients.any() else "info",
        note=f"Not all were searched: {FRAMED_ONLY}." if framed_only else "",
    )


def near_pairs(
    thumbnails: np.ndarray, *, source: np.ndarray | None = None, part: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of thumbnails that show the same tissue.

    Parameters
    ----------
    thumbnails : ndarray, float (N, SIDE, SIDE)
        As `fingerprint.thumbnail` gives them, all with structure.
    source, part : ndarray, int (N,), optional
        Pairs with the same value of either are left out; as `search.find_candidates` takes them.

    Returns
    -------
    first, second : ndarray, int (P,)
        The two of each pair, the lower index first; highest correlation of fine structure first.
    correlation : ndarray, float32 (P, 2)
        Of the thumbnails, and of their fine structure.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((4, 48, 48))
    >>> images[3] = images[1, ::-1]
    >>> first, second, _ = near_pairs(images)
    >>> first.tolist(), second.tolist()
    ([1], [3])
    """
    if len(thumbnails) < 2:
        return np.empty(0, int), np.empty(0, int), np.empty((0, 2), np.float32)
    all_vectors = np.concatenate([vectors(t) for t in _float_chunks(thumbnails)], axis=1)
    found = find_candidates(all_vectors, source=source, part=part)
    start = found.start()
    scores = np.zeros((len(found.first), 2), np.float32)
    for begin in range(0, len(scores), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        second = thumbnails[found.second[some]].astype(np.float32)
        for orientation in range(8):
            here = found.orientation[some] == orientation
            second[here] = oriented(second[here], orientation)
        scores[some] = aligned_correlation(thumbnails[found.first[some]], second, start[some])
    fraction = np.concatenate([structured_fraction(t) for t in _float_chunks(thumbnails)])
    sparse = np.minimum(fraction[found.first], fraction[found.second]) < SPARSE
    needed = np.where(sparse, MIN_FINE_SPARSE, MIN_FINE)
    same = np.flatnonzero((scores[:, 0] >= MIN_WHOLE) & (scores[:, 1] >= needed))
    low, high = (f(found.first[same], found.second[same]) for f in (np.minimum, np.maximum))
    order = np.lexsort((high, low, -scores[same, 1]))
    return low[order], high[order], scores[same[order]]


def _float_chunks(thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(thumbnails), _CHUNK):
        yield thumbnails[begin : begin + _CHUNK].astype(np.float32)
