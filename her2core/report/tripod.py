"""TRIPOD+AI 2024: its 27 items (52 with sub-items) and the rule that assesses each.

References
----------
G. S. Collins et al. (2024), BMJ 385:e078378, doi 10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from her2core.report import checklist_result_rules as results
from her2core.report import checklist_rules as rules
from her2core.report.checklist_items import Checklist, Item, always, met, not_applicable, not_reported, partly
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
_FLAGS = partly(
    "blank patches are not classified and out-of-distribution patches are flagged; the thresholds are on the card",
    "card",
)

TRIPOD = Checklist(
    "TRIPOD+AI 2024",
    "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement. BMJ 2024;385:e078378, doi 10.1136/bmj-2023-078378.",
    (
        Item(
            "1",
            "Title",
            "Name the study as developing or evaluating a prediction model, with people and outcome",
            of_run(always(_TITLE)),
        ),
        Item("2", "Abstract", "A structured abstract, by the TRIPOD+AI list for abstracts", _AUTHOR),
        Item("3a", "Background", "Healthcare context, diagnostic or prognostic, why this model, earlier ones", _AUTHOR),
        Item(
            "3b",
            "Background",
            "People, intended purpose and users of the model in the care pathway",
            of_run(always(_USE)),
        ),
        Item("3c", "Background", "Known health inequalities between groups of people", _AUTHOR),
        Item("4", "Objectives", "Objectives, and whether they are development, evaluation or both", _AUTHOR),
        Item(
            "5a",
            "Data",
            "Sources of the data for development and evaluation, why these, how representative",
            of_run(rules.source),
        ),
        Item("5b", "Data", "Dates of collection, start and end", of_people()),
        Item("6a", "Participants", "Setting, number and place of centres", of_people()),
        Item("6b", "Participants", "Who was eligible", of_people()),
        Item("6c", "Participants", "Treatments, and how they were handled", of_people()),
        Item(
            "7",
            "Data preparation",
            "Pre-processing and quality checks, and whether similar across groups",
            of_run(rules.preprocessing),
        ),
        Item(
            "8a",
            "Outcome",
            "What is predicted, how and when it was assessed, why, and whether similar across groups",
            of_run(rules.outcome),
        ),
        Item("8b", "Outcome", "Who assessed it, if that takes judgement", of_people()),
        Item("8c", "Outcome", "Whether assessment was blinded", of_people()),
        Item(
            "9a",
            "Predictors",
            "How the initial predictors were chosen",
            of_run(always(not_applicable("the patch is the only input; no predictor was selected beforehand"))),
        ),
        Item("9b", "Predictors", "Every predictor, how and when it was measured", of_run(always(_PREDICTORS))),
        Item("9c", "Predictors", "Who measured it, if that takes judgement", of_run(always(_MACHINE))),
        Item(
            "10",
            "Sample size",
            "How the size was determined, and whether it is sufficient",
            always(not_reported("the size is stated, its justification is not")),
        ),
        Item("11", "Missing data", "How missing data were handled, and reasons for omitting data", rules.missing_data),
        Item("12a", "Analysis", "How the data were used and partitioned", rules.assignment),
        Item(
            "12b",
            "Analysis",
            "How predictors were rescaled, transformed or standardised",
            of_run(always(met("size, stain and normalisation of the patch", "model"))),
        ),
        Item(
            "12c",
            "Analysis",
            "Type of model, why, all steps of building and tuning, internal validation",
            of_run(rules.building),
        ),
        Item(
            "12d",
            "Analysis",
            "How differences between clusters (hospitals) were handled and measured",
            results.heterogeneity,
        ),
        Item("12e", "Analysis", "All measures and plots of performance, and why these", results.measures),
        Item(
            "12f",
            "Analysis",
            "Updating of the model after evaluation",
            of_run(always(not_applicable("the model was not updated after it was evaluated"))),
        ),
        Item("12g", "Analysis", "How predictions were calculated for evaluation", of_run(rules.specification)),
        Item(
            "13",
            "Class imbalance",
            "Methods against imbalance, why, and recalibration after them",
            of_run(rules.imbalance),
        ),
        Item("14", "Fairness", "What was done for fairness, and why", of_people()),
        Item("15", "Model output", "Output of the model; how classes and thresholds were determined", results.output),
        Item(
            "16",
            "Training and evaluation",
            "Differences between development and evaluation data",
            of_run(
                always(
                    partly(
                        "one data set; counts of each class by partition; other differences are not listed", "partition"
                    )
                )
            ),
        ),
        Item("17", "Ethics", "Committee, consent or waiver", of_people()),
        Item("18a", "Funding", "Source and role of funders", _AUTHOR),
        Item("18b", "Interests", "Conflicts of interest", _AUTHOR),
        Item("18c", "Protocol", "Where the protocol is, or that there is none", _AUTHOR),
        Item("18d", "Registration", "Where the study is registered, or that it is not", _AUTHOR),
        Item("18e", "Data sharing", "Whether and how the data are available", of_run(rules.sharing)),
        Item("18f", "Code sharing", "Whether and how the code is available", of_run(rules.code)),
        Item("19", "Patients and public", "How patients and public were involved, or that they were not", of_people()),
        Item("20a", "Participants", "Flow of participants, with and without the outcome", rules.flow),
        Item("20b", "Participants", "Characteristics of participants, by source", of_run(rules.characteristics)),
        Item(
            "20c",
            "Participants",
            "Development and evaluation data side by side",
            of_run(always(partly("the outcome by partition; nothing else is compared", "partition"))),
        ),
        Item("21", "Model development", "Participants and outcomes in each analysis", rules.sizes),
        Item(
            "22",
            "Model specification",
            "The full model, so that others can use it, and restrictions",
            of_run(rules.specification),
        ),
        Item(
            "23a", "Performance", "Estimates with intervals, also for key groups of people", results.estimates_by_group
        ),
        Item("23b", "Performance", "Differences in performance between clusters", results.heterogeneity),
        Item(
            "24",
            "Model updating",
            "Results of any updating",
            of_run(always(not_applicable("the model was not updated after it was evaluated"))),
        ),
        Item("25", "Interpretation", "What the results mean, with fairness and earlier studies", _AUTHOR),
        Item("26", "Limitations", "Limits of the study and their effect", results.limitations),
        Item(
            "27a",
            "Usability",
            "How poor or missing input is to be handled in use",
            lambda r: _FLAGS if r.card.get("ood") else not_reported("the run has no out-of-distribution detector"),
        ),
        Item("27b", "Usability", "What users have to do, and what they have to know", _AUTHOR),
        Item("27c", "Usability", "Next steps", _AUTHOR),
    ),
)
