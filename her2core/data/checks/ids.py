"""Check for ids that a spreadsheet has rounded.

Excel and its relatives show a number of more than eleven digits as ``1.23457E+15`` and write it like that into a CSV
file: ids that differ in later digits become one (Ziemann et al. 2016, Genome Biol 17:177,
doi 10.1186/s13059-016-1044-7, describe the same of RIKEN identifiers).
"""

from __future__ import annotations

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, patch_ids
from her2core.io.cells import rounded_identifiers

_COLUMNS = ("patient_id", "slide_id", "patch_id")


def rounded_ids(inputs: CheckInputs) -> Result:
    """Find patient, slide and patch ids in scientific notation, or without digits after the 15th.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> rounded_ids(example_inputs(patient_id=["1.23457E+15", "1.23457E+15"])).got
    "2 rows with patient_id rounded by a spreadsheet, such as '1.23457E+15'"
    """
    rounded = {column: rounded_identifiers(inputs.frame[column]) for column in _COLUMNS}
    columns = [column for column in _COLUMNS if rounded[column]]
    if not columns:
        return None
    rows = inputs.frame[inputs.frame[columns].isin({c: rounded[c] for c in columns}).any(axis=1)]
    return Found(
        "ids exactly as they were assigned",
        f"{len(rows)} rows with {' and '.join(columns)} rounded by a spreadsheet, such as {rounded[columns[0]][0]!r}",
        patch_ids(rows),
    )
