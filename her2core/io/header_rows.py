"""Rows above the names of the columns: a title, a comment, names of groups of columns.

What a reader wants of a table is known by its columns. Where the first row does not have them and one of the next rows
does, that row is the header, and what stands above it is left out with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from her2core.io.text import clean_text

#: Rows from the top that are looked through for the header.
SEARCHED = 10


def header_row(rows: Iterable[Sequence[str]], wanted: Callable[[list[str]], bool] | None) -> int | None:
    """Which of the first rows has the columns wanted.

    Parameters
    ----------
    rows : iterable of sequences of str
        Cells of the rows from the top.
    wanted : callable, optional
        Tells by its cells whether a row names the columns wanted.

    Returns
    -------
    int or None
        Position of the row; None where none of the first ``SEARCHED`` has them, or nothing is wanted.

    Examples
    --------
    >>> header_row([["Results of 2025"], ["case", "label"], ["P1", "low"]], lambda names: "label" in names)
    1
    """
    if wanted is None:
        return None
    tried = zip(range(SEARCHED), rows, strict=False)
    return next((i for i, row in tried if len(row) > 1 and wanted([cell.strip() for cell in row])), None)


def left_out_note(rows: Sequence[Sequence[str]]) -> str:
    """What to say of the rows above the header.

    Parameters
    ----------
    rows : sequence of sequences of str
        The rows that were left out, at least one.

    Returns
    -------
    str

    Examples
    --------
    >>> left_out_note([["Results of 2025"]])
    "1 row above the names of the columns was left out: 'Results of 2025'."
    """
    first = next((text for row in rows if (text := " ".join(cell for cell in row if cell.strip()))), "")
    number, verb, more = ("1 row", "was", "") if len(rows) == 1 else (f"{len(rows)} rows", "were", " and more")
    return f"{number} above the names of the columns {verb} left out: {clean_text(first, 60)!r}{more}."
