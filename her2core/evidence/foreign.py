"""What did another tool say? Its table and a chosen meaning of its columns in; checked Predictions out.

Nothing is repaired in silence: what could be meant in two ways is refused with the choice named, and what was read in
one way of several stands in ``Predictions.notes``. Cells are data and are never evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.calibration import probabilities
from her2core.evidence.foreign_columns import (
    ROLES,
    ColumnMap,
    cell_text,
    guess_columns,
    label_values,
    nearly,
    suggest_labels,
)
from her2core.evidence.foreign_file import read_predictions_bytes
from her2core.evidence.predictions import Predictions, id_table
from her2core.io.spreadsheet import spreadsheet_safe
from her2core.io.text import clean_text as shown

__all__ = [
    "IDS",
    "ColumnMap",
    "adopt",
    "guess_columns",
    "label_values",
    "read_predictions_bytes",
    "spreadsheet_safe",
    "suggest_labels",
]

#: The columns a table may have or not: fields of ColumnMap.
IDS = ROLES[1:]
#: What other tools call the parts of a split.
_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
_WHERE = "predictions"


def adopt(
    frame: pd.DataFrame,
    columns: ColumnMap,
    *,
    classes: Sequence[str] | None = None,
    kind: Literal["probabilities", "logits", "auto"] = "auto",
) -> Predictions:
    """Predictions from any table, its columns as ``columns`` says, classes in the order of ``classes`` (of
    ``columns.scores`` when left out).

    ``kind`` "auto" takes scores as logits only when their columns say so by name, and as probabilities only when every
    row is from 0 to 1 and sums to one within 1e-3; anything else is refused with the fix. Logits go through softmax.
    Labels must be spelt as the classes; ``columns.labels`` says which class another spelling means, also where it
    differs by case or blanks only (``suggest_labels`` offers those), because "positive" and "Positive " may come from
    two annotators and merging them is a person's choice.

    Raises EvaluationError, one sentence with the first offending row (counted from 1 below the header) or column.
    """
    if frame.empty:
        raise _error("at least one prediction", "an empty table", "Check the file.")
    names = [str(c) for c in classes] if classes is not None else [*filter(None, [columns.rest]), *columns.scores]
    _check_classes(names, columns)
    table = _Table(frame)
    scored = [c for c in names if c in columns.scores]
    chosen = [("label", columns.label), *((f"probability of {shown(c)}", columns.scores[c]) for c in scored)]
    chosen += [(role, getattr(columns, role)) for role in IDS if getattr(columns, role) is not None]
    table.check(chosen)
    values = np.stack([_numbers(table.column(columns.scores[c]), columns.scores[c]) for c in scored], axis=1)
    if columns.rest is None:
        probs, notes = _probabilities(values, [columns.scores[c] for c in names], kind)
    else:
        probs, notes = _with_rest(values[:, 0], names, columns, kind)
    labels, said = _labels(table.column(columns.label), columns, names)
    notes += said
    ids = {}
    for role in IDS:
        if (column := getattr(columns, role)) is None:
            continue
        if role == "split":
            ids[role], said = _splits(table.column(column))
            notes += said
        else:
            ids[role] = _ids(table.column(column), role)
    made = id_table(ids, len(frame))
    _refuse_twice(made["patch_id"])
    return Predictions(made, probs, labels, tuple(names), notes=tuple(notes))


class _Table:
    """Columns by name, also where a name is no text or stands twice."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.names = frame, [str(c) for c in frame.columns]

    def column(self, name: str) -> pd.Series:
        return self.frame.iloc[:, self.names.index(name)].reset_index(drop=True)

    def check(self, chosen: list[tuple[str, str | None]]) -> None:
        used: dict[str, str] = {}
        for role, name in chosen:
            if name is None or name not in self.names:
                got = "no column chosen" if name is None else f"no column {shown(name)!r}"
                raise _error(
                    f"a column for the {role}",
                    got,
                    f"Choose one of {', '.join(shown(n, 30) for n in self.names[:12])}.",
                )
            if name in used:
                raise _error(
                    "each column in one place",
                    f"{shown(name)!r} as {used[name]} and as {role}",
                    "Choose another column for one of them.",
                )
            used[name] = role
            base, dot, number = name.rpartition(".")
            twin = next((n for n in (f"{name}.1", base if dot and number.isdigit() else None) if n in self.names), None)
            if self.names.count(name) > 1 or twin:
                got = f"{shown(name)!r} twice" if twin is None else f"{shown(name)!r} and {shown(twin)!r}"
                raise _error("column names that stand once", got, "Rename or drop one of them: they may differ.")


def _check_classes(names: list[str], columns: ColumnMap) -> None:
    if len(names) < 2:
        got = f"only {shown(names[0])!r}" if names else "none"
        raise _error(
            "a probability column for each of at least two classes",
            got,
            "Add the others (for two classes: one minus this one).",
        )
    if columns.rest is not None and (len(columns.scores) != 1 or columns.rest in columns.scores or len(names) != 2):
        raise _error(
            "one score and one class without any",
            f"{len(columns.scores)} scores",
            "Choose a column for each class, or leave out the class that is the rest.",
        )
    missing = [c for c in names if c not in columns.scores and c != columns.rest]
    if missing or len(set(names)) < len(columns.scores) or len(set(names)) < len(names):
        got = f"no column for {shown(missing[0])!r}" if missing else ", ".join(shown(c, 30) for c in names[:12])
        raise _error("every class once, each with its column", got, "Choose the same classes in both places.")
    blank = [c for c in names if not shown(c)]
    if blank:
        raise _error("a name for every class", "a blank one", "Name the class.")


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    """float64 (N,); refused with the first row for text, an empty cell, NaN or infinity."""
    where = f"{_WHERE}, column {shown(name)}"
    kind = column.dtype.kind if hasattr(column.dtype, "kind") else "O"
    if kind not in "iufO" and not pd.api.types.is_string_dtype(column.dtype):
        raise _error("numbers", f"{column.dtype} values", "Choose the column of probabilities or logits.", where)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        cell = column.iloc[row]
        text = cell_text(cell).strip()
        if text.lower() in ("", "nan"):
            got = "an empty cell (NaN)"
        elif text.lower().lstrip("+-") in ("inf", "infinity"):
            got = "an infinity"
        else:
            got = f"{shown(text, 40)!r}"
        fix = "Correct or drop these rows."
        if isinstance(cell, str) and "," in cell:
            fix = "Write numbers with a decimal point."
        elif isinstance(cell, str) and cell.strip().endswith("%"):
            fix = "Write shares from 0 to 1 instead of percent."
        raise _error("a finite number in every row", f"{got} ({_rows(bad.sum())})", fix, f"{where}, row {row + 1}")
    return numbers


def _probabilities(values: np.ndarray, columns: list[str], kind: str) -> tuple[np.ndarray, list[str]]:
    if kind not in ("probabilities", "logits", "auto"):
        raise _error("probabilities, logits or auto", shown(repr(kind)), "Choose one of these.", "kind")
    with np.errstate(over="ignore"):
        sums = values.sum(axis=1)
    negative, off = (values < -1e-9).any(axis=1), ~(np.abs(sums - 1) <= 1e-3)
    named = all("logit" in name.lower() for name in columns)
    if kind == "auto" and named and not (negative | off).any():
        raise _error(
            "columns named logit to hold scores before the softmax",
            "rows that all sum to one",
            "Say which they are: choose probabilities or logits.",
        )
    if kind == "logits" or (kind == "auto" and named):
        return probabilities(values), ["scores were read as logits and put through softmax"]
    if negative.any():
        row = int(negative.argmax())
        which = int(values[row].argmin())
        raise _error(
            "probabilities from 0 to 1",
            f"{values[row, which]:.6g} in column {shown(columns[which], 40)} "
            f"({_rows(negative.sum())} with a negative one)",
            "If these are scores before the softmax, choose logits.",
            f"{_WHERE}, row {row + 1}",
        )
    if off.any():
        row, got = int(off.argmax()), "a sum of {:.6g}"
        fix = "Export unrounded probabilities of all classes; if these are scores before the softmax, choose logits."
        if abs(float(np.median(sums)) - 100) <= 1:
            fix, got = "Divide these columns by 100.", "percent: a sum of {:.6g}"
        raise _error(
            "probabilities that sum to one",
            f"{got.format(sums[row])} ({_rows(off.sum())} off)",
            fix,
            f"{_WHERE}, row {row + 1}",
        )
    return values, []


def _with_rest(score: np.ndarray, names: list[str], columns: ColumnMap, kind: str) -> tuple[np.ndarray, list[str]]:
    """Two classes, of which one has a score float (N,): the other gets what is left."""
    (name, column), place = next(iter(columns.scores.items())), names.index(columns.rest)
    logits = kind == "logits" or (kind == "auto" and "logit" in column.lower())
    other = np.zeros_like(score) if logits else 1 - score
    values = np.stack([other, score] if place == 0 else [score, other], axis=1)
    titles = [column, column]
    titles[place] = f"one minus {column}"
    probs, notes = _probabilities(values, titles, "logits" if logits else kind if kind == "auto" else "probabilities")
    return probs, [*notes, f"the table scores {shown(name)} alone; {shown(columns.rest)} got what is left to one"]


def _labels(column: pd.Series, columns: ColumnMap, classes: list[str]) -> tuple[np.ndarray, list[str]]:
    where = f"{_WHERE}, column {shown(columns.label)}"
    codes, found = pd.factorize(column)
    texts = [cell_text(v) for v in found]
    index = {name: i for i, name in enumerate(classes)}
    wrong = next((c for c in columns.labels.values() if c not in index), None)
    if wrong is not None:
        raise _error(f"a class out of {_list(classes)}", shown(repr(wrong)), "Choose another meaning.", "labels")
    meant = [index.get(columns.labels.get(text, text), -1) for text in texts]
    labels = np.array([*meant, -1], np.int64)[codes]
    empty = np.array([*(not text.strip() for text in texts), True])[codes] & (labels < 0)
    if empty.any():
        raise _error(
            "a true label in every row",
            f"an empty cell ({_rows(empty.sum())})",
            "Fill it or drop the row.",
            f"{where}, row {int(empty.argmax()) + 1}",
        )
    if (labels < 0).any():
        unknown = [text for text, i in zip(texts, meant, strict=True) if i < 0]
        near = nearly(unknown, index)
        got = f"{_list([repr(shown(u, 40)) for u in unknown])} ({_rows((labels < 0).sum())})"
        fix = "Add the probability column of that class, or choose which class this label means."
        expected = f"labels out of {_list(classes)}"
        if near:
            spelling, name = next(iter(near.items()))
            expected = f"labels spelt as the classes {_list(classes)}"
            got += f": {shown(spelling, 40)!r} differs from {shown(name, 40)!r} only by case or blanks"
            fix = "Choose which class each spelling means, or correct the file."
        raise _error(expected, got, fix, f"{where}, row {int((labels < 0).argmax()) + 1}")
    present = np.bincount(labels, minlength=len(classes)) > 0
    if present.sum() < 2:
        raise _error(
            "true labels of at least two classes",
            f"only {shown(classes[int(present.argmax())])!r}",
            "Add rows of another class: with one, nothing can be told apart.",
            where,
        )
    notes = [
        f"no row is truly {shown(c)}: nothing can be said about finding it"
        for c, there in zip(classes, present, strict=True)
        if not there
    ]
    said = [f"{shown(t)!r} as {shown(columns.labels[t])!r}" for t in texts if columns.labels.get(t, t) != t]
    return labels, notes + ([f"labels were read so: {_list(said)}"] if said else [])


def _ids(column: pd.Series, role: str) -> pd.Series:
    """Ids as text; blank cells are missing. Refused where they are fractions, or differ by blanks only."""
    where = f"{_WHERE}, column of the {role}"
    if pd.api.types.is_float_dtype(column.dtype):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        bad = np.isfinite(numbers) & (numbers != np.round(numbers))
        if bad.any():
            raise _error(
                "names or whole numbers",
                f"{numbers[bad.argmax()]:.6g}",
                "Choose another column.",
                f"{where}, row {int(bad.argmax()) + 1}",
            )
    if role == "patch_id" and pd.api.types.is_string_dtype(column.dtype):  # nearly all differ: no use to look at each
        return column.where(column.notna() & (column.str.strip() != ""), None)
    codes, found = pd.factorize(column)
    texts = pd.Series([cell_text(v) for v in found] + [""], dtype="str")
    stripped = texts.str.strip()
    kept = stripped[stripped != ""]
    if role != "patch_id" and kept.duplicated().any():
        twin = kept[kept.duplicated()].iloc[0]
        raise _error(
            "ids that differ by more than blanks", f"{shown(twin)!r} with and without", "Make them one.", where
        )
    return texts.where(stripped != "", None).take(codes).reset_index(drop=True)


def _splits(column: pd.Series) -> tuple[pd.Series, list[str]]:
    codes, found = pd.factorize(column)
    names = {other: ours for ours, others in _SPLITS.items() for other in others}
    texts = [*(cell_text(v) for v in found), ""]
    read = [names.get(text.strip().casefold(), "") for text in texts]
    ours = np.array(read, dtype=object)[codes]
    unknown = ours == ""
    if unknown.any():
        row = int(unknown.argmax())
        raise _error(
            "train, val or test in every row",
            f"{shown(texts[codes[row]], 40)!r} ({_rows(unknown.sum())})",
            "Rename the parts, or choose no split column: every row then counts as test.",
            f"{_WHERE}, column of the split, row {row + 1}",
        )
    said = [f"{shown(t)!r} as {r!r}" for t, r in zip(texts[:-1], read[:-1], strict=True) if t != r]
    return pd.Series(ours, dtype="str"), [f"parts of the split were read so: {_list(said)}"] if said else []


def _refuse_twice(patches: pd.Series) -> None:
    twice = (patches.duplicated(keep=False) & (patches != UNKNOWN)).to_numpy()
    if twice.any():
        name = patches[int(twice.argmax())]
        rows = ", ".join(str(i + 1) for i in np.flatnonzero((patches == name).to_numpy())[:5])
        raise _error(
            "each patch once",
            f"{shown(name)!r} in rows {rows} ({_rows(twice.sum())} so)",
            "Drop the duplicates, or choose another patch column or none.",
        )


def _list(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(n, 100) for n in names[:most]) + more


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _error(expected: str, got: str, fix: str, where: str = _WHERE) -> EvaluationError:
    return EvaluationError(expected, got=got, where=where, fix=fix)
