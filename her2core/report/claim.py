"""CLAIM 2024 update: its 44 items and the rule that assesses each.

References
----------
A. S. Tejani et al. (2024), Radiology: Artificial Intelligence 6(4):e240300, doi 10.1148/ryai.240300.
"""

from __future__ import annotations

from her2core.report import checklist_result_rules as results
from her2core.report import checklist_rules as rules
from her2core.report.checklist_items import (
    Assessment,
    Rule,
    always,
    met,
    not_applicable,
    not_reported,
    partly,
    read_checklist,
)
from her2core.report.checklist_rules import of_people, of_run
from her2core.report.run_report import RunReport

_AUTHOR = always(not_reported())
_ONE = not_applicable("one network, no ensemble")
_GOAL = partly("research use only; no goal of a study is stated", "card")
_DRAWN = "the truth of a synthetic patch is the class that generated it"


def _of_labels(r: RunReport) -> Assessment:
    return not_applicable(_DRAWN) if r.synthetic else not_reported()


def _acquisition(r: RunReport) -> Assessment:
    if r.card["input"].get("mpp"):
        return partly("microns per pixel; stain protocol, scanner settings and compression are not recorded", "model")
    return not_reported("microns per pixel and scanner settings are not recorded")


def _subset(r: RunReport) -> Assessment:
    if r.synthetic:
        return not_applicable("whole patches are generated; none is selected")
    return not_reported("how patches were chosen from slides is not recorded")


def _every_part(r: RunReport) -> Assessment:
    return partly(
        "the test partition, with subgroups; validation served to choose epoch and temperature, and no figure of "
        "the training partition is stored",
        "performance",
        "subgroups",
    )


def _architecture(r: RunReport) -> Assessment:
    words = "network by name and options, input and output"
    if rules.code(r).state == "not reported":
        return partly(f"{words}; the code that defines its layers is not named", "model")
    return met(f"{words}; the code of the commit defines its layers", "model")


def _trial(r: RunReport) -> Assessment:
    return not_applicable("no clinical trial: synthetic patches") if r.synthetic else not_reported()


_software: Rule = of_run(
    lambda r: (
        met("Python and package versions, hardware, commit", "model")
        if r.required_run.info.get("packages")
        else not_reported("package versions were not recorded")
    )
)
_first: Rule = of_run(
    lambda r: (
        met("the source of the initial weights", "model")
        if r.card["network"].get("init") or r.required_run.info.get("start")
        else not_reported("the initial weights are not recorded")
    )
)

#: Number of an item -> the rule that assesses it; texts are in items/claim_2024.json.
_RULES: dict[str, Rule] = {
    "1": of_run(always(met("a deep-learning classifier, named at the top of this report", "summary", "model"))),
    "2": _AUTHOR,
    "3": _AUTHOR,
    "4": _AUTHOR,
    "5": of_people(),
    "6": of_run(always(_GOAL)),
    "7": of_run(rules.source),
    "8": of_people(),
    "9": of_run(always(met("centre square, size, stain and normalisation", "model"))),
    "10": of_run(_subset),
    "11": of_people(),
    "12": rules.missing_data,
    "13": of_run(_acquisition),
    "14": of_run(rules.outcome),
    "15": _of_labels,
    "16": _of_labels,
    "17": _of_labels,
    "18": _of_labels,
    "19": rules.assignment,
    "20": rules.disjoint,
    "21": always(not_reported("the size is stated, its justification is not")),
    "22": of_run(_architecture),
    "23": _software,
    "24": _first,
    "25": of_run(rules.training),
    "26": of_run(rules.selection),
    "27": of_run(always(_ONE)),
    "28": results.measures,
    "29": results.uncertainty,
    "30": results.robustness,
    "31": results.explained,
    "32": results.internal,
    "33": always(not_reported("no data of another source were evaluated in this report")),
    "34": _trial,
    "35": rules.flow,
    "36": of_run(rules.characteristics),
    "37": of_run(_every_part),
    "38": results.estimates,
    "39": results.failure,
    "40": results.limitations,
    "41": _AUTHOR,
    "42": _AUTHOR,
    "43": of_run(rules.availability),
    "44": _AUTHOR,
}
CLAIM = read_checklist("claim_2024", _RULES)
