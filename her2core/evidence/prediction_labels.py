"""Class names of a table: true and predicted classes, their spellings, and the split part of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, TableError
from her2core.evidence.prediction_scores import WHERE, count_rows
from her2core.io.cells import cell_text, distinct_labels, label_text
from her2core.io.columns import split_parts
from her2core.io.text import clean_text
from her2core.labels import near_spellings, order_classes


def list_names(names: Sequence[str], most: int = 6) -> str:
    """Names for a message, the first of them where there are many.

    Parameters
    ----------
    names : sequence of str
        The names.
    most : int
        How many are listed.

    Returns
    -------
    str

    Examples
    --------
    >>> list_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(clean_text(name, 100) for name in names[:most]) + more


def class_indices(
    column: pd.Series, name: str, *, classes: Sequence[str], spellings: Mapping[str, str], role: str = "true"
) -> tuple[np.ndarray, list[str]]:
    """A column of class names as positions among the classes.

    Parameters
    ----------
    column : Series
        The cells; 1, 1.0 and "1.0 " are one class.
    name : str
        The column's name, for messages.
    classes : sequence of str
        The classes, in order.
    spellings : mapping of str to str
        Spelling -> the class it means. A spelling that differs from one class only by case, blanks or a known
        abbreviation needs no entry, unless two spellings of one class occur: they may come from two annotators.
    role : str
        "true" or "predicted", for messages.

    Returns
    -------
    ndarray of int64, shape (N,)
        Positions in ``classes``.
    list of str
        A note on spellings that differ from the classes.

    Raises
    ------
    TableError
        For an empty cell and a label that is none of the classes, with the first row.
    ConfigError
        For a meaning that is none of the classes.

    Examples
    --------
    >>> class_indices(pd.Series([0.0, 1.0]), "Y", classes=["0", "1"], spellings={})[0].tolist()
    [0, 1]
    """
    where = f"{WHERE}, column {clean_text(name, 60)}"
    index = {c: i for i, c in enumerate(classes)}
    wrong = next((c for c in spellings.values() if c not in index), None)
    if wrong is not None:
        raise ConfigError(
            f"a class out of {list_names(classes)}", got=clean_text(repr(wrong)), where="labels", fix="Choose another."
        )
    known = {label_text(c): i for c, i in reversed(index.items())} | index
    meant = {label_text(spelling): index[c] for spelling, c in spellings.items()}
    codes, values = pd.factorize(column)
    exact, texts = [cell_text(v) for v in values], [label_text(v) for v in values]
    found: list[int] = [meant.get(t, index.get(e, known.get(t, -1))) for e, t in zip(exact, texts, strict=True)]
    near, twice = _near(texts, found, classes)
    found = [index[near[t]] if i < 0 and t in near else i for t, i in zip(texts, found, strict=True)]
    positions = np.array([*found, -1], np.int64)[codes]
    empty = np.array([*(not t for t in texts), True])[codes] & (positions < 0)
    if empty.any():
        raise TableError(
            f"a {role} label in every row",
            got=f"an empty cell ({count_rows(int(empty.sum()))})",
            where=f"{where}, row {int(empty.argmax()) + 1}",
            fix="Fill it or drop the row.",
        )
    if (positions < 0).any():
        unknown = [t for t, i in zip(texts, found, strict=True) if i < 0]
        raise _unknown_label(unknown, twice, classes, positions < 0, where)
    stated = {
        t: classes[i] for t, i in zip(texts, found, strict=True) if classes[i] != t and label_text(classes[i]) != t
    }
    said = [f"{clean_text(t, 60)!r} as {clean_text(c, 60)!r}" for t, c in stated.items()]
    return positions, [f"Labels were read as classes: {list_names(said)}."] if said else []


def unread_labels(labels: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Labels of which nobody can say what class they mean without being told.

    Parameters
    ----------
    labels : sequence of str
        Different labels of a column.
    classes : sequence of str
        The classes.

    Returns
    -------
    list of str
        Those that are no class, nor the only other spelling of one.

    Examples
    --------
    >>> unread_labels(["Negative", "pos", "unsure"], ["negative", "positive"])
    ['unsure']
    >>> unread_labels(["positive", "Positive"], ["negative", "positive"])
    ['Positive']
    """
    known = {label_text(c): i for i, c in enumerate(classes)}
    found = [known.get(label, -1) for label in labels]
    near, _ = _near(list(labels), found, classes)
    return [label for label, i in zip(labels, found, strict=True) if i < 0 and label not in near]


def _near(texts: list[str], found: list[int], classes: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Spellings with the class they are near to: those that alone mean their class, and those that compete for one."""
    near = near_spellings([t for t, i in zip(texts, found, strict=True) if i < 0 and t], classes)
    used = [classes[i] for i in found if i >= 0] + list(near.values())
    return (
        {spelling: name for spelling, name in near.items() if used.count(name) == 1},
        {spelling: name for spelling, name in near.items() if used.count(name) > 1},
    )


def _unknown_label(
    unknown: list[str], twice: Mapping[str, str], classes: Sequence[str], bad: np.ndarray, where: str
) -> TableError:
    expected = f"labels out of {list_names(classes)}"
    got = f"{list_names([repr(clean_text(u, 40)) for u in unknown])} ({count_rows(int(bad.sum()))})"
    fix = "Add the probability column of that class, or state which class the label means (her2 evaluate --label)."
    if twice:
        spelling, name = next(iter(twice.items()))
        expected = f"labels spelt as the classes {list_names(classes)}"
        got += f": {clean_text(spelling, 40)!r} is another spelling of {clean_text(name, 40)!r}"
        fix = "State which class each spelling means (her2 evaluate --label), or correct the file."
    return TableError(expected, got=got, where=f"{where}, row {int(bad.argmax()) + 1}", fix=fix)


def classes_of_labels(true: pd.Series, predicted: pd.Series, spellings: Mapping[str, str] | None = None) -> list[str]:
    """The classes of a table without scores: every true and every predicted one.

    Parameters
    ----------
    true, predicted : Series
        The two columns.
    spellings : mapping of str to str, optional
        Spelling -> the class it means.

    Returns
    -------
    list of str
        In clinical order where they have one, otherwise numbers by value and text by the alphabet.

    Examples
    --------
    >>> classes_of_labels(pd.Series(["3+", "0/1+"]), pd.Series(["2+", "3+"]))
    ['0/1+', '2+', '3+']
    """
    meant = {label_text(spelling): name for spelling, name in (spellings or {}).items()}
    classes = list(dict.fromkeys(meant.get(name, name) for name in distinct_labels(true)))
    others = list(dict.fromkeys(meant.get(name, name) for name in distinct_labels(predicted)))
    near = near_spellings([name for name in others if name not in classes], classes)
    return list(order_classes(sorted({*classes, *(name for name in others if name not in near)})))


def read_split(column: pd.Series, name: str) -> tuple[pd.Series, list[str]]:
    """A column of split parts as train, val and test.

    Parameters
    ----------
    column : Series
        The cells.
    name : str
        The column's name.

    Returns
    -------
    Series of str
        "train", "val" or "test".
    list of str
        A note on other spellings.

    Raises
    ------
    TableError
        For a cell that names none of the three, with the first row.

    Examples
    --------
    >>> read_split(pd.Series(["Training", "test"]), "fold")[0].tolist()
    ['train', 'test']
    """
    parts, spelled = split_parts(column, name)
    unknown = (parts == "").to_numpy(bool)
    if unknown.any():
        row = int(unknown.argmax())
        raise TableError(
            "train, val or test in every row",
            got=f"{clean_text(cell_text(column.iloc[row]), 40)!r} ({count_rows(int(unknown.sum()))})",
            where=f"{WHERE}, column {clean_text(name, 60)}, row {row + 1}",
            fix="Rename the parts, or choose no split column (her2 evaluate --column split=) to test every row.",
        )
    said = [f"{clean_text(t, 60)!r} as {part!r}" for t, part in spelled.items()]
    return parts, [f"Split parts were read as: {list_names(said)}."] if said else []
