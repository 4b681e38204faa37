"""Assessment rules for the results, limitations and interpretation items of reporting guidelines."""

from __future__ import annotations

from her2core.report.checklist_items import Assessment, met, not_reported, partly
from her2core.report.run_report import RunReport
from her2core.report.sections import where


def heterogeneity(r: RunReport) -> Assessment:
    """Differences between clusters (sites, scanners).

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> heterogeneity(example_report()).state
    'partly'
    """
    columns = [b for b in ("site", "scanner") if (r.result_tables["subgroups"]["by"] == b).any()]
    if not columns:
        return not_reported("sites and scanners are unknown, or there is only one")
    return partly(
        f"performance by {' and '.join(columns)} with intervals; differences and parameters were not tested",
        "subgroups",
    )


def robustness(r: RunReport) -> Assessment:
    """Robustness or sensitivity analysis.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> robustness(example_report()).state
    'partly'
    """
    found = heterogeneity(r)
    return (
        found
        if found.state == "not reported"
        else partly("figures by group; changes of stain, focus or scanner were not tested", "subgroups")
    )


def measures(r: RunReport) -> Assessment:
    """Measures of performance.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> measures(example_report()).state
    'met'
    """
    return met(
        "discrimination, calibration, abstention and net benefit, each with its definition, reference and use",
        "methods",
    )


def estimates(r: RunReport) -> Assessment:
    """Estimates with intervals: met only where patients are resampled and lie in one partition each.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> estimates(example_report()).state
    'partly'
    """
    lacking = []
    if not r.resamples_patients:
        lacking.append("intervals resample single patches at some unit and are too narrow")
    if "patient" not in r.units:
        lacking.append("no figure by patient can be given")
    if not r.partition.keeps_patients_apart:
        lacking.append("it is not shown that patients are disjoint between partitions")
    if lacking:
        return partly(f"every figure with a 95 % interval, but {'; '.join(lacking)}", "performance")
    return met("every figure by patch and patient, with 95 % intervals that resample patients", "performance")


def estimates_by_group(r: RunReport) -> Assessment:
    """Estimates with intervals, also for key groups of people.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> estimates_by_group(example_report()).state
    'partly'
    """
    found = estimates(r)
    if not r.result_tables["subgroups"].empty and r.about_people:
        return Assessment(found.state, f"{found.where}; by {', '.join(r.about_people)} in {where('subgroups')}")
    groups = (
        "no groups of people" if r.result_tables["subgroups"].empty else "groups of site or scanner, none of people"
    )
    return partly(f"{found.where.split(': ', 1)[1]}; {groups}", "performance", "subgroups")


def uncertainty(r: RunReport) -> Assessment:
    """Statistical measures of uncertainty.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> uncertainty(example_report()).state
    'met'
    """
    if r.resamples_patients:
        return met("95 % intervals over patients for every figure", "methods", "performance")
    return partly("95 % intervals, but over single patches where patients are unknown or too few", "methods")


def output(r: RunReport) -> Assessment:
    """Model output and how classes and thresholds were determined.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> output(example_report()).state
    'partly'
    """
    if r.result_tables["operating_points"].empty:
        return partly(
            "probabilities, and the class of the highest; no threshold could be set on validation", "operating"
        )
    words = "probabilities, the class of the highest, and thresholds by named rules set on validation"
    return (
        met(words, "operating", "methods")
        if r.run is not None
        else partly(f"{words}; how the scores were made is not known", "operating")
    )


def limitations(r: RunReport) -> Assessment:
    """Limitations and their effect.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> limitations(example_report()).state
    'partly'
    """
    if r.run is None:
        return partly(
            "what could not be assessed, with reasons; the limits of the study are for its authors to discuss",
            "missing",
        )
    return partly(
        "the limits on the card, the warnings at the top, what could not be assessed; their effect on the "
        "figures is not discussed",
        "card",
        "missing",
    )


def failure(r: RunReport) -> Assessment:
    """Analysis of misclassified cases.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> failure(example_report()).state
    'partly'
    """
    if r.pictures:
        return met(
            "confusion matrices, and the most confident misclassifications with their images", "performance", "failures"
        )
    return partly(
        "confusion matrices and the most confident misclassifications as a table; no images", "performance", "failures"
    )


def internal(r: RunReport) -> Assessment:
    """Evaluation on internal data.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> internal(example_report()).state
    'not reported'
    """
    p = r.partition
    if r.run is None:
        return not_reported("the origin of the test rows is not known")
    if p.keeps_patients_apart:
        return met(
            "a test partition of the same data that training and validation did not use", "performance", "partition"
        )
    return partly(f"a test partition of the same data. {p.sentence}", "performance", "partition")


def explained(r: RunReport) -> Assessment:
    """Explainability methods and their validation.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> explained(example_report()).state
    'not reported'
    """
    if r.maps is None:
        return not_reported("maps were not evaluated")
    return met("class-activation maps, evaluated by ground truth, deletion, insertion and random weights", "maps")
