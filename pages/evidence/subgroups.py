"""Subgroups page: metrics by site, scanner, age group, race and other groups, and differences between them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.review import opened_result_table, rows_at, unit_switch
from dashboard.selection import opened_review
from dashboard.widgets import count, dataframe, download_table, figure, format_interval, format_p, markdown_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.result_tables import UNITS
from her2core.io.text import capitalised, markdown_text
from her2core.plots.colours import interval_text
from her2core.plots.subgroups import subgroup_description, subgroup_figure

METRICS = ("accuracy", "balanced_accuracy", "macro_auroc", "recall", "specificity")


def _together(row: pd.Series) -> str:
    """Interval that holds together with those of the other groups; empty where there is none."""
    low = row.get("lower_simultaneous", float("nan"))
    return "" if pd.isna(low) else f"[{low:.1%}, {row['upper_simultaneous']:.1%}]"


def _difference(row: dict[str, Any]) -> str:
    """Difference with its interval, in points."""
    if pd.isna(row["difference"]):
        return "-"
    low, high = row["lower_simultaneous"], row["upper_simultaneous"]
    bounds = "(no interval)" if pd.isna(low) else f"[{low:+.1%}, {high:+.1%}]"
    return f"{row['difference']:+.1%} {bounds}"


def _prediction(row: dict[str, Any]) -> str:
    """Prediction interval of a new site; empty where there is none."""
    low, high = row["lower_prediction_95"], row["upper_prediction_95"]
    return "" if pd.isna(low) else f"[{low:.1%}, {high:.1%}]"


review = opened_review("Subgroups")
first, left, middle, right = st.columns(4, gap="small")
with first:
    unit = unit_switch(review, "Unit of analysis", key="unit", default=0, among=UNITS)
rows = rows_at(opened_result_table(review, "subgroups"), unit)
if rows.empty:
    st.info("These data have no column that defines subgroups. Add site or scanner to the manifest, or to your table.")
    st.stop()
by = left.selectbox("Subgroups by", list(dict.fromkeys(rows["by"])), key="groups_by", bind="query-params")
metric = middle.selectbox("Metric", METRICS, format_func=metric_label, key="group_metric", bind="query-params")
of = right.selectbox("Class", review.classes, key="group_class") if metric in ("recall", "specificity") else ""
shown = rows[(rows["by"] == by) & (rows["metric"] == metric) & (rows["class"] == of)]
title = metric_label(metric) + (f", {of}" if of else "")
drawn = shown[shown["value"].notna()]
about = (
    "An average may hide a site, a scanner or a group of patients for which the model fails. Subgroups are assessed "
    "one by one; an interval that excludes another subgroup's value is not a test of the difference."
)
numbers = [
    {
        by: str(row["group"]),
        title: format_interval(row),
        "patients": row["patients"],
        "patches" if unit == "patch" else f"{unit}s": row["n"],
        **({"all groups together": _together(row)} if "lower_simultaneous" in shown else {}),
        "note": row["note"] if isinstance(row["note"], str) else "",
    }
    for _, row in shown.iterrows()
]
groups, between, over_sites = st.tabs(["Groups", "Differences between groups", "Between sites"])
with groups:
    if drawn.empty:
        dataframe(numbers, f"{title} by {by}, by {unit}")
    else:
        description = subgroup_description(drawn, title=title, by=by)
        figure(subgroup_figure(drawn), description, key="groups", table=shown, beside=numbers, note=about)
    if "lower_simultaneous" in shown:
        st.caption(
            "Brackets: 95% interval of each group alone; all groups together: intervals that hold for all groups at "
            "once (Bonferroni)."
        )
    small = [str(row["group"]) for _, row in shown.iterrows() if "too few" in str(row["note"])]
    if small:
        st.warning(
            f"Too few patients for a reliable estimate: {markdown_sentence(', '.join(small))}.",
            icon=":material/warning:",
        )
with between:
    differences = opened_result_table(review, "group_differences")
    compared = differences.frame[(differences.frame["unit"] == unit) & (differences.frame["by"] == by)]
    if compared.empty:
        missing = differences.missing
        reasons = missing.loc[(missing["unit"] == unit) & missing["what"].isin([by, ""]), "reason"].astype(str)
        st.info(f"Not available: {markdown_sentence('; '.join(reasons) or 'not compared by ' + by)}.")
    else:
        first = compared.iloc[0]
        st.caption(
            f"Group less {markdown_text(str(first['reference']))} "
            f"({count(int(first['reference_patients']), 'patient')}, the largest). The intervals of the "
            f"{int(first['comparisons'])} comparisons hold together at 95% (Bonferroni); only one that excludes zero "
            "shows a difference."
        )
        dataframe(
            [
                {
                    "group": str(row["group"]),
                    "patients": int(row["patients"]),
                    "metric": metric_label(row["metric"], of=row["class"]),
                    "difference": _difference(row),
                    "statement": row["statement"],
                    "note": row["note"] if isinstance(row["note"], str) else "",
                }
                for row in compared.to_dict("records")
            ],
            f"Differences by {by}, by {unit}",
        )
        download_table("All differences (CSV)", differences.frame, f"{review.name}-{unit}-group-differences")
with over_sites:
    sites = opened_result_table(review, "between_sites")
    if sites.frame.empty:
        st.info(f"Not available: {markdown_sentence('; '.join(sites.missing['reason'].astype(str)))}.")
    else:
        st.caption(
            "By patient, with a binomial-normal model: summary over sites with its 95% credible interval, and 95% "
            "prediction interval of a new site. The p value is of the hypothesis that all sites are alike, by "
            "permutation; with few or small sites a large one shows no homogeneity."
        )
        for note in dict.fromkeys(n for n in sites.frame["note"] if n):
            st.info(markdown_sentence(f"{capitalised(note)}."))
        dataframe(
            [
                {
                    "metric": metric_label(row["metric"], of=row["class"]),
                    "summary": interval_text(row["value"], row["lower_95"], row["upper_95"]),
                    "new site": _prediction(row),
                    "single sites": f"{row['lowest']:.0%} to {row['highest']:.0%}" if row["sites"] else "",
                    "homogeneity p": format_p(row["p_value"]),
                    "SD (log odds)": f"{row['tau']:.2f}",
                    "sites": int(row["sites"]),
                    "patients": int(row["patients"]),
                    "left out": row["left_out"],
                }
                for row in sites.frame[sites.frame["value"].notna()].to_dict("records")
            ],
            "Heterogeneity between sites, by patient",
        )
download_table("All subgroups (CSV)", rows, f"{review.name}-{unit}-subgroups")
