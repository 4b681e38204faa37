"""Which items of a reporting guideline does this report meet, and where? A RunReport in; a filled table out."""

from __future__ import annotations

from dataclasses import dataclass

from her2core.report.checklist_rules import STATES, Checklist, State
from her2core.report.claim import CLAIM
from her2core.report.run_report import RunReport
from her2core.report.tripod import TRIPOD

__all__ = ["CHECKLISTS", "STATES", "Filled", "fill"]

CHECKLISTS: tuple[Checklist, ...] = (TRIPOD, CLAIM)


@dataclass(frozen=True)
class Filled:
    """One item with its ``state`` and ``where`` it is met, or why it is not."""

    number: str
    topic: str
    text: str
    state: State
    where: str


def fill(checklist: Checklist, report: RunReport) -> tuple[Filled, ...]:
    """Every item of the guideline, in its order, judged by its rule on what the report holds."""
    filled = []
    for item in checklist.items:
        verdict = item.rule(report)
        filled.append(Filled(item.number, item.topic, item.text, verdict.state, verdict.where))
    return tuple(filled)
