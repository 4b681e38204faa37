"""Discordance of IHC and ISH by patient: counts of every pair of results, and their shares with exact intervals.

ISH is mostly done where IHC is 2+. Where it was done at other scores too, the shares are of those tested, who may have
been chosen because of a doubt. Published shares stand beside them with their sources; where there is none, none is
given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

from her2core.errors import EvaluationError
from her2core.evidence.intervals import LEVEL
from her2core.io.cells import UNKNOWN, cell_text, is_missing
from her2core.labels import IHC_SCORES, spelled_class

METRIC, CLOPPER_PEARSON = "ish_share", "Clopper-Pearson"
#: IHC scores that are negative without an ISH test, taken together.
NEGATIVE_SCORES = "0 or 1+"
_GROUPS = {**{score: (score,) for score in IHC_SCORES}, NEGATIVE_SCORES: ("0", "1+")}
_ISH = ("negative", "positive")
COLUMNS = (
    *("part", "unit", "metric", "her2_ihc", "ish", "count", "value", "lower_95", "upper_95", "interval_method"),
    *("note", "n", "published_low", "published_high", "published_source"),
)


@dataclass(frozen=True)
class Published:
    """A published share of ISH results at an IHC score.

    Parameters
    ----------
    low, high : float
        Smallest and largest of the source's figures, equal where it has one.
    source : str
        Author, year and DOI, with what was counted.
    """

    low: float
    high: float
    source: str


_VARGA = (
    "Varga et al. 2013, doi 10.1186/1471-2407-13-615: one institution, 2001-2004 under earlier criteria and 2011-2012"
)
_BCNB = "BCNB (Xu et al. 2021, doi 10.3389/fonc.2021.759007): 412 of 483 IHC 2+ patients ISH negative"
#: IHC score and ISH result -> published share.
PUBLISHED: dict[tuple[str, str], Published] = {
    ("3+", "negative"): Published(0.16, 0.31, _VARGA),
    ("2+", "positive"): Published(71 / 483, 71 / 483, _BCNB),
    (NEGATIVE_SCORES, "positive"): Published(0.0, 0.06, f"{_VARGA} (less than 1 %)"),
}


def discordance_table(cohort: pd.DataFrame, *, part: str = "all") -> pd.DataFrame:
    """Count ISH results by IHC score, each patient once.

    Parameters
    ----------
    cohort : DataFrame
        Columns patient_id, her2_ihc, ish, and split where ``part`` is not "all". One row a patch or patient.
    part : str
        Part of the split, or "all".

    Returns
    -------
    DataFrame
        ``COLUMNS``: for each IHC score that occurs, and for 0 and 1+ together, one row per ISH result. ``value`` is the
        share among the ``n`` patients of this score with an ISH result; in rows of ISH "unknown" it is the share of all
        patients of this score. Patients with several scores or results are left out and counted in ``note``.

    Raises
    ------
    EvaluationError
        Without the columns, patients, or any patient with both results.

    References
    ----------
    Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404; Wolff et al. 2023, Arch Pathol Lab Med 147:993.

    Examples
    --------
    >>> frame = pd.DataFrame({"patient_id": list("abcd"), "her2_ihc": ["2+", "2+", "3+", "2+"]})
    >>> found = discordance_table(frame.assign(ish=["negative", "positive", "unknown", "negative"]))
    >>> found[["her2_ihc", "ish", "count", "n"]].values.tolist()[:2]
    [['2+', 'negative', 2, 3], ['2+', 'positive', 1, 3]]
    """
    for column in ("patient_id", "her2_ihc", "ish"):
        if column not in cohort:
            _refuse(f"a column {column}", "none", f"Add {column} to the manifest or table.")
    rows = cohort if part == "all" else cohort[cohort["split"] == part]
    rows = rows[rows["patient_id"].astype("str") != UNKNOWN]
    if rows.empty:
        _refuse("known patients", "none", "Add the patient ids: discordance is counted by patient.")
    ihc, several_ihc = _of_patients(rows, "her2_ihc", IHC_SCORES)
    ish, several_ish = _of_patients(rows, "ish", _ISH)
    left_out = len(several_ihc | several_ish)
    kept = ~ihc.index.isin(list(several_ihc | several_ish))
    counts = pd.crosstab(ihc[kept], ish[kept]).reindex(
        index=[*IHC_SCORES, UNKNOWN], columns=[*_ISH, UNKNOWN], fill_value=0
    )
    if not counts.loc[list(IHC_SCORES), list(_ISH)].to_numpy().any():
        _refuse("patients with an IHC score and an ISH result", "none", "Add the results to the manifest or table.")
    several = f"{left_out} patients with several scores or results left out" if left_out else ""
    table = []
    for name, scores in _GROUPS.items():
        cells = counts.loc[list(scores)].sum()
        if not cells.sum() or (len(scores) > 1 and (counts.loc[list(scores)].sum(axis=1) == 0).any()):
            continue
        for result in (*_ISH, UNKNOWN):
            n = int(cells.sum()) if result == UNKNOWN else int(cells[list(_ISH)].sum())
            table.append({"her2_ihc": name, "ish": result, **_share(int(cells[result]), n, result, several)})
            known = PUBLISHED.get((name, result))
            low, high, source = (known.low, known.high, known.source) if known else (np.nan, np.nan, "")
            table[-1] |= {"published_low": low, "published_high": high, "published_source": source}
    return pd.DataFrame(table).assign(part=part, unit="patient", metric=METRIC)[list(COLUMNS)]


def clopper_pearson(count: int, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a proportion of independent cases.

    Parameters
    ----------
    count, n : int
        Cases, and those among them that are counted.
    level : float

    Returns
    -------
    tuple of float
        NaN without cases.

    References
    ----------
    Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> [round(bound, 3) for bound in clopper_pearson(7, 8)]
    [0.473, 0.997]
    """
    if not n:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def _share(count: int, n: int, result: str, several: str) -> dict[str, object]:
    low, high = clopper_pearson(count, n)
    notes = ["share of all patients of this score" if result == UNKNOWN else "share of those with an ISH result"]
    notes += [several] if several else []
    return {
        "count": count,
        "value": count / n if n else np.nan,
        "lower_95": low,
        "upper_95": high,
        "interval_method": CLOPPER_PEARSON if n else "",
        "note": "; ".join(notes if n else ["no patient of this score has an ISH result"]),
        "n": n,
    }


def _of_patients(rows: pd.DataFrame, column: str, values: tuple[str, ...]) -> tuple[pd.Series, set[str]]:
    """Value of each patient, ``unknown`` where none is stated, and the patients with several."""
    known = {v: "" if is_missing(v) else spelled_class(cell_text(v)) for v in rows[column].dropna().unique()}
    read = rows[column].map({v: name for v, name in known.items() if name in values})
    by_patient = read.groupby(rows["patient_id"].astype("str"))
    several = by_patient.nunique()
    return by_patient.first().astype("object").fillna(UNKNOWN).astype("str"), set(several.index[several > 1])


def _refuse(expected: str, got: str, fix: str) -> None:
    raise EvaluationError(expected, got=got, where="IHC and ISH discordance", fix=fix)
