"""Are there patients enough for the claim? A manifest, and the interval wanted, in; what is lacking out."""

from __future__ import annotations

import math
from statistics import NormalDist

import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import UNKNOWN, Manifest
from her2core.errors import ConfigError

#: Patients of a class under which its intervals are wide whatever is asked of them; our choice.
MIN_PATIENTS = 10


def patients_for_half_width(half_width: float, *, level: float = 0.95, share: float = 0.5) -> int:
    """How many patients give an interval no wider than ``half_width`` to each side, of a recall or accuracy of
    ``share``.

    The interval is Wilson's (1927, J Am Stat Assoc 22:209, doi 10.1080/01621459.1927.10502953), each patient right or
    wrong as a whole. The default share of one half is the worst case: before the test the recall is not known. For
    0.5 the half-width is z / (2 sqrt(n + z^2)); for other shares the least n is searched for.

    Raises ConfigError for a half-width outside 0.005 to 0.5, a level outside 0 to 1 or a share outside 0 to 1.
    """
    if not 0.005 <= half_width <= 0.5:
        raise ConfigError(
            "a half-width from 0.005 to 0.5",
            got=repr(half_width),
            where="half-width",
            fix="Give a share, such as 0.1 for ten points to each side.",
        )
    if not 0 < level < 1 or not 0 <= share <= 1:
        raise ConfigError(
            "a level between 0 and 1 and a share from 0 to 1",
            got=f"{level!r} and {share!r}",
            where="half-width",
            fix="Use 0.95 and, where the recall is not known, 0.5.",
        )
    z = NormalDist().inv_cdf((1 + level) / 2)

    def half(n: int) -> float:
        return z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))

    low, high = 1, 1
    while half(high) > half_width:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if half(middle) > half_width else (low, middle)
    return high


def few_patients(manifest: Manifest) -> Finding | None:
    """Classes of fewer than MIN_PATIENTS patients; not asked where patients are unknown."""
    if not manifest.patients_known:
        return None
    counts = manifest.frame.groupby("label")["patient_id"].nunique()
    few = counts[counts < MIN_PATIENTS]
    if few.empty:
        return None
    rows = manifest.frame[manifest.frame["label"].isin(few.index)]
    return finding(
        "few-patients",
        "warning",
        rows,
        f"at least {MIN_PATIENTS} patients of each class",
        ", ".join(f"{n} of {c}" for c, n in few.items()),
        "Intervals over so few patients are wide or cannot be given; add patients.",
    )


def few_patients_for_interval(manifest: Manifest, split: pd.DataFrame | None, half_width: float) -> Finding | None:
    """Classes with too few patients for an interval of recall within ``half_width``.

    Counted are the test part's patients where there is a split, and all of them otherwise, as if each were tested.
    Not asked where patients are unknown: that is a finding of its own. Raises as `patients_for_half_width`.
    """
    needed = patients_for_half_width(half_width)
    if not manifest.patients_known:
        return None
    frame, where = manifest.frame, ""
    if split is not None:
        frame = frame[frame["patch_id"].isin(split.loc[split["split"] == "test", "patch_id"])]
        where = " in the test part"
    counts = frame.groupby("label")["patient_id"].nunique().reindex(list(manifest.classes), fill_value=0)
    few = counts[counts < needed]
    if few.empty:
        return None
    tested = "" if split is not None else " All patients are counted here; only those of the test part will count."
    return finding(
        "few-patients-for-interval",
        "warning",
        frame[frame["label"].isin(few.index)],
        f"at least {needed} patients of each class{where}, for a 95 % interval of its recall within "
        f"{half_width:g} to each side whatever the recall turns out to be (Wilson)",
        ", ".join(f"{n} of {c}" for c, n in few.items()),
        "Add patients, test by cross-validation over patients, or claim a wider interval." + tested,
    )


def unknown_patients(manifest: Manifest) -> Finding | None:
    """Rows that do not name their patient."""
    rows = manifest.frame[manifest.frame["patient_id"] == UNKNOWN]
    if rows.empty:
        return None
    return finding(
        "unknown-patients",
        "warning",
        rows,
        "a patient id in every row",
        f"{len(rows)} rows without one",
        "Add the ids; until then no patient-level claim can be made.",
    )
