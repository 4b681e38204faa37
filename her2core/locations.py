"""Folders of the app's files, of runs, and of data.

In a checkout the app is at the top level of the repository. In an installed wheel it is inside the package (``_app``,
copied there by ``setup.py``); runs and data are then looked for in the working folder. ``HER2_RUNS`` names other
folders of runs, ``HER2_CACHE`` the folder of files that can be made again.
"""

from __future__ import annotations

import os
from pathlib import Path

from her2core.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent
#: Folder of the app inside an installed package.
INSTALLED = "_app"
#: Environment variable: folders of runs, separated as in PATH.
RUNS_VARIABLE = "HER2_RUNS"
#: Environment variable: folder of files that can be made again.
CACHE_VARIABLE = "HER2_CACHE"


def in_checkout() -> bool:
    """Tell whether this package is part of a checkout of the repository.

    Returns
    -------
    bool

    Examples
    --------
    >>> in_checkout() == (PACKAGE.parent / "pyproject.toml").is_file()
    True
    """
    return all((PACKAGE.parent / name).is_file() for name in ("app.py", "pyproject.toml"))


def app_folder() -> Path:
    """Find the folder with app.py, pages/ and dashboard/.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        For an installation without the app.

    Examples
    --------
    >>> (app_folder() / "app.py").is_file()
    True
    """
    folder = PACKAGE.parent if in_checkout() else PACKAGE / INSTALLED
    if not (folder / "app.py").is_file():
        raise ConfigError(
            "an installation with the app",
            got="no app.py in it",
            where=folder,
            fix="Install the wheel of her2core again.",
        )
    return folder


def working_folder() -> Path:
    """Find the folder in which models/, runs/ and data/ are looked for.

    Returns
    -------
    Path
        The checkout's top level; the current folder of an installed package.

    Examples
    --------
    >>> working_folder().is_dir()
    True
    """
    return PACKAGE.parent if in_checkout() else Path.cwd()


def cache_folder() -> Path:
    """Find the folder of files that can be made again, such as networks converted for an engine.

    Returns
    -------
    Path
        That of ``HER2_CACHE``; otherwise ``her2core`` in ``XDG_CACHE_HOME``, or in ``.cache`` of the user's folder. It
        need not exist.

    Examples
    --------
    >>> os.environ[CACHE_VARIABLE] = "mine"
    >>> cache_folder().name
    'mine'
    >>> del os.environ[CACHE_VARIABLE]
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "her2core"


def named_run_folders() -> tuple[Path, ...]:
    """List the folders of runs that ``HER2_RUNS`` names.

    Returns
    -------
    tuple of Path
        Empty where the variable is not set.

    Examples
    --------
    >>> os.environ[RUNS_VARIABLE] = os.pathsep.join(["mine", "theirs"])
    >>> [folder.name for folder in named_run_folders()]
    ['mine', 'theirs']
    >>> del os.environ[RUNS_VARIABLE]
    """
    named = os.environ.get(RUNS_VARIABLE, "").split(os.pathsep)
    return tuple(Path(path).expanduser().absolute() for path in named if path)


def run_folders() -> tuple[Path, ...]:
    """List the folders in which the app looks for runs.

    Returns
    -------
    tuple of Path
        Those of ``HER2_RUNS``; otherwise models, models/study and runs of the working folder.

    Examples
    --------
    >>> [folder.name for folder in run_folders()]
    ['models', 'study', 'runs']
    """
    home = working_folder()
    return named_run_folders() or (home / "models", home / "models" / "study", home / "runs")
