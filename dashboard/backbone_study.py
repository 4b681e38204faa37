"""What did a study of networks find? A finished study in; figures over seeds, differences, costs, failures out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.parts import download_table, figure, interval, units_of
from dashboard.studies import Study
from dashboard.words import plain, sentence
from her2core.plots.seeds import seeds_figure, seeds_words

METRICS = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "AUROC, mean",
}


def show_study(study: Study, unit: str) -> None:
    """Draw the study by this unit, or by patch where it could not be judged so."""
    facts, units = study.facts, list(dict.fromkeys(study.figures["unit"]))
    st.subheader(plain(facts["study"]["title"]))
    st.markdown(f"One data set and one split for every network. {budget(study)}")
    if facts["data"].get("facts", {}).get("synthetic"):
        st.info("The patches of this study are synthetic: drawn by a program, not tissue.")
    if not facts["scheme"].get("is_her2"):
        st.info(f"The classes of this study are not a HER2 status: {plain(facts['scheme']['meaning'])}.")
    for warning in facts.get("warnings", []):
        st.warning(sentence(warning), icon=":material/warning:")
    if unit not in units:
        st.caption(f"Not given by {unit}; shown by {units[0]}. {sentence(facts.get('not_by_patient') or 'no figures')}")
        unit = units[0]
    metric = st.selectbox("Figure", list(METRICS), format_func=METRICS.get, key=f"study_metric_{study.path.name}")
    rows = study.figures[(study.figures["unit"] == unit) & (study.figures["metric"] == metric)]
    figure(seeds_figure(rows, {}), seeds_words(rows, {}), key=f"study-{study.path.name}", table=rows)
    drawn = units_of(int(rows["n_clusters"].max()), rows["resampling_unit"].iloc[0])
    st.caption(f"Points: mean over the seeds, with a 95 % interval that draws {drawn}. Ticks: lowest and highest seed.")
    for note in rows["note"].dropna().unique():
        st.caption(sentence(f"{note[0].upper()}{note[1:]}."))
    st.dataframe(
        compared(study, rows, unit, metric), hide_index=True, width="stretch", alt=f"Networks of the study by {unit}"
    )
    st.caption(
        "Differences are paired and corrected for their number (Holm 1979). Networks that start from other "
        "weights have seen other images: such a difference says what the start is worth, too."
    )
    st.dataframe(costs(study), hide_index=True, width="stretch", alt="What the networks of the study cost")
    machine = plain(study.costs["processor"].iloc[0])
    st.caption(
        f"Latency and throughput are ratios to a plain ResNet50 timed in turns with the network on {machine}; "
        "memory is that of tensors, 16 patches at once."
    )
    lost = study.networks[study.networks["state"] != "finished"]
    if len(lost):
        st.caption(f"The study is not finished: of {len(lost)} networks there are not all runs yet, or they failed.")
        shown = lost[["network", "state", "runs", "asked", "reason"]].fillna({"reason": ""})
        st.dataframe(
            shown, hide_index=True, width="stretch", alt="Networks of the study without all their runs, and why"
        )
    for name, table in (("figures", study.figures), ("differences", study.differences), ("costs", study.costs)):
        download_table(f"{name.capitalize()} of the study (CSV)", table, f"{study.path.name}-{name}")


def budget(study: Study) -> str:
    """Epochs, sizes and hours of training, as a sentence."""
    trained = study.networks[study.networks["epochs"].notna()]
    sizes = " and ".join(f"{px:g}" for px in sorted(study.networks["px"].unique()))
    hours = study.networks["train_seconds"].sum() / 3600
    frozen = len(study.networks) - len(trained)
    parts = (
        [
            f"at most {trained['epochs'].max():g} epochs each with the same augmentation and stopping rule, "
            f"{hours:.1f} hours of training in all"
        ]
        if len(trained)
        else []
    )
    parts += [f"{frozen} with frozen features"] if frozen else []
    return f"Budget: {'; '.join([*parts, f'{sizes} px'])}."


def compared(study: Study, rows: pd.DataFrame, unit: str, metric: str) -> list[dict]:
    """One row a network: where it started, its figure, and its difference from the reference."""
    gaps = study.differences
    gaps = gaps[(gaps["unit"] == unit) & (gaps["metric"] == metric)].set_index("group")
    how, reference = study.networks.set_index("network"), study.facts["study"]["reference"]
    table = []
    for _, row in rows.iterrows():
        name = row["group"]
        gap, frozen = gaps.loc[name] if name in gaps.index else None, how.loc[name, "frozen"]
        table.append(
            {
                "network": name,
                METRICS[metric]: interval(row),
                "seeds": row["seeds"],
                f"less {reference}": ""
                if gap is None
                else f"{gap['difference']:+.1%} [{gap['low']:+.1%}, {gap['high']:+.1%}]",
                "so (Holm)": "reference" if gap is None else gap["statement"],
                "started from": "random weights" if how.loc[name, "init"] == "none" else how.loc[name, "init"],
                "trained": "whole" if pd.isna(frozen) or not frozen else f"last layer ({frozen})",
                "px": how.loc[name, "px"],
            }
        )
    return table


def costs(study: Study) -> list[dict]:
    """One row a network that could be measured."""
    return [
        {
            "network": row.network,
            "parameters": f"{row.parameters / 1e6:.1f} M",
            "FLOPs a patch": f"{row.flops / 1e9:.2f} G",
            "latency (ResNet50 = 1)": f"{row.latency_ratio:.2f}",
            "throughput (ResNet50 = 1)": f"{row.throughput_ratio:.2f}",
            "memory": f"{row.memory_bytes / 2**20:.0f} MiB",
        }
        for row in study.costs.itertuples()
        if pd.notna(row.flops)
    ]
