"""The documentation page of the metrics, generated from the registry.

python -m her2core.evidence.metrics.documentation > docs/metrics.md
"""

from __future__ import annotations

from her2core.evidence.metrics.registry import markdown_table, metrics_of

_INTRODUCTION = """# Metrics

Names as they appear in the column `metric` of every table, with definition, range and reference. This page is generated
from the registry (`her2core/evidence/metrics/registry.py`). Intervals are described under [Method](method.md); how to
add a metric, in [Add a metric](howto/add-a-metric.md).

"Class-specific accuracy" has two readings in the literature, recall and one-vs-rest accuracy; both are computed, each
by its name. *Needs scores*: the metric is left out where only hard labels are given.
"""
#: Table -> heading of its section.
_SECTIONS = {
    "metrics": "Discrimination and agreement",
    "calibration": "Calibration",
    "reliability": "Reliability diagram",
    "operating_points": "Operating points",
    "risk_coverage": "Risk and coverage",
    "referral": "Referral by prediction sets",
    "decisions": "Decision curves",
    "ish_referral": "ISH tests saved and positives missed",
    "three_way": "Three-way decision curves",
}


def markdown_page() -> str:
    """The whole page docs/metrics.md: introduction, and one table of metrics for each table of results.

    Returns
    -------
    str

    Examples
    --------
    >>> "## Calibration" in markdown_page()
    True
    """
    sections = [
        f"## {heading}\n\nTable `evaluation/{table}.csv`.\n\n{markdown_table(metrics_of(table))}"
        for table, heading in _SECTIONS.items()
    ]
    return "\n\n".join([_INTRODUCTION.rstrip(), *sections]) + "\n"


if __name__ == "__main__":
    print(markdown_page(), end="")
