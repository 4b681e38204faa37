"""Composition of the synthetic cohort: patients, slides, sites and labels, before anything is rendered.

Patients, slides, sites and labels are invented and represent no person. Sites are balanced within each class, so that
neither site nor scanner is associated with the label. The same spec always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from string import ascii_uppercase
from types import MappingProxyType
from typing import NoReturn

import pandas as pd

from her2core.data.synthetic.seeds import COHORT, generator
from her2core.errors import ConfigError
from her2core.labels import SCHEMES

SOURCE = "her2core synthetic"
#: Sites, and the scanner of each, are called A, B, C ...
MAX_SITES = 8
PLAN_COLUMNS = ("patch_id", "patient_id", "slide_id", "site", "scanner", "mpp", "her2_ihc", "ish", "label", "source")

# Share of IHC 0 among the negatives, and of ISH results among the 2+ (BCNB: 412 of 483 IHC 2+ were ISH negative;
# most 2+ of this cohort are left without a result, as they are in a patch data set).
_IHC_ZERO_SHARE = 0.4
_ISH_OF_2PLUS = (("unknown", 0.60), ("negative", 0.34), ("positive", 0.06))
_TWO_SLIDES_SHARE = 0.5


@dataclass(frozen=True)
class CohortSpec:
    """Parameters of the synthetic cohort; everything follows from them.

    Parameters
    ----------
    patients : int
        Number of patients, 6 to 9999; classes differ by at most one patient.
    patches_per_patient : int
        1 to 9999.
    px : int
        Side of the square patch in pixels, 64 to 1024.
    mpp : float
        Microns per pixel, 0.1 to 2; the field of view is ``px * mpp``.
    seed : int
        From 0; every random number of the cohort follows from it.
    patient_effect : float
        Size of the differences between patients beyond their class (stain, texture, architecture, grade), 0 to 10.
    class_effect : float
        Size of the morphological differences between classes, 0 to 10; at 0 nothing can be learned.
    sites : int
        Number of sites, each with its own stain and scanner, 2 to 8; a split by site needs three.

    Raises
    ------
    ConfigError
        For a value out of range or of the wrong type.

    Examples
    --------
    >>> CohortSpec(patients=12, patches_per_patient=5).patches
    60
    """

    patients: int = 120
    patches_per_patient: int = 25
    px: int = 128
    mpp: float = 0.7
    seed: int = 0
    patient_effect: float = 1.0
    class_effect: float = 1.0
    sites: int = 2

    def __post_init__(self) -> None:
        _check_integer("patients", self.patients, 6, 9999)
        _check_integer("patches_per_patient", self.patches_per_patient, 1, 9999)
        _check_integer("px", self.px, 64, 1024)
        _check_integer("seed", self.seed, 0, 2**63 - 1)
        _check_real("mpp", self.mpp, 0.1, 2.0)
        _check_real("patient_effect", self.patient_effect, 0.0, 10.0)
        _check_real("class_effect", self.class_effect, 0.0, 10.0)
        _check_integer("sites", self.sites, 2, MAX_SITES)

    @property
    def patches(self) -> int:
        """Number of patches of the whole cohort."""
        return self.patients * self.patches_per_patient


@dataclass(frozen=True)
class PatientRecord:
    """One invented patient.

    Parameters
    ----------
    number : int
        In the cohort, from 0.
    class_rank : int
        0 negative, 1 equivocal, 2 positive.
    site_index : int
        From 0.
    slides : int
        Number of slides, 1 or 2.
    her2_ihc : {'0', '1+', '2+', '3+'}
    ish : {'negative', 'positive', 'unknown'}
    """

    number: int
    class_rank: int
    site_index: int
    slides: int
    her2_ihc: str
    ish: str

    @property
    def patient_id(self) -> str:
        """SYN- and the number from 1, in four digits."""
        return f"SYN-{self.number + 1:04d}"


@lru_cache(maxsize=16)
def cohort_patients(spec: CohortSpec) -> tuple[PatientRecord, ...]:
    """The patients of a cohort in order of their number.

    Parameters
    ----------
    spec : CohortSpec

    Returns
    -------
    tuple of PatientRecord

    Examples
    --------
    >>> [p.her2_ihc for p in cohort_patients(CohortSpec(patients=6))]
    ['2+', '2+', '0', '0', '3+', '3+']
    """
    rng = generator(spec.seed, COHORT)
    # Assigning class and site in turn and then shuffling balances both and makes the id independent of either.
    position = rng.permutation(spec.patients)
    two_slides = rng.random(spec.patients) < _TWO_SLIDES_SHARE
    ihc_draw, ish_draw = rng.random(spec.patients), rng.random(spec.patients)
    records = []
    for number in range(spec.patients):
        rank, turn = int(position[number]) % 3, int(position[number]) // 3
        her2_ihc = (("0" if ihc_draw[number] < _IHC_ZERO_SHARE else "1+"), "2+", "3+")[rank]
        slides = 2 if two_slides[number] and spec.patches_per_patient > 1 else 1
        ish = _ish_of(her2_ihc, float(ish_draw[number]))
        records.append(PatientRecord(number, rank, (turn + rank) % spec.sites, slides, her2_ihc, ish))
    return tuple(records)


def place_of(spec: CohortSpec, index: int) -> tuple[PatientRecord, int, int]:
    """Patient, slide and number of a patch.

    Parameters
    ----------
    spec : CohortSpec
    index : int
        Row of the plan, from 0.

    Returns
    -------
    patient : PatientRecord
    slide : int
        Index of the slide within the patient, from 0.
    number : int
        Number of the patch within the patient, from 0.

    Raises
    ------
    ConfigError
        Where the cohort has no such patch.

    Examples
    --------
    >>> patient, slide, number = place_of(CohortSpec(patients=6, patches_per_patient=3), 4)
    >>> patient.patient_id, number
    ('SYN-0002', 1)
    """
    if isinstance(index, bool) or not isinstance(index, Integral) or not 0 <= index < spec.patches:
        raise ConfigError(
            f"argument `index` to be a patch from 0 to {spec.patches - 1}",
            got=repr(index),
            fix="It is the row number of plan_cohort(spec).",
        )
    number, patch = divmod(int(index), spec.patches_per_patient)
    record = cohort_patients(spec)[number]
    return record, patch * record.slides // spec.patches_per_patient, patch


def plan_row(spec: CohortSpec, index: int) -> Mapping[str, object]:
    """One row of the plan.

    Parameters
    ----------
    spec : CohortSpec
    index : int
        From 0.

    Returns
    -------
    mapping
        Read-only, with the keys PLAN_COLUMNS.

    Examples
    --------
    >>> plan_row(CohortSpec(), 0)["patch_id"]
    'SYN-0001-S1-P001'
    """
    record, slide, patch = place_of(spec, index)
    slide_id = f"{record.patient_id}-S{slide + 1}"
    letter = ascii_uppercase[record.site_index]
    return MappingProxyType(
        {
            "patch_id": f"{slide_id}-P{patch + 1:03d}",
            "patient_id": record.patient_id,
            "slide_id": slide_id,
            "site": f"synthetic-site-{letter}",
            "scanner": f"synthetic-{letter}",
            "mpp": float(spec.mpp),
            "her2_ihc": record.her2_ihc,
            "ish": record.ish,
            "label": SCHEMES["paper3"].derive(record.her2_ihc, record.ish),
            "source": SOURCE,
        }
    )


def plan_cohort(spec: CohortSpec) -> pd.DataFrame:
    """The whole cohort as a table; renders nothing.

    Parameters
    ----------
    spec : CohortSpec

    Returns
    -------
    DataFrame
        One row per patch, columns PLAN_COLUMNS.

    Examples
    --------
    >>> plan_cohort(CohortSpec()).groupby("label").size().to_dict()
    {'equivocal': 1000, 'negative': 1000, 'positive': 1000}
    """
    return pd.DataFrame([dict(plan_row(spec, index)) for index in range(spec.patches)], columns=list(PLAN_COLUMNS))


def _ish_of(her2_ihc: str, draw: float) -> str:
    if her2_ihc != "2+":
        return "unknown"
    cumulative = 0.0
    for result, share in _ISH_OF_2PLUS:
        cumulative += share
        if draw < cumulative:
            return result
    return _ISH_OF_2PLUS[-1][0]


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        _refuse(name, value, f"an integer from {low} to {high}")


def _check_real(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        _refuse(name, value, f"a number from {low:g} to {high:g}")


def _refuse(name: str, value: object, expected: str) -> NoReturn:
    raise ConfigError(f"argument `{name}` to be {expected}", got=repr(value), fix="Choose another value.")
