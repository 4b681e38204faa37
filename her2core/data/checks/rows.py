"""Checks of single rows: missing and unreadable image files, unknown resolution."""

from __future__ import annotations

import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, patch_ids

#: Microns per pixel of scanned H&E in which tissue can be told, and powers of objectives that are taken for them.
MIN_MPP, MAX_MPP = 0.04, 20.0
_OBJECTIVES = (5, 10, 20, 40, 60, 63, 80, 100)


def missing_files(inputs: CheckInputs) -> Result:
    """Find rows whose image file does not exist.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> missing_files(example_inputs()).rows
    ['0.png', '1.png']
    """
    missing = set(inputs.manifest.missing_files())
    if not missing:
        return None
    rows = inputs.frame[inputs.frame["path"].isin(missing)]
    files = "1 missing file" if len(missing) == 1 else f"{len(missing)} missing files"
    return Found(
        "an image file for every row",
        f"{files}, the first: {inputs.manifest.file(rows['path'].iloc[0])}",
        patch_ids(rows),
    )


def unreadable_images(inputs: CheckInputs) -> Result:
    """Find files that exist and cannot be decoded completely, and windows that exceed their image.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> import numpy as np
    >>> from her2core.data.checks.contents import Contents
    >>> contents = Contents(np.array([None, "9f"]), np.zeros((2, 48, 48)), np.zeros((2, 14)), {"0.png": "half a file"})
    >>> unreadable_images(example_inputs(contents=contents)).got
    '1 unreadable patch, the first: half a file'
    """
    unreadable = inputs.images.unreadable
    if not unreadable:
        return None
    rows = [patch for patch in inputs.frame["patch_id"] if patch in unreadable]
    patches = "1 unreadable patch" if len(rows) == 1 else f"{len(rows)} unreadable patches"
    return Found("images that can be decoded completely", f"{patches}, the first: {unreadable[rows[0]]}", rows)


def missing_mpp(inputs: CheckInputs) -> Result:
    """Find rows without microns per pixel (information), and values in another unit (a warning).

    A microscope resolves about 0.2 microns: values far below are millimetres or the like. Values that are powers of an
    objective, or above what shows a cell, are magnifications or nanometres.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> missing_mpp(example_inputs(mpp=[0.5, None])).rows
    ['1.png']
    >>> missing_mpp(example_inputs(mpp=[0.5, 40])).got
    '1 row with 40, which looks like a magnification'
    """
    mpp = inputs.frame["mpp"]
    missing, power = mpp.isna(), mpp.isin(_OBJECTIVES)
    unlikely = ~power & ~missing & ((mpp < MIN_MPP) | (mpp > MAX_MPP))
    said = [f"{_counted(missing)} without a value"] if missing.any() else []
    if power.any():
        said.append(f"{_counted(power)} with {mpp[power].iloc[0]:g}, which looks like a magnification")
    if unlikely.any():
        said.append(f"{_counted(unlikely)} with {mpp[unlikely].iloc[0]:g}, which is hardly in microns")
    if not said:
        return None
    wrong = power | unlikely
    return Found(
        "microns per pixel in every row",
        "; ".join(said),
        patch_ids(inputs.frame[missing | wrong]),
        severity="warning" if wrong.any() else None,
        note="A 40x objective has about 0.25 microns per pixel, 20x 0.5, 10x 1." if wrong.any() else "",
    )


def _counted(rows: pd.Series) -> str:
    return "1 row" if rows.sum() == 1 else f"{int(rows.sum()):,} rows"
