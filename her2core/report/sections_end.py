"""Last sections of the run report: misclassified cases, maps, missing figures, checklists, model card, methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from her2core.report.checklist import CHECKLISTS, Filled, counts_sentence, fill, not_reported_sentence
from her2core.report.document import Block, Facts, Grid, Points, Row, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, figure, plain_grid
from her2core.report.sections import section, units, where

_METHODS = (
    "Unit of analysis. Every figure states whether it counts patches, slides or patients. A slide or patient gets "
    "one prediction from its patches by the mean of their probabilities, or by another rule that was asked for; the "
    "rules are named below.",
    "Intervals, 95 %. Patches of one patient are correlated, so patients are left out as a whole (jackknife) and the "
    "interval is Student's t on the log odds, with an effective number of rows (Korn and Graubard 1998) and degrees of "
    "freedom for patients of unequal size and influence (Satterthwaite 1946, doi 10.2307/3002019). Where a row is a "
    "patient, the interval is the score interval of Wilson 1927 (doi 10.1080/01621459.1927.10502953). With fewer than "
    "three patients of a class none is given. Differences and calibration errors are bootstrapped over whole patients "
    "(Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x) with expanded percentiles (Hesterberg 2015, doi "
    "10.1080/00031305.2015.1089789); calibration errors are biased upwards by it and reflected about the value. Where "
    "patients are unknown or fewer than five, single rows take their place and the table states that its interval is "
    "too narrow. The evaluation tables name the interval method of every row.",
    "Discrimination. AUROC is one class against the rest (Hanley and McNeil 1982, doi "
    "10.1148/radiology.143.1.7063747); it does not depend on a threshold. Average precision is not interpolated; "
    "unlike AUROC, it reflects the prevalence of a class. Kappa has quadratic weights (Cohen 1968, doi "
    "10.1037/h0026256), which grow with the distance between classes; Matthews correlation (Gorodkin 2004, doi "
    "10.1016/j.compbiolchem.2004.09.006) is zero for predictions independent of the truth.",
    "Calibration. Bins of equal mass; the Brier score runs from 0 to 2 over all classes (Murphy 1973); slope and "
    "intercept are those of a logistic regression on the log-odds (Cox 1958; Van Calster et al. 2019, doi "
    "10.1186/s12916-019-1466-7). A slope below 1 is overconfident.",
    "Abstention. Risk against coverage answers the most confident rows first (Geifman and El-Yaniv 2017, arXiv "
    "1705.08500). "
    "Prediction sets are class-conditional split conformal ones (Vovk 2012, doi 10.1007/s10994-013-5355-6), calibrated "
    "on validation patches and valid for patches exchangeable with those only.",
    "Clinical use. Net benefit after Vickers and Elkin 2006 (doi 10.1177/0272989X06295361). A threshold is set on "
    "validation by a named rule: the largest sensitivity + specificity - 1 (Youden 1950), or a sensitivity of 95 %.",
    "Notes. A dash marks a figure that cannot be computed; the letter beside it refers to the reason below the table.",
)


def failures(r: RunReport) -> Section:
    """Most confident misclassified cases of every unit, with images where requested and available.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> failures(example_report()).title
    'Misclassified cases'
    """
    blocks: list[Block] = [
        Words(
            f"Confusion matrices are in {where('performance')}. "
            "Below are the misclassified cases with the highest predicted probability."
        )
    ]
    for unit in r.units:
        wrong, (count, rows) = r.wrong[unit], r.wrong_counts[unit]
        line = f"By {unit}: {count:,} of {units(unit, rows)} misclassified"
        if not count:
            blocks.append(Words(f"{line}."))
            continue
        ids = ["patch_id", "patient_id", "slide_id", "site"] if unit == "patch" else ["patch_id", "site"]
        table = wrong[[*ids, "true", "predicted", "probability_predicted", "probability_true"]].copy()
        names = {
            "patch_id": unit.capitalize(),
            "patient_id": "Patient",
            "slide_id": "Slide",
            "site": "Site",
            "true": "True class",
            "predicted": "Predicted",
            "probability_predicted": "p (predicted)",
            "probability_true": "p (true)",
        }
        table.columns = [names[c] for c in table.columns]
        more = f", the first {len(wrong)} of them" if count > len(wrong) else ""
        last = len(table.columns) - 1
        wide = (1.8, *(0.95 for _ in ids[2:]), 1.4, 1.0, 1.0, 0.9, 0.8)
        blocks.append(
            plain_grid(table, caption=f"{line}{more}, most confident first", wide=wide, right=(last - 1, last))
        )
        if unit == "patch" and r.wrong_patients:
            most = ", ".join(f"{name} ({n})" for name, n in list(r.wrong_patients.items())[:3])
            whose = units("patient", len(r.wrong_patients))
            blocks.append(Words(f"These {count:,} misclassified patches belong to {whose}; most to {most}."))
    blocks.append(Words(r.pictures_note, "muted"))
    if r.pictures:
        blocks.append(Row(r.pictures))
    return section("failures", *blocks)


def maps(r: RunReport) -> Section:
    """Evaluation of the class-activation maps.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> maps(example_report()).title
    'Class-activation maps'
    """
    if r.maps is None:
        return section(
            "maps",
            Words(
                "The maps of this run were not evaluated (her2 runs maps RUN --save)."
                if r.run
                else "A table of predictions has no maps."
            ),
        )
    kinds = list(dict.fromkeys(r.maps["method"]))
    values = {(m.measure, m.method): figure(m.value, m.lower_95, m.upper_95) for m in r.maps.itertuples()}
    rows = tuple(
        (measure.replace("_", " "), *(values.get((measure, m), NONE) for m in kinds))
        for measure in dict.fromkeys(r.maps["measure"])
    )
    grid = Grid(
        "Evaluation of the maps, with 95 % intervals over patients",
        ("Measure", *kinds),
        rows,
        (1.2, *(1.1 for _ in kinds)),
        tuple(range(1, len(kinds) + 1)),
    )
    line = (
        "Pointing game, energy pointing game and overlap use the synthetic ground truth. Deletion should be low, "
        "insertion and ROAD high. The rank correlation with maps of random weights should be near zero. The column "
        "chance is a map of noise, the baseline for every measure."
    )
    return section("maps", Words(line), grid)


def missing(r: RunReport) -> Section:
    """Everything that could not be computed, with reasons.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> missing(example_report()).title
    'What could not be assessed'
    """
    values = r.evaluation.units
    rows = [("metrics", u.unit, "", u.reason) for u in values[~values["assessed"].astype(bool)].itertuples()]
    rows += [(m.table.replace("_", " "), m.unit, m.what, m.reason) for m in r.missing.itertuples()]
    if not rows:
        return section("missing", Words("Every table could be computed at every unit."))
    frame = pd.DataFrame(rows, columns=["Table", "Unit", "Item", "Reason"])
    return section("missing", plain_grid(frame, caption="What could not be assessed", wide=(1, 0.6, 1, 3.4)))


def checklists(r: RunReport) -> Section:
    """TRIPOD+AI and CLAIM 2024, filled in from the content of this report.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> checklists(example_report()).title
    'Reporting checklists'
    """
    blocks: list[Block] = [
        Words(
            "Filled in by rules from the content of this report; item texts are abridged. An item is met only where "
            "its content is in this report; what only the authors know (ethics, funding, eligibility) is not reported. "
            "The original guidelines define the items."
        )
    ]
    for checklist in CHECKLISTS:
        filled = fill(checklist, r)
        blocks.append(Words(counts_sentence(checklist, filled), "strong"))
        blocks.append(Words(checklist.citation, "muted"))
        if r.run is not None:
            blocks.append(_checklist_grid(checklist.name, filled))
            continue
        blocks.append(_checklist_grid(checklist.name, tuple(f for f in filled if f.state != "not reported")))
        blocks.append(Words(not_reported_sentence(filled)))
    return section("checklists", *blocks)


def card(r: RunReport) -> Section:
    """The model card, field by field, limits first.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> card(example_report()).title
    'Model card'
    """
    if r.run is None:
        return section("card", Words("A table of predictions has no model card."))
    limits = r.card["limits"]
    rows = [(k, v) for k, v in _flat({k: v for k, v in r.card.items() if k != "limits"})]
    return section("card", Words("Limits", "strong"), Points(tuple(map(str, limits))), Facts(tuple(rows)))


def methods(r: RunReport) -> Section:
    """How each kind of figure was computed, with references, and the aggregation rules.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> methods(example_report()).title
    'How the figures were computed'
    """
    rules = [f"Aggregation for the {u.unit}: {u.rule_reason}." for u in r.evaluation.units.itertuples() if u.rule]
    return section("methods", Words(r.origin), Points((*_METHODS, *rules)))


def _checklist_grid(name: str, filled: tuple[Filled, ...]) -> Grid:
    rows = tuple((row.number, row.topic, row.text, row.state, row.where) for row in filled)
    head = ("Item", "Topic", "Content", "State", "Section or reason")
    return Grid(name, head, rows, (0.45, 1.25, 2.25, 1.13, 2.7), states=3)


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value)) or "none"))
        else:
            rows.append((name, "none" if value is None or value == {} else str(value)))
    return rows
