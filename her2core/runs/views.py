"""Saved views of the table of runs: filter, columns and order under a name.

    <folder of runs>/.views/<hash of the name>.json

One file a view, so that two people who save two views at once lose nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from her2core.errors import ConfigError, Her2Error, RunError
from her2core.io.files import write_json
from her2core.io.text import clean_text
from her2core.runs.files import json_object, read_run_json

FOLDER = ".views"
NAME_LENGTH, MOST_VIEWS = 60, 200
#: What a view may hold: texts, numbers, truth values, and lists of texts.
Setting = str | bool | int | list[str]


def saved_views(*roots: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Setting]], list[str]]:
    """Read the views that are kept in some folders of runs.

    Parameters
    ----------
    *roots : path
        Folders of runs; one that does not exist holds none.

    Returns
    -------
    views : dict of str to dict
        Name -> settings, in the order of the names; of equal names that of the last folder.
    problems : list of str
        One sentence for each file that is no view.

    Examples
    --------
    >>> saved_views("models/no-such-folder")
    ({}, [])
    """
    found: dict[str, dict[str, Setting]] = {}
    problems = []
    for root in map(Path, roots):
        try:
            files = sorted((root / FOLDER).glob("*.json"))[:MOST_VIEWS]
        except OSError:
            files = []
        for file in files:
            try:
                name, settings = _view(json_object(read_run_json(root, f"{FOLDER}/{file.name}"), file), file)
                found[name] = settings
            except Her2Error as broken:
                problems.append(broken.sentence)
    return dict(sorted(found.items())), problems


def save_view(root: str | os.PathLike[str], name: str, settings: Mapping[str, Setting]) -> Path:
    """Keep a view; one of the same name is replaced.

    Parameters
    ----------
    root : path
        Folder of runs; created.
    name : str
        At most ``NAME_LENGTH`` characters.
    settings : mapping of str to setting
        Texts, numbers, truth values, and lists of texts.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        For a name that is empty or too long.
    RunError
        Where the folder is read-only.

    Examples
    --------
    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> _ = save_view(root, "candidates", {"status": ["candidate"], "descending": True})
    >>> saved_views(root)
    ({'candidates': {'status': ['candidate'], 'descending': True}}, [])
    """
    name = clean_text(name, 1000).strip()
    if not 0 < len(name) <= NAME_LENGTH:
        raise ConfigError(
            f"a name of 1 to {NAME_LENGTH} characters",
            got=f"{len(name)} characters",
            where="name of the view",
            fix="Give another name.",
        )
    path = view_file(root, name)
    try:
        return write_json(path, {"name": name, "settings": dict(settings)})
    except OSError as refused:
        raise _read_only(root, refused) from None


def delete_view(root: str | os.PathLike[str], name: str) -> None:
    """Remove a view; nothing happens where there is none of this name.

    Parameters
    ----------
    root : path
        Folder of runs.
    name : str

    Raises
    ------
    RunError
        Where the folder is read-only.

    Examples
    --------
    >>> delete_view("models", "no such view")
    """
    try:
        view_file(root, name).unlink(missing_ok=True)
    except OSError as refused:
        raise _read_only(root, refused) from None


def view_file(root: str | os.PathLike[str], name: str) -> Path:
    """Name the file of a view.

    Parameters
    ----------
    root : path
        Folder of runs.
    name : str
        Any text: the file is named after its hash.

    Returns
    -------
    Path

    Examples
    --------
    >>> view_file("models", "../other").parent.as_posix()
    'models/.views'
    """
    return Path(root) / FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _view(found: dict[str, Any], file: Path) -> tuple[str, dict[str, Setting]]:
    name, settings = found.get("name"), found.get("settings")
    whole = isinstance(name, str) and 0 < len(name) <= NAME_LENGTH and isinstance(settings, dict)
    if whole and all(_is_setting(value) for value in settings.values()):  # type: ignore[union-attr]  # a dict: checked
        return str(name), dict(settings)  # type: ignore[arg-type]  # a dict: checked just before
    raise RunError("a saved view", got="another content", where=file, fix="Remove this file.")


def _is_setting(value: object) -> bool:
    return isinstance(value, str | bool | int) or (isinstance(value, list) and all(isinstance(v, str) for v in value))


def _read_only(root: str | os.PathLike[str], refused: OSError) -> RunError:
    return RunError(
        "a folder of runs that can be written to, for saved views",
        got=(refused.strerror or type(refused).__name__).lower(),
        where=root,
        fix="Change its permissions; the page's address restores the view too.",
    )
