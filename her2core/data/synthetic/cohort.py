"""Who is in the synthetic cohort? A CohortSpec in; a plan out: one row a patch, before anything is drawn.

Patients, slides, sites and labels here are invented and stand for no person. Sites are dealt out evenly inside each
class, so that neither site nor scanner says anything about the label. The same spec always gives the same plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from string import ascii_uppercase
from types import MappingProxyType

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
    """Everything the synthetic cohort depends on.

    Parameters
    ----------
    patients : number of patients, at least 6; classes differ by at most one patient.
    patches_per_patient : patches of each patient, at least 1.
    px : side of the square patch in pixels, 64 to 1024.
    mpp : microns per pixel, 0.1 to 2; the field of view is ``px * mpp``.
    seed : non-negative integer from which every random number of the cohort follows.
    patient_effect : how far patients differ beyond their class (stain, texture, architecture, grade); 0 is not at all.
    class_effect : how far the classes differ in morphology; 0 is not at all, so that nothing can be learned.
    sites : number of sites, each with its own stain and scanner, 2 to 8; a split by site needs three.

    Raises ConfigError for a value out of range or of the wrong type.
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
    """One invented patient: number in the cohort (from 0), rank of the class (0, 1, 2), site index, slide count."""

    number: int
    class_rank: int
    site_index: int
    slides: int
    her2_ihc: str
    ish: str

    @property
    def patient_id(self) -> str:
        return f"SYN-{self.number + 1:04d}"


@lru_cache(maxsize=16)
def cohort_patients(spec: CohortSpec) -> tuple[PatientRecord, ...]:
    """The patients of a cohort in order of their number; class, site, slides, IHC and ISH of each."""
    rng = generator(spec.seed, COHORT)
    # Dealing class and site in turn and only then shuffling keeps both balanced, and keeps the id free of either.
    deal = rng.permutation(spec.patients)
    two_slides = rng.random(spec.patients) < _TWO_SLIDES_SHARE
    ihc_draw, ish_draw = rng.random(spec.patients), rng.random(spec.patients)
    records = []
    for number in range(spec.patients):
        rank, turn = int(deal[number]) % 3, int(deal[number]) // 3
        her2_ihc = (("0" if ihc_draw[number] < _IHC_ZERO_SHARE else "1+"), "2+", "3+")[rank]
        slides = 2 if two_slides[number] and spec.patches_per_patient > 1 else 1
        ish = _ish_of(her2_ihc, float(ish_draw[number]))
        records.append(PatientRecord(number, rank, (turn + rank) % spec.sites, slides, her2_ihc, ish))
    return tuple(records)


def place_of(spec: CohortSpec, index: int) -> tuple[PatientRecord, int, int]:
    """(patient, slide index from 0, patch number from 0 inside the patient) of patch ``index``.

    Raises ConfigError where the cohort has no such patch.
    """
    if isinstance(index, bool) or not isinstance(index, Integral) or not 0 <= index < spec.patches:
        raise ConfigError(
            f"a patch index from 0 to {spec.patches - 1}",
            got=repr(index),
            where="synthetic cohort",
            fix="Take the row number of plan_cohort(spec).",
        )
    number, patch = divmod(int(index), spec.patches_per_patient)
    record = cohort_patients(spec)[number]
    return record, patch * record.slides // spec.patches_per_patient, patch


def plan_row(spec: CohortSpec, index: int) -> Mapping[str, object]:
    """Row ``index`` of the plan as a read-only mapping with the keys PLAN_COLUMNS."""
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
    """The whole cohort as a table, one row a patch, columns PLAN_COLUMNS; renders nothing."""
    return pd.DataFrame([dict(plan_row(spec, index)) for index in range(spec.patches)], columns=list(PLAN_COLUMNS))


def _ish_of(her2_ihc: str, draw: float) -> str:
    if her2_ihc != "2+":
        return "unknown"
    reached = 0.0
    for result, share in _ISH_OF_2PLUS:
        reached += share
        if draw < reached:
            return result
    return _ISH_OF_2PLUS[-1][0]


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        _refuse(name, value, f"an integer from {low} to {high}")


def _check_real(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not low <= value <= high:
        _refuse(name, value, f"a number from {low:g} to {high:g}")


def _refuse(name: str, value: object, expected: str) -> None:
    raise ConfigError(f"`{name}` to be {expected}", got=repr(value), where="CohortSpec", fix=f"Give another `{name}`.")
