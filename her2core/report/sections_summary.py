"""First sections of the run report: whether its accuracy can be believed, and the headline figures."""

from __future__ import annotations

from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.verdict.rules import CLAIM, DOCUMENTATION
from her2core.identity import TONE_OF
from her2core.io.text import capitalised
from her2core.report.document import Answer, Block, Grid, Points, Row, Section, Words
from her2core.report.figures import accuracy_chart
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, Notes, cell, figures
from her2core.report.sections import section, text, units

#: Figures of the summary: (table, metric).
HEADLINE = (
    ("metrics", "balanced_accuracy"),
    ("metrics", "macro_auroc"),
    ("metrics", "macro_f1"),
    ("metrics", "quadratic_kappa"),
    ("calibration", "ece_equal_mass"),
    ("risk_coverage", "aurc"),
)


def verdict(r: RunReport) -> Section:
    """Answer, sentence, figures with naive and honest intervals, graded aspects, and what cannot be known.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> verdict(example_report()).blocks[0].text
    'Can this number be believed? Not known.'
    """
    found = r.verdict
    chart = accuracy_chart(found.figures)
    groups = [(", ".join(aspect.title for aspect in group), group[0]) for group in found.grouped]
    accuracies = tuple((figure.text, figure.label) for figure in found.figures)
    aspects = tuple((titles, f"{capitalised(first.reason)}.", first.grade) for titles, first in groups)
    blocks: list[Block] = [
        Answer(found.headline, (found.sentence,), TONE_OF[found.answer]),
        *((Row((chart,), 1),) if chart is not None else ()),
        Grid("What each accuracy and its interval rest on", ("Accuracy", "Of what"), accuracies, (1.0, 3.0)),
        Grid("Aspects of the claim", ("Aspect", "Finding", "Grade"), aspects, (1.2, 2.6, 1.2), states=2),
        Points(tuple(f"{titles}: {first.finding}" for titles, first in groups)),
    ]
    if found.unknowns:
        rows = tuple((unknown.what, unknown.needed) for unknown in found.unknowns)
        head = ("Not known", "What would make it known")
        blocks.append(Grid("What cannot be known from these data", head, rows))
    if found.notes:
        blocks.append(Points(found.notes))
    rules = text("verdict", "rules", claim=CLAIM, documentation=DOCUMENTATION)
    return section("verdict", *blocks, Words(rules, "muted"))


def summary(r: RunReport) -> Section:
    """Headline figures at every unit of analysis, with the claim that the partition permits.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> summary(example_report()).title
    'Summary'
    """
    resampled = r.evaluation.metrics.drop_duplicates("unit").set_index("unit").loc[list(r.units)]
    lines = [
        f"Intervals by {row.Index}: from {units(row.resampling_unit, int(row.n_clusters))}."
        for row in resampled.itertuples()
    ]
    lines += [f"Not by {row.unit}: {row.reason}" for row in r.evaluation.units.itertuples() if not row.assessed]
    return section("summary", Words(r.partition.sentence, "strong"), headline_grid(r), Points(tuple(lines)))


def headline_grid(r: RunReport, *units: str) -> Grid:
    """Table of the headline figures at these units of analysis, by default at all that were assessed.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> headline_grid(example_report()).head
    ('Figure', 'by patch', 'by patient')
    """
    shown, notes = units or r.units, Notes(())
    counted = r.evaluation.units.set_index("unit")["n"]
    body = [("Rows", *(f"{int(counted[unit]):,}" for unit in shown))]
    for table, metric in HEADLINE:
        rows = r.evaluation.metrics if table == "metrics" else r.result_tables[table]
        rows = rows[(rows["metric"] == metric) & (rows["class"] == "")]
        if "scores" in rows:
            rows = rows[rows["scores"] != "uncalibrated"]
        by_unit = {str(row["unit"]): row for row in rows.to_dict("records")}
        body.append((metric_label(metric), *(cell(by_unit.get(unit), notes) for unit in shown)))
    by_slide = (text("summary", "by_slide", dash=NONE),) if "slide" in shown else ()
    head = ("Figure", *(f"by {unit}" for unit in shown))
    return figures("Test partition, with 95 % intervals", head, body, notes=(*notes.lines, *by_slide))
