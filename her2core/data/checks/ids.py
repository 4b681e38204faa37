"""Check for ids that a spreadsheet has rounded.

Excel and its relatives show a number of more than eleven digits as ``1.23457E+15`` and write it like that into a CSV
file: ids that differ in later digits become one (Ziemann et al. 2016, Genome Biol 17:177,
doi 10.1186/s13059-016-1044-7, describe the same of RIKEN identifiers).
"""

from __future__ import annotations

import re

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, patch_ids

_ROUNDED = re.compile(r"[+-]?\d(?:[.,]\d+)?E\+\d{2,3}", re.IGNORECASE)
_COLUMNS = ("patient_id", "slide_id", "patch_id")


def looks_rounded(text: str) -> bool:
    """Whether an id is in the scientific notation of a spreadsheet.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool

    Examples
    --------
    >>> [looks_rounded(text) for text in ("1.23457E+15", "1,23457e+15", "TCGA-A1-A0SB", "1E05")]
    [True, True, False, False]
    """
    return _ROUNDED.fullmatch(text.strip()) is not None


def rounded_ids(inputs: CheckInputs) -> Result:
    """Find patient, slide and patch ids in scientific notation.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> rounded_ids(example_inputs(patient_id=["1.23457E+15", "1.23457E+15"])).got
    "2 rows with patient_id rounded by a spreadsheet, such as '1.23457E+15'"
    """
    rounded = {c: inputs.frame[c].map(looks_rounded) for c in _COLUMNS}
    columns = [c for c, bad in rounded.items() if bad.any()]
    if not columns:
        return None
    first = inputs.frame.loc[rounded[columns[0]], columns[0]].iloc[0]
    rows = inputs.frame[rounded["patient_id"] | rounded["slide_id"] | rounded["patch_id"]]
    return Found(
        "ids exactly as they were assigned",
        f"{len(rows)} rows with {' and '.join(columns)} rounded by a spreadsheet, such as {first!r}",
        patch_ids(rows),
    )
