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
    Checklist,
    Item,
    Rule,
    always,
    met,
    not_applicable,
    not_reported,
    partly,
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

CLAIM = Checklist(
    "CLAIM 2024 update",
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 "
    "update. Radiol Artif Intell 2024;6(4):e240300, doi 10.1148/ryai.240300.",
    (
        Item(
            "1",
            "Title",
            "Say that it is AI, and which kind",
            of_run(always(met("a deep-learning classifier, named at the top of this report", "summary", "model"))),
        ),
        Item("2", "Abstract", "A structured abstract", _AUTHOR),
        Item("3", "Background", "Scientific and clinical background, intended use and role", _AUTHOR),
        Item("4", "Objectives", "Aims and hypotheses", _AUTHOR),
        Item("5", "Design", "Prospective or retrospective", of_people()),
        Item("6", "Goal", "Goal of the study", of_run(always(_GOAL))),
        Item("7", "Data sources", "Sources, with links where public", of_run(rules.source)),
        Item("8", "Eligibility", "Who and what was included and excluded", of_people()),
        Item(
            "9",
            "Pre-processing",
            "Steps before the network sees the data",
            of_run(always(met("centre square, size, stain and normalisation", "model"))),
        ),
        Item("10", "Subsets", "How subsets of the images were selected", of_run(_subset)),
        Item("11", "De-identification", "Methods of de-identification", of_people()),
        Item("12", "Missing data", "How missing data were handled", rules.missing_data),
        Item("13", "Acquisition", "How images were acquired", of_run(_acquisition)),
        Item("14", "Reference standard", "How the reference standard was obtained", of_run(rules.outcome)),
        Item("15", "Reference standard", "Why this reference standard was chosen", _of_labels),
        Item("16", "Reference standard", "Who annotated, with which qualifications", _of_labels),
        Item("17", "Reference standard", "How the test set was annotated", _of_labels),
        Item("18", "Reference standard", "Variability between and within readers", _of_labels),
        Item("19", "Partition", "How data were assigned to partitions, and in which proportions", rules.assignment),
        Item("20", "Partition", "Level at which partitions are disjoint", rules.disjoint),
        Item(
            "21",
            "Test size",
            "How the size of the test set was determined",
            always(not_reported("the size is stated, its justification is not")),
        ),
        Item("22", "Model", "The architecture in full", of_run(_architecture)),
        Item("23", "Software", "Libraries and versions", _software),
        Item("24", "Initialisation", "Initial weights and their source", _first),
        Item("25", "Training", "Procedure, augmentation and all settings", of_run(rules.training)),
        Item("26", "Selection", "How the final model was chosen", of_run(rules.selection)),
        Item("27", "Ensembles", "How several models were combined", of_run(always(_ONE))),
        Item("28", "Metrics", "Which metrics of performance", results.measures),
        Item("29", "Uncertainty", "Statistical measures of uncertainty and significance", results.uncertainty),
        Item("30", "Robustness", "Robustness or sensitivity analysis", results.robustness),
        Item("31", "Explainability", "Methods of explanation, and how they were validated", results.explained),
        Item("32", "Internal testing", "Evaluation on internal data", results.internal),
        Item(
            "33",
            "External testing",
            "Evaluation on external data, or its absence",
            always(not_reported("no data of another source were evaluated in this report")),
        ),
        Item("34", "Registration", "Registration of a clinical trial", _trial),
        Item("35", "Inclusion", "Numbers of patients and images included and excluded", rules.flow),
        Item(
            "36",
            "Characteristics",
            "Demographic and clinical characteristics of each partition",
            of_run(rules.characteristics),
        ),
        Item("37", "Performance", "Performance in every partition and in subgroups", of_run(_every_part)),
        Item("38", "Performance", "Estimates of diagnostic performance with their precision", results.estimates),
        Item("39", "Failures", "Analysis of misclassified cases", results.failure),
        Item("40", "Limitations", "Limits, biases, generalisability", results.limitations),
        Item("41", "Implications", "Meaning for practice, intended use, barriers", _AUTHOR),
        Item("42", "Protocol", "Where the full protocol is", _AUTHOR),
        Item("43", "Availability", "Where software, model and data are available", of_run(rules.availability)),
        Item("44", "Funding", "Sources and role of funders", _AUTHOR),
    ),
)
