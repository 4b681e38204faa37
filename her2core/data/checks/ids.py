"""Check for ids that a spreadsheet has rounded or made dates.

Excel and its relatives show a number of more than eleven digits as ``1.23457E+15`` and write it like that into a CSV
file: ids that differ in later digits become one (Ziemann et al. 2016, Genome Biol 17:177,
doi 10.1186/s13059-016-1044-7, describe the same of RIKEN identifiers). MAR1 and 3-4 become dates, as gene names do.
"""

from __future__ import annotations

import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, Severity, patch_ids
from her2core.io.cells import date_identifiers, rounded_identifiers

_COLUMNS = ("patient_id", "slide_id", "patch_id")


def rounded_ids(inputs: CheckInputs) -> Result:
    """Find patient, slide and patch ids in scientific notation, without digits after the 15th, or turned into dates.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> rounded_ids(example_inputs(patient_id=["1.23457E+15", "1.23457E+15"])).got
    "2 rows with patient_id rounded by a spreadsheet, such as '1.23457E+15'"
    >>> rounded_ids(example_inputs(patient_id=["1-Mar", "LUM1"])).got
    "1 row with patient_id that a spreadsheet made a date, such as '1-Mar'"
    """
    said, concerned = [], pd.Series(False, index=inputs.frame.index)
    severity: Severity = "warning"
    for find, how in (
        (rounded_identifiers, "rounded by a spreadsheet"),
        (date_identifiers, "that a spreadsheet made a date"),
    ):
        found = {column: find(inputs.frame[column]) for column in _COLUMNS}
        columns = [column for column in _COLUMNS if found[column]]
        if not columns:
            continue
        rows = inputs.frame[columns].isin({c: found[c] for c in columns}).any(axis=1)
        number = f"{int(rows.sum())} row{'' if rows.sum() == 1 else 's'}"
        said.append(f"{number} with {' and '.join(columns)} {how}, such as {found[columns[0]][0]!r}")
        severity = "error" if find is rounded_identifiers else severity
        concerned |= rows
    if not said:
        return None
    return Found(
        "ids exactly as they were assigned", "; ".join(said), patch_ids(inputs.frame[concerned]), severity=severity
    )
