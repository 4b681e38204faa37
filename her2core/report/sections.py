"""Which sections does a report have, in which order, and how is one referred to? A key in; its number and title out."""

from __future__ import annotations

from her2core.report.document import Block, Section

TITLES = {
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
    "failures": "Failure cases",
    "maps": "Maps",
    "missing": "What could not be assessed",
    "checklists": "Reporting checklists",
    "card": "Model card",
    "methods": "How the figures were made",
}


def number(key: str) -> int:
    return list(TITLES).index(key) + 1


def where(*keys: str) -> str:
    """``Section 3 (Partition)``, several joined by "and"."""
    return " and ".join(f"Section {number(k)} ({TITLES[k]})" for k in keys)


def section(key: str, *blocks: Block) -> Section:
    return Section(key, number(key), TITLES[key], blocks)


def units(unit: str, count: int) -> str:
    """``1 patch``, ``24 patients``."""
    return f"{count:,} {unit if count == 1 else 'patches' if unit == 'patch' else f'{unit}s'}"
