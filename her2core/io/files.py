"""Atomic writing of files: first under a temporary name, then renamed, so that readers see the old file or the new one.

Reading is elsewhere: tables in ``her2core.io.tables``, images in ``her2core.io.images``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from her2core.errors import ConfigError
from her2core.io.text import printable_path

if TYPE_CHECKING:
    import pandas as pd


def write_via_temporary(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write a file under a temporary name and rename it.

    Parameters
    ----------
    path : Path
        The file to write; its folder is created.
    write : callable
        Writes to the path that it is given.

    Returns
    -------
    Path
        ``path``. Whatever ``write`` raises is passed on, and an old file stays.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_via_temporary(Path(folder, "a.txt"), lambda t: t.write_text("whole")).read_text()
    'whole'
    """
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_tensors(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write a safetensors file under a temporary name and rename it.

    Parameters
    ----------
    path : Path
        The file to write; its folder is created.
    write : callable
        Calls ``save_file`` of safetensors with the path that it is given.

    Returns
    -------
    Path
        ``path``, readable as any other file of this process: safetensors gives it to its owner alone, so that a server
        of another user could not read the weights.

    Raises
    ------
    OSError
        The system's own error, of which safetensors gives only the text.
    """
    from safetensors import SafetensorError

    def write_readable(temporary: Path) -> None:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        temporary.chmod(mode)

    try:
        return write_via_temporary(path, write_readable)
    except SafetensorError as failed:
        code = re.search(r"(?:os error|code:) (\d+)", str(failed))
        number = int(code.group(1)) if code else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from None


def check_replaceable(path: Path) -> None:
    """Refuse a place whose file must not be replaced: renaming over a device or a pipe would destroy it.

    Parameters
    ----------
    path : Path
        The file to write.

    Raises
    ------
    FileExistsError
        There is something that is neither a file nor a folder.

    Examples
    --------
    >>> check_replaceable(Path("absent.csv"))
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FileExistsError(errno.EEXIST, "a device, pipe or socket", str(path))


def refuse_inputs(out: Path, *inputs: Path | None, where: str = "--out") -> None:
    """Refuse to write over a file that is read.

    Parameters
    ----------
    out : Path
        The file to write.
    *inputs : Path or None
        Files that are read.
    where : str
        The option, for the message.

    Raises
    ------
    ConfigError
        One of them is the same file.

    Examples
    --------
    >>> refuse_inputs(Path("out.csv"), Path("in.csv"), None)
    """
    if any(file is not None and os.path.realpath(file) == os.path.realpath(out) for file in inputs):
        raise ConfigError(
            "a file other than those that are read",
            got=printable_path(out),
            where=where,
            fix="Choose another name: nothing was written.",
        )


def write_text(path: Path, text: str) -> Path:
    """Write text in UTF-8.

    Parameters
    ----------
    path : Path
        The file to write.
    text : str
        Its content.

    Returns
    -------
    Path
        ``path``.
    """
    return write_via_temporary(path, lambda t: t.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> Path:
    """Write strict JSON: NaN and infinity are refused.

    Parameters
    ----------
    path : Path
        The file to write.
    value : object
        Whatever ``json`` serialises.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        For NaN and infinity, which are no JSON.
    """
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, frame: pd.DataFrame, metadata: dict[str, str] | None = None) -> Path:
    """Write a Parquet file without the frame's index.

    Parameters
    ----------
    path : Path
        The file to write.
    frame : DataFrame
        Its rows.
    metadata : dict of str, optional
        Entries of the file's own key-value store; ``read_table`` returns them.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from her2core.io.tables import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_parquet(Path(folder, "a.parquet"), pd.DataFrame({"n": [1]}), {"source": "demo"})
    ...     read_table(path).metadata
    {'source': 'demo'}
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    if metadata:
        own = {key.encode(): value.encode() for key, value in metadata.items()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **own})
    return write_via_temporary(path, lambda t: pq.write_table(table, t, compression="zstd"))


def write_csv(path: Path, frame: pd.DataFrame, *, float_format: str | None = None) -> Path:
    """Write a CSV file without the frame's index; no cell can act as a formula (``io.spreadsheet``).

    Parameters
    ----------
    path : Path
        The file to write.
    frame : DataFrame
        Its rows.
    float_format : str, optional
        As ``DataFrame.to_csv`` takes it, such as ``%.6f``.

    Returns
    -------
    Path
        ``path``.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(Path(folder, "a.csv"), pd.DataFrame({"n": [0.5]}), float_format="%.3f").read_text()
    'n\\n0.500\\n'
    """
    from her2core.io.spreadsheet import to_csv

    return write_via_temporary(path, lambda t: to_csv(frame, t, float_format=float_format))


def write_csv_tables(folder: Path, tables: Mapping[str, pd.DataFrame], *, float_format: str | None = None) -> None:
    """Write several CSV files; where one cannot be written, all files stay as they were.

    Parameters
    ----------
    folder : Path
        Where to write; created.
    tables : mapping of str to DataFrame
        Name of the file without its suffix -> rows.
    float_format : str, optional
        As ``write_csv`` takes it.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv_tables(Path(folder), {"a": pd.DataFrame({"n": [1]}), "b": pd.DataFrame({"n": [2]})})
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['a.csv', 'b.csv']
    """
    from her2core.io.spreadsheet import to_csv

    folder.mkdir(parents=True, exist_ok=True)
    parts = {folder / f"{name}.csv": folder / f".{name}.csv.{os.getpid()}.part" for name in tables}
    try:
        for part, frame in zip(parts.values(), tables.values(), strict=True):
            to_csv(frame, part, float_format=float_format)
        for path, part in parts.items():
            os.replace(part, path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sha256_file(write_text(Path(folder, "a.txt"), ""))[:8]
    'e3b0c442'
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
