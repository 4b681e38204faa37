"""Recognition of the columns in a table of predictions by name: true class, predicted class, scores, identifiers.

Recognition only proposes: a person or the command line may overrule every column before a number is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.io.cells import distinct_labels
from her2core.io.columns import find_column, find_split, squash
from her2core.io.number_formats import to_numbers
from her2core.io.text import clean_text

#: The columns that a table may have besides scores: fields of ``ColumnMap``.
ROLES = ("label", "predicted", "patch_id", "patient_id", "slide_id", "site", "split")
#: The identifiers among them.
ID_ROLES = ("patch_id", "patient_id", "slide_id", "site")

_AFFIX = r"probability|probabilities|probs?|proba|p|scores?|logits?|softmax|confidence|conf|output"
_BEFORE = re.compile(
    rf"(?P<family>(?:(?:y|pred|predicted|model|test)[\s_.-]+)?(?:{_AFFIX}))(?:[\s_.:-]+|(?P<open>\s*[(\[]\s*))(?P<name>.+)",
    re.IGNORECASE | re.DOTALL,
)
_AFTER = re.compile(rf"(?P<name>.+?)[\s_.:-]+(?P<family>{_AFFIX})", re.IGNORECASE | re.DOTALL)
#: Names of the only score in a table of two classes, letters and digits only (no "pred": that may be a class).
_SINGLE_SCORE = (
    *("score", "yscore", "prob", "yprob", "proba", "yproba", "probability", "p", "ppos", "predictedprobability"),
    *("confidence", "logit", "ylogit"),
)
#: Names of the class that a single score belongs to.
_POSITIVE = ("1", "positive", "pos", "true", "yes", "her2positive", "her2pos", "case", "high")
_FILLER = re.compile(r"(?:class|of|for|label)[\s_.:-]+(?=.)", re.IGNORECASE)
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
    for role in ROLES[:-1]:
        if role not in roles:
            free = [name for name in names if name not in roles.values()]
            roles[role] = find_column(free, role)
            path = find_column(free, "path") if role == "patch_id" and roles[role] is None else None
            if path is not None and frame.iloc[:, names.index(path)].is_unique:
                roles[role] = path
    taken = {name for name in roles.values() if name is not None}
    if "split" not in roles:
        roles["split"] = find_split(frame, taken=taken)
        taken |= {roles["split"]} if roles["split"] is not None else set()
    truths = set(label_values(frame, roles["label"]))
    families = _families(frame, names, taken, truths)
    best = max(families.items(), key=lambda item: _rank(item, truths), default=None)
    scores = best[1] if best is not None and len(best[1]) > 1 else {}
    short = {_FILLER.sub("", of, count=1) if _FILLER.match(of) else of: column for of, column in scores.items()}
    if len(short) == len(scores) and len(truths & set(short)) >= len(truths & set(scores)):
        scores = short
    rest = None
    if not scores and len(truths) == 2:
        alone = _single_score(frame, names, taken, families, truths)
        if alone is not None:
            scores, rest = {alone[0]: alone[1]}, next(t for t in truths if t != alone[0])
    return with_roles(ColumnMap(scores=scores, rest=rest), roles)


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


_Families = dict[tuple[str, str], dict[str, str]]


def _families(frame: pd.DataFrame, names: list[str], taken: set[str], truths: set[str]) -> _Families:
    """Columns of numbers by the affix that they share: (side, affix) -> class -> column."""
    families: _Families = {}
    for place, name in enumerate(names):
        if name in taken or squash(name) == "pvalue" or not _numeric(frame.iloc[:, place]):
            continue
        if name in truths:
            families.setdefault(("bare", ""), {}).setdefault(name, name)
        for side, pattern in (("before", _BEFORE), ("after", _AFTER)):
            if found := pattern.fullmatch(name.strip()):
                of = found["name"]
                if side == "before" and found["open"]:
                    of = of.rstrip(" )]")
                families.setdefault((side, re.sub(r"[\W_]+", "_", found["family"].lower())), {}).setdefault(of, name)
    return families


def _single_score(
    frame: pd.DataFrame, names: list[str], taken: set[str], families: _Families, truths: set[str]
) -> tuple[str, str] | None:
    """Of two classes one has a score: that class and its column. A score named after neither is of the positive one."""
    if sum(bool(_BEFORE.fullmatch(n.strip()) or _AFTER.fullmatch(n.strip())) for n in names if n not in taken) > 1:
        return None  # the other one may be there and unreadable
    for of, column in ((of, c) for scores in families.values() for of, c in scores.items()):
        if (bare := _FILLER.sub("", of, count=1)) in truths:
            return bare, column
    positive = next((t for t in sorted(truths) if squash(t) in _POSITIVE or t.casefold() == "her2+"), None)
    single = [
        name
        for place, name in enumerate(names)
        if name not in taken and _numeric(frame.iloc[:, place]) and squash(name) in _SINGLE_SCORE
    ]
    return (positive, single[0]) if positive is not None and len(single) == 1 else None


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


def _numeric(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return True
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    return bool((~np.isnan(to_numbers(column.head(200)))).any())


def _rank(item: tuple[tuple[str, str], dict[str, str]], truths: set[str]) -> tuple[int, int, int, int]:
    (side, family), scores = item
    bare = {_FILLER.sub("", of, count=1) for of in scores} | set(scores)
    return len(truths & bare), len(scores), int("prob" in family or family == "p"), int(side == "before")
