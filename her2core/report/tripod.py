"""TRIPOD+AI 2024: its 27 items (52 with sub-items) and the rule that assesses each.

References
----------
G. S. Collins et al. (2024), BMJ 385:e078378, doi 10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from her2core.report import checklist_result_rules as results
from her2core.report import checklist_rules as rules
from her2core.report.checklist_items import Rule, always, met, not_applicable, not_reported, partly, read_checklist
from her2core.report.checklist_rules import of_people, of_run

_AUTHOR = always(not_reported())
_MACHINE = not_applicable("pixels are read by a program")
_TITLE = partly(
    "states that a classifier was evaluated, its outcome and its data; the target population is not named", "summary"
)
_USE = partly("research use only; no place in the care pathway is claimed", "card")
_PREDICTORS = partly(
    "the patch: size, field in microns, stain; scanning date and device only as far as the manifest states them",
    "model",
    "data",
)
_DIFFERENCES = partly("one data set; counts of each class by partition; other differences are not listed", "partition")
_FLAGS = partly(
    "blank patches are not classified and out-of-distribution patches are flagged; the thresholds are on the card",
    "card",
)

#: Number of an item -> the rule that assesses it; texts are in items/tripod_ai.json.
_RULES: dict[str, Rule] = {
    "1": of_run(always(_TITLE)),
    "2": _AUTHOR,
    "3a": _AUTHOR,
    "3b": of_run(always(_USE)),
    "3c": _AUTHOR,
    "4": _AUTHOR,
    "5a": of_run(rules.source),
    "5b": of_people(),
    "6a": of_people(),
    "6b": of_people(),
    "6c": of_people(),
    "7": of_run(rules.preprocessing),
    "8a": of_run(rules.outcome),
    "8b": of_people(),
    "8c": of_people(),
    "9a": of_run(always(not_applicable("the patch is the only input; no predictor was selected beforehand"))),
    "9b": of_run(always(_PREDICTORS)),
    "9c": of_run(always(_MACHINE)),
    "10": always(not_reported("the size is stated, its justification is not")),
    "11": rules.missing_data,
    "12a": rules.assignment,
    "12b": of_run(always(met("size, stain and normalisation of the patch", "model"))),
    "12c": of_run(rules.building),
    "12d": results.heterogeneity,
    "12e": results.measures,
    "12f": of_run(always(not_applicable("the model was not updated after it was evaluated"))),
    "12g": of_run(rules.specification),
    "13": of_run(rules.imbalance),
    "14": of_people(),
    "15": results.output,
    "16": of_run(always(_DIFFERENCES)),
    "17": of_people(),
    "18a": _AUTHOR,
    "18b": _AUTHOR,
    "18c": _AUTHOR,
    "18d": _AUTHOR,
    "18e": of_run(rules.sharing),
    "18f": of_run(rules.code),
    "19": of_people(),
    "20a": rules.flow,
    "20b": of_run(rules.characteristics),
    "20c": of_run(always(partly("the outcome by partition; nothing else is compared", "partition"))),
    "21": rules.sizes,
    "22": of_run(rules.specification),
    "23a": results.estimates_by_group,
    "23b": results.heterogeneity,
    "24": of_run(always(not_applicable("the model was not updated after it was evaluated"))),
    "25": _AUTHOR,
    "26": results.limitations,
    "27a": lambda r: _FLAGS if r.card.get("ood") else not_reported("the run has no out-of-distribution detector"),
    "27b": _AUTHOR,
    "27c": _AUTHOR,
}
TRIPOD = read_checklist("tripod_ai", _RULES)
