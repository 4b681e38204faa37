"""Subgroups page: metrics by site, scanner and other groups of patients."""

from __future__ import annotations

import streamlit as st

from dashboard.review import opened_result_table, rows_at, unit_switch
from dashboard.selection import opened_review
from dashboard.widgets import NOTICE, dataframe, download_table, figure, format_interval, markdown_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.result_tables import UNITS
from her2core.plots.subgroups import subgroup_description, subgroup_figure

METRICS = ("accuracy", "balanced_accuracy", "macro_auroc", "recall")

review = opened_review("Subgroups")
st.markdown(
    "An average may hide a site, a scanner or a group of patients for which the model fails. Subgroups are assessed "
    "one by one; an interval that excludes another subgroup's value is not a test of the difference."
)
unit = unit_switch(review, "Unit of analysis", key="group_unit", default=0, among=UNITS)
rows = rows_at(opened_result_table(review, "subgroups"), unit)
if rows.empty:
    st.info("These data have no column that defines subgroups. Add site or scanner to the manifest, or to your table.")
    st.caption(NOTICE)
    st.stop()
left, middle, right = st.columns(3)
by = left.selectbox("Subgroups by", list(dict.fromkeys(rows["by"])), key="groups_by", bind="query-params")
metric = middle.selectbox("Metric", METRICS, format_func=metric_label, key="group_metric", bind="query-params")
of = right.selectbox("Class", review.classes, key="group_class") if metric == "recall" else ""
shown = rows[(rows["by"] == by) & (rows["metric"] == metric) & (rows["class"] == of)]
title = metric_label(metric) + (f", {of}" if of else "")
figure(subgroup_figure(shown), subgroup_description(shown, title=title, by=by), key="groups", table=shown)
dataframe(
    [
        {
            by: str(row["group"]),
            title: format_interval(row),
            "patients": row["patients"],
            "patches" if unit == "patch" else f"{unit}s": row["n"],
            "note": row["note"] if isinstance(row["note"], str) else "",
        }
        for _, row in shown.iterrows()
    ],
    f"{title} by {by}, by {unit}",
)
small = [str(row["group"]) for _, row in shown.iterrows() if "too few" in str(row["note"])]
if small:
    st.warning(
        f"Too few patients for a reliable estimate: {markdown_sentence(', '.join(small))}.", icon=":material/warning:"
    )
download_table("All subgroups (CSV)", rows, f"{review.name}-{unit}-subgroups")
st.caption(NOTICE)
