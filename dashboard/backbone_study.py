"""What did a study of networks find? A finished study in; figures over seeds, paired differences and failures out."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import download_table, figure, interval, units_of
from dashboard.studies import Study
from dashboard.words import plain, sentence
from her2core.plots.seeds import seeds_figure, seeds_words

METRICS = {"balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "macro_f1": "Macro F1",
           "macro_auroc": "AUROC, mean"}  # fmt: skip


def show_study(study: Study, unit: str) -> None:
    """Draw the study by this unit, or by patch where it could not be judged so."""
    facts, units = study.facts, list(dict.fromkeys(study.figures["unit"]))
    st.markdown(f"**{plain(facts['study']['title'])}**: the same data, split and budget for every network.")
    for warning in facts.get("warnings", []):
        st.warning(sentence(warning), icon=":material/warning:")
    if unit not in units:
        st.caption(f"Not given by {unit}; shown by {units[0]}. {sentence(facts.get('not_by_patient') or 'no figures')}")
        unit = units[0]
    metric = st.selectbox("Figure", list(METRICS), format_func=METRICS.get, key=f"study_metric_{study.path.name}")
    rows = study.figures[(study.figures["unit"] == unit) & (study.figures["metric"] == metric)]
    figure(seeds_figure(rows, {}), seeds_words(rows, {}), key=f"study-{study.path.name}", table=rows)
    drawn = units_of(int(rows["clusters"].max()), rows["resampled"].iloc[0])
    st.caption(f"Points: mean over the seeds, with a 95 % interval that draws {drawn}. Ticks: lowest and highest seed.")
    for note in rows["note"].dropna().unique():
        st.caption(sentence(f"{note[0].upper()}{note[1:]}."))
    gaps = study.differences
    gaps = gaps[(gaps["unit"] == unit) & (gaps["metric"] == metric)].set_index("group")
    cost = study.networks.set_index("network")
    reference = facts["study"]["reference"]
    table = []
    for _, row in rows.iterrows():
        name = row["group"]
        gap = gaps.loc[name] if name in gaps.index else None
        table.append({
            "network": name, METRICS[metric]: interval(row), "seeds": row["seeds"],
            f"less {reference}": "" if gap is None else
            f"{gap['difference']:+.1%} [{gap['low']:+.1%}, {gap['high']:+.1%}]",
            "so (Holm)": "reference" if gap is None else gap["statement"],
            "parameters": f"{cost.loc[name, 'parameters'] / 1e6:.1f} M",
            "FLOPs a patch": f"{cost.loc[name, 'flops'] / 1e9:.2f} G",
            "latency (ResNet50 = 1)": f"{cost.loc[name, 'latency_ratio']:.2f}",
        })  # fmt: skip
    st.dataframe(table, hide_index=True, width="stretch", alt=f"Networks of the study by {unit}")
    lost = study.networks[study.networks["state"] != "finished"]
    if len(lost):
        st.dataframe(lost[["network", "state", "runs", "asked", "reason"]], hide_index=True, width="stretch",
                     alt="Networks of the study without all their runs, and why")  # fmt: skip
    download_table("Figures of the study (CSV)", study.figures, f"{study.path.name}-figures")
    download_table("Differences of the study (CSV)", study.differences, f"{study.path.name}-differences")
