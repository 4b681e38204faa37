"""Statements on a difference between two runs: which is better, that no difference can be shown, or why neither.

Of a comparison one metric at one unit is primary, named before its figures are seen, and only it gets a statement:
among sixty differences of two equal runs some exclude zero by chance. All others are descriptive.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from her2core.evidence.metrics.metric import Metric
from her2core.evidence.predictions import Predictions

NO_DIFFERENCE = "no difference can be shown"
#: Beginning of every reason for making no statement.
NOT_COMPARED = "cannot be compared: "
NO_INTERVAL = f"{NOT_COMPARED}no interval"
NO_SPREAD = f"{NOT_COMPARED}the difference is the same whichever patient is left out"
UNKNOWN_PATIENTS = f"{NOT_COMPARED}patients unknown, so that rows cannot be taken as independent"
#: The primary metric and unit of every comparison that names no others.
PRIMARY_METRIC, PRIMARY_UNIT = "balanced_accuracy", "patient"
#: Significance level of every statement.
ALPHA = 0.05
#: With five patients that all favour one run, the sign test gives p = 2 / 2**5 = 0.0625; with six, 0.031.
MIN_PATIENTS = 6


def no_statement(every: Iterable[Predictions]) -> str:
    """Why no statement can be made: patients unknown, or fewer than could ever show a difference at ``ALPHA``.

    Parameters
    ----------
    every : iterable of Predictions
        Of all runs compared.

    Returns
    -------
    str
        Empty when there are enough.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "patient_id": ["1", "2"], "predicted": ["a", "b"]})
    >>> no_statement([read_predictions(frame)])
    'cannot be compared: only 2 patients (at least 6 are needed)'
    """
    runs = list(every)
    if not all(p.patients_known for p in runs):
        return UNKNOWN_PATIENTS
    count = len({name for p in runs for name in p.patients[1]})
    if count >= MIN_PATIENTS:
        return ""
    patients = f"{count} patient{'s' if count != 1 else ''}"
    return f"{NOT_COMPARED}only {patients} (at least {MIN_PATIENTS} are needed)"


def difference_statement(metric: Metric, difference: float, p: float, first: str, second: str) -> str:
    """What the difference of the primary metric and its p value say.

    Parameters
    ----------
    metric : Metric
        Its direction says which of the two is better.
    difference : float
        Value of ``second`` less that of ``first``.
    p : float
        Two-sided p value; NaN where there is no interval.
    first, second : str
        Names.

    Returns
    -------
    str

    Examples
    --------
    >>> from her2core.evidence.metrics.registry import METRICS
    >>> difference_statement(METRICS["accuracy"], 0.1, 0.01, "a", "b")
    'b is better'
    >>> difference_statement(METRICS["negative_log_likelihood"], 0.1, 0.01, "a", "b")
    'a is better'
    """
    if not np.isfinite(p):
        return NO_INTERVAL
    if p >= ALPHA:
        return NO_DIFFERENCE
    return f"{second if metric.better(difference) else first} is better"


def refusal_statement(note: str) -> str:
    """Statement where a difference has no interval.

    Parameters
    ----------
    note : str
        Why there is none, as the row of the difference has it; empty where nothing varies.

    Returns
    -------
    str

    Examples
    --------
    >>> refusal_statement("no interval: only 2 patients of positive; at least 3 are needed")
    'cannot be compared: only 2 patients of positive; at least 3 are needed'
    """
    return (
        f"{NOT_COMPARED}{note.removeprefix('no interval: ').removeprefix('cannot be computed: ')}"
        if note
        else NO_SPREAD
    )
