"""Does the class come along with something that is not the tumour? A manifest in; classes bound to a site, a scanner or
a patient out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import UNKNOWN, Manifest

#: A class is bound to a site when more than this share of it comes from there, and less than the other share of all.
BOUND, COMMON = 0.95, 0.8
#: Chance, over all classes, that patients dealt out at random would be so bound.
CHANCE = 0.01
#: Cramer's V from which a site tells the class although no class is bound to one; our choice.
MIN_ASSOCIATION = 0.5
#: Patients that a class must at least be worth: the inverse of the chance that two of its patches share a patient.
MIN_WORTH = 2.5
_DEALS = 1999


def site_confounded(manifest: Manifest) -> Finding | None:
    """A class that comes (almost) from one site alone while the sites differ, or sites that tell the class."""
    return _confounded(manifest, "site", "A network can tell the site from the stain; add the class from other sites.")


def scanner_confounded(manifest: Manifest) -> Finding | None:
    """A class that comes (almost) from one scanner alone while the scanners differ, or scanners that tell the class."""
    return _confounded(manifest, "scanner", "Scan slides of this class on the other scanners too.")


def patient_confounded(manifest: Manifest) -> Finding | None:
    """A class most of whose patches come from one or two patients, who have hardly any patches of other classes.

    Not asked where patients are unknown or there is only one.
    """
    frame = manifest.frame
    if not manifest.patients_known or frame["patient_id"].nunique() < 2:
        return None
    table = pd.crosstab(frame["label"], frame["patient_id"])
    share = table.div(table.sum(axis=1), axis=0)
    worth = 1 / (share**2).sum(axis=1)
    purity = (table / table.sum()).to_numpy()[np.arange(len(table)), share.to_numpy().argmax(axis=1)]
    bound = [c for c, w, p in zip(table.index, worth, purity, strict=True) if w < MIN_WORTH and p > BOUND]
    if not bound:
        return None
    told = ", ".join(f"{share.loc[c].max():.0%} of {c} from {share.loc[c].idxmax()}" for c in bound)
    return finding(
        "patient-confounded",
        "warning",
        frame[frame["label"].isin(bound)],
        "every class spread over several patients",
        told,
        "Add patients of this class, or take fewer patches of these.",
    )


def _confounded(manifest: Manifest, column: str, fix: str) -> Finding | None:
    frame = manifest.frame[manifest.frame[column] != UNKNOWN]
    if frame[column].nunique() < 2 or frame["label"].nunique() < 2:
        return None
    units = _units(frame, column)
    bound = _bound(frame, units, column)
    code, expected = f"{column}-confounded", f"every class from several {column}s"
    if bound:
        return finding(
            code,
            "warning",
            frame[frame["label"].isin(bound)],
            expected,
            f"{', '.join(bound)} from one {column} only",
            fix,
        )
    told = _association(units["label"], units[column])
    if told < MIN_ASSOCIATION:
        return None
    return finding(
        code,
        "warning",
        frame,
        f"classes in like shares at every {column}",
        f"{column}s that tell the class (Cramer's V {told:.2f} over {len(units)} {units.attrs['unit']})",
        fix,
    )


def _units(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row for each patient (slide where a patient is unknown, patch where slides are too): most frequent values."""
    by, name = "patch_id", "patches"
    for candidate in ("patient_id", "slide_id"):
        if not (frame[candidate] == UNKNOWN).any():
            by, name = candidate, candidate.removesuffix("_id") + "s"
            break
    counted = frame.groupby([by, "label", column], as_index=False).size().sort_values("size", kind="stable")
    units = counted.drop_duplicates(by, keep="last")[["label", column]].reset_index(drop=True)
    units.attrs["unit"] = name
    return units


def _bound(frame: pd.DataFrame, units: pd.DataFrame, column: str) -> list[str]:
    """Classes bound to one value of ``column``, by patches, unless chance among the units would do the same."""
    from scipy.stats import hypergeom

    table = pd.crosstab(frame["label"], frame[column])
    share = table.div(table.sum(axis=1), axis=0)
    overall = table.sum() / table.to_numpy().sum()
    counts = pd.crosstab(units["label"], units[column]).reindex_like(table).fillna(0)
    decided = bool(((counts > 0).sum(axis=0) <= 1).all())
    bound = []
    for label in table.index:
        place = share.loc[label].idxmax()
        if share.loc[label, place] <= BOUND or overall[place] >= COMMON:
            continue
        here, there = counts.loc[label, place], counts[place].sum()
        chance = hypergeom.sf(here - 1, len(units), there, counts.loc[label].sum()) * len(table)
        if decided or chance < CHANCE:
            bound.append(label)
    return bound


def _association(labels: pd.Series, values: pd.Series) -> float:
    """Cramer's V with Bergsma's correction (2013, J Korean Stat Soc 42:323, doi 10.1016/j.jkss.2012.10.002).

    0 where dealing the classes out at random gives as large a chi-square in more than one of a thousand deals.
    """
    a, b = pd.factorize(labels)[0], pd.factorize(values)[0]
    rows, columns, n = a.max() + 1, b.max() + 1, len(a)
    expected = np.outer(np.bincount(a), np.bincount(b)) / n

    def chi_square(dealt: np.ndarray) -> float:
        seen = np.bincount(dealt * columns + b, minlength=rows * columns).reshape(rows, columns)
        return float(((seen - expected) ** 2 / expected).sum())

    if rows < 2 or columns < 2 or n < 3:
        return 0.0
    found = chi_square(a)
    phi = max(0.0, found / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    strength = float(np.sqrt(phi / least)) if least > 0 else 0.0
    if strength < MIN_ASSOCIATION:
        return strength
    rng = np.random.default_rng(0)
    as_large = sum(chi_square(rng.permutation(a)) >= found - 1e-9 for _ in range(_DEALS))
    return strength if (1 + as_large) / (1 + _DEALS) <= 1e-3 else 0.0
