"""What if a case were called from this probability on? A review and a unit in; rates at the chosen threshold out."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import download_table, units_of, value_and_bounds
from dashboard.review import Review
from dashboard.state import remember
from dashboard.words import plain
from her2core.evidence.thresholds import operating_point

RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "share_called": "Share called",
}
CALLED = ("true_positives", "false_positives")


def threshold_explorer(review: Review, unit: str) -> None:
    """Draw the section."""
    st.header("Threshold explorer")
    st.caption(
        "What if a case were called as soon as its probability reached a threshold? A threshold for use must be "
        "set on validation data (see Decisions); on test data it only describes."
    )
    left, right = st.columns([1, 2])
    classes = review.classes
    of = left.selectbox("Class to call", classes, index=len(classes) - 1, key="of", bind="query-params")
    threshold = right.slider("Called from this probability", 0.0, 1.0, 0.5, 0.01, key="threshold", bind="query-params")
    point = remember(
        ("point", review.key, unit, of, threshold), lambda: operating_point(review.at(unit), of=of, threshold=threshold)
    )
    figures = point.set_index("metric")
    for column, (metric, name) in zip(st.columns(len(RATES)), RATES.items(), strict=True):
        value, bounds = value_and_bounds(figures.loc[metric])
        column.metric(name, value, help=f"{name} by {unit}, {bounds}", border=True)
        column.caption(bounds)
    called, right_calls = (int(figures.loc[list(m), "value"].sum()) for m in (CALLED, CALLED[:1]))
    st.caption(
        f"Called {plain(of)}: {units_of(called, unit)}, {right_calls:,} of them rightly; "
        f"missed: {int(figures.loc['false_negatives', 'value']):,}."
    )
    download_table("Operating point (CSV)", point, f"{review.name}-{unit}-{of}-threshold")
