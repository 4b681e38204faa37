"""Baselines of a run: their table; the verdict says above the figures which are not beaten."""

from __future__ import annotations

import streamlit as st

from dashboard.cache import baselines
from dashboard.review import Review
from dashboard.widgets import dataframe, download_table, format_difference, format_interval, markdown_sentence
from her2core.evidence.baselines import BASELINES, METRICS
from her2core.evidence.metrics.registry import metric_label
from her2core.io.text import capitalised


def show_baselines(review: Review, unit: str) -> None:
    """Draw the table of the baselines, with the reasons for those that are missing."""
    found = baselines(review.run) if review.run else None
    if found is None:
        return
    st.caption(
        "What is reached on the same test part without looking at the tissue: each baseline is fitted on the training "
        "part. Differences are the network's value less the baseline's, and resample the same patients for both."
    )
    rows = found.frame[found.frame["unit"] == unit]
    bounds = {"difference_lower_95": "lower_95", "difference_upper_95": "upper_95"}
    differences = rows[["difference", *bounds]].rename(columns=bounds)
    dataframe(
        {
            "baseline": [capitalised(BASELINES.get(name, name)) for name in rows["baseline"]],
            "metric": [metric_label(name) for name in rows["metric"]],
            "value": [format_interval(row) for _, row in rows.iterrows()],
            "network": [f"{value:.1%}" for value in rows["network"]],
            "difference (points)": [format_difference(row) for _, row in differences.iterrows()],
            "network is": rows["statement"].tolist(),
        },
        f"Baselines by {unit}; first metric {metric_label(METRICS[0])}",
    )
    missing = found.missing[found.missing["unit"] == unit]
    for reason, names in missing.groupby("reason", sort=False)["what"]:
        named = ", ".join(BASELINES.get(name, name) for name in names)
        st.caption(f"Not computed: {named}. {markdown_sentence(capitalised(str(reason)))}.")
    download_table("Baselines (CSV)", rows, f"{review.name}-{unit}-baselines")
