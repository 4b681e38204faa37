"""Lists of the finished runs below some folders; whatever is wrong with one folder, the others are listed."""

from __future__ import annotations

import os
from pathlib import Path

from her2core.errors import Her2Error, RunError
from her2core.runs.folder import DISTILLED, MIL, STUDY, Run, open_run


def list_runs(*roots: str | os.PathLike[str]) -> tuple[list[Run], list[str]]:
    """List the finished runs directly below some folders.

    Parameters
    ----------
    *roots : str or path
        Folders of runs; one that does not exist holds none. Names that start with a dot are skipped.

    Returns
    -------
    runs : list of Run
        The last name first, folder after folder.
    problems : list of str
        One sentence for each folder that is no finished run, or that cannot be read.

    Examples
    --------
    >>> runs, problems = list_runs("models")
    >>> [run.name for run in runs][-1], problems
    ('demo', [])
    """
    runs, problems = [], []
    for root in map(Path, roots):
        try:
            paths = sorted(root.iterdir(), reverse=True) if os.path.isdir(root) else []
        except OSError as refused:
            problems.append(_unreadable(root, refused).sentence)
            continue
        for path in paths:
            try:
                if not os.path.isdir(path) or path.name.startswith(".") or _no_run(path):
                    continue
                runs.append(open_run(path))
            except Her2Error as refused:
                problems.append(refused.sentence)
            except (OSError, ValueError, RecursionError) as refused:
                problems.append(_unreadable(path, refused).sentence)
    return runs, problems


def _unreadable(path: Path, refused: Exception) -> RunError:
    return RunError(
        "a folder that can be read",
        got=getattr(refused, "strerror", None) or type(refused).__name__,
        where=path,
        fix="Check its permissions.",
    )


def _no_run(path: Path) -> bool:
    """Whether this is a folder of runs (models/study, or a study with its tables) or of weights, not a broken run."""
    entries = list(path.iterdir())
    return any(os.path.isfile(path / name) for name in (STUDY, DISTILLED, MIL)) or (
        all(os.path.isdir(e) for e in entries)
        and any(e.name.startswith(".") or os.path.isfile(e / "run.json") for e in entries)
    )
