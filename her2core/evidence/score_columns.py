"""Recognition of score columns: families of columns that share an affix, one class each, and the single score.

An affix that tools use (prob_, p_, logit_) is recognised by name. Any other affix needs the values as well: a column
for every true class, rows that sum to one, and no second such family, since a wrong guess would be a wrong figure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from her2core.io.cells import cell_text, label_text
from her2core.io.columns import squash
from her2core.io.number_formats import to_numbers

_AFFIX = r"(?:log[\s_.-]?)?(?:probability|probabilities|probs?|proba|softmax|p)|scores?|logits?|confidence|conf|output"
_BEFORE = re.compile(
    rf"(?P<family>(?:(?:y|pred|predicted|model|test)[\s_.-]+)?(?:{_AFFIX}))(?:[\s_.:-]+|(?P<open>\s*[(\[]\s*))(?P<name>.+)",
    re.IGNORECASE | re.DOTALL,
)
_AFTER = re.compile(rf"(?P<name>.+?)[\s_.:-]{{1,5}}(?P<family>{_AFFIX})", re.IGNORECASE | re.DOTALL)
#: Names of the only score in a table of two classes, letters and digits only. A column called pred may hold classes: it
#: is a score only where its numbers are fractions.
_SINGLE_SCORE = (
    *("score", "yscore", "prob", "yprob", "proba", "yproba", "probability", "p", "ppos", "predictedprobability"),
    *("confidence", "logit", "ylogit", "predprob", "predproba", "ypredprob", "ypredproba", "phat"),
)
_FRACTIONS = ("pred", "ypred", "prediction", "predictions", "predicted", "yhat", "preds")
#: Names of the class that a single score belongs to.
_POSITIVE = ("positive", "pos", "true", "yes", "her2positive", "her2pos", "case", "high")
_FILLER = re.compile(r"(?:class|of|for|label)[\s_.:-]+(?=.)", re.IGNORECASE)
#: Rows that are looked at, and how far from one their sums may be in a family without a known affix.
_ROWS, _OFF = 1000, 0.02

#: (side, affix) -> class -> column.
Families = dict[tuple[str, str], dict[str, str]]


def score_columns(
    frame: pd.DataFrame, *, taken: Collection[str], truths: Collection[str], predicted: str | None = None
) -> tuple[dict[str, str], str | None]:
    """The score columns of a table.

    Parameters
    ----------
    frame : DataFrame
        The table.
    taken : collection of str
        Columns with another role.
    truths : collection of str
        The different true classes.
    predicted : str, optional
        The column of predicted classes.

    Returns
    -------
    dict
        Class -> column; empty where nothing is recognised.
    str or None
        Of two classes the one without a score.

    Examples
    --------
    >>> frame = pd.DataFrame({"vit_low": [0.9, 0.2], "vit_high": [0.1, 0.8]})
    >>> score_columns(frame, taken=(), truths=("low", "high"))
    ({'low': 'vit_low', 'high': 'vit_high'}, None)
    """
    names = [str(c) for c in frame.columns]
    classes = set(truths)
    families = _families(frame, names, taken, classes)
    best = max(families.items(), key=lambda item: _rank(item, classes), default=None)
    scores = best[1] if best is not None and len(best[1]) > 1 else {}
    short = {_bare(of): column for of, column in scores.items()}
    if len(short) == len(scores) and len(classes & set(short)) >= len(classes & set(scores)):
        scores = short
    if not classes & set(scores) and len(other := list(_other_families(frame, names, taken, classes))) == 1:
        scores = other[0]
    if scores or len(classes) != 2:
        return scores, None
    alone = _single_score(frame, names, taken, families, classes, predicted)
    return ({}, None) if alone is None else ({alone[0]: alone[1]}, next(t for t in classes if t != alone[0]))


def is_score_name(name: str) -> bool:
    """Whether a column of that name may hold a score.

    Parameters
    ----------
    name : str
        The column's name.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_score_name("prob_low"), is_score_name("score"), is_score_name("age")
    (True, True, False)
    """
    return _has_affix(name) or squash(name) in _SINGLE_SCORE


def has_fractions(column: pd.Series) -> bool:
    """Whether a column holds numbers of which one is no whole number, and nothing but numbers.

    Parameters
    ----------
    column : Series
        Cells of any type.

    Returns
    -------
    bool

    Examples
    --------
    >>> [has_fractions(pd.Series(cells)) for cells in ([0.0, 0.7], [0.0, 1.0], ["0.5", "a"])]
    [True, False, False]
    """
    if _no_numbers(column):
        return False
    held = [value for value in column.unique() if cell_text(value) != ""]
    numbers = to_numbers(pd.Series(held))
    return bool(len(numbers) and np.isfinite(numbers).all() and (numbers != np.round(numbers)).any())


def _families(frame: pd.DataFrame, names: list[str], taken: Collection[str], truths: set[str]) -> Families:
    """Columns of numbers by the affix that they share, or named as the classes."""
    families: Families = {}
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


def _other_families(
    frame: pd.DataFrame, names: list[str], taken: Collection[str], truths: set[str]
) -> Iterator[dict[str, str]]:
    """Families of any affix that have a column of fractions for every true class and sum to one."""
    found: Families = {}
    if len(truths) > len(names):  # a column of many values, such as an identifier
        return
    for name in names:
        for truth in truths if name not in taken else ():
            for side, affix in (("before", name.removesuffix(truth)), ("after", name.removeprefix(truth))):
                edge = affix[-1:] if side == "before" else affix[:1]
                if affix not in (name, "") and not (edge.isalnum() and edge.isdigit() == truth[:1].isdigit()):
                    found.setdefault((side, affix), {}).setdefault(truth, name)
    for scores in found.values():
        if len(truths) < 2 or set(scores) != truths:
            continue
        columns = [frame.iloc[:_ROWS, names.index(column)] for column in scores.values()]
        if all(_numeric(column) for column in columns) and any(has_fractions(column) for column in columns):
            values = np.stack([to_numbers(column) for column in columns], axis=1)
            if (np.abs(values.sum(axis=1) - 1) < _OFF).all() and (values >= 0).all():
                yield scores


def _single_score(
    frame: pd.DataFrame,
    names: list[str],
    taken: Collection[str],
    families: Families,
    truths: set[str],
    predicted: str | None,
) -> tuple[str, str] | None:
    """Of two classes one has a score: that class and its column. A score named after neither is of the positive one."""
    if sum(_has_affix(name) for name in names if name not in taken) > 1:
        return None  # the other one may be there and unreadable
    for of, column in ((of, c) for scores in families.values() for of, c in scores.items()):
        if (bare := _bare(of)) in truths:
            return bare, column
    positive = _positive(truths)
    single = [
        name
        for place, name in enumerate(names)
        if name not in taken
        and _numeric(frame.iloc[:, place])
        and (squash(name) in _SINGLE_SCORE or (squash(name) in _FRACTIONS and has_fractions(frame.iloc[:, place])))
    ]
    if positive is None or len(single) != 1:
        return None
    of_predicted = predicted is not None and _of_predicted(frame, names.index(predicted), names.index(single[0]))
    return None if of_predicted else (positive, single[0])


def _positive(truths: set[str]) -> str | None:
    """The class that a score of neither name belongs to; of classes 1 and 2 either may be the positive one."""
    if truths in ({"0", "1"}, {"-1", "1"}):
        return "1"
    return next((t for t in sorted(truths) if squash(t) in _POSITIVE or t.casefold() == "her2+"), None)


def _of_predicted(frame: pd.DataFrame, predicted: int, score: int) -> bool:
    """Whether the score is that of the predicted class: never below one half, though both classes are predicted."""
    answers = {label_text(value) for value in frame.iloc[:, predicted].unique()[:3]}
    return len(answers) > 1 and bool(np.nanmin(to_numbers(frame.iloc[:, score])) >= 0.5)


def _has_affix(name: str) -> bool:
    return bool(_BEFORE.fullmatch(name.strip()) or _AFTER.fullmatch(name.strip()))


def _no_numbers(column: pd.Series) -> bool:
    """Whether the type says so, although its cells could be converted."""
    return pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype)


def _numeric(column: pd.Series) -> bool:
    if _no_numbers(column):
        return False
    return pd.api.types.is_numeric_dtype(column.dtype) or bool((~np.isnan(to_numbers(column.head(200)))).any())


def _bare(of: str) -> str:
    return _FILLER.sub("", of, count=1) if _FILLER.match(of) else of


def _rank(item: tuple[tuple[str, str], Mapping[str, str]], truths: set[str]) -> tuple[int, int, int, int]:
    (side, family), scores = item
    bare: set[str] = {_bare(of) for of in scores} | set(scores)
    return len(truths & bare), len(scores), int("prob" in family or family == "p"), int(side == "before")


def complete_families(frame: pd.DataFrame, *, taken: Collection[str], truths: Sequence[str]) -> list[list[str]]:
    """Families with a known affix that have a column for every true class.

    Parameters
    ----------
    frame : DataFrame
        The table.
    taken : collection of str
        Columns with another role.
    truths : sequence of str
        The different true classes.

    Returns
    -------
    list of list of str
        The columns of each.

    Examples
    --------
    >>> frame = pd.DataFrame({"prob_a": [0.9], "prob_b": [0.1], "score_a": [0.8], "score_b": [0.2]})
    >>> complete_families(frame, taken=(), truths=("a", "b"))
    [['prob_a', 'prob_b'], ['score_a', 'score_b']]
    """
    found = _families(frame, [str(c) for c in frame.columns], taken, set(truths))
    return [list(s.values()) for s in found.values() if set(truths) <= {_bare(of) for of in s} | set(s) and len(s) > 1]
