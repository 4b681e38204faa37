"""Performance page: verdict, metrics with intervals, confusion matrix, curves, threshold explorer and report."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from dashboard.review import unit_switch
from dashboard.selection import opened_review
from dashboard.session import remember
from dashboard.views.baselines import show_baselines
from dashboard.views.gallery import gallery
from dashboard.views.labels import label_noise_section
from dashboard.views.performance import (
    further_metrics,
    report_downloads,
    show_data_and_limits,
    show_map_scores,
    threshold_explorer,
)
from dashboard.views.verdict import show_verdict
from dashboard.widgets import count, dataframe, download_table, figure, format_interval, markdown_sentence, metric
from her2core.evidence.aggregation_rules import RULES
from her2core.evidence.curves import pr_points, roc_points
from her2core.evidence.metrics.registry import headline_metrics, metric_label, metrics_of
from her2core.evidence.misclassified import confusion_cell
from her2core.io.text import capitalised, markdown_text
from her2core.plots.confusion import confusion_description, confusion_figure
from her2core.plots.curves import pr_description, pr_figure, roc_description, roc_figure
from her2core.plots.per_class import per_class_description, per_class_figure

CELL_VALUES: tuple[tuple[Literal["count", "proportion_of_true"], str], ...] = (
    ("count", "Counts"),
    ("proportion_of_true", "Percentage of the true class"),
)

review = opened_review("Performance", warn=False)
classes = review.classes
verdict = show_verdict(review)

switch, about = st.columns([2, 5], gap="medium")
with switch:
    unit = unit_switch(review, "Unit of analysis", key="unit", default=-1)
metrics = review.metrics[review.metrics["unit"] == unit]
first = metrics.iloc[0]
with about:
    said = [
        f"Test set: {count(int(first['n']), unit)}. Brackets: 95% intervals over "
        f"{count(int(first['n_clusters']), first['resampling_unit'])} (see About, Method)."
    ]
    if unit != "patch":
        reason = review.units.set_index("unit").loc[unit, "rule_reason"]
        for rule in RULES:
            reason = reason.replace(rule, rule.replace("_", "-"))
        said.append(f"Aggregation from patches to {unit}s: {markdown_sentence(reason)}.")
    for row in review.units[~review.units["assessed"].astype(bool)].itertuples():
        said.append(f"Not assessed by {row.unit}. {markdown_sentence(capitalised(row.reason))}")
    st.caption(" ".join(said))
note = metrics.loc[metrics["metric"] == "accuracy", "note"].astype(object).fillna("").iloc[0]
if note and not verdict.says(note):
    st.warning(f"Intervals: {markdown_sentence(note)}.", icon=":material/warning:")
headline = [m for m in headline_metrics() if (metrics["metric"] == m.name).any()]
with st.grid(len(headline), min_column_width=150):
    for of_all in headline:
        metric(of_all.label, metrics[metrics["metric"] == of_all.name].iloc[0], of_all.help)

at_unit = review.at(unit)
tabs = st.tabs(
    ["Confusion matrix", "By class", "Curves", "Threshold", "Baselines", "Labels", "Data and maps", "Report"]
)
matrix, by_class, curves, threshold, baselines, labels, data, report = tabs
confusion = review.confusion[review.confusion["unit"] == unit]
counts = {(r.true, r.predicted): int(r.count) for r in confusion.itertuples(index=False)}


def cell_clicked(key: str) -> None:
    """Choose the cell of either matrix that was clicked in the box below."""
    points = st.session_state[key]["selection"]["points"]
    if points:
        st.session_state["cell"] = f"{points[0]['y']} as {points[0]['x']}"


with matrix:
    for column, (show, name) in zip(st.columns(2, gap="medium"), CELL_VALUES, strict=True):
        column.markdown(f"**{name}**")
        with column:
            figure(
                confusion_figure(confusion, classes, show=show),
                confusion_description(confusion, classes, show=show),
                key=f"confusion-{show}-{unit}-{review.digest}",
                words=False,
                on_select=lambda key=f"confusion-{show}-{unit}-{review.digest}": cell_clicked(key),
                selection_mode="points",
            )
    cells = {f"{true} as {predicted}": (true, predicted) for true in classes for predicted in classes}
    chosen = st.selectbox(
        f"Show the {'patches' if unit == 'patch' else f'{unit}s'} of one cell (or click it above)",
        list(cells),
        index=None,
        key="cell",
        bind="query-params",
        placeholder="true class as predicted class",
    )
    if chosen:
        true, predicted = cells[chosen]
        number = count(counts[true, predicted], unit)
        st.markdown(f"{number} of true class {markdown_text(true)}, predicted {markdown_text(predicted)}.")
        gallery(review, confusion_cell(review.at(unit), true=true, predicted=predicted), unit=unit, key="cell")
    download_table("Confusion table (CSV)", confusion, f"{review.name}-{unit}-confusion", minor=True)

with by_class:
    per_class = [m.name for m in metrics_of("metrics") if m.per_class and (metrics["metric"] == m.name).any()]
    rows = {m: metrics[metrics["metric"] == m].set_index("class") for m in per_class}
    dataframe(
        {"class": list(classes)}
        | {metric_label(m): [format_interval(r.loc[c]) for c in classes] for m, r in rows.items()},
        f"Metrics for each class by {unit}",
    )
    st.caption(
        '"Class-specific accuracy" has two readings in the literature: recall (proportion of the class that was '
        "recognised) and one-vs-rest accuracy (proportion of all cases that were correct about this class). Both are "
        "given."
    )
    shown = st.selectbox(
        "Metric shown", per_class, format_func=metric_label, key="per_class_metric", persist_state="session"
    )
    of_metric = metrics[metrics["metric"] == shown]
    figure(
        per_class_figure(of_metric, classes),
        per_class_description(of_metric, classes, metric=metric_label(shown)),
        key="per-class",
        words=False,
    )
    download_table("All metrics (CSV)", metrics, f"{review.name}-{unit}-metrics", minor=True)
    further_metrics(review, unit, metrics)

with curves:
    if at_unit.has_scores:
        roc = remember(("roc", review.key, unit), lambda: roc_points(at_unit))
        pr = remember(("pr", review.key, unit), lambda: pr_points(at_unit))
        left, right = st.columns(2, gap="medium")
        with left:
            figure(roc_figure(roc, classes), roc_description(metrics, classes), key="roc", words=False)
            download_table("ROC curves (CSV)", roc, "roc", minor=True)
        with right:
            figure(pr_figure(pr, classes), pr_description(pr, classes), key="pr", words=False)
            download_table("Precision-recall curves (CSV)", pr, "pr", minor=True)
    else:
        st.info("Not available: ROC and precision-recall curves. They need scores.")
with threshold:
    if at_unit.has_scores:
        threshold_explorer(review, unit)
    else:
        st.info("Not available: the threshold explorer. It needs scores.")
with baselines:
    if review.has_baselines:
        show_baselines(review, unit)
    else:
        st.info("No baselines were computed for these predictions.")
with labels:
    label_noise_section(review, unit)
with data:
    if review.run:
        show_map_scores(review.run)
        show_data_and_limits(review.run)
    else:
        st.info("A predictions file holds nothing about its data, and no maps.")
with report:
    report_downloads(review)
