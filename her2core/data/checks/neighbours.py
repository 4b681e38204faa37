"""Do neighbouring tiles stand in two parts of the split? Windows and a split in; pairs that overlap or touch out.

Windows of one image file are compared in its pixels. Where every tile of a slide has a file of its own and the windows
differ, x and y are taken as places on the slide, as tile data sets give them. Nothing is read but the table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.checks.leaks import with_parts
from her2core.data.manifest import UNKNOWN, WINDOW, Manifest

#: Tiles count as neighbours up to this gap, as a share of the smaller one's side: no whole tile fits between them.
MAX_GAP = 0.5


def neighbouring_tiles(manifest: Manifest, split: pd.DataFrame) -> Finding | None:
    """Pairs of tiles of one slide that overlap or lie side by side, in different parts of the split."""
    if not all(c in manifest.frame for c in WINDOW):
        return None
    joined = with_parts(manifest, split)
    joined = joined[joined["x"].notna()].reset_index(drop=True)
    if joined.empty:
        return None
    pairs = [found for _, rows in joined.groupby(_plane(joined)) for found in [_across(rows)] if len(found)]
    if not pairs:
        return None
    first, second = np.concatenate(pairs).T
    corner, size = joined[["x", "y"]].to_numpy(float), joined[["width", "height"]].to_numpy(float)
    overlap = (_gap(corner, size, first, second) < 0).all(axis=1)
    order = np.argsort(~overlap, kind="stable")
    ids = joined["patch_id"].to_numpy()
    rows = list(dict.fromkeys(ids[np.stack([first, second], axis=1)[order].ravel()]))
    return finding(
        "neighbouring-tiles",
        "warning",
        rows,
        "neighbouring tiles in one part of the split",
        f"{len(first)} pairs of neighbours in two parts, {int(overlap.sum())} of which overlap",
        "Split by patient or by slide, so that neighbours stay together.",
        pairs=list(zip(ids[first[order]], ids[second[order]], strict=True)),
    )


def _plane(frame: pd.DataFrame) -> pd.Series:
    """In whose pixels x and y are: the file's, or the slide's."""
    own_file = (~frame["path"].duplicated(keep=False)).groupby(frame["slide_id"]).all()
    differ = (~frame.duplicated(["slide_id", *WINDOW], keep=False)).groupby(frame["slide_id"]).all()
    on_slide = own_file & differ & (own_file.index != UNKNOWN)
    tiles = frame["slide_id"].isin(on_slide.index[on_slide])
    return ("slide " + frame["slide_id"]).where(tiles, "file " + frame["path"])


def _across(rows: pd.DataFrame) -> np.ndarray:
    """int (k, 2): index labels of neighbours in different parts, among the windows of one plane."""
    from scipy.spatial import cKDTree

    part = rows["split"].to_numpy()
    if len(set(part)) < 2:
        return np.empty((0, 2), int)
    corner, size = rows[["x", "y"]].to_numpy(float), rows[["width", "height"]].to_numpy(float)
    near = cKDTree(corner + size / 2).query_pairs(size.max() * (1 + MAX_GAP), p=np.inf, output_type="ndarray")
    near = near[part[near[:, 0]] != part[near[:, 1]]]
    limit = MAX_GAP * np.minimum(size[near[:, 0]], size[near[:, 1]])
    near = near[(_gap(corner, size, near[:, 0], near[:, 1]) <= limit).all(axis=1)]
    return rows.index.to_numpy()[near]


def _gap(corner: np.ndarray, size: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float (k, 2): empty pixels between two windows along x and y; negative where they overlap along that axis."""
    return np.maximum(corner[second] - corner[first] - size[first], corner[first] - corner[second] - size[second])
