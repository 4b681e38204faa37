"""Check for images that show no H&E tissue in focus: blank, black, blurred, inked or of another stain.

Each patch is measured as those of a prediction are (`quality`). The flags err on a few patches of good data sets
(benchmarks/results/quality.json), so a flag is found where more patches have it than its usual rate explains.
"""

from __future__ import annotations

import numpy as np

from her2core.data.checks.fingerprint import has_structure
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result

#: Share of the patches of good data sets that a flag errs on at most, and what a finding calls them.
_USUAL = {"blurred": 0.02, "ink": 0.01, "not_he": 0.002}
_NAMES = {"blurred": "out of focus", "ink": "with pen or ink", "not_he": "that do not look like H&E"}
#: Largest probability that so many patches have a flag at its usual rate.
MAX_P = 1e-3


def image_quality(inputs: CheckInputs) -> Result:
    """Find patches without any structure, and more flagged ones than the flags err on.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> blank = Contents(np.array(["9f", "a3"], object), np.stack([np.zeros((48, 48)), np.eye(48)]), np.zeros((2, 14)),
    ...                  {}, flags=np.array([(), ()], object))
    >>> image_quality(example_inputs(contents=blank)).got
    '1 of 2 patches without any structure (blank or black)'
    """
    from scipy.stats import binom

    contents = inputs.images
    if not contents.readable.any():
        return CouldNotRun("no image could be read")
    if contents.flags is None:
        return NotApplicable("the quality of the images was not measured")
    read = contents.readable
    count = int(read.sum())
    blank = read & ~has_structure(contents.thumbnails.astype(np.float32))
    said, concerned = [], blank.copy()
    if blank.any():
        said.append(f"{_of(int(blank.sum()), count)} without any structure (blank or black)")
    for flag, usual in _USUAL.items():
        flagged = np.array([flag in flags for flags in contents.flags], bool) & read & ~blank
        if flagged.any() and binom.sf(flagged.sum() - 1, count, usual) <= MAX_P:
            said.append(f"{_of(int(flagged.sum()), count)} {_NAMES[flag]}")
            concerned |= flagged
    if not said:
        return None
    return Found("H&E tissue in focus in every patch", ", ".join(said), list(inputs.frame.loc[concerned, "patch_id"]))


def _of(some: int, count: int) -> str:
    return f"{some:,} of {count:,} patches"
