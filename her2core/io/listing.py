"""Image files below a folder, and the rule for files of operating systems and other programs.

Folders, zips, the command line and importers skip the same names: those that start with a dot (``._tile.jpg``,
``.ipynb_checkpoints``, ``.DS_Store``) and SYSTEM_NAMES. Links to files and folders are followed, each folder once.
What is left out, what cannot be read, and links that lead out of the folder are said.
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
#: File by which ``her2 tile`` and ``her2 slide`` mark the folder of a finished slide.
RESULT = "slide.json"
#: Names quoted in a sentence that counts more.
FEW = 5


@dataclass(frozen=True)
class Listing:
    """Images below a folder.

    Attributes
    ----------
    files : tuple of Path
        Below the folder as it was named, folder by folder in the order of names.
    left_out : tuple of str
        What was not read by a rule, and which: one sentence each, which starts with the path below the folder.
    unreadable : tuple of str
        What should have been read and could not be, folders without permission and links that lead nowhere; likewise.
    linked : tuple of str
        Paths below the folder of links that lead out of it and were followed.

    Examples
    --------
    >>> Listing((), ("a.svs: left out, as it is a whole slide.",)).unreadable
    ()
    """

    files: tuple[Path, ...]
    left_out: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()

    @property
    def links_sentence(self) -> str:
        """How many links lead out of the folder, naming the first of them; empty where none does."""
        if not self.linked:
            return ""
        first = ", ".join(self.linked[:FEW]) + (", ..." if len(self.linked) > FEW else "")
        if len(self.linked) == 1:
            return f"1 link leads out of the folder and was followed: {first}."
        return f"{len(self.linked):,} links lead out of the folder and were followed: {first}."


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


def images_below(root: str | os.PathLike[str], *, roots: Sequence[Path] | None = None, slides: bool = False) -> Listing:
    """Find the images below a folder by their suffix (``her2core.io.images.SUFFIXES``).

    Parameters
    ----------
    root : path
        The folder.
    roots : sequence of Path, optional
        Folders, resolved, that links must not lead out of; anywhere when left out, as for a person at the machine.
    slides : bool, default False
        Take whole slides as well, which are left out otherwise. Folders of finished slides (RESULT) are then left out:
        their tiles and heatmaps are no slides, and results may be written below the slides.

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
    home = os.path.realpath(start)
    found = _Found(start, [], [], [], [], [], (*SUFFIXES, *SLIDE_SUFFIXES) if slides else SUFFIXES)
    seen: set[str] = set()
    folders, links = [start], list[Path]()
    while folders or links:  # links last, so that a folder is read under its own name
        folder = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(folder)
        if roots is not None and not any(Path(real).is_relative_to(r) for r in roots):
            found.leave_out(folder, "it is a link that leads out of the folder")
            continue
        if real in seen:
            found.leave_out(folder, "it is a link to a folder that is read already")
            continue
        seen.add(real)
        if not Path(real).is_relative_to(home) and folder.is_symlink():
            found.linked.append(folder)
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as refused:
            found.miss(folder, f"the folder cannot be read ({refused.strerror})")
            continue
        if slides and folder != start and any(entry.name == RESULT for entry in inside):
            found.results.append(folder)
            continue
        for entry in inside:
            if is_system_name(entry.name):
                continue
            if _is(entry.is_dir):
                (links if entry.is_symlink() else folders).append(folder / entry.name)
            else:
                found.add(entry, folder / entry.name, home)
    return found.listing()


@dataclass(frozen=True)
class _Found:
    """What was found so far below ``start``."""

    start: Path
    files: list[Path]
    left_out: list[str]
    unreadable: list[str]
    linked: list[Path]
    results: list[Path]
    suffixes: tuple[str, ...]

    def add(self, entry: os.DirEntry[str], path: Path, home: str) -> None:
        """Add what is no folder."""
        name = entry.name.lower()
        if name.endswith(self.suffixes):
            if _is(entry.is_file):
                self.files.append(path)
                if entry.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                    self.linked.append(path)
            else:
                self.miss(path, "it is a link that leads nowhere" if entry.is_symlink() else "it is no file")
        elif name.endswith(SLIDE_SUFFIXES):
            self.leave_out(path, "it is a whole slide")
        elif entry.is_symlink() and not _is(entry.is_file):
            self.miss(path, "the link leads nowhere")

    def leave_out(self, path: Path, reason: str) -> None:
        self.left_out.append(f"{self._shown(path)}: left out, as {reason}.")

    def miss(self, path: Path, reason: str) -> None:
        self.unreadable.append(f"{self._shown(path)}: left out, as {reason}.")

    def listing(self) -> Listing:
        files = sorted(self.files, key=lambda path: (path.parent.parts, path.name))
        linked = tuple(map(self._shown, self.linked))
        if self.results:
            more = f" with {len(self.results) - 1:,} other folders" if len(self.results) > 1 else ""
            self.left_out.append(f"{self._shown(min(self.results))}: left out{more}, as it holds results of her2core.")
        return Listing(tuple(files), tuple(self.left_out), tuple(self.unreadable), linked)

    def _shown(self, path: Path) -> str:
        return printable_path(path.relative_to(self.start))


def _is(kind: Callable[[], bool]) -> bool:
    """Whether an entry is of a kind; of none where its link leads to itself."""
    try:
        return kind()
    except OSError:
        return False
