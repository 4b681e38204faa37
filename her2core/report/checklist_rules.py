"""Assessment rules for the data and model items of reporting guidelines.

Each rule looks at what the report contains and at nothing else. Rules that several items of the two guidelines share
are here once; ``tripod`` and ``claim`` assign them to items.
"""

from __future__ import annotations

from her2core.errors import RunError
from her2core.report.checklist_items import Assessment, Rule, met, not_applicable, not_reported, partly
from her2core.report.run_report import RunReport

_NO_MODEL = "the table of predictions does not say"
_NO_PEOPLE = "synthetic patches: there are no participants"


def of_run(rule: Rule, without: Assessment | None = None) -> Rule:
    """``rule`` for a run; a table of predictions does not describe its model and data.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> of_run(source)(example_report())
    Assessment(state='not reported', where='the table of predictions does not say')
    """
    return lambda r: rule(r) if r.run is not None else without or not_reported(_NO_MODEL)


def of_people(rule: Rule | None = None) -> Rule:
    """Not applicable to synthetic patches; otherwise ``rule``, or left to the authors.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> of_people()(example_report()).state
    'not reported'
    """
    return lambda r: not_applicable(_NO_PEOPLE) if r.synthetic else rule(r) if rule else not_reported()


def source(r: RunReport) -> Assessment:
    """Sources of the data."""
    facts = r.card["data"].get("facts", {})
    if r.synthetic:
        return met("synthetic cohort, with the specification that generates it", "data")
    if facts.get("citation") or facts.get("licence"):
        return partly(
            "source, citation and licence as far as the importer knew them; why these data were chosen, and whether "
            "they are representative, is not stated",
            "data",
        )
    return partly("only the name of the source", "data") if r.card["data"]["sources"] else not_reported()


def preprocessing(r: RunReport) -> Assessment:
    """Pre-processing and quality checks.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> preprocessing(example_report()).state
    'partly'
    """
    return partly(
        "centre square, size, stain, normalisation, and coded checks of the data; whether quality is similar "
        "across groups of people is not shown",
        "model",
        "data",
    )


def outcome(r: RunReport) -> Assessment:
    """Outcome or reference standard."""
    if r.synthetic:
        return met("the class that generated a patch, under the named label scheme", "data")
    return partly("the label scheme; how, when and by whom the labels were assigned is not in the run", "data")


def missing_data(r: RunReport) -> Assessment:
    """Handling of missing data.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> missing_data(example_report()).state
    'partly'
    """
    if r.run is None:
        return partly(
            "rows with a missing score are rejected and none is imputed; earlier exclusions are not known", "missing"
        )
    if r.checks is None:
        return not_reported("the run has no record of the checks of its data")
    return partly(
        "missing ids and scales are coded findings, and nothing is imputed; reasons for exclusions are not recorded",
        "data",
        "missing",
    )


def assignment(r: RunReport) -> Assessment:
    """How the data were partitioned: met only where patients are disjoint and the ids show it.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> assignment(example_report()).state
    'partly'
    """
    p = r.partition
    if r.run is None and len(p.parts) < 2:
        return not_reported("the table has a test partition only and does not say how it was chosen")
    if p.keeps_patients_apart:
        return met(
            f"split by {p.unit}, with fractions, seed and counts by class; {p.sentence[0].lower()}{p.sentence[1:-1]}",
            "partition",
        )
    return partly(f"counts by part and class. {p.sentence}", "partition")


def disjoint(r: RunReport) -> Assessment:
    """Level at which the partitions are disjoint.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> disjoint(example_report()).state
    'partly'
    """
    p = r.partition
    if p.keeps_patients_apart:
        return met("disjoint by patient, shown by the ids of all three partitions", "partition")
    if r.run is None and len(p.parts) < 2:
        return not_reported("one partition only")
    return partly(f"disjoint by patch at most. {p.sentence}", "partition")


def sizes(r: RunReport) -> Assessment:
    """Numbers of participants and cases in each analysis.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> sizes(example_report()).state
    'partly'
    """
    p = r.partition
    complete = len(p.parts) == 3 and p.counts["patients"].notna().all()
    words = "patches and patients of each class and partition"
    if complete:
        return met(words, "partition")
    return partly(f"{words}, as far as they are known: participants cannot be counted in every partition", "partition")


def training(r: RunReport) -> Assessment:
    """Training procedure and settings.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> training(example_report()).state
    'partly'
    """
    if not r.config.get("train"):
        return partly("network, initial weights, best epoch; the training settings cannot be read", "model")
    return met("every setting of the training, augmentation, epochs, seed", "model")


def building(r: RunReport) -> Assessment:
    """Model type and all steps of model building.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> building(example_report()).state
    'partly'
    """
    return partly(
        "network, initial weights, all settings, epoch and temperature chosen on validation; the reasons for this "
        "network and these settings are not stated",
        "model",
        "methods",
    )


def selection(r: RunReport) -> Assessment:
    """How the final model was selected."""
    train = r.config.get("train")
    monitor = train.get("monitor") if isinstance(train, dict) else None
    if not monitor or not {"best_epoch", "chosen"} & set(r.required_run.info):
        return not_reported("which epoch was selected, and why, is not recorded")
    return met(
        f"the {'setting' if 'chosen' in r.required_run.info else 'epoch'} with the best {monitor} on validation",
        "model",
    )


def imbalance(r: RunReport) -> Assessment:
    """Methods against class imbalance and recalibration after them.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> imbalance(example_report()).state
    'not reported'
    """
    train = r.config.get("train")
    weights = train.get("class_weights") if isinstance(train, dict) else None
    if weights is None:
        return not_reported("the setting of class weights cannot be read")
    if weights in ("none", False, ""):
        return not_applicable("no class weights were used")
    return partly(
        f"class weights: {weights}; probabilities were calibrated afterwards (temperature); the reason is not stated",
        "model",
        "calibration",
    )


def specification(r: RunReport) -> Assessment:
    """Full model specification."""
    if r.required_run.has_weights:
        return met(
            "the run folder contains weights, card and configuration for predicting new patches", "model", "card"
        )
    return partly("card and configuration; the weights were not released", "model", "card")


def code(r: RunReport) -> Assessment:
    """Code sharing."""
    git = r.required_run.info.get("git")
    if not isinstance(git, dict) or not git.get("commit"):
        return not_reported("the run does not name the code that produced it")
    changed = " (with uncommitted changes)" if git.get("changed_files") else ""
    return partly(
        f"the commit{changed} and all package versions; where the code is available is not in the run", "model"
    )


def sharing(r: RunReport) -> Assessment:
    """Data sharing."""
    if r.synthetic:
        return met("the cohort can be generated again from its specification, pixel by pixel", "data", "card")
    if r.card["data"].get("facts", {}).get("citation"):
        return partly("citation and licence of the source; how to obtain the data is not stated", "data")
    return not_reported("where the data are available is not in the run")


def availability(r: RunReport) -> Assessment:
    """Availability of software, model and data."""
    found = [specification(r), code(r), sharing(r)]
    if all(v.state == "not reported" for v in found):
        return not_reported()
    return partly(
        "weights and card with the run, commit of the code, citation or specification of the data; where "
        "they are available is not in the run",
        "model",
        "data",
    )


def characteristics(r: RunReport) -> Assessment:
    """Characteristics of participants."""
    try:
        table = r.required_run.dataset
    except RunError:
        return not_reported("the run has no table of its data")
    known = [
        c
        for c in ("site", "scanner", "her2_ihc", "ish")
        if c in table and (table[c].astype(object).fillna("unknown").astype("str") != "unknown").any()
    ]
    if not known:
        return not_reported("neither patients nor sites are described")
    people = (
        f"; {', '.join(r.about_people)} as subgroups" if r.about_people else "; age, sex and treatment are not recorded"
    )
    return partly(
        f"counts by class and partition; {', '.join(known)} of each patch in the run's data table{people}",
        "partition",
        "subgroups",
    )


def flow(r: RunReport) -> Assessment:
    """Flow of participants.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> flow(example_report()).state
    'not reported'
    """
    if r.partition.counts["patients"].notna().all() and len(r.partition.parts) == 3:
        return partly("patients of each class and partition; earlier exclusions are not recorded", "partition")
    return not_reported("participants cannot be counted: patient ids are unknown, or a partition is not available")
