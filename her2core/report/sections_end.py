"""What do the last sections say: failures, maps, what is missing, checklists, the card, the methods? A RunReport in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from her2core.report.checklist import CHECKLISTS, STATES, Filled, fill
from her2core.report.document import Block, Facts, Grid, Points, Row, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, figure, plain_grid
from her2core.report.sections import section, units, where

_METHODS = (
    "Unit. Every figure says whether it counts patches, slides or patients. A slide or patient gets one answer from "
    "its patches by a rule that was chosen on the validation part; the rules are named below.",
    "Intervals. 95 % bootstrap that draws whole patients (Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x), "
    "because patches of one patient go together; percentiles stand further out where few patients carry a figure "
    "(Hesterberg 2015, doi 10.1080/00031305.2015.1089789), and a share of 0 or 1 has the bound of Clopper and Pearson "
    "1934 for as many patients as hold its rows. Where patients are unknown or fewer than five, single rows are drawn "
    "and the table says that its interval is too narrow. Calibration errors grow by resampling; their intervals are "
    "reflected about the value. The evaluation tables say of every row how its interval was made.",
    "Discrimination. AUROC is one class against the rest (Hanley and McNeil 1982, doi "
    "10.1148/radiology.143.1.7063747); it does not depend on a threshold. Average precision is not interpolated; it "
    "shows what AUROC hides where a class is rare. Kappa has squared weights (Cohen 1968, doi 10.1037/h0026256) and "
    "sees how far off an answer is; Matthews correlation (Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006) is "
    "zero for any guess.",
    "Calibration. Bins of equal mass; the Brier score runs from 0 to 2 over all classes (Murphy 1973); slope and "
    "intercept are those of a logistic regression on the log-odds (Cox 1958; Van Calster et al. 2019, doi "
    "10.1186/s12916-019-1466-7). A slope below 1 is overconfident.",
    "Abstention. Risk against coverage answers the surest rows first (Geifman and El-Yaniv 2017, arXiv 1705.08500). "
    "Prediction sets are class-conditional split conformal ones (Vovk 2012, doi 10.1007/s10994-013-5355-6), fitted on "
    "validation patches and promised for patches exchangeable with those only.",
    "Clinical use. Net benefit after Vickers and Elkin 2006 (doi 10.1177/0272989X06295361). A threshold is set on "
    "validation by a named rule: the largest sensitivity + specificity - 1 (Youden 1950), or a sensitivity of 95 %.",
    "Notes. A dash is a figure that cannot be computed; the letter beside it leads to the reason below the table.",
)


def failures(r: RunReport) -> Section:
    """The surest mistakes of every unit, and pictures of them where they were asked for and are at hand."""
    blocks: list[Block] = [
        Words(
            f"Which class is taken for which: the confusion matrices of {where('performance')}. "
            "Below, the mistakes that the network was surest of."
        )
    ]
    for unit in r.units:
        wrong, (count, rows) = r.wrong[unit], r.wrong_counts[unit]
        said = f"By {unit}: {count:,} of {units(unit, rows)} wrong"
        if not count:
            blocks.append(Words(f"{said}."))
            continue
        ids = ["patch_id", "patient_id", "slide_id", "site"] if unit == "patch" else ["patch_id", "site"]
        table = wrong[[*ids, "true", "predicted", "p_predicted", "p_true"]].copy()
        names = {
            "patch_id": unit.capitalize(),
            "patient_id": "Patient",
            "slide_id": "Slide",
            "site": "Site",
            "true": "True class",
            "predicted": "Predicted",
            "p_predicted": "p (predicted)",
            "p_true": "p (true)",
        }
        table.columns = [names[c] for c in table.columns]
        more = f", the first {len(wrong)} of them" if count > len(wrong) else ""
        last = len(table.columns) - 1
        wide = (1.8, *(0.95 for _ in ids[2:]), 1.4, 1.0, 1.0, 0.9, 0.8)
        blocks.append(plain_grid(table, caption=f"{said}{more}, surest first", wide=wide, right=(last - 1, last)))
        if unit == "patch" and r.wrong_patients:
            most = ", ".join(f"{name} ({n})" for name, n in list(r.wrong_patients.items())[:3])
            whose = units("patient", len(r.wrong_patients))
            blocks.append(Words(f"These {count:,} mistakes are of {whose}; the most of {most}."))
    blocks.append(Words(r.pictures_note, "muted"))
    if r.pictures:
        blocks.append(Row(r.pictures))
    return section("failures", *blocks)


def maps(r: RunReport) -> Section:
    """How the class-activation maps stood their trials."""
    if r.maps is None:
        return section(
            "maps",
            Words(
                "The maps of this run were not tried (her2 runs maps RUN --save)."
                if r.run
                else "A table of predictions has no maps."
            ),
        )
    kinds = list(dict.fromkeys(r.maps["method"]))
    held = {(m.measure, m.method): figure(m.value, m.lower_95, m.upper_95) for m in r.maps.itertuples()}
    rows = tuple(
        (measure.replace("_", " "), *(held.get((measure, m), NONE) for m in kinds))
        for measure in dict.fromkeys(r.maps["measure"])
    )
    grid = Grid(
        "Trials of the maps, with 95 % intervals over patients",
        ("Measure", *kinds),
        rows,
        (1.2, *(1.1 for _ in kinds)),
        tuple(range(1, len(kinds) + 1)),
    )
    said = (
        "Pointing, mass and overlap: against synthetic truth. Deletion should be low; insertion and ROAD high. "
        "Likeness to the maps of random weights should be near zero. The row chance is a map of noise: what does "
        "not beat it is worth nothing."
    )
    return section("maps", Words(said), grid)


def missing(r: RunReport) -> Section:
    """Everything that the tables could not give, each with its reason, in one place."""
    held = r.evaluation.units
    rows = [("metrics", u.unit, "", u.reason) for u in held[~held["assessed"].astype(bool)].itertuples()]
    rows += [(m.table.replace("_", " "), m.unit, m.what, m.reason) for m in r.missing.itertuples()]
    if not rows:
        return section("missing", Words("Every table could be given at every unit."))
    frame = pd.DataFrame(rows, columns=["Table", "Unit", "What", "Why not"])
    return section("missing", plain_grid(frame, caption="Not given, and why", wide=(1, 0.6, 1, 3.4)))


def checklists(r: RunReport) -> Section:
    """TRIPOD+AI and CLAIM 2024, filled from what this report holds."""
    blocks: list[Block] = [
        Words(
            "Filled by rules from what this report holds, item texts in our own short words. An item is met "
            "only where the "
            "content is here; what only an author can know (ethics, funding, eligibility) is not reported until "
            "a person "
            "adds it. The originals decide what an item asks."
        )
    ]
    for checklist in CHECKLISTS:
        filled = fill(checklist, r)
        count = Counter(row.state for row in filled)
        blocks.append(Words(f"{checklist.name}: {', '.join(f'{count[s]} {s}' for s in STATES)}.", "strong"))
        blocks.append(Words(checklist.citation, "muted"))
        blocks.append(_checklist_grid(checklist.name, filled))
    return section("checklists", *blocks)


def card(r: RunReport) -> Section:
    """The model card, field by field, limits first."""
    if r.run is None:
        return section("card", Words("A table of predictions has no model card."))
    limits = r.card["limits"]
    rows = [(k, v) for k, v in _flat({k: v for k, v in r.card.items() if k != "limits"})]
    return section("card", Words("Limits", "strong"), Points(tuple(map(str, limits))), Facts(tuple(rows)))


def methods(r: RunReport) -> Section:
    """How each kind of figure was computed, with its reference, and by which rule patches became patients."""
    rules = [f"Rule for the {u.unit}: {u.rule_reason}." for u in r.evaluation.units.itertuples() if u.rule]
    return section("methods", Words(r.origin), Points((*_METHODS, *rules)))


def _checklist_grid(name: str, filled: tuple[Filled, ...]) -> Grid:
    rows = tuple((row.number, row.topic, row.text, row.state, row.where) for row in filled)
    head = ("Item", "Topic", "What it asks", "State", "Where, or why not")
    return Grid(name, head, rows, (0.45, 1.25, 2.25, 1.13, 2.7), states=3)


def _flat(held: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in held.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            rows.append((name, ", ".join(map(str, value)) or "none"))
        else:
            rows.append((name, "none" if value is None or value == {} else str(value)))
    return rows
