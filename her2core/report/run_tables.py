"""How does evidence stand in a report's tables? Rows with value, bounds and note in; cells and footnotes out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase

import pandas as pd

from her2core.report.document import Grid

#: How figures are called. A metric that is not here keeps its own name: nothing is left out.
NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "AUROC, mean of classes",
    "macro_average_precision": "Average precision, mean of classes",
    "quadratic_kappa": "Quadratic kappa",
    "matthews": "Matthews correlation",
    "negative_log_likelihood": "Negative log-likelihood (nats)",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "precision": "Precision (PPV)",
    "npv": "NPV",
    "one_vs_rest_accuracy": "One-vs-rest accuracy",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "ppv": "PPV",
    "share_called": "Share called",
    "ece_equal_mass": "ECE, top class, bins of equal mass",
    "ece_equal_width": "ECE, top class, 15 bins of equal width",
    "classwise_ece": "ECE, mean of classes",
    "brier": "Brier score",
    "brier_reliability": "Brier: reliability (0 is best)",
    "brier_resolution": "Brier: resolution (more is better)",
    "brier_uncertainty": "Brier: uncertainty of the data",
    "brier_within_bins": "Brier: within bins",
    "calibration_slope": "Slope (1 is right)",
    "calibration_intercept": "Intercept (0 is right)",
    "calibration_in_the_large": "In the large (0 is right)",
    "answered": "Answered",
    "answered_rightly": "Answered rightly",
    "sent": "Sent for IHC/ISH",
    "covered": "Truth in the set",
    "right_when_answered": "Right when answered",
}
NONE = "\u2014"


def named(metric: str) -> str:
    return NAMES.get(metric, metric)


def figure(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """``0.870 [0.754, 0.960]``; without bounds the value alone; a dash where there is none."""
    if not math.isfinite(value):
        return NONE
    bounds = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:.3f}{bounds}"


class Notes:
    """Footnotes of one table: what all rows say stands once, anything else gets a letter."""

    def __init__(self, notes: Iterable[str]) -> None:
        split = [_parts(note) for note in notes]
        self.common = set.intersection(*map(set, split)) if split else set()
        self._all = [p for p in split[0] if p in self.common] if split else []
        self._letters: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """Letters for what this row says beyond the others, with a leading blank; empty where there is nothing."""
        return self._letter("; ".join(p for p in _parts(note) if p not in self.common))

    def row(self, notes: Sequence[str]) -> tuple[str, list[str]]:
        """What all cells of a row say, as a letter to stand at its head, and the letters of each cell beyond that."""
        own = [[p for p in _parts(note) if p not in self.common] for note in notes]
        shared = set.intersection(*map(set, own)) if len(own) > 1 else set()
        head = self._letter("; ".join(p for p in own[0] if p in shared)) if own else ""
        return head, [self._letter("; ".join(p for p in parts if p not in shared)) for parts in own]

    def _letter(self, said: str) -> str:
        return f" ({self._letters.setdefault(said, _nth(len(self._letters)))})" if said else ""

    @property
    def lines(self) -> tuple[str, ...]:
        every = (f"All rows: {'; '.join(self._all)}.",) if self._all else ()
        return every + tuple(f"({letter}) {note}." for note, letter in self._letters.items())


def cell(row: Mapping | None, notes: Notes) -> str:
    """The figure of a row with its interval and the letter of its note."""
    if row is None:
        return NONE
    return figure(row["value"], row["lower_95"], row["upper_95"]) + notes.mark(_text(row["note"]))


def pivot(
    rows: pd.DataFrame,
    *,
    caption: str,
    head: str,
    down: str,
    across: str,
    order: Sequence[str],
    columns: Sequence[tuple[str, str]],
    label=str,
    first: Sequence[tuple[str, str]] = (),
    wide: float = 1.6,
) -> Grid:
    """A table of figures: ``down`` the values of one column of ``rows`` in ``order``, ``across`` another's.

    ``columns``: (value, what it is called) of those across; ``first``: (column of ``rows``, what it is called) of
    plain cells to stand before the figures, the same in every row of a ``down``; ``label``: how a ``down`` is called.
    """
    notes = Notes([_text(n) for n in rows["note"]])
    held = {(r[down], r[across]): r for r in rows.to_dict("records")}
    body = []
    for name in order:
        some = next((r for (d, _), r in held.items() if d == name), None)
        plain = [NONE if some is None else _plain(some[column]) for column, _ in first]
        found = [held.get((name, value)) for value, _ in columns]
        mark, marks = notes.row([_text(r["note"]) for r in found if r is not None])
        letters = iter(marks)
        figures = [
            NONE if r is None else figure(r["value"], r["lower_95"], r["upper_95"]) + next(letters) for r in found
        ]
        body.append((label(name) + mark, *plain, *figures))
    titles = (head, *(t for _, t in first), *(t for _, t in columns))
    return Grid(
        caption,
        titles,
        tuple(body),
        (wide, *(0.6 for _ in first), *(1.35 for _ in columns)),
        tuple(range(1, len(titles))),
        notes.lines,
    )


def confusion_grid(table: pd.DataFrame, classes: Sequence[str], unit: str) -> Grid:
    """True classes down, predicted across, as count and share of the true class; beyond six classes counts only, and
    columns go by number."""
    few = len(classes) <= 6
    held = {(r.true, r.predicted): (int(r.count), r.share_of_true) for r in table.itertuples(index=False)}
    names = [c if few else str(i) for i, c in enumerate(classes, start=1)]
    body = []
    for i, true in enumerate(classes, start=1):
        cells = [held[true, guess] for guess in classes]
        said = [f"{n} ({100 * s:.1f} %)" if few and math.isfinite(s) else str(n) for n, s in cells]
        body.append((true if few else f"{i} {true}", *said))
    note = () if few else ("Columns are the predicted classes, by the number of their row.",)
    return Grid(
        f"Confusion matrix by {unit}: true class down, predicted class across",
        ("true \\ predicted", *names),
        tuple(body),
        (1.6 if few else 2.6, *(1.0 for _ in classes)),
        tuple(range(1, len(names) + 1)),
        note,
    )


def plain_grid(frame: pd.DataFrame, *, caption: str, wide: Sequence[float] = (), right: Sequence[int] = ()) -> Grid:
    """Every cell as it is: numbers with three decimals where they are fractions, a dash where there is none."""
    rows = tuple(tuple(_plain(v) for v in row) for row in frame.itertuples(index=False))
    return Grid(caption, tuple(map(str, frame.columns)), rows, tuple(wide), tuple(right))


def _plain(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return NONE
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.3f}"
    return str(value)


def _text(note: object) -> str:
    return note if isinstance(note, str) else ""


def _parts(note: str) -> list[str]:
    return [p for p in note.split("; ") if p]


def _nth(i: int) -> str:
    return ascii_lowercase[i % 26] * (i // 26 + 1)
