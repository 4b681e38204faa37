"""Files of a run folder: opened without following links, within a limit each, and decoded to plain values.

Run folders come from strangers. Whatever is wrong with a file is one RunError that names it; sizes are taken from the
opened file before anything is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from her2core.errors import RunError, TableError
from her2core.io.below import RefusedFile, open_below
from her2core.io.documents import parse_json, parse_yaml
from her2core.io.limits import TableLimits

if TYPE_CHECKING:
    import pandas as pd

MiB = 2**20
#: Largest size of each file of a run in bytes: some ten times what a run of a million patches holds.
RUN_LIMITS: dict[str, int] = {
    "run.json": MiB,
    "model.card.json": MiB,
    "config.yaml": MiB,
    "checks.json": 64 * MiB,
    "events.jsonl": 64 * MiB,
    "history.csv": 16 * MiB,
    "splits.parquet": 256 * MiB,
    "predictions.parquet": 512 * MiB,
    "dataset.parquet": 512 * MiB,
    "image_properties.parquet": 512 * MiB,
    "evaluation/cost.json": MiB,
    "evaluation/maps.csv": 16 * MiB,
    "study.json": MiB,
    "model.safetensors": 16 * 1024 * MiB,
    "ood.safetensors": 512 * MiB,
}
#: Of every other file: tables of the evaluation and of studies.
OTHER_LIMIT = 64 * MiB
#: Largest table of a run; Parquet states its rows before any is read.
RUN_TABLE = TableLimits(rows=5_000_000, columns=2_000)
#: Patches of a synthetic cohort that are planned again to draw some of them.
MOST_SYNTHETIC_PATCHES = 500_000
AGAIN = "Copy the run again from its source."


def open_run_file(root: str | os.PathLike[str], name: str) -> BinaryIO:
    """Open one file of a run.

    Parameters
    ----------
    root : path
        The run folder.
    name : str
        Path below it.

    Returns
    -------
    binary file

    Raises
    ------
    RunError
        For a file that is missing, may not be read, is a link or a folder, or is beyond its limit of ``RUN_LIMITS``.

    Examples
    --------
    >>> with open_run_file("models/demo", "run.json") as file:
    ...     file.read(1)
    b'{'
    """
    where = Path(root) / name
    try:
        return open_below(root, name, limit=RUN_LIMITS.get(name, OTHER_LIMIT))
    except RefusedFile as refused:
        fix = "Put the file itself in the link's place." if str(refused) == "a link" else AGAIN
        raise RunError(f"the file {name} of a run", got=str(refused), where=where, fix=fix) from None
    except FileNotFoundError:
        raise RunError(f"the file {name} of a run", got="no such file", where=where, fix=AGAIN) from None
    except (OSError, ValueError) as refused:
        got = getattr(refused, "strerror", None) or "an error"
        fix = "Check the permissions of the folder and the file."
        raise RunError(f"a readable file {name}", got=got, where=where, fix=fix) from None


def read_run_file(root: str | os.PathLike[str], name: str) -> bytes:
    """Content of one file of a run.

    Parameters
    ----------
    root : path
    name : str

    Returns
    -------
    bytes

    Raises
    ------
    RunError
        As ``open_run_file``, and where reading fails.
    """
    with open_run_file(root, name) as file:
        try:
            return file.read()
        except OSError as refused:
            raise RunError(
                f"a readable file {name}",
                got=refused.strerror or "an error",
                where=Path(root) / name,
                fix="Check the disk, and copy the run again from its source.",
            ) from None


def read_run_json(root: str | os.PathLike[str], name: str) -> Any:
    """Value of a JSON file of a run: strict JSON in UTF-8, so that NaN is refused.

    Parameters
    ----------
    root : path
    name : str

    Returns
    -------
    object

    Raises
    ------
    RunError
        As ``read_run_file``, and for anything that is no JSON, deeply nested values and huge integers included.

    Examples
    --------
    >>> read_run_json("models/demo", "run.json")["status"]
    'finished'
    """
    try:
        return parse_json(read_run_file(root, name))
    except ValueError as broken:
        raise RunError("valid JSON", got=str(broken), where=Path(root) / name, fix=AGAIN) from None


def read_run_yaml(root: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """Mapping of a YAML file of a run; aliases are refused, since a few of them can stand for gigabytes.

    Parameters
    ----------
    root : path
    name : str

    Returns
    -------
    dict

    Raises
    ------
    RunError
        As ``read_run_file``, and for anything that is no mapping in YAML.

    Examples
    --------
    >>> read_run_yaml("models/demo", "config.yaml")["name"]
    'demo'
    """
    try:
        value = parse_yaml(read_run_file(root, name))
    except ValueError as broken:
        raise RunError("fields and values in YAML", got=str(broken), where=Path(root) / name, fix=AGAIN) from None
    if not isinstance(value, dict):
        raise RunError("fields and values in YAML", got=type(value).__name__, where=Path(root) / name, fix=AGAIN)
    return value


def read_run_table(root: str | os.PathLike[str], name: str, *, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Frame of a table of a run.

    Parameters
    ----------
    root : path
    name : str
    text : tuple of str, optional
        Columns that stay text.

    Returns
    -------
    DataFrame

    Raises
    ------
    RunError
        As ``read_run_file``, and for damage and tables beyond ``RUN_TABLE``.

    Examples
    --------
    >>> list(read_run_table("models/demo", "splits.parquet"))
    ['patch_id', 'split']
    """
    from her2core.io.tables import read_table

    where = Path(root) / name
    try:
        return read_table(read_run_file(root, name), name=str(where), text=text, own=True, limits=RUN_TABLE).frame
    except TableError as broken:
        raise RunError(broken.expected, got=broken.got, where=where, fix=AGAIN) from None


def json_object(value: Any, where: str | os.PathLike[str]) -> dict[str, Any]:
    """The value, if it is a JSON object.

    Parameters
    ----------
    value : object
    where : path
        For the message.

    Returns
    -------
    dict

    Raises
    ------
    RunError
        For anything else.

    Examples
    --------
    >>> json_object({"a": 1}, "run.json")
    {'a': 1}
    """
    if not isinstance(value, dict):
        raise RunError("a JSON object", got=type(value).__name__, where=where, fix=AGAIN)
    return value
