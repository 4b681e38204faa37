"""Grades of the verdict, one function a rule, and the aspects in the order of the rules."""

from __future__ import annotations

from her2core.data.split_units import PART_NAMES, split_label
from her2core.evidence.resampling import MIN_CLUSTERS
from her2core.evidence.table_findings import DOMINANT_WARNING, FEW_PATIENTS, FEW_PATIENTS_WARNING, SPELLINGS_WARNING
from her2core.evidence.verdict.grading_checks import checked, copies, labels, said, shortcuts
from her2core.evidence.verdict.grading_figures import baselines, calibration, interval, patients
from her2core.evidence.verdict.inputs import VerdictInputs
from her2core.evidence.verdict.result import Aspect, Figure
from her2core.evidence.verdict.rules import CONTRADICTS, LIMITS, NOT_KNOWN, RULES, SUPPORTS, Grade
from her2core.io.text import capitalised, clean_text

_TRAINING_ROWS = "Give the table with its training rows: patient ids and a column that states the part of the split."


def aspects(inputs: VerdictInputs, figures: tuple[Figure, ...]) -> tuple[Aspect, ...]:
    """Grade every aspect.

    Parameters
    ----------
    inputs : VerdictInputs
    figures : tuple of Figure
        As ``grading_figures.figures`` gives them.

    Returns
    -------
    tuple of Aspect
        In the order of ``rules.RULES``; 'further' only where there are further warnings.
    """
    by_name = {figure.name: figure for figure in figures}
    graded = [
        overlap(inputs),
        identifiers(inputs),
        sample(inputs),
        interval(inputs, by_name),
        patients(inputs, by_name),
        baselines(inputs),
        copies(inputs),
        shortcuts(inputs),
        labels(inputs),
        calibration(inputs),
    ]
    taken = {said for rule in RULES.values() for said in inputs.taken(rule)}
    further = [warning for warning in inputs.evaluation.warnings if warning not in taken]
    if further:
        graded.append(Aspect("further", LIMITS, " ".join(further), "the run or table carries further warnings"))
    return tuple(graded)


def overlap(inputs: VerdictInputs) -> Aspect:
    """Grade the overlap of training and test.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    partition, taken = inputs.partition, inputs.taken(RULES["overlap"])
    random = partition.unit == "patch_random"
    shared = {what: n for what, n in partition.shared.items() if n}
    if shared:
        number = " and ".join(f"{n:,} {what}{'s' if n != 1 else ''}" for what, n in shared.items())
        reason = f"{number} {'is' if list(shared.values()) == [1] else 'are'} in several parts of the split"
        return _overlap(CONTRADICTS, [f"{capitalised(reason)} (ids compared).", *taken], reason)
    if random and not inputs.compared:
        reason = "single patches were assigned at random to training and test"
        return _overlap(CONTRADICTS, taken or [f"{capitalised(reason)}."], reason)
    neighbours = [f for f in checked(inputs, RULES["overlap"]).found if f.code == "neighbouring-tiles"]
    if not inputs.compared:
        needed = "Record the data table of the run: her2 runs complete." if inputs.from_run else _TRAINING_ROWS
        if not inputs.test.patients_known:
            needed = "Name the patient of every row of training, validation and test."
        reason = "it cannot be checked whether tested patients were also trained on"
        return _overlap(NOT_KNOWN, taken or [partition.sentence], reason, needed)
    *first, last = (PART_NAMES[p] for p in partition.parts)
    parts = f"{', '.join(first)} and {last}"
    text = [f"No patient is in two {'folds' if partition.folds else f'of the parts {parts}'} (ids compared)."]
    text += [f"The data were split {split_label(partition.unit)}."] if partition.unit else []
    if neighbours or random:
        reason = "neighbouring tiles are in different parts" if neighbours else "single patches were assigned at random"
        return _overlap(LIMITS, [*text, *map(said, neighbours), *taken], reason)
    if warned := [said for said in taken if said in inputs.evaluation.warnings]:
        return _overlap(LIMITS, [*text, *taken], warned[0].rstrip("."))
    return _overlap(SUPPORTS, [*text, *taken], "no tested patient was trained on")


def identifiers(inputs: VerdictInputs) -> Aspect:
    """Grade the patient identifiers.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    rule = RULES["identifiers"]
    taken = inputs.taken(rule)
    doubts = checked(inputs, rule).found
    text = [*taken, *(said(f) for f in doubts if f.code != "unknown-patients" or not taken)]
    if not inputs.test.patients_known:
        reason = "patients are unknown"
        return Aspect(
            "identifiers",
            NOT_KNOWN,
            " ".join(text) or "Not every tested row names its patient.",
            reason,
            "Name the patient of every row.",
        )
    if inputs.rounded:
        needed = "Export the identifiers as text."
        return Aspect("identifiers", NOT_KNOWN, " ".join(text), "patient identifiers were rounded", needed)
    doubts = tuple(f for f in doubts if f.code != "unknown-patients")
    if doubts:
        return Aspect("identifiers", LIMITS, " ".join(text), f"{doubts[0].title.lower()} ({doubts[0].got})")
    if any(warning.startswith(SPELLINGS_WARNING) for warning in taken):
        return Aspect("identifiers", LIMITS, " ".join(text), "patients occur under several ids")
    number = len(inputs.test.patients[1])
    known = f"Every tested row names its patient ({number:,} patient{'s' if number != 1 else ''})."
    return Aspect("identifiers", SUPPORTS, " ".join([known, *text]), "every tested row names its patient")


def sample(inputs: VerdictInputs) -> Aspect:
    """Grade the number of patients tested, in all and by class.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    rule, test = RULES["sample"], inputs.test
    taken = inputs.taken(rule)
    classes = {test.classes[i] for i in set(test.labels.tolist())}
    if len(classes) < 2:
        only = clean_text(next(iter(classes)), 60)
        text = f"All tested rows are of the class {only}: their accuracy is the recall of this class."
        return Aspect("sample", CONTRADICTS, " ".join([text, *taken]), f"all tested rows are of the class {only}")
    if not test.patients_known:
        rows = ", ".join(f"{clean_text(c, 60)} {int((test.labels == i).sum()):,}" for i, c in enumerate(test.classes))
        reason = "the number of tested patients is unknown"
        return Aspect(
            "sample", NOT_KNOWN, f"{capitalised(reason)}; rows: {rows}.", reason, "Name the patient of every row."
        )
    number, by_class = len(test.patients[1]), inputs.patients_by_class
    counted = ", ".join(f"{clean_text(c, 60)} {n:,}" for c, n in by_class.items())
    text = f"{number:,} patient{'s were' if number != 1 else ' was'} tested ({counted})."
    found = [said(f) for f in checked(inputs, rule).found]
    counts = [] if any(said.startswith(FEW_PATIENTS_WARNING) for said in taken) else [text]
    whole = " ".join([*counts, *taken, *found])
    if number < MIN_CLUSTERS:
        reason = f"only {number} patient{'s were' if number != 1 else ' was'} tested"
        return Aspect("sample", NOT_KNOWN, whole, reason, f"Test at least {FEW_PATIENTS} patients of all classes.")
    few = [clean_text(c, 60) for c, n in by_class.items() if n < 2]
    if number < FEW_PATIENTS:
        return Aspect("sample", LIMITS, whole, f"only {number} patients were tested")
    if few:
        return Aspect("sample", LIMITS, whole, f"fewer than two patients of {', '.join(few)} were tested")
    if found:
        return Aspect("sample", LIMITS, whole, "a check finds too few patients")
    if any(warning.startswith(DOMINANT_WARNING) for warning in taken):
        return Aspect("sample", LIMITS, whole, "one patient has most of the test rows")
    return Aspect("sample", SUPPORTS, whole, f"{number:,} patients were tested")


def _overlap(grade: Grade, text: list[str], reason: str, needed: str = "") -> Aspect:
    return Aspect("overlap", grade, " ".join(text), reason, needed)
