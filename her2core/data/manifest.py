"""Manifest of a data set: one row a patch, with schema, reading, writing and content hash.

A manifest is a table together with what cannot stand in a cell: the label scheme, the folder from which relative paths
start, and facts that an importer fixed (thresholds, licence, citation). In a Parquet file these are in the file's own
metadata; beside a CSV in ``<name>.meta.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.manifest_labels import map_labels, scheme_of_labels
from her2core.data.manifest_rows import (
    COLUMNS,
    DEFAULTS,
    WINDOW,
    check_rows,
    names_manifest,
    normalise_rows,
    recognise_columns,
    refuse,
)
from her2core.io.cells import UNKNOWN, identifiers
from her2core.io.documents import parse_json
from her2core.io.files import write_csv, write_json, write_parquet
from her2core.io.shards import image_exists
from her2core.io.tables import read_table
from her2core.labels import SCHEMES, LabelScheme, declared_scheme, spelled_class

__all__ = ["COLUMNS", "DEFAULTS", "UNKNOWN", "WINDOW", "Manifest", "build_manifest", "read_manifest"]

REQUIRED = ("path", "label")
#: Columns of what an importer found and did not resolve: kind (conflict, missing file, ...), case, file and detail.
FINDING_COLUMNS = ("kind", "patient_id", "slide_id", "path", "detail")
#: Key of the metadata in a Parquet file.
META_KEY = "her2core"
#: Fields of a manifest's metadata that are read, and what each holds.
_META = {"scheme": str, "classes": list, "meaning": str, "root": str, "text_columns": list, "facts": dict}


@dataclass(frozen=True)
class Manifest:
    """A data set, one row a patch.

    Parameters
    ----------
    frame : DataFrame
        The columns ``COLUMNS`` in that order, then any others.
    scheme : LabelScheme
        The classes and what they mean.
    root : Path
        Where relative paths start.
    facts : dict
        What holds for the whole table: thresholds, licence, citation, and how labels and columns were read.
    findings : DataFrame
        Conflicts, missing files and cases without label that an importer found, with ``FINDING_COLUMNS``. They belong
        to the import, and are not written with the manifest.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["Neg", "Pos"], "patient_id": ["P1", "P2"]})
    >>> manifest = build_manifest(table, root="images")
    >>> len(manifest), manifest.classes, manifest.patients_known
    (2, ('negative', 'positive'), True)
    """

    frame: pd.DataFrame
    scheme: LabelScheme
    root: Path
    facts: dict[str, Any] = field(default_factory=dict)
    findings: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(FINDING_COLUMNS)), compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in order."""
        return self.scheme.classes

    @property
    def patients_known(self) -> bool:
        """Whether every row names its patient. Without that no patient-level statement can be made."""
        return len(self.frame) > 0 and not (self.frame["patient_id"] == UNKNOWN).any()

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        patients = f"{self.frame['patient_id'].nunique():,} patients" if self.patients_known else "patients unknown"
        return f"Manifest({len(self):,} patches, {patients}; classes {', '.join(self.classes)}; root {self.root})"

    def file(self, path: str) -> Path:
        """The file that a row's ``path`` names.

        Parameters
        ----------
        path : str
            A cell of the column path.

        Returns
        -------
        Path
            As it is when absolute, otherwise below ``root``.

        Examples
        --------
        >>> table = pd.DataFrame({"path": ["a/1.png", "a/2.png"], "label": ["low", "high"]})
        >>> build_manifest(table, root="images").file("a/1.png").as_posix()
        'images/a/1.png'
        """
        return Path(path) if os.path.isabs(path) else self.root / path

    def content_hash(self) -> str:
        """SHA-256 of rows and classes, whatever the order of rows and wherever the folder is.

        Returns
        -------
        str
            64 hexadecimal digits.

        Examples
        --------
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["low", "high"]})
        >>> turned = table.iloc[::-1]
        >>> build_manifest(table, root="a").content_hash() == build_manifest(turned, root="b").content_hash()
        True
        """
        columns = sorted(self.frame.columns)
        rows = self.frame.sort_values("patch_id")[columns].to_csv(index=False, float_format="%.9g", lineterminator="\n")
        return hashlib.sha256("\n".join((*self.classes, rows)).encode()).hexdigest()

    def subset(self, patch_ids: Iterable[str]) -> Manifest:
        """The same manifest with some patches only.

        Parameters
        ----------
        patch_ids : iterable of str
            Which.

        Returns
        -------
        Manifest

        Examples
        --------
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["low", "high"]})
        >>> len(build_manifest(table, root=".").subset(["1.png"]))
        1
        """
        return replace(self, frame=self.frame[self.frame["patch_id"].isin(set(patch_ids))].reset_index(drop=True))

    def data_table(self, split: pd.DataFrame) -> pd.DataFrame:
        """Rows without paths and windows, with their part: the data table of a run.

        Parameters
        ----------
        split : DataFrame
            Columns ``patch_id`` and ``split``.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["low", "high"]})
        >>> split = pd.DataFrame({"patch_id": ["1.png", "2.png"], "split": ["train", "test"]})
        >>> "path" in build_manifest(table, root=".").data_table(split)
        False
        """
        hidden = [c for c in ("path", "split", *WINDOW) if c in self.frame]
        return self.frame.drop(columns=hidden).merge(split[["patch_id", "split"]], on="patch_id", how="left")

    def missing_files(self) -> list[str]:
        """Paths of this manifest at which there is no file, nor an entry of a shard, or none that can be reached.

        Returns
        -------
        list of str
            Each once.

        Examples
        --------
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["low", "high"]})
        >>> build_manifest(table, root="nowhere").missing_files()
        ['1.png', '2.png']
        """
        return [p for p in self.frame["path"].unique() if not image_exists(self.file(p))]

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the manifest.

        Parameters
        ----------
        path : path
            Ending in .parquet or .csv.

        Returns
        -------
        Path
            ``path``.

        Raises
        ------
        ManifestError
            For another ending.

        Examples
        --------
        >>> import tempfile
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["low", "high"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_manifest(build_manifest(table, root=folder).write(f"{folder}/m.parquet")).classes
        ('low', 'high')
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {
            "scheme": self.scheme.name,
            "classes": list(self.classes),
            "meaning": self.scheme.meaning,
            "is_her2": self.scheme.is_her2,
            "root": os.path.relpath(self.root.resolve(), path.parent.resolve()),
            "text_columns": [str(c) for c in self.frame if not pd.api.types.is_numeric_dtype(self.frame[c])],
            "facts": self.facts,
        }
        if path.suffix == ".csv":
            write_json(sidecar(path), meta)
            write_csv(path, self.frame)
        elif path.suffix == ".parquet":
            write_parquet(path, self.frame, {META_KEY: json.dumps(meta)})
        else:
            refuse("a file name ending in .parquet or .csv", path.name, "manifest to write", "Choose one of the two.")
        return path


def build_manifest(
    frame: pd.DataFrame,
    *,
    root: str | os.PathLike[str],
    scheme: LabelScheme | None = None,
    facts: dict[str, Any] | None = None,
    where: str = "manifest",
) -> Manifest:
    """Turn a table with the columns of a manifest into a checked one.

    Parameters
    ----------
    frame : DataFrame
        At least ``path`` and ``label``, or ``her2_ihc`` (and ``ish``) from which the scheme derives the label. Missing
        columns get the values of ``DEFAULTS``; ``patch_id`` is made from path and window where it is absent. The frame
        is not changed.
    root : path
        Where relative paths start.
    scheme : LabelScheme, optional
        The classes; when left out those that the labels follow (``manifest_labels.scheme_of_labels``).
    facts : dict, optional
        What holds for the whole table.
    where : str
        The file, for messages.

    Returns
    -------
    Manifest
        ``facts["labels_read_as"]`` has the labels whose spelling was mapped to a class.

    Raises
    ------
    ManifestError
        For a missing column, an empty table, an unknown label, a duplicate row, a bad score or scale, or a window
        without all four of its columns, by row.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["1.png", "2.png", "3.png"], "her2_ihc": ["0", "2+", "3+"]})
    >>> build_manifest(table, root=".").frame["label"].tolist()
    ['negative', 'equivocal', 'positive']
    """
    frame = frame.reset_index(drop=True)
    if len(repeated := frame.columns[frame.columns.duplicated()]):
        refuse("column names that differ", f"{repeated[0]!r} twice", where, "Rename or drop one of them.")
    if frame.empty:
        refuse("at least one row", "an empty table", where, "Check the folder or the file it was made from.")
    if "label" not in frame and "her2_ihc" in frame:
        scheme = scheme or SCHEMES["paper3"]
        frame["label"] = _derived(frame, scheme)
    for column in REQUIRED:
        if column not in frame:
            refuse(
                f"a column {column!r}",
                f"columns {', '.join(map(str, frame.columns))}",
                where,
                "Name it, or map one of your columns to it (her2 data import table --map label=<yours>).",
            )
    scheme = scheme or scheme_of_labels(frame["label"], where=where)
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
    normalise_rows(frame, where)
    frame["label"], spelled = map_labels(frame["label"], scheme)
    check_rows(frame, scheme, where)
    rest = [c for c in frame.columns if c not in COLUMNS]
    read = {"labels_read_as": spelled} if spelled else {}
    return Manifest(frame[[*COLUMNS, *rest]].reset_index(drop=True), scheme, Path(root), {**(facts or {}), **read})


def _derived(frame: pd.DataFrame, scheme: LabelScheme) -> list[str | None]:
    scores, results = (
        identifiers(frame[c]).map(spelled_class) if c in frame else pd.Series(UNKNOWN, index=frame.index)
        for c in ("her2_ihc", "ish")
    )
    return [scheme.derive(None if i == UNKNOWN else i, s) for i, s in zip(scores, results, strict=True)]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest, written by ``Manifest.write`` or by any other program.

    Parameters
    ----------
    path : path
        A CSV, Parquet or Excel file. The images that it names need not exist.

    Returns
    -------
    Manifest
        Of another program's table, columns are recognised by name and labels by their spelling;
        ``facts["columns_read_as"]``, ``facts["labels_read_as"]`` and ``facts["table_notes"]`` say how.

    Raises
    ------
    TableError
        When it is no readable table.
    ManifestError
        When it breaks the schema, naming file and row.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "cases.csv")
    ...     _ = table.write_text("filename;GT;mpp\\n1.png;neg;0,25\\n2.png;pos;0,25\\n")
    ...     manifest = read_manifest(table)
    >>> manifest.scheme.name, manifest.frame["mpp"].tolist(), manifest.facts["columns_read_as"]
    ('binary', [0.25, 0.25], {'path': 'filename', 'label': 'GT'})
    """
    path = Path(path)
    own = path.suffix == ".csv" and sidecar(path).is_file()
    if own:
        meta = _read_meta(sidecar(path).read_bytes(), str(sidecar(path)))
        table = read_table(path, text=meta.get("text_columns", ()), own=True)
    else:
        table = read_table(path, wanted=names_manifest)
        meta = _read_meta(table.metadata.get(META_KEY, "{}").encode(), str(path))
    scheme, frame, facts = None, table.frame, dict(meta.get("facts") or {})
    if meta.get("classes"):
        name = meta.get("scheme", "declared")
        known = SCHEMES.get(name)
        if known is not None and known.classes == tuple(meta["classes"]):
            scheme = known
        else:
            her2 = meta.get("is_her2") is True
            scheme = declared_scheme(name, tuple(meta["classes"]), meta.get("meaning", ""), is_her2=her2)
    else:
        frame, renamed = recognise_columns(frame)
        facts |= {"columns_read_as": renamed} if renamed else {}
        facts |= {"table_notes": list(table.notes)} if table.notes else {}
    return build_manifest(frame, root=path.parent / meta.get("root", "."), scheme=scheme, facts=facts, where=str(path))


def _read_meta(data: bytes, where: str) -> dict[str, Any]:
    fix = "Delete it or import the data again."
    try:
        meta = parse_json(data)
    except ValueError as broken:
        refuse("valid JSON", str(broken), where, fix)
    if not isinstance(meta, dict):
        refuse("a JSON object", type(meta).__name__, where, fix)
    for name, kind in _META.items():
        if name in meta and not isinstance(meta[name], kind):
            refuse(f"a {kind.__name__} as {name!r}", type(meta[name]).__name__, where, fix)
    for name in ("classes", "text_columns"):
        if not all(isinstance(value, str) for value in meta.get(name, [])):
            refuse(f"text in {name!r}", "other values", where, fix)
    if "\0" in meta.get("root", ""):
        refuse("the path of a folder as 'root'", "a NUL character in it", where, fix)
    return meta


def sidecar(path: Path) -> Path:
    """The file beside a CSV manifest that has its metadata."""
    return path.with_suffix(".meta.json")
