"""Backbones page: comparison of networks that were tested on the same patches, with their costs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.review import Review, unit_switch
from dashboard.selection import opened_review, or_stop, selected_run
from dashboard.views.backbones import show_study
from dashboard.views.studies import compared_runs
from dashboard.widgets import (
    dataframe,
    detectable_sentence,
    download_table,
    figure,
    format_detectable,
    format_difference,
    format_p,
    heading,
    markdown_sentence,
    short_names,
)
from her2core.errors import Her2Error
from her2core.evidence.metrics.registry import METRICS, metric_label
from her2core.io.text import capitalised, markdown_text
from her2core.plots.accuracy_cost import accuracy_cost_description, accuracy_cost_figure
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic
from her2core.study.answer import PAPER
from her2core.study.comparison import comparable_runs, comparison_table

#: Choice of the runs in place of a study.
RUNS = "Runs tested on the same patches as the selected model"
COSTS = {"flops": "FLOPs per patch", "latency_ratio": "Latency (plain ResNet50 = 1)", "parameters": "Parameters"}


def runs_side_by_side(run: Run, unit: str) -> tuple[dict[str, Run], pd.DataFrame]:
    """Draw the comparable runs; return them by name, and the others with the reason."""
    names, _ = cache.run_names()
    others = [other for other, _ in map(cache.try_open, names.values()) if other is not None]
    same, excluded = or_stop(lambda: comparable_runs(run, others, test_predictions=cache.test_predictions))
    table = or_stop(lambda: comparison_table(same, unit, metrics=cache.metrics))
    dataframe(compared_runs(table, run.classes), f"Comparable runs by {unit}")
    download_table("Comparison (CSV)", table, f"backbones-{unit}")
    if len(same) > 1:
        show_cost(table)
    by_path = {path: name for name, path in names.items()}
    return {by_path.get(str(other.path), other.name): other for other in same}, excluded


def show_cost(table: pd.DataFrame) -> None:
    """Draw accuracy against the cost that the viewer chooses."""
    cost = st.segmented_control(
        "Cost",
        list(COSTS),
        format_func=COSTS.__getitem__,
        default="flops",
        key="cost",
        bind="query-params",
        required=True,
    )
    cost = cost if cost in COSTS else "flops"
    known = table[table[cost].notna()]
    if known.empty:
        st.caption("The cost of these runs was not measured: `her2 runs complete RUN` measures it.")
        return
    title = COSTS[cost]
    description = accuracy_cost_description(known, cost=cost, title=title)
    paper = known.loc[known["network"] == PAPER, "run"].tolist()
    figure(accuracy_cost_figure(known, cost=cost, title=title, marked=paper), description, key=f"cost-{cost}")
    if paper:
        st.caption("Star: the network of Joshi et al. 2025 as built here.")


def difference_of_two(runs: dict[str, Run], unit: str) -> None:
    """Draw the paired differences of two runs that the viewer chooses."""
    left, right = st.columns(2)
    names = list(runs)
    title = short_names(names).__getitem__
    first = left.selectbox("First", names, index=0, format_func=title, key="first", bind="query-params")
    second = right.selectbox("Second", names, index=1, format_func=title, key="second", bind="query-params")
    if first == second:
        st.info("Choose two different runs.")
        return
    try:
        found = cache.differences(runs[first], runs[second], unit)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    table, main = found.table, found.primary
    label = metric_label(main["metric"]).lower()
    st.markdown(
        f"**{markdown_text(capitalised(found.statement))}**: {label} by {unit}, the primary metric. "
        f"Difference {format_difference(main)} points. {detectable_sentence(main)}"
    )
    # Only proportions are in percent: kappa, correlation and likelihood have units of their own.
    proportions = [METRICS[m].is_proportion for m in table["metric"]]
    shown = pd.DataFrame(
        {
            "metric": [metric_label(m, of=c) for m, c in zip(table["metric"], table["class"], strict=True)],
            "difference": [
                format_difference(row, proportion=p) for p, (_, row) in zip(proportions, table.iterrows(), strict=True)
            ],
            "detectable": [
                format_detectable(row, proportion=p) for p, (_, row) in zip(proportions, table.iterrows(), strict=True)
            ],
            **{
                name: [f"{v:.1%}" if p else f"{v:.3f}" for p, v in zip(proportions, table[column], strict=True)]
                for name, column in ((first, "first"), (second, "second"))
            },
            "p (jackknife t)": table["p_value"].map(format_p),
            "p (classical)": table["classical_p_value"].map(format_p),
            "classical test": table["classical_test"],
        }
    )
    dataframe(shown, f"{second} minus {first}, paired")
    st.caption(f"Second minus first, by {unit}, proportions in points; {markdown_sentence(found.note)}.")
    st.caption(
        "Only the primary metric says which run is better; the others are descriptive, as among many some differ by "
        "chance. Detectable: the smallest difference that such data show with a power of 80%. The comparison is about "
        "these two trained runs: another training of the same network may differ."
    )
    download_table("Differences (CSV)", table, f"difference-{first}-{second}-{unit}")


def all_against_one(review: Review, runs: dict[str, Run], run: Run, unit: str) -> None:
    """Draw the differences of all runs from the selected one, adjusted for their number."""
    try:
        table = cache.adjusted_differences(run, [r for r in runs.values() if r.path != run.path], unit)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    shown = pd.DataFrame(
        {
            "run": table["run"],
            "difference (points)": [format_difference(row) for _, row in table.iterrows()],
            "result (Holm-adjusted)": table["statement"],
            "detectable (points)": [format_detectable(row) for _, row in table.iterrows()],
            "p": table["p_value"].map(format_p),
            "p (Holm)": table["p_value_holm"].map(format_p),
        }
    )
    dataframe(shown, "Balanced accuracy of every run, adjusted")
    st.caption(f"Balanced accuracy by {unit}, paired; p adjusted for {len(table)} comparisons (Holm 1979).")
    download_table("All against one (CSV)", table, f"backbones-{unit}-adjusted")


def show_runs(review: Review, run: Run) -> None:
    """Draw the runs that were tested on the same patches as the selected one."""
    st.caption("Runs are compared only where they were tested on the **same patches with the same labels**.")
    unit = unit_switch(review, "Unit of analysis", key="unit", default=-1)
    side_by_side, two, against, others = st.tabs(
        ["Side by side", "Difference of two", "All against the selected one", "Not comparable"]
    )
    with side_by_side:
        runs, excluded = runs_side_by_side(run, unit)
        if len(runs) < 2:
            st.info(
                "No other run was tested on the same patches. Train one on the same data and split, for example "
                "`her2 train configs/demo.yaml --set network.name=resnet50`, and it appears here."
            )
    with two:
        if len(runs) > 1:
            difference_of_two(runs, unit)
    with against:
        if len(runs) > 2:
            all_against_one(review, runs, run, unit)
    with others:
        if len(excluded):
            dataframe(excluded, "Runs that are not comparable, and why")


found, problems = cache.studies("backbones")
selected = selected_run()
if selected is not None:  # first the studies whose data are of the same kind
    classes, synthetic = list(selected.classes), is_synthetic(selected)
    found = sorted(found, key=lambda study: (study.facts["classes"] != classes, study.is_synthetic != synthetic))
by_title = {study.title: study for study in found}
choice = RUNS
if by_title:
    heading("Backbones", None, subject="Several networks, one data set, split and budget")
    place, *places = st.columns([4, 3, 3, 3], gap="small")
    choice = place.selectbox("Compare", [*by_title, RUNS], key="backbones_of")
for problem in problems:
    st.warning(markdown_sentence(problem))
if choice in by_title:
    show_study(by_title[choice], places)
else:
    review = opened_review("Backbones") if not by_title else opened_review("", warn=False)
    if review.run is None:
        st.info("A predictions file holds nothing about its network. Choose a model in the sidebar.")
        st.stop()
    show_runs(review, review.run)
