"""Export of a finished run under a name of its own: a verified copy, renamed into place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from her2core.errors import RunError, WeightsError
from her2core.io.files import sha256_file, write_json
from her2core.runs.folder import SERVING, WEIGHTS, Run, open_run


def export_run(source: str | os.PathLike[str], target: str | os.PathLike[str], *, weights: bool = True) -> Run:
    """Copy a finished run, its weights verified first; links in it are left out.

    Parameters
    ----------
    source : str or path
        The run folder.
    target : str or path
        The folder to make; nothing is ever overwritten.
    weights : bool, optional
        False leaves out what only serving needs and records that in run.json.

    Returns
    -------
    Run
        The copy.

    Raises
    ------
    RunError
        When ``target`` exists or is inside the run.
    WeightsError
        When the weights do not have the card's hash.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_run("models/demo", Path(folder) / "copy", weights=False).has_weights
    False
    """
    run = open_run(source)
    target = new_folder(run, target)
    if run.has_weights and sha256_file(run.path / WEIGHTS) != run.card["weights_sha256"]:
        raise WeightsError(
            "weights with the card's hash",
            got="other bytes",
            where=run.path / WEIGHTS,
            fix="Copy the run again from its source.",
        )
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _copy(run.path, part, weights=weights)
        if not weights:
            write_json(part / "run.json", {**run.info, "weights_released": False})
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_run(target)


def new_folder(run: Run, target: str | os.PathLike[str]) -> Path:
    """A folder that an export may make.

    Parameters
    ----------
    run : Run
        What is exported.
    target : str or path

    Returns
    -------
    Path

    Raises
    ------
    RunError
        When it exists or is inside the run.

    Examples
    --------
    >>> new_folder(open_run("models/demo"), "exported/demo").as_posix()
    'exported/demo'
    """
    target = Path(target)
    if target.exists():
        raise RunError(
            "a folder that does not exist yet", got="one that does", where=target, fix="Choose another name."
        )
    if target.resolve().is_relative_to(run.path.resolve()):
        raise RunError("a folder outside the run", got="one inside it", where=target, fix="Choose another place.")
    return target


def _copy(source: Path, target: Path, *, weights: bool) -> None:
    """Copy a folder without links, which may lead out of it, and without weights without what only serving needs.

    ``shutil.copytree`` would collect what the system refuses as text, without its error number.
    """
    target.mkdir()
    names = sorted(os.listdir(source))
    serving = set() if weights else shutil.ignore_patterns(*SERVING)(str(source), names)
    for path in (source / name for name in names if name not in serving):
        if path.is_symlink():
            continue
        if path.is_dir():
            _copy(path, target / path.name, weights=weights)
        else:
            shutil.copy2(path, target / path.name)
