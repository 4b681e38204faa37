"""Findings of an importer, and sentences for what it did not read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from her2core.data.manifest import FINDING_COLUMNS
from her2core.io.cells import UNKNOWN, is_missing, label_text
from her2core.io.listing import FEW
from her2core.io.text import clean_text, printable_path

#: Kinds of findings.
CONFLICT, MISSING, NO_LABEL, TWICE = "conflict", "missing file", "no label", "duplicate"
#: A cell that is filled and states no result, and a case with a result that no table lists.
UNREAD, UNLISTED = "value not understood", "in no table"


@dataclass
class Findings:
    """Conflicts, missing files and cases without label that an importer met: one row each.

    Examples
    --------
    >>> found = Findings()
    >>> found.add(MISSING, "07", detail="no H&E slide")
    >>> found.frame()[["kind", "patient_id", "detail"]].values.tolist()
    [['missing file', '07', 'no H&E slide']]
    """

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, kind: str, patient: str = "", slide: str = "", path: str = "", detail: str = "") -> None:
        """Note one."""
        self.rows.append((kind, patient, slide, path, detail))

    def number(self, kind: str) -> int:
        """How many of one kind."""
        return sum(row[0] == kind for row in self.rows)

    def frame(self) -> pd.DataFrame:
        """All of them as the table of ``Manifest.findings``."""
        return pd.DataFrame(self.rows, columns=list(FINDING_COLUMNS), dtype="object")

    def sentences(self) -> list[str]:
        """How many of each kind, and the first ones."""
        said = []
        for kind in dict.fromkeys(row[0] for row in self.rows):
            named = [f"{_name(row)} ({row[4]})" for row in self.rows if row[0] == kind]
            said.append(f"{kind}, {len(named):,}: {', '.join(named[:FEW])}{', ...' if len(named) > FEW else ''}")
        return said


def _name(row: tuple[str, str, str, str, str]) -> str:
    return next((name for name in row[1:4] if name and name != UNKNOWN), "a row")


def case_number(text: object) -> str | None:
    """The number of a case or patient without leading zeros, also where a table stored it as ``7.0``.

    Parameters
    ----------
    text : object
        A cell, or a part of a file's name.

    Returns
    -------
    str or None
        None for anything but a whole number.

    Examples
    --------
    >>> case_number("007"), case_number("7.0"), case_number(7.0), case_number("7a")
    ('7', '7', '7', None)
    """
    word = label_text(text)
    whole, _, rest = word.partition(".")
    return str(int(whole)) if whole.isdecimal() and not rest.strip("0") else None


def note_unread(findings: Findings, cases: Iterable[str], cells: pd.Series, read: pd.Series, column: str) -> None:
    """Note each filled cell in which no result could be read.

    Parameters
    ----------
    findings : Findings
        They are added here.
    cases : iterable of str
        Case of each row.
    cells, read : Series
        The column as it stands in the table, and what was read of it (None where nothing was).
    column : str
        Its name, for the detail.

    Examples
    --------
    >>> found = Findings()
    >>> note_unread(found, ["01", "02"], pd.Series(["7", "n/a"]), pd.Series([None, None]), "HeR2 SCORE")
    >>> found.sentences()
    ["value not understood, 1: 01 (HeR2 SCORE '7')"]
    """
    for case, cell, value in zip(cases, cells, read, strict=True):
        word = label_text(cell)
        if not isinstance(value, str) and not is_missing(word):
            findings.add(UNREAD, str(case), detail=f"{column} {clean_text(word, 40)!r}")


def not_read(n: int, one: str, many: str, option: str = "") -> list[str]:
    """A sentence for files that were not read, with the option that reads them; none where there are none.

    Parameters
    ----------
    n : int
        How many.
    one, many : str
        What they are, in singular and plural.
    option : str, optional
        As it is written after ``--set``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> not_read(1200, "patch", "patches", "images=patches"), not_read(0, "patch", "patches")
    (['1,200 patches were not read; read them with --set images=patches.'], [])
    """
    if not n:
        return []
    verb, them = ("was", "it") if n == 1 else ("were", "them")
    return [f"{n:,} {one if n == 1 else many} {verb} not read{f'; read {them} with --set {option}' if option else ''}."]


def other_names(paths: Sequence[Path], root: Path) -> list[str]:
    """A sentence for images whose names are not those of the data set; none where there are none.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    root : Path
        Where their paths start.

    Returns
    -------
    list of str

    Examples
    --------
    >>> other_names([Path("a/scan.png")], Path("a"))
    ["1 image was not read, as its name or folder is not the data set's: scan.png."]
    """
    if not paths:
        return []
    named = ", ".join(printable_path(relative(path, root)) for path in paths[:FEW])
    more = ", ..." if len(paths) > FEW else ""
    what = (
        "image was not read, as its name or folder is"
        if len(paths) == 1
        else ("images were not read, as their names or folders are")
    )
    return [f"{len(paths):,} {what} not the data set's: {named}{more}."]


def relative(path: Path, root: Path) -> str:
    """A file's path below the root, as manifests have it.

    Parameters
    ----------
    path, root : Path

    Returns
    -------
    str

    Examples
    --------
    >>> relative(Path("a/b/1.png"), Path("a"))
    'b/1.png'
    """
    return path.relative_to(root).as_posix()
