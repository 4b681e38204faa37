"""Tables of results below a data set's folder, found by their columns.

Names of columns are compared in lower case, letters and digits only. A data set's own name for a column may go on
(``HeR2 SCORE (0-3)``), so a column is also found by how its name starts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from her2core.errors import Her2Error, ManifestError
from her2core.io.columns import squash
from her2core.io.listing import FEW, is_system_name
from her2core.io.tables import read_table
from her2core.io.text import clean_text, printable_path

#: Endings of tables that are no text.
WORKBOOKS = (".xlsx", ".xls", ".ods", ".parquet")
_TABLES = (".csv", ".tsv", ".txt", *WORKBOOKS)


def tables_of(root: Path, needed: Collection[str], further: Iterable[str] = ()) -> tuple[dict[Path, pd.DataFrame], str]:
    """Find the tables below a folder that have certain columns.

    Parameters
    ----------
    root : Path
        The folder. Of a workbook, the first worksheet with the columns is read.
    needed : collection of str
        Columns in lower case, letters and digits only (``io.columns.squash``). One that ends in ``*`` may go on, as
        ``her2score*`` for ``HeR2 SCORE (0-3)``; a column of exactly that name goes first.
    further : iterable of str, optional
        Columns, likewise, that a table may lack.

    Returns
    -------
    tables : dict of Path to DataFrame
        Sorted by path, with the columns found named as asked for, without ``*``, as text; others named likewise.
    passed : str
        Which tables were passed over and why, for a message where none is left: the likeliest first.

    Raises
    ------
    ManifestError
        For a table in which several columns could be meant and differ.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "truth.csv").write_text("CaseNo,HeR2 SCORE (0-3)\\n1,2\\n")
    ...     _ = Path(folder, "other.csv").write_text("CaseNo,Age\\n1,2\\n")
    ...     tables, passed = tables_of(Path(folder), ("caseno", "her2score*"))
    >>> [table.to_dict("list") for table in tables.values()], passed
    ([{'caseno': ['1'], 'her2score': ['2']}], 'other.csv has no column her2score, only CaseNo, Age')
    """
    asked = tuple(dict.fromkeys((*needed, *further)))
    found, passed = {}, []
    for path in table_files(root):
        try:
            # A first reading tells how the columns are spelled here, so that the second keeps scores as text.
            names = [str(name) for name in read_table(path, wanted=lambda n: _has(n, needed)).frame.columns]
            lacking = [name.removesuffix("*") for name in needed if not _columns(names, name)]
            if lacking:
                shown = ", ".join(clean_text(name, 40) for name in names[: 2 * FEW])
                # A table without a single column needed is named only where there is no likelier one.
                unlikely = len(lacking) == len(needed)
                passed.append((2 + unlikely, f"{path.name} has no column {', '.join(lacking)}, only {shown}"))
                continue
            kept = [name for own in asked for name in _columns(names, own)]
            frame = read_table(path, text=kept, wanted=lambda n: _has(n, needed)).frame
        except Her2Error as unreadable:
            likely = path.suffix.lower() in WORKBOOKS
            said = f"{path.name} cannot be read (expected {unreadable.expected}, got {unreadable.got})"
            passed.append((1 if likely else 3, said))
            continue
        found[path] = _named(frame, asked, path)
    passed.sort(key=lambda reason: reason[0])
    likely_ones = [said for rank, said in passed if rank < 3] or [said for _, said in passed]
    return found, "; ".join(likely_ones[:FEW]) or "no table"


def _columns(names: Sequence[str], asked: str) -> list[str]:
    """Columns that could be the one asked for."""
    own = asked.removesuffix("*")
    exact = [name for name in names if squash(name) == own]
    return exact or [name for name in names if asked.endswith("*") and squash(name).startswith(own)]


def _has(names: Sequence[str], needed: Iterable[str]) -> bool:
    return all(_columns(names, name) for name in needed)


def _named(frame: pd.DataFrame, asked: Iterable[str], path: Path) -> pd.DataFrame:
    """The table under the names asked for; several columns for one are refused where they differ."""
    names = [str(name) for name in frame.columns]
    new = [squash(name) for name in names]
    for wanted in asked:
        places = [place for place, name in enumerate(names) if name in _columns(names, wanted)]
        texts = {tuple(frame.iloc[:, place].map(str)) for place in places}
        if len(texts) > 1:
            own = wanted.removesuffix("*")
            raise ManifestError(
                f"one column {own}",
                got=f"{len(places)} that differ: {', '.join(clean_text(names[place], 40) for place in places)}",
                where=printable_path(path),
                fix="Keep the one that applies, and delete or rename the others.",
            )
        for place in places[:1]:
            new[place] = wanted.removesuffix("*")
    frame.columns = new
    return frame.loc[:, ~frame.columns.duplicated()]


def table_files(root: Path) -> list[Path]:
    """Tables below a folder by their endings, without those of the operating system and of open programs.

    Parameters
    ----------
    root : Path

    Returns
    -------
    list of Path
        Ordered.

    Examples
    --------
    >>> table_files(Path("no-such-folder"))
    []
    """
    found = []
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not is_system_name(name))
        found += [
            Path(folder, name)
            for name in names
            if name.lower().endswith(_TABLES) and not is_system_name(name) and not name.startswith("~$")
        ]
    return sorted(found)
