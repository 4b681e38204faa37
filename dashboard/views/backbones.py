"""A study of networks: its answer first, then metrics over seeds, differences, classes and costs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import cache
from dashboard.views.studies import (
    budget,
    compared_networks,
    labelled_statement,
    network_costs,
    primary_statements,
    show_seeds_caption,
)
from dashboard.widgets import (
    banner,
    dataframe,
    download_table,
    figure,
    format_detectable,
    format_difference,
    format_interval,
    large_figure,
    markdown_sentence,
    value_and_bounds,
)
from her2core.errors import Her2Error
from her2core.evidence.metrics.registry import metric_label
from her2core.io.text import capitalised, markdown_text
from her2core.plots.accuracy_cost import accuracy_cost_description, accuracy_cost_figure
from her2core.plots.confusion import confusion_description, confusion_figure
from her2core.plots.differences import differences_description, differences_figure
from her2core.plots.seeds import seeds_description, seeds_figure
from her2core.runs.schema.study import STUDY_METRICS
from her2core.study.answer import StudyAnswer, paper_network, study_answer
from her2core.study.seed_tables import SeedTables
from her2core.study.tables import StudyTables

#: Column of a study's costs -> what it is called.
COSTS = {"latency_ratio": "Latency (plain ResNet50 = 1)", "flops": "FLOPs per patch", "parameters": "Parameters"}


def show_study(study: StudyTables, places: Sequence[DeltaGenerator]) -> None:
    """Draw a study of networks: which is highest, whether the difference is real, what it costs; then the details.

    ``places`` are three columns for the choice of unit, metric and cost.
    """
    facts, units = study.facts, list(dict.fromkeys(study.figures["unit"]))
    key = hashlib.sha256(str(study.path).encode()).hexdigest()[:16]  # two roots may hold studies of one name
    first, second, third = places
    wanted = st.query_params.get("unit", units[-1])
    start = wanted if wanted in units else units[-1]
    unit = first.segmented_control("Unit of analysis", units, default=start, key=f"study_unit_{key}", required=True)
    unit = unit if unit in units else start
    metric = second.selectbox("Metric", STUDY_METRICS, format_func=metric_label, key=f"study_metric_{key}")
    cost = third.selectbox("Cost", list(COSTS), format_func=COSTS.__getitem__, key=f"study_cost_{key}")
    other = "" if facts["scheme"].get("is_her2") else facts["scheme"]["meaning"]
    synthetic = "The patches of this study are synthetic: generated images, not tissue." if study.is_synthetic else ""
    banner(synthetic=synthetic, other=other, of="study")
    answer = study_answer(study, unit=unit, metric=metric)
    if answer is not None:
        _show_answer(answer, metric)
    if wanted not in units:
        reason = markdown_sentence(capitalised(facts.get("not_by_patient") or "It was not computed."))
        st.caption(f"Not available by {markdown_text(wanted)}; shown by {unit}. {reason}")
    for warning in facts.get("warnings", []):
        st.warning(markdown_sentence(warning), icon=":material/warning:")
    try:
        seeds = cache.study_seeds(study)
    except Her2Error as refused:
        st.caption(f"No single trainings: {markdown_sentence(refused.sentence)}")
        seeds = None
    rows = study.figures[
        (study.figures["unit"] == unit) & (study.figures["metric"] == metric) & (study.figures["class"] == "")
    ]
    _show_figures(study, rows, seeds, unit=unit, metric=metric, cost=cost, key=key)
    networks, differences, by_class, costs, about = st.tabs(["Networks", "Differences", "By class", "Costs", "About"])
    with networks:
        dataframe(compared_networks(study, rows, unit, metric), f"Networks of the study by {unit}")
        download_table("Metrics of the study (CSV)", study.figures, f"{study.path.name}-metrics", key=f"{key}-metrics")
    with differences:
        _show_differences(study, unit, metric, key)
    with by_class:
        _show_classes(study, seeds, answer, unit, key)
    with costs:
        _show_costs(study, key)
    with about:
        _show_about(study, rows)


def _show_answer(answer: StudyAnswer, metric: str) -> None:
    """Draw the three answers side by side, and what they say in words."""
    with st.container(border=True, key="answer"):
        _answer_figures(answer, metric)
        counted = f"{answer.higher_ones} higher, {answer.lower_ones} lower, no difference shown for {answer.undecided}"
        others = f"Compared with {answer.reference} in the primary metric: {counted}." if answer.compared else ""
        st.markdown(
            f"**{markdown_text(answer.best)}** is highest. {markdown_sentence(f'{answer.sentence} {others}'.strip())}"
        )


def _answer_figures(answer: StudyAnswer, metric: str) -> None:
    figures = pd.Series({"value": answer.value, "lower_95": answer.lower, "upper_95": answer.upper})
    with st.grid(3, min_column_width=220):
        value, bounds = value_and_bounds(figures)
        large_figure(f"Highest {metric_label(metric).lower()}: {answer.best}", value, bounds)
        if answer.difference is None:
            large_figure("Difference from the reference", "none", "it is the reference")
        else:
            points, _, of = format_difference(answer.difference).partition(" ")
            large_figure(f"Difference from {answer.reference}, points", points, of)
        if answer.cost is None:
            large_figure(f"Cost of {answer.best}", "not measured", "")
        else:
            cost = answer.cost
            below = f"{cost['parameters'] / 1e6:.1f} M parameters, {cost['flops'] / 1e9:.2f} GFLOPs per patch"
            large_figure("Latency (plain ResNet50 = 1)", f"{cost['latency_ratio']:.2f}", below)


def _show_figures(
    study: StudyTables, rows: pd.DataFrame, seeds: SeedTables | None, *, unit: str, metric: str, cost: str, key: str
) -> None:
    """Draw the metric over seeds, and beside it the metric against the cost."""
    label, paper = metric_label(metric), paper_network(study)
    single = None
    if seeds is not None:
        of = seeds.metrics
        single = of[(of["unit"] == unit) & (of["metric"] == metric) & (of["class"] == "")]
    left, right = st.columns(2, gap="medium")
    with left:
        figure(
            seeds_figure(rows, seeds=single),
            seeds_description(rows, metric=label),
            key=f"study-{key}-{unit}-{metric}",
            words=False,
        )
        show_seeds_caption(rows, single=single is not None)
    with right:
        measured = study.costs[study.costs[cost].notna()] if cost in study.costs else study.costs.iloc[:0]
        table = rows.rename(columns={"group": "run", "value": metric}).rename(
            columns={bound: f"{metric}_{bound}" for bound in ("lower_95", "upper_95")}
        )
        table = table.merge(measured[["network", cost]].rename(columns={"network": "run"}), on="run", how="left")
        if measured.empty:
            st.info("The cost of these networks was not measured: `her2 study backbones --table` measures it.")
            return
        title = COSTS[cost]
        figure(
            accuracy_cost_figure(table, cost=cost, title=title, score=metric, marked=[paper]),
            accuracy_cost_description(table[table[cost].notna()], cost=cost, title=title, score=metric),
            key=f"study-cost-{key}-{unit}-{metric}-{cost}",
            words=False,
        )
        if paper:
            star = f"Star: {markdown_text(paper)}, the network of Joshi et al. 2025 as built here."
            st.caption(f"{star} Colours as beside.")


def _show_differences(study: StudyTables, unit: str, metric: str, key: str) -> None:
    """Draw the forest plot of the differences from the reference, with their numbers beside it."""
    reference = str(study.facts["study"]["reference"])
    of = study.differences
    rows = of[(of["unit"] == unit) & (of["metric"] == metric)]
    if rows.empty:
        st.info(f"No differences by {unit}: the study has one network, or too few patients.")
        return
    primary = rows["role"].eq("primary").any()
    figure(
        differences_figure(rows, reference=markdown_text(reference)),
        differences_description(rows, reference=reference, metric=metric_label(metric)),
        key=f"differences-{key}-{unit}-{metric}",
        table=rows,
        beside=[
            {
                "network": row["group"],
                "difference (points)": format_difference(row),
                "result (Holm-adjusted)" if primary else "result": labelled_statement(row) or "descriptive",
                "detectable (points)": format_detectable(row),
            }
            for _, row in rows.iterrows()
        ],
        note="Paired, over other patients and other trainings; p values adjusted for their number (Holm 1979). Only "
        "the primary metric says which network is better. Detectable: the smallest difference that such data show "
        "with a power of 80%.",
    )
    download_table("Differences of the study (CSV)", of, f"{study.path.name}-differences", key=f"{key}-differences")


def _show_classes(
    study: StudyTables, seeds: SeedTables | None, answer: StudyAnswer | None, unit: str, key: str
) -> None:
    """Draw confusion matrices of two networks side by side, and both readings of class-specific accuracy of all."""
    classes, networks = study.facts["classes"], list(dict.fromkeys(study.figures["group"]))
    if seeds is not None and answer is not None:
        reference, best = answer.reference, answer.best
        second = best if best != reference else next((n for n in networks if n != reference), reference)
        for column, chosen, label in zip(
            st.columns(2, gap="medium"), (reference, second), ("One", "Other"), strict=True
        ):
            with column:
                name = st.selectbox(
                    f"{label} network", networks, index=networks.index(chosen), key=f"matrix-{label}-{key}-{unit}"
                )
                cells = seeds.confusion[(seeds.confusion["group"] == name) & (seeds.confusion["unit"] == unit)]
                if cells.empty:
                    st.info(f"No confusion matrix by {unit}.")
                    continue
                figure(
                    confusion_figure(cells, classes, show="proportion_of_true"),
                    confusion_description(cells, classes, show="proportion_of_true"),
                    key=f"matrix-{label}-{key}-{unit}-{name}",
                    words=False,
                )
        st.caption("Percentage of the true class, over all trainings of a network.")
    of = study.figures[study.figures["unit"] == unit].set_index(["group", "metric", "class"])
    readings = [r for r in ("recall", "one_vs_rest_accuracy") if r in of.index.get_level_values("metric")]
    dataframe(
        [
            {"network": name}
            | {f"{metric_label(r)}, {c}": format_interval(of.loc[(name, r, c)]) for r in readings for c in classes}
            for name in networks
            if readings
        ],
        f"Class-specific accuracy of each network by {unit}, in two readings",
    )


def _show_costs(study: StudyTables, key: str) -> None:
    dataframe(network_costs(study), "Cost of the networks of the study")
    machine = markdown_text(study.costs["processor"].iloc[0])
    st.caption(
        f"Latency and throughput are ratios to a plain ResNet50, measured alternately with the network on {machine}; "
        "memory is the peak tensor memory for 16 patches."
    )
    download_table("Costs of the study (CSV)", study.costs, f"{study.path.name}-costs", key=f"{key}-costs")


def _show_about(study: StudyTables, rows: pd.DataFrame) -> None:
    st.markdown(f"One data set and one split for every network. {budget(study)}")
    for note in filter(None, rows["note"].unique()):
        st.caption(markdown_sentence(f"{capitalised(note)}."))
    if reason := study.facts.get("not_by_patient"):
        st.caption(f"Not available by patient: {markdown_sentence(reason)}")
    st.markdown("\n".join(f"- {markdown_sentence(said)}" for said in primary_statements(study.differences)))
    st.caption(
        "Networks with other initial weights were pre-trained on other images: their difference includes the "
        "pre-training."
    )
    unfinished = study.networks[study.networks["state"] != "finished"]
    if len(unfinished):
        st.caption(f"The study is not finished: of {len(unfinished)} networks some runs are missing or failed.")
        shown = unfinished[["network", "state", "runs", "asked", "reason"]]
        dataframe(shown.rename(columns={"asked": "planned"}), "Networks of the study without all their runs, and why")
