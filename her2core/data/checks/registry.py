"""The registry of data checks.

Each check has one entry here: code, title, severity, explanation, fix and function. ``check_manifest`` runs all of them
in this order, and docs/checks.md is generated from them by documentation.py. A further check
is one function ``(CheckInputs) -> Result`` in a file of this package, one entry, and two tests: one that fires it and
one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from her2core.data.checks.colour import colour_confounded
from her2core.data.checks.confounding import patient_confounded, scanner_confounded, site_confounded
from her2core.data.checks.duplicates import identical_images, near_duplicates
from her2core.data.checks.ids import rounded_ids
from her2core.data.checks.inputs import CheckInputs, Requirement
from her2core.data.checks.labels import empty_class, label_conflict, patient_with_two_labels, split_part_without_class
from her2core.data.checks.leaks import patient_leak, slide_leak
from her2core.data.checks.neighbours import neighbouring_tiles
from her2core.data.checks.outcome import (
    MAX_LISTED,
    CouldNotRun,
    Finding,
    Found,
    NotApplicable,
    Outcome,
    Result,
    Severity,
    Status,
)
from her2core.data.checks.patients import few_patients, few_patients_for_interval, unknown_patients
from her2core.data.checks.rows import missing_files, missing_mpp, unreadable_images

DOCUMENTATION = "docs/checks.md"
#: How a check ends where an input that it requires is absent.
_ABSENT: Mapping[Requirement, Result] = MappingProxyType(
    {
        "split": NotApplicable("no split was given"),
        "half_width": NotApplicable("no half-width was requested"),
        "contents": CouldNotRun("the images were not read (contents=True, or her2 data check --contents)"),
    }
)


@dataclass(frozen=True)
class Check:
    """One check of a data set.

    Parameters
    ----------
    code : str
        Identifier, also the anchor of its section in docs/checks.md.
    title : str
        Name for people.
    severity : {'error', 'warning', 'info'}
        Of its finding, unless the function says otherwise.
    explanation : str
        Why a finding matters.
    fix : str
        What to do about a finding.
    function : callable
        Takes `CheckInputs`; returns `Found`, `NotApplicable`, `CouldNotRun`, or None where nothing was found.
    requires : tuple of {'split', 'contents', 'half_width'}
        Inputs besides the manifest without which the function is not called.

    Examples
    --------
    >>> CHECKS["patient-leak"].title
    'Patient in several split parts'
    >>> CHECKS["patient-leak"].documentation
    'docs/checks.md#patient-leak'
    """

    code: str
    title: str
    severity: Severity
    explanation: str
    fix: str
    function: Callable[[CheckInputs], Result]
    requires: tuple[Requirement, ...] = ()

    @property
    def documentation(self) -> str:
        """Address of the check's section in the documentation."""
        return f"{DOCUMENTATION}#{self.code}"

    def run(self, inputs: CheckInputs) -> Outcome:
        """Run the check. It never raises: a function that fails is an outcome that could not be run.

        Parameters
        ----------
        inputs : CheckInputs

        Returns
        -------
        Outcome

        Examples
        --------
        >>> from her2core.data.checks.inputs import example_inputs
        >>> CHECKS["patient-leak"].run(example_inputs()).reason
        'no split was given'
        """
        absent = next((_ABSENT[r] for r in self.requires if not inputs.has(r)), None)
        try:
            result = absent or self.function(inputs)
        except Exception as error:  # one check that fails must not take the others with it; the reason is shown
            result = CouldNotRun(f"{type(error).__name__}: {error}")
        if isinstance(result, Found):
            return self._outcome("found", finding=self._finding(result))
        if isinstance(result, NotApplicable):
            return self._outcome("not applicable", result.reason)
        if isinstance(result, CouldNotRun):
            return self._outcome("could not be run", result.reason)
        return self._outcome("not found")

    def _outcome(self, status: Status, reason: str = "", finding: Finding | None = None) -> Outcome:
        return Outcome(self.code, self.title, status, self.documentation, reason, finding)

    def _finding(self, found: Found) -> Finding:
        return Finding(
            self.code,
            self.title,
            found.severity or self.severity,
            found.expected,
            found.got,
            f"{self.fix} {found.note}".strip(),
            self.explanation,
            tuple(found.rows[:MAX_LISTED]),
            len(found.rows),
            tuple(found.pairs[:MAX_LISTED]),
        )


_ALL = (
    Check(
        "missing-files",
        "Missing image files",
        "error",
        "A row without its image can be used neither for training nor for testing.",
        "Restore the files, or remove these rows.",
        missing_files,
    ),
    Check(
        "unreadable-images",
        "Unreadable images",
        "error",
        "A damaged file, or a window that exceeds its image, can be used neither for training nor for testing.",
        "Replace these files or correct their windows, or remove their rows.",
        unreadable_images,
        ("contents",),
    ),
    Check(
        "rounded-ids",
        "Ids rounded by a spreadsheet",
        "error",
        "A spreadsheet shows long numeric ids in scientific notation and saves them like that. Different patients then "
        "share one id: patients are counted wrongly, and every figure and interval per patient is wrong.",
        "Export the table again with the id columns formatted as text; or clear these ids, so that they count as "
        "unknown. Rounding cannot be undone.",
        rounded_ids,
    ),
    Check(
        "empty-class",
        "Class without patches",
        "warning",
        "A class without patches cannot be learned, and no figure can be given for it.",
        "Add patches of these classes, or declare fewer classes.",
        empty_class,
    ),
    Check(
        "split-part-without-class",
        "Split part without a class",
        "warning",
        "Without validation patches of a class, the epoch, the temperature and the prediction sets are chosen as if "
        "the class did not exist; without test patches, no figure can be given for it.",
        "Move patients of these classes into the part, or split anew (her2 data split).",
        split_part_without_class,
        ("split",),
    ),
    Check(
        "few-patients",
        "Few patients per class",
        "warning",
        "Patients are the unit of every claim about new patients; more patches of one patient do not replace them.",
        "Add patients; intervals over so few are wide or cannot be given.",
        few_patients,
    ),
    Check(
        "few-patients-for-interval",
        "Too few patients for the requested interval width",
        "warning",
        "The width of an interval depends on the number of patients tested, however many patches each has.",
        "Add patients, test by cross-validation over patients, or accept a wider interval.",
        few_patients_for_interval,
        ("half_width",),
    ),
    Check(
        "unknown-patients",
        "Unknown patient ids",
        "warning",
        "Patches of one patient look alike; without the ids it cannot be shown that a patient is in one part of the "
        "split only.",
        "Add the ids; until then no patient-level claim can be made.",
        unknown_patients,
    ),
    Check(
        "label-conflict",
        "Label contradicts IHC or ISH",
        "warning",
        "A label that IHC or ISH contradicts teaches and tests the wrong answer.",
        "Review these cases; nothing is corrected automatically.",
        label_conflict,
    ),
    Check(
        "patient-with-two-labels",
        "Patient with several labels",
        "warning",
        "A patient with several labels has no single correct answer.",
        "If labels belong to regions, patient-level figures are switched off; otherwise correct them.",
        patient_with_two_labels,
    ),
    Check(
        "missing-mpp",
        "Unknown resolution",
        "info",
        "Without microns per pixel, patches of different scale cannot be told apart.",
        "Add the resolution: without it, it cannot be checked that a new patch has the same scale.",
        missing_mpp,
    ),
    Check(
        "site-confounded",
        "Class confounded with site",
        "warning",
        "A network can recognise the site by its stain and scanner and predict the site's class; its figures then do "
        "not transfer to another site.",
        "Add patients of each class from other sites.",
        site_confounded,
    ),
    Check(
        "scanner-confounded",
        "Class confounded with scanner",
        "warning",
        "A network can recognise the scanner by its colours and sharpness and predict the scanner's class; its figures "
        "then do not transfer to another scanner.",
        "Scan slides of each class on the other scanners too.",
        scanner_confounded,
    ),
    Check(
        "patient-confounded",
        "Class dominated by few patients",
        "warning",
        "Where a class is hardly more than one patient, recognising that patient is as good as recognising the class.",
        "Add patients of these classes, or use fewer patches of the dominating patients.",
        patient_confounded,
    ),
    Check(
        "patient-leak",
        "Patient in several split parts",
        "warning",
        "Patches of a patient seen in training are recognised; the test then says nothing about new patients.",
        "Split by patient; under this split the figures make no claim about new patients.",
        patient_leak,
        ("split",),
    ),
    Check(
        "slide-leak",
        "Slide in several split parts",
        "warning",
        "Patches of a slide seen in training are recognised; the test then says nothing about new slides.",
        "Split by patient or slide; under this split the figures make no claim about new slides.",
        slide_leak,
        ("split",),
    ),
    Check(
        "neighbouring-tiles",
        "Neighbouring tiles in different split parts",
        "warning",
        "Tiles that overlap or touch show the same cells, gland or stain in several parts of the split.",
        "Split by patient or by slide, so that neighbours stay together.",
        neighbouring_tiles,
        ("split",),
    ),
    Check(
        "identical-images",
        "Identical images",
        "warning",
        "A training image that is also in the test part is recognised rather than classified.",
        "Remove the copies, or keep them in one part of the split.",
        identical_images,
        ("contents",),
    ),
    Check(
        "near-duplicates",
        "Near-duplicate images",
        "warning",
        "The same tissue, compressed anew, cropped, flipped or restained, is recognised rather than classified; "
        "a comparison of files does not detect it.",
        "Review the pairs; remove one of each, or keep both in one part of the split.",
        near_duplicates,
        ("contents",),
    ),
    Check(
        "colour-confounded",
        "Class predictable from colour alone",
        "warning",
        "Colour alone, without any structure, predicts the class of patients not seen before: figures may rest on how "
        "the slides were stained.",
        "Check whether the classes were stained or scanned separately; normalise the stain, and report the figures of "
        "a colour-only classifier beside the network's.",
        colour_confounded,
        ("contents",),
    ),
)
#: Every check by its code, in the order in which they run.
CHECKS: Mapping[str, Check] = MappingProxyType({check.code: check for check in _ALL})
