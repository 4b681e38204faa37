"""Tables and figures of studies over several seeds, and of runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.widgets import count, detectable_sentence, format_detectable, format_difference, format_interval
from her2core.evidence.metrics.registry import metric_label
from her2core.study.comparison import HEADLINE
from her2core.study.tables import StudyTables

NOT_MEASURED = "not measured"


def show_seeds_caption(rows: pd.DataFrame, *, single: bool = False) -> None:
    """Say what the points and bars of a figure over seeds are; ``single`` where each seed has a point."""
    clusters, unit = rows["n_clusters"], rows["resampling_unit"].iloc[0]
    over = count(int(clusters.max()), unit) if clusters.nunique() == 1 else count(2, unit).split()[1]
    trainings = " and over trainings" if rows["seeds"].max() > 1 else ""
    seeds = "open points: single seeds" if single else "ticks: lowest and highest seed"
    st.caption(f"Points: mean over the seeds; bars: 95% interval over {over}{trainings}; {seeds}.")


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
