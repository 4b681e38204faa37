"""Scores of a table as probabilities: logits, rounded probabilities, one score for two classes.

Nothing is repaired in silence. Probabilities that were rounded to two decimals or more are divided by their sum, with a
note; sums that rounding cannot explain are refused, because independent sigmoid scores, percentages or a missing class
would otherwise pass for probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, TableError
from her2core.evidence.calibration import probabilities
from her2core.io.cells import cell_text
from her2core.io.number_formats import to_numbers
from her2core.io.text import clean_text

#: How scores are read; "auto" takes columns named logit as logits and everything else as probabilities.
Kind = Literal["probabilities", "logits", "auto"]
KINDS: tuple[Kind, ...] = ("probabilities", "logits", "auto")
WHERE = "predictions"
#: Sums this far from one are rounding of floating-point numbers.
_FLOAT_ERROR = 5e-6
#: Sums this far from one are accepted whatever the decimals (half-precision softmax).
_HALF_PRECISION = 1e-3
#: Fewest decimals that are taken as rounding.
MIN_DECIMALS = 2
LOGARITHMS_NOTE = "Scores were read as logarithms of probabilities: in every row their exponentials sum to one."
SUM_TO_ONE_NOTE = "In every row the logits sum to one, as probabilities do: check the kind of scores."
LOGITS_NOTE = "Scores were read as logits and put through softmax."


def count_rows(count: int) -> str:
    """A number of rows in words, as in "1 row" and "2,000 rows".

    Parameters
    ----------
    count : int
        How many.

    Returns
    -------
    str

    Examples
    --------
    >>> count_rows(1), count_rows(2000)
    ('1 row', '2,000 rows')
    """
    return f"{count:,} row{'s' if count != 1 else ''}"


def score_values(column: pd.Series, name: str) -> np.ndarray:
    """A score column as finite numbers.

    Parameters
    ----------
    column : Series
        Numbers, or text of which each cell is a number (decimal commas included).
    name : str
        The column's name, for messages.

    Returns
    -------
    ndarray of float64, shape (N,)

    Raises
    ------
    TableError
        Naming the first row with text, an empty cell, NaN or infinity.

    Examples
    --------
    >>> score_values(pd.Series(["0,25", "0,5"]), "p_0").tolist()
    [0.25, 0.5]
    """
    where = f"{WHERE}, column {clean_text(name, 60)}"
    kind = column.dtype.kind if hasattr(column.dtype, "kind") else "O"
    if kind not in "iufO" and not pd.api.types.is_string_dtype(column.dtype):
        raise TableError(
            "numbers", got=f"{column.dtype} values", where=where, fix="Choose the column of probabilities or logits."
        )
    numbers = to_numbers(column)
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        raise _not_finite(column.iloc[row], int(bad.sum()), f"{where}, row {row + 1}")
    return numbers


def _not_finite(cell: object, count: int, where: str) -> TableError:
    text = cell_text(cell)
    if text.casefold() in ("", "nan"):
        got = "an empty cell (NaN)"
    elif text.casefold().lstrip("+-") in ("inf", "infinity"):
        got = "an infinity"
    else:
        got = f"{clean_text(text, 40)!r}"
    fix = "Correct or drop these rows."
    if text.endswith("%"):
        fix = "Write shares from 0 to 1 instead of percent."
    return TableError("a finite number in every row", got=f"{got} ({count_rows(count)})", where=where, fix=fix)


def to_probabilities(
    values: np.ndarray, *, columns: Sequence[str], kind: str = "auto", temperature: float = 1.0
) -> tuple[np.ndarray, list[str]]:
    """Scores as probabilities that sum to one.

    Parameters
    ----------
    values : ndarray of float, shape (N, K)
        One column per class.
    columns : sequence of str
        Their names: with "logit" in every one they are logits, unless ``kind`` says otherwise.
    kind : {"probabilities", "logits", "auto"}
        What the values are.
    temperature : float
        Logits are divided by it before the softmax.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Probabilities.
    list of str
        Notes on what was done to them.

    Raises
    ------
    TableError
        For values below 0 and sums that rounding does not explain, with the first row.
    ConfigError
        For another ``kind``.

    Examples
    --------
    >>> probs, notes = to_probabilities(np.array([[0.33, 0.33, 0.33]]), columns=["p_a", "p_b", "p_c"])
    >>> probs.round(4).tolist(), notes
    ([[0.3333, 0.3333, 0.3333]], ['Probabilities rounded to 2 decimals (sums of 0.99) were divided by their sum.'])
    """
    if kind not in KINDS:
        raise ConfigError(
            "argument `kind` to be one of 'probabilities', 'logits', 'auto'",
            got=clean_text(repr(kind), 40),
            fix="Choose one.",
        )
    with np.errstate(over="ignore"):
        sums = values.sum(axis=1)
    negative: np.ndarray = np.any(values < -1e-9, axis=1)
    decimals, tolerance = _rounding(values, sums)
    off = ~(np.abs(sums - 1) <= tolerance)
    named = all("logit" in name.casefold() for name in columns)
    if kind == "auto" and named and not (negative | off).any():
        raise TableError(
            "columns named logit to hold scores before the softmax",
            got="rows that all sum to one",
            where=WHERE,
            fix="State which they are: probabilities or logits (her2 evaluate --kind).",
        )
    if kind == "logits" or (kind == "auto" and named):
        doubt = [] if (negative | off).any() or not len(values) else [SUM_TO_ONE_NOTE]
        return probabilities(values, temperature), [LOGITS_NOTE, *doubt]
    if kind == "auto" and _are_logarithms(values):
        return probabilities(values, 1.0), [LOGARITHMS_NOTE]
    if negative.any():
        raise _below_zero(values, negative, columns)
    if off.any():
        raise _wrong_sum(sums, off)
    if np.abs(sums - 1).max(initial=0.0) <= _FLOAT_ERROR:
        return values, []
    low, high = f"{sums.min():.6g}", f"{sums.max():.6g}"
    rounded = f"rounded to {decimals} decimals " if decimals else ""
    span = low if low == high else f"{low} to {high}"
    return values / sums[:, None], [f"Probabilities {rounded}(sums of {span}) were divided by their sum."]


def _are_logarithms(values: np.ndarray) -> bool:
    """Whether the exponentials of every row sum to one, as those of no other scores do."""
    if not len(values) or values.max() > 0:
        return False
    return bool(np.abs(np.exp(values).sum(axis=1) - 1).max() <= _HALF_PRECISION)


def _rounding(values: np.ndarray, sums: np.ndarray) -> tuple[int, float]:
    """The decimals that all values were rounded to (0: none in sight), and how far from one their sums may then be."""
    deviation = np.abs(sums - 1)
    if deviation.max(initial=0.0) <= _FLOAT_ERROR or np.abs(values).max(initial=0.0) > 1e6:
        return 0, _HALF_PRECISION
    for decimals in range(MIN_DECIMALS, 7):
        scaled = values * 10.0**decimals
        if np.abs(scaled - np.round(scaled)).max() < 1e-6:
            if decimals == MIN_DECIMALS and np.abs(values * 10 - np.round(values * 10)).max() < 1e-6:
                break  # one decimal: too coarse to tell rounding from an error
            return decimals, max(_HALF_PRECISION, values.shape[1] * 0.5 * 10.0**-decimals + 1e-9)
    return 0, _HALF_PRECISION


def _below_zero(values: np.ndarray, negative: np.ndarray, columns: Sequence[str]) -> TableError:
    row = int(negative.argmax())
    which = int(values[row].argmin())
    return TableError(
        "probabilities from 0 to 1",
        got=f"{values[row, which]:.6g} in column {clean_text(columns[which], 40)} "
        f"({count_rows(int(negative.sum()))} with a negative one)",
        where=f"{WHERE}, row {row + 1}",
        fix="If these are scores before the softmax, choose logits (her2 evaluate --kind logits).",
    )


def _wrong_sum(sums: np.ndarray, off: np.ndarray) -> TableError:
    row, percent = int(off.argmax()), abs(float(np.median(sums)) - 100) <= 1
    fix = "Export unrounded probabilities of all classes; if these are scores before the softmax, choose logits."
    return TableError(
        "probabilities that sum to one",
        got=f"{'percent: ' if percent else ''}a sum of {sums[row]:.6g} ({count_rows(int(off.sum()))} off)",
        where=f"{WHERE}, row {row + 1}",
        fix="Divide these columns by 100." if percent else fix,
    )


def one_score(
    score: np.ndarray,
    *,
    names: Sequence[str],
    scores: Mapping[str, str],
    rest: str,
    kind: str,
    temperature: float = 1.0,
) -> tuple[np.ndarray, list[str]]:
    """Probabilities of two classes of which one has a score.

    Parameters
    ----------
    score : ndarray of float, shape (N,)
        Probability or logit of the class that has a score.
    names : sequence of str
        Both classes, in order.
    scores : mapping of str to str
        The class with a score -> its column.
    rest : str
        The other class: it gets one minus the probability.
    kind : {"probabilities", "logits", "auto"}
        What the score is.
    temperature : float
        A logit is divided by it.

    Returns
    -------
    ndarray of float64, shape (N, 2)
        Probabilities in the order of ``names``.
    list of str
        Notes.

    Raises
    ------
    TableError
        For a probability outside 0 to 1.

    Examples
    --------
    >>> one_score(np.array([0.2]), names=["0", "1"], scores={"1": "score"}, rest="0", kind="auto")[0].tolist()
    [[0.8, 0.2]]
    """
    (name, column), place = next(iter(scores.items())), list(names).index(rest)
    logits = kind == "logits" or (kind == "auto" and "logit" in column.casefold())
    if not logits and (above := score > 1 + _HALF_PRECISION).any() and not (score < 0).any():
        percent = score.max() <= 100
        raise TableError(
            "probabilities from 0 to 1",
            got=f"{score[above.argmax()]:.6g} ({count_rows(int(above.sum()))} above 1)",
            where=f"{WHERE}, column {clean_text(column, 60)}, row {int(above.argmax()) + 1}",
            fix="If they are percent, divide them by 100"
            + (";" if percent else ", and")
            + " if they are scores before the softmax, choose logits (her2 evaluate --kind logits).",
        )
    other = np.zeros_like(score) if logits else 1 - score
    values = np.stack([other, score] if place == 0 else [score, other], axis=1)
    titles = [column, column]
    titles[place] = f"one minus {column}"
    given: str = "logits" if logits else kind if kind == "auto" else "probabilities"
    probs, notes = to_probabilities(values, columns=titles, kind=given, temperature=temperature)
    stated = (
        f"The table has a score of {clean_text(name, 60)} only; the probability of {clean_text(rest, 60)} is one minus"
    )
    return probs, [*notes, f"{stated} it."]
