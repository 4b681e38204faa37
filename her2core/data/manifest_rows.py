"""Rows of a manifest: recognition of columns, normalisation of cells, and refusal by row of what breaks the schema."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NoReturn

import numpy as np
import pandas as pd

from her2core.errors import ManifestError
from her2core.io.cells import UNKNOWN, cell_text, identifiers, missing_cells
from her2core.io.columns import find_column, find_split, split_parts
from her2core.io.number_formats import to_numbers
from her2core.labels import IHC_SCORES, ISH_RESULTS, LabelScheme, spelled_class

#: Columns with the value that a row gets where the source does not state one.
DEFAULTS = {
    "patient_id": UNKNOWN,
    "slide_id": UNKNOWN,
    "site": UNKNOWN,
    "scanner": UNKNOWN,
    "mpp": float("nan"),
    "her2_ihc": None,
    "ish": UNKNOWN,
    "source": UNKNOWN,
}
#: A row with these is a window of a larger image, in that image's own pixels; without them it is the whole image.
WINDOW = ("x", "y", "width", "height")
COLUMNS = ("patch_id", "path", "patient_id", "slide_id", "site", "scanner", "mpp", "her2_ihc", "ish", "label", "source")
_RECOGNISED = ("path", "label", "patient_id", "slide_id", "site", "scanner", "patch_id", "mpp", "her2_ihc", "ish")


def names_manifest(names: Sequence[str], chosen: Collection[str] = ()) -> bool:
    """Whether these are the columns of a table of images with their labels.

    Parameters
    ----------
    names : sequence of str
        The names of the columns.
    chosen : collection of str, optional
        Columns that the caller states.

    Returns
    -------
    bool
        With columns stated: whether they are all there. Otherwise whether there is a path, and a label or an IHC score.

    Examples
    --------
    >>> names_manifest(["Image", "HER2"]), names_manifest(["HER2 cohort of 2025", ""])
    (True, False)
    """
    if chosen:
        return set(chosen) <= set(names)
    return find_column(names, "path") is not None and any(find_column(names, r) for r in ("label", "her2_ihc"))


def recognise_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Give a table of any origin the column names of a manifest.

    Parameters
    ----------
    frame : DataFrame
        The table.

    Returns
    -------
    DataFrame
        The same rows. A column is renamed where the manifest's own name is absent, its name is a known spelling
        (``io.columns.SPELLINGS``) and its cells fit; the split is recognised by its values.
    dict
        Manifest column -> the table's name of it, for those renamed.

    Examples
    --------
    >>> recognise_columns(pd.DataFrame({"filename": ["1.png"], "GT": ["a"], "PatientID": ["P1"]}))[1]
    {'path': 'filename', 'label': 'GT', 'patient_id': 'PatientID'}
    """
    names = [str(c) for c in frame.columns]
    renamed: dict[str, str] = {}
    for role in _RECOGNISED:
        free = [n for n in names if n not in renamed.values() and n not in (*COLUMNS, *WINDOW, "split")]
        if role in names or (role == "label" and "her2_ihc" in names):
            continue
        found = find_column(free, role)
        if found is not None and names.count(found) == 1 and _fits(frame[found], role):
            renamed[role] = found
    if "split" not in names:
        taken = {*renamed.values(), *COLUMNS} & set(names)
        found = find_split(frame, taken=taken)
        if found is not None and names.count(found) == 1 and (split_parts(frame[found])[0] != "").all():
            renamed["split"] = found
    return frame.rename(columns={own: role for role, own in renamed.items()}), renamed


def _fits(column: pd.Series, role: str) -> bool:
    if role == "patch_id":
        return column.is_unique and not missing_cells(column).any()
    if role == "mpp":
        return not (np.isnan(to_numbers(column)) & ~missing_cells(column)).any()
    if role in ("her2_ihc", "ish"):
        known = set(IHC_SCORES if role == "her2_ihc" else ISH_RESULTS) | {UNKNOWN}
        return set(identifiers(column).map(spelled_class)) <= known
    return True


def normalise_rows(frame: pd.DataFrame, where: str) -> None:
    """Bring the cells of a manifest into their form, in place.

    Parameters
    ----------
    frame : DataFrame
        With all of ``COLUMNS`` but perhaps patch_id, which is then made from path and window.
    where : str
        The file, for messages.

    Raises
    ------
    ManifestError
        For an empty path, a scale out of range, and an incomplete window, by row.

    Examples
    --------
    >>> frame = pd.DataFrame({"path": ["a\\\\1.png"], "label": ["low"], "mpp": ["0,25"]}).assign(
    ...     **{c: v for c, v in DEFAULTS.items() if c != "mpp"})
    >>> normalise_rows(frame, "t.csv")
    >>> frame[["patch_id", "mpp"]].values.tolist()
    [['a/1.png', 0.25]]
    """
    for column in ("patient_id", "slide_id", "site", "scanner", "source"):
        frame[column] = identifiers(frame[column])
    for column in ("her2_ihc", "ish"):
        text = identifiers(frame[column])
        frame[column] = text.map({t: spelled_class(t) for t in text.unique()})
    frame["her2_ihc"] = frame["her2_ihc"].astype("object").where(frame["her2_ihc"] != UNKNOWN, None)
    path = identifiers(frame["path"])
    _refuse_rows(
        path == UNKNOWN, path, "a path in every row", where, got="an empty cell", fix="Fill it or drop the row."
    )
    frame["path"] = path.str.replace("\\", "/", regex=False).astype("object")
    mpp = pd.Series(to_numbers(frame["mpp"]), index=frame.index)
    bad = (mpp.isna() & ~missing_cells(frame["mpp"])) | (mpp <= 0) | (mpp > 100)
    _refuse_rows(
        bad,
        frame["mpp"],
        "microns per pixel between 0 and 100, or an empty cell",
        where,
        fix="Correct it or leave it empty.",
    )
    frame["mpp"] = mpp.astype("float64")
    _normalise_windows(frame, where)
    if "split" in frame:
        parts, spelled = split_parts(frame["split"])
        if spelled and (parts != "").all():
            frame["split"] = parts
    if "patch_id" not in frame:
        frame["patch_id"] = frame["path"]
        if "x" in frame:
            place = "#" + frame["x"].map(cell_text) + "," + frame["y"].map(cell_text)
            frame["patch_id"] += place.where(frame["x"].notna(), "")
    else:
        frame["patch_id"] = frame["patch_id"].map(cell_text)
    frame["patch_id"] = frame["patch_id"].astype("object")


def _normalise_windows(frame: pd.DataFrame, where: str) -> None:
    present = [c for c in WINDOW if c in frame]
    if not present:
        return
    if len(present) < len(WINDOW):
        refuse(
            "all of x, y, width and height, or none", f"only {', '.join(present)}", where, "A window needs all four."
        )
    numbers = pd.DataFrame({c: to_numbers(frame[c]) for c in WINDOW}, index=frame.index)
    given = pd.DataFrame({c: ~missing_cells(frame[c]) for c in WINDOW}, index=frame.index)
    good = (numbers < 1e9).all(axis=1) & (numbers[["x", "y"]] >= 0).all(axis=1)
    good &= (numbers[["width", "height"]] >= 1).all(axis=1)
    bad = ~(~given.any(axis=1) | good)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        refuse(
            "x and y from 0, width and height from 1, in pixels, or four empty cells",
            repr([cell_text(v) for v in frame[list(WINDOW)].iloc[row]]),
            f"{where}, row {row + 1}",
            "Correct the window's columns.",
        )
    whole = numbers.notna().all(axis=None) and (numbers % 1 == 0).all(axis=None)
    frame[list(WINDOW)] = numbers.astype("int64") if whole else numbers


def check_rows(frame: pd.DataFrame, scheme: LabelScheme, where: str) -> None:
    """Refuse rows that break the schema.

    Parameters
    ----------
    frame : DataFrame
        Normalised rows.
    scheme : LabelScheme
        The classes.
    where : str
        The file, for messages.

    Raises
    ------
    ManifestError
        For an unknown IHC score, ISH result or label, and for a patch that is missing or occurs twice, by row.
    """
    ihc, fix = frame["her2_ihc"], "Correct the cell, or declare other classes for this manifest."
    checks = (
        (
            ihc.notna() & ~ihc.isin(IHC_SCORES),
            "her2_ihc",
            f"a HER2 IHC score out of {', '.join(IHC_SCORES)}, or an empty cell",
        ),
        (~frame["ish"].isin(ISH_RESULTS), "ish", f"an ISH result out of {', '.join(ISH_RESULTS)}"),
        (~frame["label"].isin(scheme.classes), "label", f"a label out of {', '.join(scheme.classes)}"),
    )
    for bad, column, expected in checks:
        _refuse_rows(bad, frame[column], expected, where, fix=fix)
    _refuse_rows(
        frame["patch_id"] == "",
        frame["patch_id"],
        "a patch_id in every row",
        where,
        got="an empty cell",
        fix="Fill it, or drop the column: it is then made from path and window.",
    )
    twice = frame["patch_id"].duplicated(keep=False)
    if twice.any():
        name = frame["patch_id"].iloc[int(twice.to_numpy().argmax())]
        rows = ", ".join(str(i + 1) for i in np.flatnonzero((frame["patch_id"] == name).to_numpy())[:5])
        refuse(
            "each patch once",
            f"{name!r} in rows {rows}",
            where,
            "Drop the duplicate rows, or give each its own patch_id.",
        )


def _refuse_rows(bad: pd.Series, cells: pd.Series, expected: str, where: str, *, fix: str, got: str = "") -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        count = int(bad.sum())
        found = got or f"{cells.iloc[row]!r} ({count} such rows)"
        refuse(expected, found, f"{where}, row {row + 1}", fix)


def refuse(expected: str, got: str, where: str, fix: str) -> NoReturn:
    """Raise a ManifestError.

    Parameters
    ----------
    expected, got, where, fix : str
        As in ``Her2Error``.

    Raises
    ------
    ManifestError
        Always.
    """
    raise ManifestError(expected, got=got, where=where, fix=fix)
