"""Last sections of the run report: misclassified cases, maps, missing figures, checklists, methods."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from her2core.report.checklist import CHECKLISTS, Filled, counts_sentence, fill, not_reported_sentence
from her2core.report.document import Block, Grid, Points, Row, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, figure, figures, plain_grid
from her2core.report.sections import TEXTS, section, text, units, where


def failures(r: RunReport) -> Section:
    """Most confident misclassified cases of every unit, with images where requested and available.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> failures(example_report()).title
    'Misclassified cases'
    """
    blocks: list[Block] = [Words(text("failures", "order", performance=where("performance")))]
    for unit in r.units:
        count, rows = r.wrong_counts[unit]
        line = f"By {unit}: {count:,} of {units(unit, rows)} misclassified"
        blocks.append(_wrong_grid(r.wrong[unit], unit, line, count) if count else Words(f"{line}."))
        if count and unit == "patch" and r.wrong_patients:
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
        return section("maps", Words(text("maps", "not_evaluated" if r.run else "of_table")))
    methods = list(dict.fromkeys(r.maps["method"]))
    values = {(m.measure, m.method): figure(m.value, m.lower_95, m.upper_95) for m in r.maps.itertuples()}
    body = [
        (measure.replace("_", " "), *(values.get((measure, method), NONE) for method in methods))
        for measure in dict.fromkeys(r.maps["measure"])
    ]
    caption = "Evaluation of the maps, with 95 % intervals over patients"
    grid = figures(caption, ("Measure", *methods), body, wide=1.2, each=1.1)
    return section("maps", Words(text("maps", "measures")), grid)


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
        return section("missing", Words(text("missing", "nothing")))
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
    blocks: list[Block] = [Words(text("checklists", "filled"))]
    for checklist in CHECKLISTS:
        filled = fill(checklist, r)
        shown = [item for item in filled if r.run is not None or item.state != "not reported"]
        blocks += [
            Words(counts_sentence(checklist, filled), "strong"),
            Words(checklist.citation, "muted"),
            _checklist_grid(checklist.name, shown),
        ]
        if r.run is None:
            blocks.append(Words(not_reported_sentence(filled)))
    return section("checklists", *blocks)


def methods(r: RunReport) -> Section:
    """How each kind of figure was computed, with references, and the aggregation rules.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> methods(example_report()).title
    'How the figures were computed'
    """
    rules = [f"Aggregation for the {u.unit}: {u.rule_reason}." for u in r.evaluation.units.itertuples() if u.rule]
    return section("methods", Words(r.origin), Points((*TEXTS["methods"]["points"], *rules)))


def _wrong_grid(wrong: pd.DataFrame, unit: str, line: str, count: int) -> Grid:
    ids = {"patch_id": unit.capitalize(), "patient_id": "Patient", "slide_id": "Slide", "site": "Site"}
    if unit != "patch":
        ids = {column: ids[column] for column in ("patch_id", "site")}
    classes = {"true": "True class", "predicted": "Predicted"}
    probabilities = {"probability_predicted": "p (predicted)", "probability_true": "p (true)"}
    columns = ids | classes | probabilities
    more = f", the first {len(wrong)} of them" if count > len(wrong) else ""
    wide = (1.8, *(0.95 for _ in list(ids)[2:]), 1.4, 1.0, 1.0, 0.9, 0.8)
    right = (len(columns) - 2, len(columns) - 1)
    table = wrong[list(columns)].rename(columns=columns)
    return plain_grid(table, caption=f"{line}{more}, most confident first", wide=wide, right=right)


def _checklist_grid(name: str, filled: Sequence[Filled]) -> Grid:
    rows = tuple((item.number, item.topic, item.text, item.state, item.where) for item in filled)
    head = ("Item", "Topic", "Content", "State", "Section or reason")
    return Grid(name, head, rows, (0.45, 1.2, 2.2, 1.3, 2.63), states=3)
