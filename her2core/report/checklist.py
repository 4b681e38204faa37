"""Reporting guidelines (TRIPOD+AI, CLAIM 2024), filled in from what a report contains.

References
----------
G. S. Collins et al. (2024), TRIPOD+AI statement, BMJ 385:e078378, doi 10.1136/bmj-2023-078378.
A. S. Tejani et al. (2024), CLAIM 2024 update, Radiology: Artificial Intelligence 6(4):e240300,
doi 10.1148/ryai.240300.
"""

from __future__ import annotations

from dataclasses import dataclass

from her2core.report.checklist_items import STATES, Checklist, State
from her2core.report.claim import CLAIM
from her2core.report.run_report import RunReport
from her2core.report.tripod import TRIPOD

__all__ = ["CHECKLISTS", "STATES", "Filled", "fill"]

CHECKLISTS: tuple[Checklist, ...] = (TRIPOD, CLAIM)


@dataclass(frozen=True)
class Filled:
    """One item of a guideline with its assessment.

    Attributes
    ----------
    number, topic, text : str
        Number in the guideline, its heading, and what it asks in our own words.
    state : {'met', 'partly', 'not reported', 'not applicable'}
        Assessment of the item.
    where : str
        The section that meets the item, or the reason why it is not met.
    """

    number: str
    topic: str
    text: str
    state: State
    where: str


def fill(checklist: Checklist, report: RunReport) -> tuple[Filled, ...]:
    """Assess every item of a guideline by its rule on what a report contains.

    Parameters
    ----------
    checklist : Checklist
        One of ``CHECKLISTS``.
    report : RunReport
        Report of a run or of a table of predictions.

    Returns
    -------
    tuple of Filled
        All items in the guideline's order.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> [item.state for item in fill(TRIPOD, example_report())].count("met")
    1
    """
    filled = []
    for item in checklist.items:
        found = item.rule(report)
        filled.append(Filled(item.number, item.topic, item.text, found.state, found.where))
    return tuple(filled)
