"""Check for neighbouring tiles in different parts of a split.

Windows of one image file are compared in its pixels. Where every tile of a slide has a file of its own and the windows
differ, x and y are taken as coordinates on the slide, as tile data sets give them. No image is read.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.identity import slide_keys
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, NotApplicable, Result
from her2core.data.manifest import UNKNOWN, WINDOW

#: Largest gap between neighbours as a fraction of the smaller tile's side: no whole tile fits between them.
MAX_GAP = 0.5


def neighbouring_tiles(inputs: CheckInputs) -> Result:
    """Find pairs of tiles of one slide that overlap or are adjacent, in different parts of the split.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> tiles = {"path": "slide.png", "x": [0, 100], "y": 0, "width": 100, "height": 100}
    >>> neighbouring_tiles(example_inputs(split=["train", "test"], **tiles)).pairs
    [('slide.png#0,0', 'slide.png#100,0')]
    """
    if not all(c in inputs.frame for c in WINDOW) or inputs.frame["x"].isna().all():
        return NotApplicable("the manifest holds no tile coordinates (x, y, width, height)")
    tiles = inputs.split_rows()
    tiles = tiles[tiles["x"].notna()].reset_index(drop=True)
    pairs = [found for _, rows in tiles.groupby(_coordinate_system(tiles)) for found in [_across(rows)] if len(found)]
    if not pairs:
        return None
    first, second = np.concatenate(pairs).T
    corner, size = tiles[["x", "y"]].to_numpy(float), tiles[["width", "height"]].to_numpy(float)
    overlap = (_gap(corner, size, first, second) < 0).all(axis=1)
    order = np.argsort(~overlap, kind="stable")
    ids = tiles["patch_id"].to_numpy()
    return Found(
        "neighbouring tiles in the same part of the split",
        f"{len(first)} pairs of neighbours in different parts, {int(overlap.sum())} of them overlapping",
        list(dict.fromkeys(ids[np.stack([first, second], axis=1)[order].ravel()])),
        list(zip(ids[first[order]], ids[second[order]], strict=True)),
    )


def _coordinate_system(tiles: pd.DataFrame) -> pd.Series:
    """What x and y refer to: the file's pixels or the slide's."""
    tiles = tiles.assign(slide_id=slide_keys(tiles))
    own_file = (~tiles["path"].duplicated(keep=False)).groupby(tiles["slide_id"]).all()
    differ = (~tiles.duplicated(["slide_id", *WINDOW], keep=False)).groupby(tiles["slide_id"]).all()
    on_slide = own_file & differ & (own_file.index != UNKNOWN)
    by_slide = tiles["slide_id"].isin(on_slide.index[on_slide])
    return ("slide " + tiles["slide_id"]).where(by_slide, "file " + tiles["path"])


def _across(rows: pd.DataFrame) -> np.ndarray:
    """Index labels of neighbours in different parts among the windows of one coordinate system, int (k, 2)."""
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
    """Empty pixels between two windows along x and y, float (k, 2); negative where they overlap along that axis."""
    return np.maximum(corner[second] - corner[first] - size[first], corner[first] - corner[second] - size[second])
