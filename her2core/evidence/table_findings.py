"""Findings about a table of predictions as a whole, stated before any of its figures.

Warnings say that figures may be inflated or wrong; notes say how the table was read. Patients who occur in several
parts of a split inflate patch-level accuracy (Bussola et al. 2021, doi 10.1007/978-3-030-68763-2_13).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.evidence.prediction_labels import list_names
from her2core.io.cells import UNKNOWN, rounded_identifiers
from her2core.io.spellings import spelling_key
from her2core.io.text import clean_text

#: Fewer patients than this in the test part are a warning of their own: our choice.
FEW_PATIENTS = 10
#: Most patients whose ids are compared for their spelling.
_MOST_SPELLED = 100_000
#: Beginnings of the warnings and notes that the verdict takes up (``verdict.rules``).
SEVERAL_PARTS_WARNING = "Patients occur in more than one split part"
ROUNDED_WARNING = "Patient identifiers such as"
SPELLINGS_WARNING = "Patients occur under several ids"
DOMINANT_WARNING = "One patient has most of the test rows"
FEW_PATIENTS_WARNING = "Few patients"
ONE_PATIENT_WARNING = "Only one patient of the test part has the class"
UNKNOWN_OVERLAP_WARNING = "Patient overlap between training and test cannot be checked"
NO_TRAINING_ROWS = "The table has no training rows: whether a tested patient was also trained on cannot be checked."
PARTS = {"train": "training", "val": "validation", "test": "test"}


def table_warnings(
    ids: pd.DataFrame, patients: pd.Series | None, *, labels: np.ndarray, classes: Sequence[str]
) -> list[str]:
    """Findings that may make figures wrong.

    Parameters
    ----------
    ids : DataFrame
        Columns patient_id and split, ``UNKNOWN`` where a patient is not stated.
    patients : Series or None
        Patient identifiers as the table has them.
    labels : ndarray of int, shape (N,)
        Positions in ``classes``.
    classes : sequence of str
        The classes.

    Returns
    -------
    list of str
        Sentences, the gravest first.

    Examples
    --------
    >>> ids = pd.DataFrame({"patient_id": ["P1", "P1", "P2"], "split": ["train", "test", "test"]})
    >>> found = table_warnings(ids, ids["patient_id"], labels=np.array([0, 0, 1]), classes=["low", "high"])
    >>> found[0][:51], found[1]
    ('Patients occur in more than one split part (1 of 2 ', 'Few patients: the test part has only 2 (low 1, high 1).')
    """
    found = []
    known = ids.loc[ids["patient_id"] != UNKNOWN, ["patient_id", "split"]].drop_duplicates()
    parts = known.groupby("patient_id")["split"].size()
    if (parts > 1).any():
        found.append(
            f"{SEVERAL_PARTS_WARNING} ({int((parts > 1).sum()):,} of {len(parts):,} patients): "
            "patch-level accuracy is inflated, and no figure says how well new patients are classified."
        )
    rounded = rounded_identifiers(patients) if patients is not None else []
    if rounded:
        found.append(
            f"{ROUNDED_WARNING} {clean_text(rounded[0], 40)} were rounded by a spreadsheet: different "
            "patients have become one, and neither patient-level figures nor intervals can be trusted. Export the "
            "identifiers as text."
        )
    found += _spellings(ids) + _few_patients(ids, labels, classes)
    unknown = int((ids["patient_id"] == UNKNOWN).sum())
    if unknown:
        rows = "patients are unknown" if unknown == len(ids) else f"{unknown:,} of {len(ids):,} rows name no patient"
        found.append(f"{UNKNOWN_OVERLAP_WARNING}: {rows}.")
    return found


def _spellings(ids: pd.DataFrame) -> list[str]:
    """Patients whose ids differ only in spelling; nothing where there are too many to compare."""
    known = ids.loc[ids["patient_id"] != UNKNOWN, ["patient_id", "split"]].drop_duplicates()
    if len(known) > _MOST_SPELLED:
        return []
    keys = known["patient_id"].map(lambda name: " ".join(spelling_key(name)) or name)
    groups = [group for _, group in known.groupby(keys, sort=False) if group["patient_id"].nunique() > 1]
    if not groups:
        return []
    first = [repr(clean_text(name, 40)) for name in groups[0]["patient_id"].unique()[:2]]
    across = sum(group["split"].nunique() > 1 for group in groups)
    return [
        f"{SPELLINGS_WARNING} ({len(groups):,}, the first as {' and '.join(first)}"
        + (f"; {across:,} of them in several split parts" if across else "")
        + "): the number of patients is too high, and intervals are too narrow. Write each patient's id in one way."
    ]


def _few_patients(ids: pd.DataFrame, labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Few patients in the test part, or one with a whole class or most rows; nothing where patients are unknown."""
    rows = (ids["split"] == "test").to_numpy(bool)
    tested = pd.DataFrame({"patient": ids["patient_id"].to_numpy()[rows], "class": labels[rows]})
    if tested.empty or (tested["patient"] == UNKNOWN).any():
        return []
    count = tested["patient"].nunique()
    by_class = tested.drop_duplicates().groupby("class").size()
    of = {clean_text(classes[i], 60): int(n) for i, n in by_class.items()}
    if count < FEW_PATIENTS:
        counted = ", ".join(f"{c} {n}" for c, n in of.items())
        return [f"{FEW_PATIENTS_WARNING}: the test part has only {count} ({counted})."]
    found = [f"{ONE_PATIENT_WARNING} {c}: its figures are those of this patient." for c, n in of.items() if n == 1]
    rows_of = tested["patient"].value_counts()
    if 2 * rows_of.iloc[0] > len(tested):
        found.append(
            f"{DOMINANT_WARNING} ({clean_text(rows_of.index[0], 40)}, {int(rows_of.iloc[0]):,} of {len(tested):,}): "
            "figures by patch are mostly those of this patient."
        )
    return found


def table_notes(
    ids: pd.DataFrame, labels: np.ndarray, classes: Sequence[str], *, split_column: str | None = None
) -> list[str]:
    """How the split was read, and which classes are absent where they matter.

    Parameters
    ----------
    ids : DataFrame
        Column split, with train, val or test.
    labels : ndarray of int, shape (N,)
        Positions in ``classes``.
    classes : sequence of str
        The classes.
    split_column : str, optional
        The column that states the part.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> ids = pd.DataFrame({"split": ["val", "test", "test"]})
    >>> table_notes(ids, np.array([0, 0, 1]), ["low", "high"])
    ['The validation part has no row of high: no threshold and no aggregation rule can be chosen for it.']
    """
    found = []
    counts = ids["split"].value_counts()
    if split_column is not None and (counts.get("train", 0) or split_column.casefold() != "split"):
        parts = ", ".join(f"{int(counts[part]):,} {name}" for part, name in PARTS.items() if part in counts)
        found.append(
            f"Column {clean_text(split_column, 40)!r} states the split part ({parts} rows); training rows are not "
            "evaluated."
        )
    if not counts.get("train", 0) and "patient_id" in ids and (ids["patient_id"] != UNKNOWN).all():
        found.append(NO_TRAINING_ROWS)
    here = np.bincount(labels, minlength=len(classes)) > 0
    if not here.all():
        absent = [name for name, there in zip(classes, here, strict=True) if not there]
        found.append(
            f"No row has the true class {list_names(absent)}: "
            f"{'its' if len(absent) == 1 else 'their'} recall cannot be computed."
        )
    for part in ("val", "test"):
        rows = (ids["split"] == part).to_numpy(bool)
        present = np.bincount(labels[rows], minlength=len(classes)) > 0
        absent = [
            name for name, everywhere, there in zip(classes, here, present, strict=True) if everywhere and not there
        ]
        if not rows.any() or not absent:
            continue
        names = ", ".join(clean_text(name, 60) for name in absent)
        lost = "no threshold and no aggregation rule can be chosen" if part == "val" else "no recall can be computed"
        found.append(f"The {PARTS[part]} part has no row of {names}: {lost} for it.")
    return found
