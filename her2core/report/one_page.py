"""One-page summary of a run report, to be handed round at a journal club: verdict, figures, open questions."""

from __future__ import annotations

from her2core.evidence.verdict.rules import SUPPORTS
from her2core.identity import TONE_OF
from her2core.io.text import clean_text
from her2core.report.checklist import CHECKLISTS, counts_sentence, fill
from her2core.report.document import Answer, Block, Chart, Document, Facts, Grid, Points, Row, Section, Words
from her2core.report.figures import accuracy_chart, confusion_chart
from her2core.report.run_document import report_frame
from her2core.report.run_report import RunReport
from her2core.report.sections import units
from her2core.report.sections_summary import headline_grid

#: Open questions that one page holds (our choice).
_QUESTIONS = 6


def summary_document(report: RunReport) -> Document:
    """The one-page summary of a report; equal reports give equal documents.

    Parameters
    ----------
    report : RunReport
        From ``run_report`` or ``predictions_report``.

    Returns
    -------
    Document
        A sheet with the warnings of the whole report.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> document = summary_document(example_report())
    >>> document.title, [section.key for section in document.sections][:3]
    ('Summary: example.csv', ['verdict', 'tested', 'graded'])
    """
    found, unit = report.verdict, report.units[-1]
    chart = accuracy_chart(found.figures)
    confusion = report.evaluation.confusion
    cells = confusion_chart(confusion[confusion["unit"] == unit], report.classes, unit)
    answer = Answer(found.headline, (found.sentence,), TONE_OF[found.answer])
    sections = [
        Section("verdict", 0, "Verdict", (answer, *_row(chart))),
        Section("tested", 0, "What was tested", (Facts(_tested(report)),)),
        Section("graded", 0, "How the claim is graded", (_grades(report),), beside=True),
        Section("figures", 0, "Figures", (headline_grid(report, *(u for u in report.units if u != "slide")),)),
        *((Section("confusion", 0, f"Confusion by {unit}", _row(cells), beside=True),) if cells is not None else ()),
        Section("discuss", 0, "Questions to discuss", (Points(_questions(report)),)),
        Section("reporting", 0, "Reporting", (Words(_reporting(report)),)),
    ]
    return Document(
        **report_frame(report),
        kind="her2core summary",
        title=f"Summary: {clean_text(report.name, 90) or 'unnamed'}",
        sections=tuple(sections),
        sheet=True,
    )


def _row(chart: Chart | None) -> tuple[Block, ...]:
    return () if chart is None else (Row((chart,), 1),)


def _tested(r: RunReport) -> tuple[tuple[str, str], ...]:
    counted = r.evaluation.units
    test = ", ".join(units(u.unit, int(u.n)) for u in counted[counted["assessed"].astype(bool)].itertuples())
    rows = [("Test partition", test), ("Split", r.partition.sentence), ("Classes", ", ".join(r.classes))]
    if r.run is None:
        return (*rows, ("Network", "not known: a table of predictions does not describe it"))
    data, card = r.card["data"], r.card
    source = data.get("facts", {}).get("citation") or data.get("name") or ", ".join(map(str, data["sources"]))
    return (
        ("Data", str(source)),
        *rows,
        ("Network", f"{card['network']['name']}, {card['input']['px']} x {card['input']['px']} px"),
        ("Labels", str(card["scheme"]["meaning"])),
    )


def _grades(r: RunReport) -> Grid:
    rows = tuple((", ".join(aspect.title for aspect in group), group[0].grade) for group in r.verdict.grouped)
    return Grid("Aspects of the claim", ("Aspect", "Grade"), rows, (1.3, 1.1), states=1)


def _questions(r: RunReport) -> tuple[str, ...]:
    """The question of each aspect that does not support the claim with its finding, then what cannot be known."""
    open_ = [a for a in r.verdict.aspects if a.grade != SUPPORTS]
    asked = [f"{aspect.about.question} {aspect.finding}" for aspect in open_]
    graded = {f"{aspect.title}." for aspect in open_}
    asked += [f"Not known: {u.what} {u.needed}" for u in r.verdict.unknowns if u.what not in graded]
    if len(asked) > _QUESTIONS:
        asked = [*asked[: _QUESTIONS - 1], f"And {len(asked) - _QUESTIONS + 1} more: see the whole report."]
    return tuple(asked) or ("Every aspect supports the claim.",)


def _reporting(r: RunReport) -> str:
    return " ".join(counts_sentence(checklist, fill(checklist, r)) for checklist in CHECKLISTS)
