"""Registry entries of decisions with a third choice: refer the case for ISH."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.evidence.metrics.metric import Floats, Metric

_PAUKER = "Pauker & Kassirer 1980, doi 10.1056/NEJM198005153022003"
_ALTMAN = "Altman & Bland 1994, doi 10.1136/bmj.309.6947.102"


def worth_per_case(counts: ArrayLike, worth: ArrayLike) -> Floats:
    """Mean worth of what was done with the cases.

    Parameters
    ----------
    counts : array_like, shape (..., M)
        Cases of each kind and action.
    worth : array_like, shape (M,)
        What one of each is worth, in units of a treated positive case.

    Returns
    -------
    ndarray of float64, shape (...)

    References
    ----------
    Pauker & Kassirer 1980, doi 10.1056/NEJM198005153022003.

    Examples
    --------
    >>> float(worth_per_case([3, 1], [0.0, 1.0]))
    0.25
    """
    table = np.asarray(counts, np.float64)
    return np.asarray(table @ np.asarray(worth, np.float64).ravel() / table.sum(axis=-1))


def rate_at_case_mix(rates: ArrayLike, weights: ArrayLike) -> Floats:
    """Rate over all cases at a stated mix of their kinds.

    Parameters
    ----------
    rates : array_like, shape (K,)
        Rate among the cases of each kind.
    weights : array_like, shape (K,)
        Share of each kind.

    Returns
    -------
    ndarray of float64, shape ()

    References
    ----------
    Altman & Bland 1994, doi 10.1136/bmj.309.6947.102.

    Examples
    --------
    >>> round(float(rate_at_case_mix([0.1, 0.9], [0.8, 0.2])), 2)
    0.26
    """
    return np.asarray(np.asarray(rates, np.float64) @ np.asarray(weights, np.float64))


def _ish(name: str, label: str, help: str, *, higher: bool = False) -> Metric:
    return Metric(
        name=name,
        label=label,
        help=help,
        range=(0.0, 1.0),
        direction="higher" if higher else "lower",
        function=rate_at_case_mix,
        table="ish_referral",
        reference=_ALTMAN,
    )


ISH_REFERRAL = (
    _ish("ish_tests", "ISH tests", "Proportion of all cases that are sent for ISH."),
    _ish("ish_tests_saved", "ISH tests saved", "Proportion of all cases that are not sent for ISH.", higher=True),
    _ish("positives_missed", "Positives missed", "Positive cases that are called negative, of all cases."),
    _ish(
        "positives_missed_of_positive",
        "Missed of the positives",
        "Proportion of the positive cases that are called negative without a test.",
    ),
    _ish(
        "negatives_called_positive",
        "Negatives called positive",
        "Negative cases that are called positive without a test, of all cases.",
    ),
)
THREE_WAY = (
    Metric(
        name="three_way_net_benefit",
        label="Net benefit with referral",
        help="What calls and ISH tests are worth per case, in units of a treated positive case.",
        range=(-np.inf, 1.0),
        direction="higher",
        function=worth_per_case,
        table="three_way",
        needs_scores=True,
        reference=_PAUKER,
    ),
)
