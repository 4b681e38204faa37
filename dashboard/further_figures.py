"""What do the less usual scores say? A review and a unit in; kappa, Matthews, loss, NPV and average precision out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.parts import interval, plain_interval
from dashboard.review import Review
from dashboard.state import remember
from dashboard.words import sentence
from her2core.evidence.ordinal import ordinal_table

WHOLE = {
    "quadratic_kappa": "Quadratic kappa",
    "matthews": "Matthews correlation",
    "negative_log_likelihood": "Log loss (nats)",
    "macro_average_precision": "Average precision, mean",
}
BY_CLASS = {"average_precision": "Average precision (AUPRC)", "npv": "NPV"}
#: Beyond so many rows these take tens of seconds, and are computed when they are asked for.
AT_ONCE = 200_000


def further_figures(review: Review, unit: str, metrics: pd.DataFrame) -> None:
    """Draw the section; a run's tables hold these rows, for a file they are computed here."""
    st.header("Further figures")
    if not metrics["metric"].isin(WHOLE).any():
        rows = len(review.at(unit))
        if rows > AT_ONCE and not st.checkbox(f"Compute them (tens of seconds for {rows:,} rows)", key="further"):
            return
        metrics = remember(("further", review.key, unit), lambda: ordinal_table(review.at(unit)))
    whole = metrics[metrics["class"] == ""].set_index("metric")
    st.dataframe(
        [{name: plain_interval(whole.loc[metric]) for metric, name in WHOLE.items()}],
        hide_index=True,
        width="stretch",
        alt=f"Further figures by {unit}",
    )
    by_class = metrics[metrics["metric"].isin(BY_CLASS)].set_index(["metric", "class"])
    st.dataframe(
        [
            {"class": c} | {name: interval(by_class.loc[(metric, c)]) for metric, name in BY_CLASS.items()}
            for c in review.classes
        ],
        hide_index=True,
        width="stretch",
        alt=f"Average precision and NPV of each class by {unit}",
    )
    for metric in WHOLE:
        note = whole.loc[metric, "note"]
        if isinstance(note, str) and ("not given" in note or "cannot" in note):
            st.caption(f"{WHOLE[metric]}: {sentence(note)}.")
