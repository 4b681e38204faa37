"""Tables of the run report: rows with value, bounds and note as cells and footnotes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import pandas as pd

from her2core.evidence.metrics.registry import metric_label
from her2core.report.document import Grid

#: Cell without a figure.
NONE = "\u2014"
#: Column whose values become the rows of a table -> title and relative width of its names.
_FIRST_COLUMNS = {
    "metric": ("Metric", 1.5),
    "class": ("Class", 1.0),
    "step": ("Threshold", 0.6),
    "policy": ("Policy", 1.1),
}


def figure(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A value with its interval, three decimals.

    Parameters
    ----------
    value, low, high : float
        The value and its bounds; NaN where there is none.

    Returns
    -------
    str
        The value alone where a bound is missing; a dash where there is no value.

    Examples
    --------
    >>> figure(0.87, 0.754, 0.96), figure(0.5), figure(float("nan"))
    ('0.870 [0.754, 0.960]', '0.500', '\u2014')
    """
    if not math.isfinite(value):
        return NONE
    bounds = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:.3f}{bounds}"


class Notes:
    """Footnotes of one table: a note shared by all rows is printed once, any other gets a letter."""

    def __init__(self, notes: Iterable[str]) -> None:
        split = [_parts(note) for note in notes]
        self.common = set.intersection(*map(set, split)) if split else set()
        self._all = [p for p in split[0] if p in self.common] if split else []
        self._letters: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """Letters of the notes of this row that other rows lack, with a leading space; empty without such notes.

        Examples
        --------
        >>> notes = Notes(["few patients; binned", "few patients"])
        >>> notes.mark("few patients; binned"), notes.mark("few patients")
        (' (a)', '')
        """
        return self._letter("; ".join(p for p in _parts(note) if p not in self.common))

    def row(self, notes: Sequence[str]) -> tuple[str, list[str]]:
        """Letters of the notes shared by all cells of a row, for its head, and of each cell's own notes.

        Examples
        --------
        >>> notes = Notes(["few patients; binned", "few patients"])
        >>> notes.row(["few patients; binned", "few patients"])
        ('', [' (a)', ''])
        """
        own = [[p for p in _parts(note) if p not in self.common] for note in notes]
        shared = set.intersection(*map(set, own)) if len(own) > 1 else set()
        head = self._letter("; ".join(p for p in own[0] if p in shared)) if own else ""
        return head, [self._letter("; ".join(p for p in parts if p not in shared)) for parts in own]

    def _letter(self, note: str) -> str:
        return f" ({self._letters.setdefault(note, _nth(len(self._letters)))})" if note else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The footnotes, one a line.

        Examples
        --------
        >>> notes = Notes(["few patients; binned", "few patients"])
        >>> _ = notes.mark("few patients; binned")
        >>> notes.lines
        ('All rows: few patients.', '(a) binned.')
        """
        every = (f"All rows: {'; '.join(self._all)}.",) if self._all else ()
        return every + tuple(f"({letter}) {note}." for note, letter in self._letters.items())


def cell(row: Mapping[Any, Any] | None, notes: Notes) -> str:
    """The figure of a row with its interval and the letters of its notes; a dash where there is no row.

    Examples
    --------
    >>> cell({"value": 0.5, "lower_95": 0.4, "upper_95": 0.6, "note": ""}, Notes([]))
    '0.500 [0.400, 0.600]'
    """
    if row is None:
        return NONE
    return figure(row["value"], row["lower_95"], row["upper_95"]) + notes.mark(row["note"])


def figures(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    wide: float = 1.6,
    each: float = 1.0,
    notes: Iterable[str] = (),
) -> Grid:
    """A table of figures: names on the left, then right-aligned columns of equal width.

    Parameters
    ----------
    caption : str
        Caption of the table.
    head, rows : sequence of str, iterable of sequence of str
        Titles and cells of all columns.
    wide, each : float
        Relative widths of the first column and of each other.
    notes : iterable of str
        Footnotes.

    Examples
    --------
    >>> figures("Risk", ("Coverage", "by patch"), [("all", "0.250")]).right
    (1,)
    """
    widths = (wide, *(each for _ in head[1:]))
    return Grid(caption, tuple(head), tuple(map(tuple, rows)), widths, tuple(range(1, len(head))), tuple(notes))


def pivot(
    rows: pd.DataFrame,
    caption: str,
    *,
    down: str,
    across: str,
    order: Sequence[str] = (),
    columns: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    first: Mapping[str, str] | None = None,
    head: str = "",
) -> Grid:
    """Arrange figures in a table, one column of ``rows`` down and another across.

    Parameters
    ----------
    rows : DataFrame
        Columns value, lower_95, upper_95, note, ``down`` and ``across``.
    caption : str
        Caption of the table.
    down, across : str
        Columns whose values become rows and columns.
    order, columns : sequence of str
        Values of ``down`` and of ``across`` in the order of the rows and columns; by default as they occur.
    names : mapping of str to str, optional
        Value of ``across`` -> its title, where that is not the usual one.
    first : mapping of str to str, optional
        Columns of ``rows``, with titles, shown before the figures; equal in all rows of one value of ``down``.
    head : str
        Title of the first column, where that is not the usual one of ``down``.

    Returns
    -------
    Grid

    Examples
    --------
    >>> row = {"metric": "f1", "unit": "patch", "value": 0.5, "lower_95": 0.4, "upper_95": 0.6, "note": ""}
    >>> grid = pivot(pd.DataFrame([row]), "Metrics", down="metric", across="unit")
    >>> grid.head, grid.rows
    (('Metric', 'by patch'), (('F1', '0.500 [0.400, 0.600]'),))
    """
    notes, first = Notes(rows["note"]), first or {}
    shown = columns or list(dict.fromkeys(rows[across]))
    rows_by_cell = {(r[down], r[across]): r for r in rows.to_dict("records")}
    body = []
    for name in order or dict.fromkeys(rows[down]):
        some = next((r for (d, _), r in rows_by_cell.items() if d == name), None)
        plain = [NONE if some is None else _plain(some[column]) for column in first]
        found = [rows_by_cell.get((name, value)) for value in shown]
        mark, marks = notes.row([r["note"] for r in found if r is not None])
        letters = iter(marks)
        cells = [NONE if r is None else figure(r["value"], r["lower_95"], r["upper_95"]) + next(letters) for r in found]
        body.append((_label(down, name) + mark, *plain, *cells))
    title, wide = _FIRST_COLUMNS.get(down, (head, 1.0))
    titles = [_label(across, value) if names is None else names.get(value, _label(across, value)) for value in shown]
    widths = (wide, *(0.6 for _ in first), *(1.35 for _ in titles))
    heads = (head or title, *first.values(), *titles)
    return Grid(caption, heads, tuple(body), widths, tuple(range(1, len(heads))), notes.lines)


def at_thresholds(table: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Rows of a curve at these thresholds, with the threshold as text in a column ``step``.

    Examples
    --------
    >>> at_thresholds(pd.DataFrame({"threshold": [0.05, 0.1]}), (0.1,))["step"].tolist()
    ['0.10']
    """
    near = table[table["threshold"].round(6).isin(thresholds)]
    return near.assign(step=near["threshold"].map("{:.2f}".format))


def confusion_grid(table: pd.DataFrame, classes: Sequence[str], unit: str) -> Grid:
    """Confusion matrix with true classes down and predicted classes across.

    Cells are counts with their share of the true class; beyond six classes counts only, with numbered columns.

    Examples
    --------
    >>> rows = [("a", "a", 3, 0.75), ("a", "b", 1, 0.25), ("b", "a", 0, 0.0), ("b", "b", 4, 1.0)]
    >>> table = pd.DataFrame(rows, columns=["true", "predicted", "count", "proportion_of_true"])
    >>> confusion_grid(table, ("a", "b"), "patch").rows[0]
    ('a', '3 (75.0 %)', '1 (25.0 %)')
    """
    few = len(classes) <= 6
    rows_by_cell = {(r.true, r.predicted): (int(r.count), r.proportion_of_true) for r in table.itertuples(index=False)}
    names = [c if few else str(i) for i, c in enumerate(classes, start=1)]
    body = []
    for i, true in enumerate(classes, start=1):
        cells = [rows_by_cell[true, guess] for guess in classes]
        texts = [f"{n} ({100 * s:.1f} %)" if few and math.isfinite(s) else str(n) for n, s in cells]
        body.append((true if few else f"{i} {true}", *texts))
    note = () if few else ("Columns are the predicted classes, by the number of their row.",)
    caption = f"Confusion matrix by {unit}: true class down, predicted class across"
    return figures(caption, ("true \\ predicted", *names), body, wide=1.6 if few else 2.6, notes=note)


def plain_grid(frame: pd.DataFrame, *, caption: str, wide: Sequence[float] = (), right: Sequence[int] = ()) -> Grid:
    """Table of a frame's cells: fractions with three decimals, a dash for a missing value.

    Examples
    --------
    >>> plain_grid(pd.DataFrame({"n": [3], "share": [0.25]}), caption="").rows
    (('3', '0.250'),)
    """
    rows = tuple(tuple(_plain(v) for v in row) for row in frame.itertuples(index=False))
    return Grid(caption, tuple(map(str, frame.columns)), rows, tuple(wide), tuple(right))


def _plain(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return NONE
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.3f}"
    return str(value)


def _label(column: str, value: object) -> str:
    """Title of a value of a column of the evaluation tables."""
    return metric_label(str(value)) if column == "metric" else f"by {value}" if column == "unit" else str(value)


def _parts(note: str) -> list[str]:
    return [p for p in note.split("; ") if p]


def _nth(i: int) -> str:
    return ascii_lowercase[i % 26] * (i // 26 + 1)
