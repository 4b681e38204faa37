"""How do tables and JSON reach the disk whole? A temporary name first, then one rename; and back, in a sentence."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from her2core.errors import ManifestError

#: Never numbers: "0" is an IHC score, "007" a patient.
_TEXT = ("patch_id", "path", "patient_id", "slide_id", "site", "scanner", "her2_ihc", "ish", "label", "source")


def write_via_temporary(path: Path, write: Callable[[Path], Any]) -> Path:
    """Call ``write(temporary)`` and rename the result to ``path``: readers see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    return write_via_temporary(path, lambda t: t.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> Path:
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: pd.DataFrame, metadata: dict[str, str] | None = None) -> Path:
    """Parquet with ``metadata`` in the file's own key-value store."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if metadata:
        own = {key.encode(): value.encode() for key, value in metadata.items()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **own})
    return write_via_temporary(path, lambda t: pq.write_table(table, t, compression="zstd"))


def read_table(path: Path, *, text: Iterable[str] = (), own: bool = False) -> tuple[pd.DataFrame, dict[str, str]]:
    """A CSV or Parquet file as (frame, key-value metadata; empty for CSV). Raises ManifestError if it is neither.

    In a CSV the columns of _TEXT and ``text`` stay text. ``own``: this project wrote it, so that only an empty cell is
    empty; in other files "NA", "null" and the like are too.
    """
    if not path.is_file():
        raise ManifestError(
            "a CSV or Parquet file", got="no such file", where=str(path), fix="Check the name and the folder."
        )
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            raw = table.schema.metadata or {}
            meta = {k.decode(): v.decode() for k, v in raw.items() if not k.startswith((b"pandas", b"ARROW"))}
            return table.to_pandas(), meta
        if path.suffix in (".csv", ".tsv"):
            separator = "\t" if path.suffix == ".tsv" else ","
            empty = {"na_values": [""], "keep_default_na": False} if own else {}
            return pd.read_csv(path, sep=separator, dtype=dict.fromkeys((*_TEXT, *text), "str"), **empty), {}
    except (pa.ArrowException, ValueError, UnicodeDecodeError, OSError) as broken:
        first_line = (str(broken).splitlines() or ["unreadable"])[0][:200]
        raise ManifestError(
            f"a readable {path.suffix[1:]} table",
            got=first_line,
            where=str(path),
            fix="Open it in the program that wrote it and export it again.",
        ) from None
    raise ManifestError(
        "a table ending in .csv, .tsv or .parquet", got=path.name, where=str(path), fix="Export it as one of these."
    )


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
