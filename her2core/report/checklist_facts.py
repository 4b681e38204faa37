"""Facts of a report on which the items of reporting guidelines are assessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from her2core.report.run_report import RunReport
from her2core.report.sections import where


def facts_of(report: RunReport) -> dict[str, Any]:
    """What a report contains, by the names that ``items/rules.toml`` uses.

    Parameters
    ----------
    report : RunReport
        Report of a run or of a table of predictions; of the latter nothing is known of model and data.

    Returns
    -------
    dict
        Name -> a value that holds where it is true or not empty, and that words may contain.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> facts = facts_of(example_report())
    >>> facts["table"], facts["patients_apart"], facts["clusters"]
    (True, False, 'site')
    """
    return {
        "table": report.run is None,
        "synthetic": report.synthetic,
        "checked": report.checks is not None,
        "maps": report.maps is not None,
        "pictures": bool(report.pictures),
        **_of_card(report.card),
        **_of_training(report),
        **_of_data(report),
        **_of_partition(report),
        **_of_results(report),
    }


def _of_card(card: Mapping[str, Any]) -> dict[str, Any]:
    data = card.get("data", {})
    facts = data.get("facts", {})
    return {
        "citation": facts.get("citation"),
        "citation_or_licence": facts.get("citation") or facts.get("licence"),
        "sources": data.get("sources"),
        "microns_per_pixel": card.get("input", {}).get("mpp"),
        "out_of_distribution": card.get("ood"),
    }


def _of_training(report: RunReport) -> dict[str, Any]:
    info = {} if report.run is None else report.run.info
    git, train = info.get("git"), report.config.get("train")
    code = git if isinstance(git, Mapping) else {}
    settings = train if isinstance(train, Mapping) else {}
    weights = settings.get("class_weights")
    unweighted = weights in ("none", False, "")
    return {
        "training": train,
        "monitor": settings.get("monitor"),
        "selected": "setting" if "chosen" in info else "epoch" if "best_epoch" in info else "",
        "class_weights": None if unweighted else weights,
        "unweighted": unweighted,
        "initial_weights": report.card.get("network", {}).get("init") or info.get("start"),
        "packages": info.get("packages"),
        "commit": code.get("commit"),
        "changed_files": code.get("changed_files"),
        "weights": report.run is not None and report.run.has_weights,
    }


def _of_data(report: RunReport) -> dict[str, Any]:
    table, described = report.dataset, []
    if table is None:
        return {"dataset": False, "described": ""}
    for column in ("site", "scanner", "her2_ihc", "ish"):
        if column in table and (table[column].astype(object).fillna("unknown").astype("str") != "unknown").any():
            described.append(column)
    return {"dataset": True, "described": ", ".join(described)}


def _of_partition(report: RunReport) -> dict[str, Any]:
    found = report.partition
    return {
        "test_part_alone": report.run is None and len(found.parts) < 2,
        "patients_apart": found.keeps_patients_apart,
        "patients_counted": len(found.parts) == 3 and found.counts["patients"].notna().all(),
        "split_unit": found.unit,
        "partition": found.sentence,
        "partition_clause": found.sentence[0].lower() + found.sentence[1:-1],
    }


def _of_results(report: RunReport) -> dict[str, Any]:
    groups = report.result_tables["subgroups"]
    lacking = []
    if not report.resamples_patients:
        lacking.append("intervals resample single patches at some unit and are too narrow")
    if "patient" not in report.units:
        lacking.append("no figure by patient can be given")
    if not report.partition.keeps_patients_apart:
        lacking.append("it is not shown that patients are disjoint between partitions")
    return {
        "resamples_patients": report.resamples_patients,
        "lacking": "; ".join(lacking),
        "clusters": " and ".join(column for column in ("site", "scanner") if (groups["by"] == column).any()),
        "people": ", ".join(report.about_people),
        "groups": "no groups of people" if groups.empty else "groups of site or scanner, none of people",
        "place_of_subgroups": where("subgroups"),
        "thresholds": not report.result_tables["operating_points"].empty,
    }
