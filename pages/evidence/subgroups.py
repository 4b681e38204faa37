"""Is it as good at every site, on every scanner? The evidence in use in; its figures by group, with warnings, out."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_review
from dashboard.parts import NOTICE, download_table, figure, interval
from dashboard.result_tables import opened_exhibit, rows_at
from dashboard.review import unit_switch
from dashboard.words import sentence
from her2core.evidence.result_tables import UNITS
from her2core.plots.subgroups import group_figure, group_words

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auroc": "AUROC, mean",
    "recall": "Recall of a class",
}

review = opened_review("Subgroups")
st.markdown(
    "A mean may hide a site, a scanner or a group of patients for whom the network fails. Groups are looked at "
    "one by one; that one interval leaves another's value out is no test of a difference."
)
unit = unit_switch(review, "Unit", key="group_unit", default=0, among=UNITS)
rows = rows_at(opened_exhibit(review, "subgroups"), unit)
if rows.empty:
    st.info("These data have no column that makes groups. Add site or scanner to the manifest, or to your table.")
    st.caption(NOTICE)
    st.stop()
left, middle, right = st.columns(3)
by = left.selectbox("Groups by", list(dict.fromkeys(rows["by"])), key="groups_by", bind="query-params")
metric = middle.selectbox("Figure", list(METRICS), format_func=METRICS.get, key="group_metric", bind="query-params")
of = right.selectbox("Class", review.classes, key="group_class") if metric == "recall" else ""
shown = rows[(rows["by"] == by) & (rows["metric"] == metric) & (rows["class"] == of)]
title = METRICS[metric] if not of else f"Recall of {of}"
figure(group_figure(shown), group_words(shown, title=title, by=by), key="groups", table=shown)
st.dataframe(
    [
        {
            by: str(row["group"]),
            title: interval(row),
            "patients": row["patients"],
            f"{unit} rows": row["n"],
            "note": row["note"] if isinstance(row["note"], str) else "",
        }
        for _, row in shown.iterrows()
    ],
    hide_index=True,
    width="stretch",
    alt=f"{title} by {by}, by {unit}",
)
small = [str(row["group"]) for _, row in shown.iterrows() if "too few" in str(row["note"])]
if small:
    st.warning(f"Too few patients to judge by: {sentence(', '.join(small))}.", icon=":material/warning:")
download_table("All groups (CSV)", rows, f"{review.name}-{unit}-subgroups")
st.caption(NOTICE)
