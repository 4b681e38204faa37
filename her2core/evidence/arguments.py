"""Checks of the arguments that the functions of evidence share."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING

from her2core.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from her2core.evidence.predictions import Predictions


#: Units of a row, and of every metric: from the smallest on.
UNITS = ("patch", "slide", "patient")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is none of the accepted ones.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        What was given.
    choices : iterable of str
        What is accepted.

    Raises
    ------
    ConfigError
        Naming the accepted values.

    Examples
    --------
    >>> check_choice("unit", "patch", ("patch", "slide"))
    >>> check_choice("unit", "pixel", ("patch", "slide"))
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected argument `unit` to be one of 'patch', 'slide', but got 'pixel'. Choose one.
    """
    accepted = tuple(choices)
    if not isinstance(value, str) or value not in accepted:
        raise ConfigError(
            f"argument `{name}` to be one of {', '.join(map(repr, accepted))}", got=repr(value)[:80], fix="Choose one."
        )


def check_class(of: object, classes: tuple[str, ...]) -> int:
    """Position of a class, refusing an unknown one.

    Parameters
    ----------
    of : str
        Name of the class.
    classes : tuple of str
        Classes of the predictions.

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        Naming the classes.

    Examples
    --------
    >>> check_class("positive", ("negative", "positive"))
    1
    """
    check_choice("of", of, classes)
    return classes.index(str(of))


def check_resampling(resamples: object, seed: object) -> None:
    """Refuse a number of resamples or a seed that cannot be used.

    Parameters
    ----------
    resamples : int
        At least 1; 2000 for intervals that are reported.
    seed : int
        At least 0.

    Raises
    ------
    ConfigError
        Naming the accepted values.

    Examples
    --------
    >>> check_resampling(2000, 0)
    >>> check_resampling(0, 0)
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected argument `resamples` to be an integer of at least 1, but got 0. Use 2000.
    """
    for name, value, least, fix in (("resamples", resamples, 1, "Use 2000."), ("seed", seed, 0, "Use 0.")):
        if not _is_integer(value) or operator.index(value) < least:  # type: ignore[arg-type]  # checked just before
            raise ConfigError(f"argument `{name}` to be an integer of at least {least}", got=repr(value)[:80], fix=fix)


def _is_integer(value: object) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__")


def check_predictions(predictions: Predictions, where: str, *, scores: bool = False) -> None:
    """Refuse predictions without rows, or without probabilities where these are needed.

    Parameters
    ----------
    predictions : Predictions
    where : str
        What is computed, for the message.
    scores : bool
        Whether probabilities are needed.

    Raises
    ------
    EvaluationError

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> check_predictions(read_predictions(frame), "metrics", scores=True)
    """
    if not len(predictions):
        raise EvaluationError("at least one prediction", got="none", where=where, fix="Choose a part that has some.")
    if scores and not predictions.has_scores:
        raise EvaluationError(
            "probabilities of the classes",
            got="predicted classes only",
            where=where,
            fix="Add a probability per class.",
        )
