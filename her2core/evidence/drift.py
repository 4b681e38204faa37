"""Drift: how a cohort differs from the one that a model was developed on, property by property.

Differences are between means of patients, so that a patient with many patches counts once: Welch's t, and for shares of
patients the interval of Newcombe and Fisher's exact test. They describe the two cohorts; whether the model suffers from
them is what its own figures on both say (``evidence.external``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact, ttest_ind

from her2core.evidence.intervals import LEVEL
from her2core.evidence.jackknife import wilson_interval
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.mover import Estimate, difference
from her2core.evidence.paired_tests import holm
from her2core.io.cells import UNKNOWN

#: What the properties are about, in order.
KINDS = ("class share", "predicted probability", "out of distribution", "image", "file")
COLUMNS = (
    *("kind", "property", "development", "external", "difference", "lower_95", "upper_95"),
    *("standardised_difference", "p_value_holm", "n_development", "n_external", "resampling_unit", "note"),
)
#: Standardised difference (of patients' means, Cohen's d) from which a property is said to differ clearly: "large" in
#: Cohen 1988, ISBN 0-8058-0283-5; our choice of the limit.
LARGE = 0.8
#: Patients of each cohort that an interval needs.
FEWEST = 3


def drift_table(development: pd.DataFrame, external: pd.DataFrame, *, kinds: pd.Series) -> pd.DataFrame:
    """Compare the properties of two cohorts.

    Parameters
    ----------
    development, external : DataFrame
        One row a patch: ``patient_id`` (``unknown`` where it is not known) and numeric or boolean properties.
    kinds : Series of str
        By property, one of ``KINDS``; the properties that are compared.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, one row a property that both cohorts have. Without known patients in both, or with fewer
        than ``FEWEST`` in one, there is no interval, and the note says why. ``p_value_holm`` is corrected over the
        properties.

    References
    ----------
    Welch 1947, doi 10.1093/biomet/34.1-2.28; Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>
    3.0.CO;2-I (method 10); Fisher 1935, The Design of Experiments; Holm 1979, Scand J Statist 6:65.

    Examples
    --------
    >>> first = pd.DataFrame({"patient_id": list("aabbcc"), "brightness": [1.0, 3.0, 2.0, 2.0, 3.0, 3.0]})
    >>> other = pd.DataFrame({"patient_id": list("defg"), "brightness": [5.0, 6.0, 7.0, 6.0]})
    >>> row = drift_table(first, other, kinds=pd.Series({"brightness": "image"})).iloc[0]
    >>> [round(float(row[name]), 2) for name in ("difference", "lower_95", "upper_95", "n_development")]
    [3.67, 2.31, 5.02, 3.0]
    """
    rows = [
        _row(str(name), str(kind), development, external)
        for name, kind in kinds.items()
        if name in development and name in external
    ]
    table = pd.DataFrame(rows, columns=["p_value" if c == "p_value_holm" else c for c in COLUMNS])
    table["p_value_holm"] = holm(table["p_value"].to_numpy(np.float64))
    table = table[list(COLUMNS)]
    return table.sort_values("kind", key=lambda of: of.map(KINDS.index), kind="stable").reset_index(drop=True)


def drift_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    """Name the properties that differ clearly: by at least ``LARGE`` standard deviations, and beyond chance.

    Parameters
    ----------
    table : DataFrame
        From ``drift_table``.

    Returns
    -------
    tuple of str
        One sentence a kind, those with the largest difference first; empty where none differs clearly.

    Examples
    --------
    >>> row = dict.fromkeys(COLUMNS, 0.0) | {"kind": "image", "property": "mean R", "note": "", "p_value_holm": 0.01}
    >>> drift_sentences(pd.DataFrame([row | {"standardised_difference": -1.24}]))
    ('Image properties differ from development: mean R (-1.2 standard deviations).',)
    """
    beyond = table[(table["standardised_difference"].abs() >= LARGE) & (table["p_value_holm"] < 1 - LEVEL)]
    found = []
    for kind, rows in beyond.groupby("kind", sort=False):
        rows = rows.sort_values("standardised_difference", key=np.abs, ascending=False)
        named = [
            f"{name} ({value:+.1f} standard deviations)"
            for name, value in zip(rows["property"], rows["standardised_difference"], strict=True)
        ]
        more = f", and {len(named) - 4} more" if len(named) > 4 else ""
        what = {"image": "Image properties differ", "file": "File properties differ"}.get(str(kind))
        what = what or f"{str(kind).capitalize()} differs"
        found.append(f"{what} from development: {', '.join(named[:4])}{more}.")
    return tuple(found)


def _row(name: str, kind: str, development: pd.DataFrame, external: pd.DataFrame) -> dict[str, object]:
    known = [not (of["patient_id"] == UNKNOWN).any() for of in (development, external)]
    unit = "patient" if all(known) else "patch"
    first, other = (_values(of, name, unit) for of in (development, external))
    row: dict[str, object] = dict.fromkeys(("p_value", "lower_95", "upper_95", "standardised_difference"), np.nan)
    row |= {
        "kind": kind,
        "property": name,
        "development": _mean(first),
        "external": _mean(other),
        "difference": _mean(other) - _mean(first),
        "n_development": len(first),
        "n_external": len(other),
        "resampling_unit": unit,
        "note": _why_none(first, other, unit),
    }
    if row["note"]:
        return row
    spread = float(np.sqrt((first.var(ddof=1) + other.var(ddof=1)) / 2))
    if _is_share((*first, *other)):
        counts = [[of.sum(), len(of) - of.sum()] for of in (other, first)]
        p_value = fisher_exact(np.array(counts, np.int64)).pvalue
        shares = [Estimate(float(of.mean()), *wilson_interval(float(of.mean()), len(of))) for of in (other, first)]
        _, low, high = difference(*shares)
    else:
        # A cohort in which all are alike says nothing of its variance: that of the other is taken for both (Student).
        tested = ttest_ind(other, first, equal_var=_constant(first) or _constant(other))
        p_value, (low, high) = tested.pvalue, tested.confidence_interval(LEVEL)
    row |= {"lower_95": float(low), "upper_95": float(high), "p_value": float(p_value)}
    row["standardised_difference"] = (_mean(other) - _mean(first)) / spread
    return row


def _values(frame: pd.DataFrame, name: str, unit: str) -> Floats:
    """Of patients their means, of patches the values; without those that are missing."""
    values = frame[name].astype(float)
    by_unit = values.groupby(frame["patient_id"].to_numpy()).mean() if unit == "patient" else values
    return by_unit.dropna().to_numpy(np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _why_none(first: Floats, other: Floats, unit: str) -> str:
    if unit == "patch":
        return "no interval: patients unknown, and patches of one patient are not independent"
    fewest = min(len(first), len(other))
    if fewest < FEWEST:
        return f"no interval: only {fewest} patients in one cohort (at least {FEWEST} are needed)"
    if _constant(first) and _constant(other):
        return "no interval: the same in every patient of a cohort"
    return ""


def _constant(values: Floats) -> bool:
    return bool(np.ptp(values) <= 1e-12 * (1 + np.abs(values).max()))


def _is_share(values: Iterable[float]) -> bool:
    return set(values) <= {0.0, 1.0}
