"""Recognition of the columns in a table of predictions by name: true class, predicted class, scores, identifiers.

Recognition only proposes: a person or the command line may overrule every column before a number is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.evidence.score_columns import has_fractions, is_score_name, score_columns
from her2core.io.cells import distinct_labels, label_text
from her2core.io.columns import find_column, find_split, squash
from her2core.io.number_formats import to_numbers
from her2core.io.text import clean_text

#: The columns that a table may have besides scores: fields of ``ColumnMap``.
ROLES = ("label", "predicted", "patch_id", "patient_id", "slide_id", "site", "split")
#: The identifiers among them.
ID_ROLES = ("patch_id", "patient_id", "slide_id", "site")

#: Names that can only be the true class, letters and digits only; "label" may be a predicted one beside them.
_TRUTH = ("truelabel", "labeltrue", "ytrue", "true", "trueclass", "groundtruth", "gt", "truth")
#: Distinct cells of a label column that are looked at.
_MAX_LABELS = 10_000


@dataclass(frozen=True)
class ColumnMap:
    """Which column of a table holds what; None where there is no such column.

    Parameters
    ----------
    label : str, optional
        True class.
    scores : mapping of str to str
        Class -> column of its probability or logit.
    patch_id, patient_id, slide_id, site, split : str, optional
        Identifiers, and the part of the split (train, val or test).
    labels : mapping of str to str
        Spelling in the label columns -> the class that it means.
    rest : str, optional
        Where one class of two has a score: the other one, whose probability is one minus it.
    predicted : str, optional
        Predicted class, used where there are no scores.

    Examples
    --------
    >>> ColumnMap("GT", {"0": "p_0", "1": "p_1"}).scores["1"]
    'p_1'
    """

    label: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)
    patch_id: str | None = None
    patient_id: str | None = None
    slide_id: str | None = None
    site: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None
    predicted: str | None = None


def guess_columns(frame: pd.DataFrame, chosen: Mapping[str, str | None] | None = None) -> ColumnMap:
    """Recognise columns by the names that other tools give them.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    chosen : mapping of str to str, optional
        Role (``ROLES``) -> column that is known already; None or "" for a role that no column has.

    Returns
    -------
    ColumnMap
        What is not recognised is None or absent from ``scores``. Scores are columns such as ``prob_HER2+``, ``p_0``,
        ``negative_score`` or ``logit_x``, or named as the labels themselves.

    Examples
    --------
    >>> clam = pd.DataFrame({"slide_id": ["S1", "S2"], "Y": [0.0, 1.0], "p_0": [0.9, 0.2], "p_1": [0.1, 0.8]})
    >>> found = guess_columns(clam)
    >>> found.label, found.slide_id, dict(found.scores)
    ('Y', 'slide_id', {'0': 'p_0', '1': 'p_1'})
    """
    names = [str(c) for c in frame.columns]
    roles: dict[str, str | None] = {role: column or None for role, column in (chosen or {}).items()}
    if "label" not in roles:
        free = [n for n in names if n not in roles.values()]
        certain = [n for spelling in _TRUTH for n in free if squash(n) == spelling]
        of_outcome = [n for n in free if n.endswith("-y_true")]  # Slideflow names its outcome before it
        only = of_outcome[0] if len(of_outcome) == 1 else None
        roles["label"] = next(iter(certain), None) or find_column(free, "label") or only
    if "split" not in roles:  # before site: a column called cohort may state the part
        roles["split"] = find_split(frame, taken={name for name in roles.values() if name is not None})
    for role in ROLES:
        if role not in roles:
            free = [name for name in names if name not in roles.values()]
            roles[role] = find_column(free, role)
            path = find_column(free, "path") if role == "patch_id" and roles[role] is None else None
            if path is not None and frame.iloc[:, names.index(path)].is_unique:
                roles[role] = path
    taken = {name for name in roles.values() if name is not None}
    truths, answers = label_values(frame, roles["label"]), roles["predicted"]
    scores, rest = score_columns(frame, taken=taken, truths=truths, predicted=answers)
    recognised = answers is not None and "predicted" not in (chosen or {})
    if not scores and recognised and has_fractions(frame.iloc[:, names.index(str(answers))]):
        # a score under the name of an answer
        scores, rest = score_columns(frame, taken=taken - {str(answers)}, truths=truths)
        roles["predicted"] = None if scores else answers
    if _is_dummy_coding(frame, roles["label"], scores):
        scores = {}
    return with_roles(ColumnMap(scores=scores, rest=rest), roles)


def names_predictions(names: Sequence[str], chosen: Collection[str] = ()) -> bool:
    """Whether these are the columns of a table of predictions.

    Parameters
    ----------
    names : sequence of str
        The names of the columns.
    chosen : collection of str, optional
        Columns that the caller states.

    Returns
    -------
    bool
        With columns stated: whether they are all there. Otherwise whether there is a true class, and a predicted one or
        a score.

    Examples
    --------
    >>> names_predictions(["case", "label", "prob_a", "prob_b"]), names_predictions(["Results", "2025"])
    (True, False)
    """
    if chosen:
        return set(chosen) <= set(names)
    label = find_column(names, "label")
    others = [name for name in names if name != label]
    answers = find_column(others, "predicted") is not None or any(map(is_score_name, others))
    return len(others) < len(names) and answers


def _is_dummy_coding(frame: pd.DataFrame, label: str | None, scores: Mapping[str, str]) -> bool:
    """Whether columns named as the classes are the true class itself, as 0 and 1, and no predictions."""
    if label is None or not scores or any(of != column for of, column in scores.items()):
        return False
    names = [str(c) for c in frame.columns]
    codes, values = pd.factorize(frame.iloc[:, names.index(label)])
    true = np.array([*map(label_text, values), ""], dtype=object)[codes]
    return all(np.array_equal(to_numbers(frame.iloc[:, names.index(of)]), (true == of) * 1.0) for of in scores)


def with_roles(columns: ColumnMap, roles: Mapping[str, str | None]) -> ColumnMap:
    """The same columns with other roles.

    Parameters
    ----------
    columns : ColumnMap
        The columns.
    roles : mapping of str to str or None
        Role (``ROLES``) -> column.

    Returns
    -------
    ColumnMap

    Examples
    --------
    >>> with_roles(ColumnMap("GT"), {"split": "fold"}).split
    'fold'
    """
    changes: dict[str, Any] = dict(roles)  # dataclasses.replace knows no types of fields given by name
    return replace(columns, **changes)


def map_columns(
    frame: pd.DataFrame,
    chosen: Mapping[str, str],
    *,
    scores: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    classes: Iterable[str] | None = None,
) -> ColumnMap:
    """The recognised columns, overruled by what a caller states.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    chosen : mapping of str to str
        Role -> column; "" for a role that no column has.
    scores : mapping of str to str, optional
        Class -> column of its score. Of two classes one is enough.
    labels : mapping of str to str, optional
        Spelling in the label columns -> the class it means.
    classes : iterable of str, optional
        All classes.

    Returns
    -------
    ColumnMap

    Raises
    ------
    ConfigError
        For an unknown role.

    Examples
    --------
    >>> frame = pd.DataFrame({"outcome": ["no", "yes"], "risk": [0.1, 0.8]})
    >>> columns = map_columns(frame, {"label": "outcome"}, scores={"yes": "risk"})
    >>> columns.scores, columns.rest
    ({'yes': 'risk'}, 'no')
    """
    if unknown := [role for role in chosen if role not in ROLES]:
        raise ConfigError(
            f"a role out of {', '.join(ROLES)}",
            got=clean_text(repr(unknown[0]), 80),
            where="columns",
            fix="Scores are stated by class, not by role (scores, her2 evaluate --score).",
        )
    columns = replace(guess_columns(frame, chosen), labels=dict(labels or {}))
    if not scores:
        return columns
    rest = None
    if len(scores) == 1:
        values = (columns.labels.get(value, value) for value in label_values(frame, columns.label))
        others = [c for c in dict.fromkeys(classes or values) if c not in scores]
        rest = others[0] if len(others) == 1 else None
    return replace(columns, scores=dict(scores), rest=rest)


def label_values(frame: pd.DataFrame, column: str | None) -> list[str]:
    """The different class names in a column.

    Parameters
    ----------
    frame : DataFrame
        The table.
    column : str or None
        The column of the true class.

    Returns
    -------
    list of str
        Sorted; empty without such a column.

    Examples
    --------
    >>> label_values(pd.DataFrame({"y": [1.0, 0.0, None]}), "y")
    ['0', '1']
    """
    names = [str(c) for c in frame.columns]
    if column is None or column not in names:
        return []
    return sorted(distinct_labels(pd.Series(frame.iloc[:, names.index(column)].unique()[:_MAX_LABELS])))
