"""Which network is better on the same test patches, and at what cost? Finished runs in; a fair comparison out."""

from __future__ import annotations

import streamlit as st

from dashboard.backbone_study import show_study
from dashboard.choice import opened_review
from dashboard.comparison import comparable_runs, comparison, corrected_table, difference_table
from dashboard.parts import NOTICE, download_table, figure
from dashboard.review import unit_switch
from dashboard.studies import studies
from dashboard.words import plain, sentence
from her2core.errors import Her2Error
from her2core.plots.accuracy_cost import trade_figure, trade_words

COSTS = {"flops": "FLOPs of one patch", "latency_ratio": "Latency, plain ResNet50 = 1", "parameters": "Parameters"}

review = opened_review("Backbones")
if review.run is None:
    st.info("A file of predictions says nothing about its network. Choose a run in the sidebar.")
    st.stop()
st.markdown("Runs are put side by side only when they were tested on the **same patches with the same labels**.")
same, others = comparable_runs(review.run)
unit = unit_switch(review, "Unit of every number", key="unit", default=-1)
table, numbers = comparison(same, unit)
st.dataframe(table, hide_index=True, width="stretch", alt=f"Comparable runs by {unit}")
download_table("Comparison (CSV)", numbers, f"backbones-{unit}")
if len(same) < 2:
    st.info(
        "No other run was tested on the patches of this one. Train one on the same data and split, for example "
        "`her2 train configs/demo.yaml --set network.name=resnet50`, and it appears here."
    )
else:
    cost = st.segmented_control(
        "Cost", list(COSTS), format_func=COSTS.get, default="flops", key="cost", bind="query-params", required=True
    )
    cost = cost if cost in COSTS else "flops"
    known = numbers[numbers[cost].notna()]
    if known.empty:
        st.caption("The cost of these runs was not measured: `her2 runs complete RUN` does it.")
    else:
        figure(
            trade_figure(known, cost=cost, title=COSTS[cost]),
            trade_words(known, cost=cost, title=COSTS[cost]),
            key="trade",
        )

    st.header("Difference of two runs")
    names = [run.name for run in same]
    left, right = st.columns(2)
    first = left.selectbox("First", names, index=0, key="first", bind="query-params")
    second = right.selectbox("Second", names, index=1, key="second", bind="query-params")
    if first == second:
        st.info("Choose two different runs.")
    else:
        try:
            one, other = (same[names.index(name)] for name in (first, second))
            differences, note = difference_table(one, other, unit)
            st.dataframe(
                differences,
                hide_index=True,
                width="stretch",
                alt=f"{second} less {first}, paired",
                column_order=[
                    "metric",
                    "class",
                    "difference",
                    "lower_95",
                    "upper_95",
                    "statement",
                    "first",
                    "second",
                    "p_value",
                    "exact_p_value",
                    "exact_test",
                ],
            )
            st.caption(
                f"Second less first, by {unit}; {sentence(note)}. From patches to a {unit} by the mean."
                if unit != "patch"
                else f"Second less first, by patch; {sentence(note)}."
            )
            st.caption("An interval that holds zero: no difference can be shown.")
            download_table("Differences (CSV)", differences, f"difference-{first}-{second}-{unit}")
        except Her2Error as refused:
            st.error(sentence(refused))
    if len(same) > 2:
        st.header(f"All against {plain(review.run.name)}")
        try:
            corrected = corrected_table(review.run, same[1:], unit)
            st.dataframe(corrected, hide_index=True, width="stretch", alt="Balanced accuracy of every run, corrected")
            st.caption(
                f"Balanced accuracy by {unit}, paired; p corrected for {len(corrected)} comparisons (Holm 1979)."
            )
            download_table("All against one (CSV)", corrected, f"backbones-{unit}-corrected")
        except Her2Error as refused:
            st.error(sentence(refused))
found, problems = studies("backbones")
if found or problems:
    st.header("Studies over several seeds")
for problem in problems:
    st.warning(sentence(problem))
for study in found:
    show_study(study, unit)
if others:
    st.header("Not comparable with this run")
    st.dataframe(others, hide_index=True, width="stretch", alt="Runs that are not comparable, and why")
st.caption(NOTICE)
