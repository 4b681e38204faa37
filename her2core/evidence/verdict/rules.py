"""The written rules of the verdict: what is asked of a reported accuracy, and how each answer is graded.

Each rule is data: its question, the words by which it is graded, where they come from, and the checks, metrics and
warnings on which it rests. ``grading`` has one function a rule; docs/verdict.md is generated from this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from her2core.data.splits import PATCH_RANDOM_WARNING, SAME_PATIENT_WARNING, UNKNOWN_PATIENT_WARNING
from her2core.evidence.resampling import MIN_CLUSTERS
from her2core.evidence.table_findings import (
    DOMINANT_WARNING,
    FEW_PATIENTS,
    FEW_PATIENTS_WARNING,
    NO_TRAINING_ROWS,
    ONE_PATIENT_WARNING,
    ROUNDED_WARNING,
    SEVERAL_PARTS_WARNING,
    SPELLINGS_WARNING,
    UNKNOWN_OVERLAP_WARNING,
)

Grade = Literal["supports the claim", "limits the claim", "contradicts the claim", "not known"]
GRADES: tuple[Grade, ...] = get_args(Grade)
SUPPORTS, LIMITS, CONTRADICTS, NOT_KNOWN = GRADES
Answer = Literal["Yes", "Within limits", "Not known", "No"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
QUESTION = "Can this number be believed?"
CLAIM = (
    "The accuracy by patch, as usually reported, is what the network reaches on patients whom it has not seen, by what "
    "the tissue shows."
)
#: Upper bound of the calibration error up to which a network counts as calibrated.
LARGEST_ECE = 0.1
#: Interval bounds that differ by less are taken as equal: one percentage point.
MARGIN = 0.01
#: With more rows than this the calibration intervals of a table are left to the page Calibration.
MOST_ROWS = 20_000
DOCUMENTATION = "docs/verdict.md"
OURS = "Our choice."


@dataclass(frozen=True)
class Rule:
    """How one aspect of a reported accuracy is graded.

    Parameters
    ----------
    id : str
        Identifier, also the anchor of its section in docs/verdict.md.
    title : str
        Name of the aspect.
    question : str
    grades : mapping of str to str
        Grade to the condition under which it is given, as a clause; conditions are tried in this order.
    source : str
        Reference of the rule, or that it is our choice.
    essential : bool
        Whether the number cannot be judged at all where this is not known.
    checks : tuple of str
        Codes of the data checks that it rests on.
    metrics : tuple of str
        Names of the metrics that it rests on.
    section : str
        Where the evidence is shown: a page of the dashboard, with the anchor of a section for the same page.
    warnings : tuple of str
        Beginnings of the warnings and notes of a run or table that this aspect states.

    Examples
    --------
    >>> RULES["overlap"].documentation
    'docs/verdict.md#overlap'
    """

    id: str
    title: str
    question: str
    grades: Mapping[Grade, str]
    source: str
    essential: bool = False
    checks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    section: str = "performance"
    warnings: tuple[str, ...] = ()

    @property
    def documentation(self) -> str:
        """Where the rule is documented."""
        return f"{DOCUMENTATION}#{self.id}"


_ALL = (
    Rule(
        "overlap",
        "Overlap",
        "Are the tested patients new to the network?",
        {
            CONTRADICTS: "a patient or slide is in several parts of the split; or single patches were assigned at "
            "random and the ids do not show that no patient is in several parts",
            NOT_KNOWN: "there are no training rows, or ids are unknown, so that the parts cannot be compared",
            LIMITS: "no id is in several parts, but touching or overlapping tiles are, single patches were assigned at "
            "random, or the run warns of its split",
            SUPPORTS: "the patient ids of training and test, and of validation where there is one, were compared, and "
            "none is in two parts (of out-of-fold predictions: in two folds)",
        },
        "Bussola et al. 2021, doi 10.1007/978-3-030-68763-2_13; TRIPOD+AI 2024, doi 10.1136/bmj-2023-078378, item 12a.",
        essential=True,
        checks=("patient-leak", "slide-leak", "neighbouring-tiles"),
        section="dataset",
        warnings=(PATCH_RANDOM_WARNING, SAME_PATIENT_WARNING, SEVERAL_PARTS_WARNING, NO_TRAINING_ROWS),
    ),
    Rule(
        "identifiers",
        "Patient ids",
        "Is it known which patient each tested row is of?",
        {
            NOT_KNOWN: "a tested row names no patient, or identifiers were rounded by a spreadsheet",
            LIMITS: "a check doubts the identifiers: one patient under several spellings, ids equal to file names, a "
            "slide of several patients, an id that several people share",
            SUPPORTS: "every tested row names its patient, and no check doubts it",
        },
        OURS,
        essential=True,
        checks=(
            *("rounded-ids", "patient-spellings", "file-name-ids", "slide-of-two-patients", "shared-patient-id"),
            "unknown-patients",
        ),
        section="dataset",
        warnings=(UNKNOWN_PATIENT_WARNING, UNKNOWN_OVERLAP_WARNING, ROUNDED_WARNING, SPELLINGS_WARNING),
    ),
    Rule(
        "sample",
        "Patients tested",
        "Were enough patients of every class tested?",
        {
            CONTRADICTS: "all tested rows are of one class: their accuracy says nothing about telling classes apart",
            NOT_KNOWN: f"the patients are unknown, or fewer than {MIN_CLUSTERS} were tested, too few for an interval "
            "over patients",
            LIMITS: f"fewer than {FEW_PATIENTS} patients were tested, a class has one tested patient or none, or a "
            "check finds too few patients or one with most of the patches",
            SUPPORTS: f"at least {FEW_PATIENTS} patients, and at least two of every class, were tested",
        },
        f"{OURS} The limits are those of the intervals and of the warnings about tables.",
        essential=True,
        checks=(
            *("few-patients", "few-test-patients", "few-patients-for-interval", "dominant-patient", "empty-class"),
            *("incomplete-split", "split-part-without-class"),
        ),
        section="performance#per-class",
        warnings=(FEW_PATIENTS_WARNING, ONE_PATIENT_WARNING, DOMINANT_WARNING),
    ),
    Rule(
        "interval",
        "Effective sample",
        "Does the usual interval hold when patches of one patient are not independent?",
        {
            NOT_KNOWN: "there is no interval over patients",
            LIMITS: "the interval over patients reaches further down than the usual one, by more than a percentage "
            "point",
            SUPPORTS: "the interval over patients reaches no further down than the usual one",
        },
        "Wilson 1927, doi 10.1080/01621459.1927.10502953 (usual interval); Korn & Graubard 1998, Survey Methodology "
        "24:193 (interval over patients); Kish 1965, ISBN 0-471-48900-X (effective sample).",
        metrics=("accuracy",),
        section="performance#metrics",
    ),
    Rule(
        "patients",
        "Accuracy by patient",
        "Does the accuracy hold with the patient as the unit?",
        {
            NOT_KNOWN: "there is no accuracy by patient, or no interval of it",
            CONTRADICTS: "the interval of the accuracy by patient lies below the usual interval by patch",
            LIMITS: "the interval by patient reaches further down than the usual interval by patch, by more than a "
            "percentage point",
            SUPPORTS: "the interval by patient reaches no further down than the usual interval by patch",
        },
        f"Wilson 1927, doi 10.1080/01621459.1927.10502953. The comparison of the two intervals is {OURS.lower()}",
        metrics=("accuracy",),
        section="performance#metrics",
    ),
    Rule(
        "baselines",
        "Baselines",
        "Does the network beat what is reached without looking at the tissue?",
        {
            CONTRADICTS: "it predicts one class only, its balanced accuracy is lower than that of a baseline, or the "
            "interval lies below that of a constant prediction (one over the number of classes)",
            LIMITS: "a baseline is not shown to be beaten, or is as good where none can be compared, the balanced "
            "accuracy is not shown to be above that of a constant prediction, or the accuracy not above the share of "
            "the most frequent class among the tested (no-information rate)",
            NOT_KNOWN: "no baseline was computed, or none can be compared",
            SUPPORTS: "every baseline that was computed is shown to be beaten",
        },
        f"Brodersen et al. 2010, doi 10.1109/ICPR.2010.764 (balanced accuracy); the set of baselines is {OURS.lower()}",
        metrics=("accuracy", "balanced_accuracy"),
        section="performance#baselines",
    ),
    Rule(
        "copies",
        "Copies",
        "Does an image of the test part occur in training?",
        {
            LIMITS: "a check finds identical or near-duplicate images in different parts",
            NOT_KNOWN: "a check was not made, could not be run, or does not apply",
            SUPPORTS: "both checks were made and find none",
        },
        OURS,
        checks=("identical-images", "near-duplicates"),
        section="dataset",
    ),
    Rule(
        "shortcuts",
        "Shortcuts",
        "Can the class be told from something else than the tissue: site, scanner, stain, file, marks?",
        {
            LIMITS: "a check finds a shortcut, such as a class confounded with the site",
            NOT_KNOWN: "a check was not made, or could not be run",
            SUPPORTS: "all checks that apply were made and find none",
        },
        "Howard et al. 2021, doi 10.1038/s41467-021-24698-1 (site); the limits are those of the checks.",
        checks=(
            *("site-confounded", "scanner-confounded", "patient-confounded", "colour-confounded", "partial-stain"),
            *("file-shortcut", "corner-marks", "column-shortcut", "embedding-site"),
        ),
        section="dataset",
    ),
    Rule(
        "labels",
        "Labels",
        "Are the labels consistent?",
        {
            LIMITS: "a check finds a label that IHC or ISH contradicts, an image or a patient with several labels",
            NOT_KNOWN: "a check was not made, or could not be run",
            SUPPORTS: "all checks that apply were made and find none",
        },
        OURS,
        checks=("label-conflict", "patient-with-two-labels", "image-with-two-labels"),
        section="dataset",
    ),
    Rule(
        "calibration",
        "Calibration",
        "Do the probabilities state how often the network is right?",
        {
            LIMITS: "the interval over patients of the calibration error excludes 0, or those of the calibration slope "
            "exclude 1 for at least half of the classes",
            NOT_KNOWN: "there are no probabilities or no interval over patients, that of the calibration error "
            f"reaches above {LARGEST_ECE:g}, or no calibration slope is defined, as where hardly a row is wrong",
            SUPPORTS: f"the calibration error is below {LARGEST_ECE:g} over its whole interval",
        },
        f"Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7 (slope). The limits are {OURS.lower()}",
        metrics=("ece_equal_mass", "calibration_slope", "brier"),
        section="calibration",
    ),
    Rule(
        "further",
        "Further warnings",
        "Does the run or table carry other warnings?",
        {LIMITS: "it carries a warning that no rule above takes up"},
        OURS,
    ),
)
#: Every rule by its id, in the order in which the aspects are stated.
RULES: Mapping[str, Rule] = MappingProxyType({rule.id: rule for rule in _ALL})
#: Checks that no rule rests on, each with the reason.
NOT_GRADED: Mapping[str, str] = MappingProxyType(
    {
        "missing-files": "stops training before it starts",
        "unreadable-images": "stops training before it starts",
        "image-quality": "names patches to look at; every figure is of the patches as they are",
        "missing-mpp": "concerns new patches of another scale, not the figures of these",
    }
)
#: Answer to the condition under which it is given, tried in this order.
OVERALL: Mapping[Answer, str] = MappingProxyType(
    {
        "No": "an aspect contradicts the claim",
        "Not known": "no aspect contradicts the claim, but an essential one is not known",
        "Within limits": "the essential aspects are known, and an aspect limits the claim or is not known",
        "Yes": "every aspect supports the claim",
    }
)
