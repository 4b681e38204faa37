"""What is in a data set? THE table, one row a patch, with its schema, reading, writing and content hash.

A manifest is a table plus what cannot stand in a cell: the label scheme, the folder that relative paths start from,
and facts an importer fixed (thresholds, licence, citation). As Parquet these travel in the file's own metadata; as
CSV in ``<name>.meta.json`` beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import ManifestError
from her2core.io.files import read_table, write_json, write_parquet, write_via_temporary
from her2core.labels import IHC_SCORES, ISH_RESULTS, SCHEMES, LabelScheme, declared_scheme

UNKNOWN = "unknown"
REQUIRED = ("path", "label")
#: Columns with the value a row gets when the source does not say.
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
_META_KEY = "her2core"


@dataclass(frozen=True)
class Manifest:
    """One row a patch. ``frame`` has COLUMNS in that order, then any more; ``root`` is where relative paths start.

    ``facts`` holds what the importer fixed once for the whole table: thresholds, licence, citation, notes.
    """

    frame: pd.DataFrame
    scheme: LabelScheme
    root: Path
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.scheme.classes

    @property
    def patients_known(self) -> bool:
        """Whether every row names its patient. Without that no patient-level claim can be made."""
        return len(self.frame) > 0 and not (self.frame["patient_id"] == UNKNOWN).any()

    def __len__(self) -> int:
        return len(self.frame)

    def file(self, path: str) -> Path:
        """The file a row's ``path`` means: as it is when absolute, otherwise below ``root``."""
        return Path(path) if os.path.isabs(path) else self.root / path

    def content_hash(self) -> str:
        """SHA-256 (hex) of rows and classes, whatever the row order and wherever the folder lies on this machine."""
        columns = sorted(self.frame.columns)
        rows = self.frame.sort_values("patch_id")[columns].to_csv(index=False, float_format="%.9g", lineterminator="\n")
        return hashlib.sha256("\n".join((*self.classes, rows)).encode()).hexdigest()

    def subset(self, patch_ids) -> Manifest:
        """The same manifest with only these patches."""
        return replace(self, frame=self.frame[self.frame["patch_id"].isin(set(patch_ids))].reset_index(drop=True))

    def missing_files(self) -> list[str]:
        """Paths of this manifest that are not there, each once."""
        return [p for p in self.frame["path"].unique() if not self.file(p).is_file()]

    def write(self, path: str | os.PathLike) -> Path:
        """Write as ``.parquet`` or ``.csv``: first under a temporary name, then renamed."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {
            "scheme": self.scheme.name,
            "classes": list(self.classes),
            "meaning": self.scheme.meaning,
            "root": os.path.relpath(self.root.resolve(), path.parent.resolve()),
            "text_columns": [str(c) for c in self.frame if not pd.api.types.is_numeric_dtype(self.frame[c])],
            "facts": self.facts,
        }
        if path.suffix == ".csv":
            write_json(_sidecar(path), meta)
            write_via_temporary(path, lambda temporary: self.frame.to_csv(temporary, index=False))
        elif path.suffix == ".parquet":
            write_parquet(path, self.frame, {_META_KEY: json.dumps(meta)})
        else:
            raise ManifestError(
                "a file name ending in .parquet or .csv",
                got=path.name,
                where="manifest to write",
                fix="Choose one of the two.",
            )
        return path


def build_manifest(
    frame: pd.DataFrame,
    *,
    root: str | os.PathLike,
    scheme: LabelScheme | None = None,
    facts: dict[str, Any] | None = None,
    where: str = "manifest",
) -> Manifest:
    """Turn any table with at least ``path`` and ``label`` into a checked Manifest.

    Missing columns get the values of DEFAULTS, ``patch_id`` is made from path and window where absent, labels may be
    derived from ``her2_ihc`` and ``ish`` by the scheme. Raises ManifestError for a missing column, an empty table, an
    unknown label, a duplicate row, a bad score, a bad mpp or a window without all four of its columns.
    """
    frame = frame.reset_index(drop=True)
    if frame.columns.duplicated().any():
        _refuse(
            "column names that differ",
            f"{frame.columns[frame.columns.duplicated()][0]!r} twice",
            where,
            "Rename or drop one of them.",
        )
    if frame.empty:
        _refuse("at least one row", "an empty table", where, "Check the folder or the file it was made from.")
    scheme = scheme or _scheme_of(frame, where)
    if "label" not in frame and "her2_ihc" in frame:
        ish = frame["ish"] if "ish" in frame else [UNKNOWN] * len(frame)
        frame["label"] = [scheme.derive(_text(i), _text(s)) for i, s in zip(frame["her2_ihc"], ish, strict=True)]
    for column in REQUIRED:
        if column not in frame:
            _refuse(
                f"a column {column!r}",
                f"columns {', '.join(map(str, frame.columns))}",
                where,
                "Name it, or map one of your columns to it (her2 data import table --map label=<yours>).",
            )
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
    _normalise(frame, where)
    _check_rows(frame, scheme, where)
    rest = [c for c in frame.columns if c not in COLUMNS]
    return Manifest(frame[[*COLUMNS, *rest]].reset_index(drop=True), scheme, Path(root), dict(facts or {}))


def read_manifest(path: str | os.PathLike) -> Manifest:
    """Read a manifest written by ``Manifest.write``, or any Parquet or CSV with its columns.

    Raises ManifestError, naming file and row, when it is not readable or breaks the schema.
    """
    path = Path(path)
    if path.suffix == ".csv" and _sidecar(path).is_file():
        meta = _read_meta(_sidecar(path).read_bytes(), str(_sidecar(path)))
        frame, _ = read_table(path, text=meta.get("text_columns", ()), own=True)
    else:
        frame, file_meta = read_table(path)
        meta = _read_meta(file_meta.get(_META_KEY, "{}").encode(), str(path))
    scheme = None
    if meta.get("classes"):
        name = meta.get("scheme", "declared")
        known = SCHEMES.get(name)
        if known is not None and known.classes == tuple(meta["classes"]):
            scheme = known
        else:
            scheme = declared_scheme(name, tuple(meta["classes"]), meta.get("meaning", ""))
    root = path.parent / meta.get("root", ".")
    return build_manifest(frame, root=root, scheme=scheme, facts=meta.get("facts"), where=str(path))


def _read_meta(data: bytes, where: str) -> dict[str, Any]:
    try:
        meta = json.loads(data)
    except ValueError as broken:
        _refuse("valid JSON", str(broken), where, "Delete it or import the data again.")
    if not isinstance(meta, dict):
        _refuse("a JSON object", type(meta).__name__, where, "Delete it or import the data again.")
    return meta


def _scheme_of(frame: pd.DataFrame, where: str) -> LabelScheme:
    """A table that declares no classes: paper3 when its labels fit (or only IHC scores are given), else its own."""
    if "label" not in frame:
        return SCHEMES["paper3"]
    found = sorted({text for v in frame["label"] if (text := _text(v)) is not None})
    fits = len(found) > 1 and set(found) <= set(SCHEMES["paper3"].classes) and "equivocal" in found
    if fits:
        return SCHEMES["paper3"]
    if set(found) == set(SCHEMES["binary"].classes):
        return SCHEMES["binary"]
    if len(found) < 2:
        _refuse(
            "at least two classes",
            f"only {found}",
            where,
            "A classifier needs two; add the other class or declare the classes in the manifest.",
        )
    return declared_scheme("declared", tuple(found), f"classes as found in {where}")


def _normalise(frame: pd.DataFrame, where: str) -> None:
    for column in ("patient_id", "slide_id", "site", "scanner", "source", "ish"):
        text = frame[column].map(_text)
        frame[column] = text.where(text.notna(), UNKNOWN).astype("str")
    for column in ("path", "label", "her2_ihc"):
        frame[column] = frame[column].map(_text).astype("object")
    if frame["path"].isna().any():
        _refuse(
            "a path in every row",
            "an empty cell",
            f"{where}, row {_row(frame, frame['path'].isna())}",
            "Fill it or drop the row.",
        )
    frame["path"] = frame["path"].str.replace("\\", "/", regex=False)
    mpp = pd.to_numeric(frame["mpp"], errors="coerce")
    bad = (mpp.isna() & frame["mpp"].map(_text).notna()) | (mpp <= 0) | (mpp > 100)
    if bad.any():
        row = _row(frame, bad)
        _refuse(
            "microns per pixel between 0 and 100, or an empty cell",
            repr(frame["mpp"].iloc[row - 1]),
            f"{where}, row {row}",
            "Correct it or leave it empty.",
        )
    frame["mpp"] = mpp.astype("float64")
    present = [c for c in WINDOW if c in frame]
    if present and len(present) < len(WINDOW):
        _refuse(
            "all of x, y, width and height, or none", f"only {', '.join(present)}", where, "A window needs all four."
        )
    if present:
        _check_windows(frame, where)
    if "patch_id" not in frame:
        frame["patch_id"] = frame["path"]
        if present:
            place = "#" + frame["x"].map(_text) + "," + frame["y"].map(_text)
            frame["patch_id"] += place.where(frame["x"].notna(), "")
    frame["patch_id"] = frame["patch_id"].map(_text).astype("object")


def _check_windows(frame: pd.DataFrame, where: str) -> None:
    numbers = frame[list(WINDOW)].apply(pd.to_numeric, errors="coerce")
    given = frame[list(WINDOW)].map(_text).notna()
    whole = ~given.any(axis=1)
    good = (numbers < 1e9).all(axis=1) & (numbers[["x", "y"]] >= 0).all(axis=1)
    good &= (numbers[["width", "height"]] >= 1).all(axis=1)
    bad = ~(whole | good)
    if bad.any():
        row = _row(frame, bad)
        _refuse(
            "x and y from 0, width and height from 1, in pixels, or four empty cells",
            repr([_text(v) for v in frame[list(WINDOW)].iloc[row - 1]]),
            f"{where}, row {row}",
            "Correct the window's columns.",
        )
    frame[list(WINDOW)] = numbers


def _check_rows(frame: pd.DataFrame, scheme: LabelScheme, where: str) -> None:
    ihc_bad = frame["her2_ihc"].notna() & ~frame["her2_ihc"].isin(IHC_SCORES)
    checks = (
        (ihc_bad, "her2_ihc", f"a HER2 IHC score out of {', '.join(IHC_SCORES)}, or an empty cell"),
        (~frame["ish"].isin(ISH_RESULTS), "ish", f"an ISH result out of {', '.join(ISH_RESULTS)}"),
        (~frame["label"].isin(scheme.classes), "label", f"a label out of {', '.join(scheme.classes)}"),
    )
    for bad, column, expected in checks:
        if bad.any():
            row = _row(frame, bad)
            _refuse(
                expected,
                f"{frame[column].iloc[row - 1]!r} ({int(bad.sum())} such rows)",
                f"{where}, row {row}",
                "Correct the cell, or declare other classes for this manifest.",
            )
    if frame["patch_id"].isna().any():
        _refuse(
            "a patch_id in every row",
            "an empty cell",
            f"{where}, row {_row(frame, frame['patch_id'].isna())}",
            "Fill it, or drop the column: it is then made from path and window.",
        )
    twice = frame["patch_id"].duplicated(keep=False)
    if twice.any():
        row = _row(frame, twice)
        name = frame["patch_id"].iloc[row - 1]
        rows = ", ".join(str(i + 1) for i in frame.index[frame["patch_id"] == name][:5])
        _refuse(
            "each patch once",
            f"{name!r} in rows {rows}",
            where,
            "Drop the duplicate rows, or give each its own patch_id.",
        )


def _text(value) -> str | None:
    """A cell as text; None for an empty one. 2.0 read from a CSV with gaps means 2."""
    if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text or None


def _row(frame: pd.DataFrame, bad: pd.Series) -> int:
    """The first offending row, counted from 1 below the header."""
    return int(bad.to_numpy().argmax()) + 1


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".meta.json")


def _refuse(expected: str, got: str, where: str, fix: str):
    raise ManifestError(expected, got=got, where=where, fix=fix)
