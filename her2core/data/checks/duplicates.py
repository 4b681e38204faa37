"""Is the same tissue there twice? What was read of the patches in; copies and near-duplicates out.

Copies have the same pixels, however their files are encoded. Near-duplicates are found in two steps: vectors that look
alike (``search.py``), then thumbnails that agree once laid over each other (``alignment.py``). How many are found after
which disturbance, and how many false ones, is measured in benchmarks/leak_audit.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from her2core.data.checks.alignment import agreement
from her2core.data.checks.contents import Contents
from her2core.data.checks.finding import LISTED, Finding, finding
from her2core.data.checks.fingerprint import detailed_share, has_structure, turned, vectors
from her2core.data.checks.search import find_candidates
from her2core.data.manifest import UNKNOWN, WINDOW, Manifest

#: Two thumbnails show the same tissue when they correlate this well as a whole, and in their details.
MIN_FIT, MIN_DETAIL = 0.85, 0.8
#: Where less than SPARSE of a patch has details (fat: a strand on an empty field), these must correlate better.
SPARSE, MIN_DETAIL_SPARSE = 0.3, 0.9
_CHUNK = 4096


def identical_images(manifest: Manifest, split: pd.DataFrame | None, seen: Contents) -> Finding | None:
    """Patches with the same pixels under two names; with a split, only those that stand in two of its parts.

    Patches without structure (blank, black) are no copies of each other.
    """
    frame = manifest.frame.assign(_digest=seen.digests, _part=_parts(manifest, split))
    frame = frame[seen.read & has_structure(seen.thumbnails.astype(np.float32)) & frame["_part"].notna()]
    counts = frame.groupby("_digest")["_part" if split is not None else "patch_id"].nunique()
    rows = frame[frame["_digest"].isin(counts.index[counts > 1])]
    if rows.empty:
        return None
    place = "in one part only" if split is not None else "once"
    pairs = []
    for _, group in rows.groupby("_digest", sort=False):
        head = group.iloc[0]
        others = group if split is None else group[group["_part"] != head["_part"]]
        pairs += [(head["patch_id"], other) for other in others["patch_id"] if other != head["patch_id"]]
        if len(pairs) >= LISTED:
            break
    return finding(
        "identical-images",
        "warning",
        rows,
        f"each image {place}",
        f"{int(np.sum(counts > 1))} images under several names",
        "Drop the copies; a copy in the test part is an answer given away.",
        pairs=pairs,
    )


def near_duplicates(manifest: Manifest, split: pd.DataFrame | None, seen: Contents) -> Finding | None:
    """Pairs that show the same tissue in different pixels; with a split, only pairs across its parts.

    Without a split it is a warning where the two are of different or unknown patients, because a split by patient would
    not keep them together, and information otherwise. Windows of one image are judged by their place, not here.
    """
    part = _parts(manifest, split)
    usable = np.flatnonzero(seen.read & has_structure(seen.thumbnails.astype(np.float32)) & part.notna().to_numpy())
    if len(usable) < 2:
        return None
    frame = manifest.frame.iloc[usable]
    apart = None
    if all(c in frame for c in WINDOW):
        apart = pd.factorize(frame["path"].where(frame["x"].notna(), frame["patch_id"]))[0]
    within = None if split is None else pd.factorize(part.iloc[usable])[0]
    first, second, _ = near_pairs(seen.thumbnails[usable], apart=apart, within=within)
    digests = seen.digests[usable]
    differ = digests[first] != digests[second]
    first, second = first[differ], second[differ]
    if not len(first):
        return None
    ids, patients = frame["patch_id"].to_numpy(), frame["patient_id"].to_numpy()
    apart_patients = (patients[first] != patients[second]) | (patients[first] == UNKNOWN)
    severity = "warning" if split is not None or apart_patients.any() else "info"
    rows = list(dict.fromkeys(ids[np.stack([first, second], axis=1).ravel()]))
    known = "" if (patients == UNKNOWN).any() else f", {int(apart_patients.sum())} of them of two patients"
    place = "the same tissue in one part only" if split is not None else "the same tissue once"
    return finding(
        "near-duplicates",
        severity,
        rows,
        place,
        f"{len(first)} pairs that show it twice{known}",
        "Look at the pairs; drop one of each, or keep them in one part of the split.",
        pairs=list(zip(ids[first], ids[second], strict=True)),
    )


def near_pairs(
    thumbnails: np.ndarray, *, apart: np.ndarray | None = None, within: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of thumbnails that show the same tissue, best first.

    Parameters
    ----------
    thumbnails : float (N, SIDE, SIDE), as `fingerprint.thumbnail` gives, all with structure.
    apart, within : as `search.find_candidates` takes.

    Returns
    -------
    int (P,), int (P,) the two of each pair, the lower number first; float32 (P, 2) their agreement.
    """
    if len(thumbnails) < 2:
        return np.empty(0, int), np.empty(0, int), np.empty((0, 2), np.float32)
    all_vectors = np.concatenate([vectors(t) for t in _float_chunks(thumbnails)], axis=1)
    found = find_candidates(all_vectors, apart=apart, within=within)
    start = found.start()
    scores = np.zeros((len(found.first), 2), np.float32)
    for begin in range(0, len(scores), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        second = thumbnails[found.second[some]].astype(np.float32)
        for pose in range(8):
            there = found.pose[some] == pose
            second[there] = turned(second[there], pose)
        scores[some] = agreement(thumbnails[found.first[some]], second, start[some])
    share = np.concatenate([detailed_share(t) for t in _float_chunks(thumbnails)])
    sparse = np.minimum(share[found.first], share[found.second]) < SPARSE
    asked = np.where(sparse, MIN_DETAIL_SPARSE, MIN_DETAIL)
    same = np.flatnonzero((scores[:, 0] >= MIN_FIT) & (scores[:, 1] >= asked))
    low, high = (f(found.first[same], found.second[same]) for f in (np.minimum, np.maximum))
    order = np.lexsort((high, low, -scores[same, 1]))
    return low[order], high[order], scores[same[order]]


def _float_chunks(thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(thumbnails), _CHUNK):
        yield thumbnails[begin : begin + _CHUNK].astype(np.float32)


def _parts(manifest: Manifest, split: pd.DataFrame | None) -> pd.Series:
    """The part of each row, in row order; NaN where the split does not name it, "" where there is no split."""
    if split is None:
        return pd.Series("", index=manifest.frame.index)
    return manifest.frame["patch_id"].map(split.drop_duplicates("patch_id").set_index("patch_id")["split"])
