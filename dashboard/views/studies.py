"""Tables and figures of studies over several seeds, and of runs side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.widgets import (
    count,
    dataframe,
    detectable_sentence,
    download_table,
    figure,
    format_detectable,
    format_difference,
    format_interval,
    markdown_sentence,
)
from her2core.evidence.metrics.registry import metric_label
from her2core.io.text import capitalised, markdown_text
from her2core.plots.seeds import seeds_description, seeds_figure
from her2core.runs.schema.study import STUDY_METRICS
from her2core.study.comparison import HEADLINE
from her2core.study.tables import StudyTables

NOT_MEASURED = "not measured"


def seeds_caption(rows: pd.DataFrame) -> str:
    """Return what the points, bars and ticks of a figure over seeds are."""
    clusters, unit = rows["n_clusters"], rows["resampling_unit"].iloc[0]
    over = count(int(clusters.max()), unit) if clusters.nunique() == 1 else count(2, unit).split()[1]
    trainings = " and over trainings" if rows["seeds"].max() > 1 else ""
    return f"Points: mean over the seeds; bars: 95% interval over {over}{trainings}; ticks: lowest and highest seed."


def primary_statements(differences: pd.DataFrame, names: Mapping[str, str] | None = None) -> list[str]:
    """Return what differences say about the primary metric, one sentence a group; ``names`` label the groups."""
    primary = differences[differences["role"] == "primary"]
    if primary.empty:
        return ["No statement: the primary metric was not assessed by its unit."]
    sentences = []
    for _, row in primary.iterrows():
        group, reference = ((names or {}).get(row[name], row[name]) for name in ("group", "reference"))
        sentences.append(
            f"{metric_label(row['metric'])} by {row['unit']}, {group} against {reference}: {format_difference(row)} "
            f"points, {labelled_statement(row, names)}. {detectable_sentence(row)}".strip()
        )
    return sentences


def labelled_statement(row: pd.Series, names: Mapping[str, str] | None = None) -> str:
    """Return the statement of a difference with its reference as it is called for people."""
    reference = row["reference"]
    return str(row["statement"]).replace(f"than {reference}", f"than {(names or {}).get(reference, reference)}")


def show_backbone_study(study: StudyTables, unit: str) -> None:
    """Draw a study of networks by this unit, or by the first one where it was not assessed by this."""
    facts, units = study.facts, list(dict.fromkeys(study.figures["unit"]))
    key = hashlib.sha256(str(study.path).encode()).hexdigest()[:16]  # two roots may hold studies of one name
    st.subheader(markdown_text(facts["study"]["title"]))
    st.markdown(f"One data set and one split for every network. {budget(study)}")
    if study.is_synthetic:
        st.info("The patches of this study are synthetic: generated images, not tissue.")
    if not facts["scheme"].get("is_her2"):
        st.info(f"The classes of this study are not a HER2 status: {markdown_text(facts['scheme']['meaning'])}.")
    for warning in facts.get("warnings", []):
        st.warning(markdown_sentence(warning), icon=":material/warning:")
    if unit not in units:
        reason = markdown_sentence(capitalised(facts.get("not_by_patient") or "It was not computed."))
        st.caption(f"Not available by {unit}; shown by {units[0]}. {reason}")
        unit = units[0]
    metric = st.selectbox("Metric", STUDY_METRICS, format_func=metric_label, key=f"study_metric_{key}")
    rows = study.figures[(study.figures["unit"] == unit) & (study.figures["metric"] == metric)]
    label = metric_label(metric)
    figure(
        seeds_figure(rows),
        seeds_description(rows, metric=label),
        key=f"study-{key}-{unit}-{metric}",
        name=f"study-{study.path.name}-{unit}-{metric}",
        table=rows,
    )
    st.caption(seeds_caption(rows))
    for note in filter(None, rows["note"].unique()):
        st.caption(markdown_sentence(f"{capitalised(note)}."))
    dataframe(compared_networks(study, rows, unit, metric), f"Networks of the study by {unit}")
    with st.expander("What the study says about its primary metric", expanded=True):
        st.markdown("\n".join(f"- {markdown_sentence(said)}" for said in primary_statements(study.differences)))
    st.caption(
        "Differences are paired, in percentage points, over other patients and other trainings, with p values adjusted "
        "for their number (Holm 1979); only those of the primary metric are more than descriptive. Networks "
        "with other initial weights were pre-trained on other images: their difference includes the pre-training."
    )
    dataframe(network_costs(study), "Cost of the networks of the study")
    machine = markdown_text(study.costs["processor"].iloc[0])
    st.caption(
        f"Latency and throughput are ratios to a plain ResNet50, measured alternately with the network on {machine}; "
        "memory is the peak tensor memory for 16 patches."
    )
    unfinished = study.networks[study.networks["state"] != "finished"]
    if len(unfinished):
        st.caption(f"The study is not finished: of {len(unfinished)} networks some runs are missing or failed.")
        shown = unfinished[["network", "state", "runs", "asked", "reason"]]
        dataframe(shown.rename(columns={"asked": "planned"}), "Networks of the study without all their runs, and why")
    for name, table in (("metrics", study.figures), ("differences", study.differences), ("costs", study.costs)):
        download_table(
            f"{name.capitalize()} of the study (CSV)", table, f"{study.path.name}-{name}", key=f"{key}-{name}"
        )


def budget(study: StudyTables) -> str:
    """Return epochs, sizes and hours of training as a sentence."""
    trained = study.networks[study.networks["epochs"].notna()]
    sizes = " and ".join(f"{px:g}" for px in sorted(study.networks["px"].unique()))
    hours = study.networks["train_seconds"].sum() / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    frozen = len(study.networks) - len(trained)
    parts = []
    if len(trained):
        parts.append(
            f"at most {trained['epochs'].max():g} epochs each with the same augmentation and early stopping, "
            f"{time} of training in total"
        )
    parts += [f"{frozen} with frozen features"] if frozen else []
    return f"Budget: {'; '.join([*parts, f'{sizes} px'])}."


def compared_networks(study: StudyTables, rows: pd.DataFrame, unit: str, metric: str) -> list[dict[str, Any]]:
    """Return one row a network: its metric, its difference from the reference, and how it was trained."""
    differences = study.differences
    differences = differences[(differences["unit"] == unit) & (differences["metric"] == metric)].set_index("group")
    networks, reference = study.networks.set_index("network"), study.facts["study"]["reference"]
    table = []
    for _, row in rows.iterrows():
        name = row["group"]
        network = networks.loc[name]
        known = name in differences.index
        table.append(
            {
                "network": name,
                metric_label(metric): format_interval(row),
                "seeds": row["seeds"],
                f"difference from {reference} (points)": format_difference(differences.loc[name]) if known else "",
                "detectable (points)": format_detectable(differences.loc[name]) if known else "",
                "result (Holm-adjusted)": (differences.loc[name, "statement"] or "descriptive")
                if known
                else "reference",
                "initial weights": "random" if network["init"] == "none" else network["init"],
                "trained": "all layers" if not network["frozen"] else f"last layer ({network['frozen']})",
                "px": network["px"],
            }
        )
    return table


def network_costs(study: StudyTables) -> list[dict[str, str]]:
    """Return one row a network whose cost was measured."""
    return [
        {
            "network": row.network,
            "parameters": f"{row.parameters / 1e6:.1f} M",
            "FLOPs per patch": f"{row.flops / 1e9:.2f} G",
            "latency (ResNet50 = 1)": f"{row.latency_ratio:.2f}",
            "throughput (ResNet50 = 1)": f"{row.throughput_ratio:.2f}",
            "memory": f"{row.memory_bytes / 2**20:.0f} MiB",
        }
        for row in study.costs.itertuples()
        if pd.notna(row.flops)
    ]


def compared_runs(table: pd.DataFrame, classes: tuple[str, ...]) -> list[dict[str, str]]:
    """Format ``study.comparison.comparison_table`` for reading, one row a run."""
    shown = []
    for row in table.to_dict("records"):
        text = {"run": row["run"], "network": row["network"]}
        for column, label in [(m, metric_label(m)) for m in HEADLINE] + [
            (f"recall_{c}", metric_label("recall", of=c)) for c in classes
        ]:
            values = {"value": row[column]} | {b: row[f"{column}_{b}"] for b in ("lower_95", "upper_95")}
            text[label] = format_interval(pd.Series(values))
        shown.append(text | _costs(row))
    return shown


def _costs(row: dict[str, Any]) -> dict[str, str]:
    parameters, flops, ratio, ms = (row[name] for name in ("parameters", "flops", "latency_ratio", "latency_ms"))
    return {
        "parameters": f"{parameters / 1e6:.1f} M" if pd.notna(parameters) else NOT_MEASURED,
        "FLOPs per patch": f"{flops / 1e9:.2f} G" if pd.notna(flops) else NOT_MEASURED,
        "latency (ResNet50 = 1)": f"{ratio:.2f} ({ms:.0f} ms)" if pd.notna(ratio) and pd.notna(ms) else NOT_MEASURED,
    }
