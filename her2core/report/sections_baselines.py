"""Baselines in the run report: what is reached without looking at the tissue, and what the network adds."""

from __future__ import annotations

from her2core.evidence.baselines import BASELINES, METRICS
from her2core.evidence.metrics.registry import metric_label
from her2core.report.document import Block, Grid, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import figure

_WHAT = (
    "Baselines are fitted on the training partition and assessed on the same test partition, without looking at the "
    "tissue. Differences are the network's value less the baseline's, from resamples of the same patients."
)
_NONE = (
    "Baselines were not computed: whether the network beats the majority class, or the colours of the patches alone, "
    "is unknown (her2 baselines RUN --manifest MANIFEST --save)."
)


def baseline_blocks(r: RunReport) -> list[Block]:
    """A table of the baselines by unit, with reasons for those that are missing.

    Parameters
    ----------
    r : RunReport

    Returns
    -------
    list of Block
        One sentence where they were not computed; nothing for a table of predictions.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> baseline_blocks(example_report())
    []
    """
    if r.run is None:
        return []
    if r.baselines is None:
        return [Words(_NONE, "note")]
    blocks: list[Block] = [Words("Baselines", "strong"), Words(_WHAT)]
    for unit in r.units:
        rows = r.baselines[(r.baselines["unit"] == unit) & r.baselines["metric"].isin(METRICS)]
        missing = r.missing[(r.missing["table"] == "baselines") & (r.missing["unit"] == unit)]
        if rows.empty and missing.empty:
            continue
        reasons = missing.groupby("reason", sort=False)["what"].apply(
            lambda names: ", ".join(BASELINES.get(n, n) for n in names)
        )
        blocks.append(
            Grid(
                f"Baselines by {unit}, with 95 % intervals",
                ("Baseline", "Metric", "Value", "Network", "Difference", "The network is"),
                tuple(
                    (
                        BASELINES.get(row.baseline, row.baseline),
                        metric_label(row.metric),
                        figure(row.value, row.lower_95, row.upper_95),
                        figure(row.network),
                        figure(row.difference, row.difference_lower_95, row.difference_upper_95),
                        row.statement,
                    )
                    for row in rows.itertuples()
                ),
                wide=(1.2, 1.2, 1.4, 0.8, 1.5, 1.5),
                notes=tuple(f"Not computed: {names}. {reason}." for reason, names in reasons.items()),
            )
        )
    return blocks
