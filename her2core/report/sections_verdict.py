"""First section of the run report: whether its accuracy can be believed, and what that rests on."""

from __future__ import annotations

from her2core.evidence.verdict import Verdict
from her2core.evidence.verdict.rules import CLAIM, DOCUMENTATION
from her2core.identity import TONE_OF
from her2core.io.text import capitalised
from her2core.report.document import Answer, Block, Grid, Points, Row, Section, Words
from her2core.report.figures import accuracy_chart
from her2core.report.run_report import RunReport
from her2core.report.sections import section

_RULES = (
    f"The claim: {CLAIM} Each aspect is graded by a written rule ({DOCUMENTATION} of the repository); the answer is "
    "that of the worst aspect. There is no score."
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
    blocks: list[Block] = [
        Answer(found.headline, (found.sentence,), TONE_OF[found.answer]),
        *((Row((chart,), 1),) if chart is not None else ()),
        Grid(
            "What each accuracy and its interval rest on",
            ("Accuracy", "Of what"),
            tuple((figure.text, figure.label) for figure in found.figures),
            (1.0, 3.0),
        ),
        Grid(
            "Aspects of the claim",
            ("Aspect", "Finding", "Grade"),
            tuple((titles, f"{capitalised(first.reason)}.", first.grade) for titles, first in groups),
            (1.2, 2.6, 1.2),
            states=2,
        ),
        Points(tuple(f"{titles}: {first.finding}" for titles, first in groups)),
        *_unknowns(found),
        *((Points(found.notes),) if found.notes else ()),
        Words(_RULES, "muted"),
    ]
    return section("verdict", *blocks)


def _unknowns(found: Verdict) -> list[Block]:
    if not found.unknowns:
        return []
    rows = tuple((unknown.what, unknown.needed) for unknown in found.unknowns)
    return [Grid("What cannot be known from these data", ("Not known", "What would make it known"), rows)]
