"""Image files below a folder, and the rule for files of operating systems and other programs.

Folders, zips, the command line and importers skip the same names: those that start with a dot (``._tile.jpg``,
``.ipynb_checkpoints``, ``.DS_Store``) and SYSTEM_NAMES. Links to files and folders are followed, each folder once;
what is left out is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2core.io.image_header import SLIDE_SUFFIXES
from her2core.io.images import SUFFIXES
from her2core.io.text import printable_path

#: Names, in lower case, that operating systems add.
SYSTEM_NAMES = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Listing:
    """Images below a folder.

    Attributes
    ----------
    files : tuple of Path
        Below the folder as it was named, folder by folder in the order of names.
    left_out : tuple of str
        What was not read and why: one sentence each, which starts with the path below the folder.

    Examples
    --------
    >>> Listing((), ("a: ...",)).left_out
    ('a: ...',)
    """

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def is_system_name(name: str) -> bool:
    """Whether a file or folder is one that operating systems and other programs add.

    Parameters
    ----------
    name : str
        Without its folders.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_system_name("._a.png"), is_system_name("__MACOSX"), is_system_name("a.png")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def images_below(root: str | os.PathLike[str], *, roots: Sequence[Path] | None = None) -> Listing:
    """Find the images below a folder by their suffix (``her2core.io.images.SUFFIXES``).

    Parameters
    ----------
    root : path
        The folder.
    roots : sequence of Path, optional
        Folders, resolved, that links must not lead out of; anywhere when left out, as for a person at the machine.

    Returns
    -------
    Listing
        A folder that is reached twice is read once, as the folder itself rather than as a link to it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "._b.png", "notes.txt", "s.svs"):
    ...         _ = Path(folder, name).write_bytes(b"")
    ...     found = images_below(folder)
    >>> [p.name for p in found.files], found.left_out
    (['b.png'], ('s.svs: left out, as it is a whole slide.',))
    """
    start = Path(root)
    files: list[Path] = []
    left_out: list[str] = []
    seen: set[str] = set()
    folders, links = [start], list[Path]()
    while folders or links:  # links last, so that a folder is read under its own name
        folder = folders.pop() if folders else links.pop(0)
        shown = printable_path(folder.relative_to(start))
        real = os.path.realpath(folder)
        if roots is not None and not any(Path(real).is_relative_to(r) for r in roots):
            left_out.append(f"{shown}: left out, as it is a link that leads out of the folder.")
            continue
        if real in seen:
            left_out.append(f"{shown}: left out, as it is a link to a folder that is read already.")
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as refused:
            left_out.append(f"{shown}: left out, as the folder cannot be read ({refused.strerror}).")
            continue
        for entry in inside:
            path = folder / entry.name
            if is_system_name(entry.name):
                continue
            if _is(entry.is_dir):
                (links if entry.is_symlink() else folders).append(path)
            elif entry.name.lower().endswith(SUFFIXES):
                if _is(entry.is_file):
                    files.append(path)
                else:
                    kind = "a link that leads nowhere" if entry.is_symlink() else "no file"
                    left_out.append(f"{printable_path(path.relative_to(start))}: left out, as it is {kind}.")
            elif entry.name.lower().endswith(SLIDE_SUFFIXES):
                left_out.append(f"{printable_path(path.relative_to(start))}: left out, as it is a whole slide.")
            elif entry.is_symlink() and not _is(entry.is_file):
                left_out.append(f"{printable_path(path.relative_to(start))}: left out, as the link leads nowhere.")
    return Listing(tuple(sorted(files, key=lambda path: (path.parent.parts, path.name))), tuple(left_out))


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is of a kind; of none where its link leads to itself."""
    try:
        return kind()
    except OSError:
        return False
