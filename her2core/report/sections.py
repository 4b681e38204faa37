"""Sections of the run report: their order, numbers and titles, and how the text refers to them."""

from __future__ import annotations

from her2core.report.document import Block, Section

#: Section key -> title, in the order of the report.
TITLES = {
    "verdict": "Verdict",
    "summary": "Summary",
    "data": "Data",
    "partition": "Partition",
    "model": "Model and training",
    "performance": "Performance",
    "operating": "Operating points set on validation",
    "calibration": "Calibration",
    "abstention": "Abstention",
    "decisions": "Decision curve",
    "subgroups": "Subgroups",
    "labels": "Labels",
    "failures": "Misclassified cases",
    "maps": "Class-activation maps",
    "missing": "What could not be assessed",
    "checklists": "Reporting checklists",
    "card": "Model card",
    "methods": "How the figures were computed",
}


def number(key: str) -> int:
    """Number of a section, counted from 1.

    Examples
    --------
    >>> number("partition")
    4
    """
    return list(TITLES).index(key) + 1


def where(*keys: str) -> str:
    """Reference to one section or several.

    Examples
    --------
    >>> where("partition", "methods")
    'Section 4 (Partition) and Section 18 (How the figures were computed)'
    """
    return " and ".join(f"Section {number(k)} ({TITLES[k]})" for k in keys)


def section(key: str, *blocks: Block) -> Section:
    """The section ``key`` with its number and title, holding ``blocks`` in order.

    Examples
    --------
    >>> section("summary").title
    'Summary'
    """
    return Section(key, number(key), TITLES[key], blocks)


def units(unit: str, count: int) -> str:
    """A count with its unit of analysis.

    Examples
    --------
    >>> units("patch", 1), units("patch", 1200), units("patient", 24)
    ('1 patch', '1,200 patches', '24 patients')
    """
    return f"{count:,} {unit if count == 1 else 'patches' if unit == 'patch' else f'{unit}s'}"
