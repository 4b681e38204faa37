"""Checks of single rows: missing and unreadable image files, unknown resolution."""

from __future__ import annotations

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, patch_ids


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
    """Find rows without microns per pixel.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> missing_mpp(example_inputs(mpp=[0.5, None])).rows
    ['1.png']
    """
    rows = inputs.frame[inputs.frame["mpp"].isna()]
    if rows.empty:
        return None
    return Found("microns per pixel in every row", f"{len(rows)} rows without a value", patch_ids(rows))
