"""What does a reported accuracy become per patient? A finished leakage study in; its splits side by side out."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import NOTICE, download_table, figure, heading, interval, units_of
from dashboard.studies import studies
from dashboard.words import plain, sentence
from her2core.plots.seeds import SPLITS, seeds_figure, seeds_words

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "AUROC, mean",
}

heading("Leakage", None, subject="One network, one budget, several ways to split")
found, problems = studies("leakage")
for problem in problems:
    st.warning(sentence(problem))
if not found:
    st.info(
        "No leakage study is finished. Make the cohort and run it: `her2 data demo --out data/leakage --patients "
        "100 --patches 20 --sites 5 --seed 11`, then `her2 study leakage`."
    )
    st.caption(NOTICE)
    st.stop()
names = {study.title: study for study in found}
chosen = st.selectbox("Study", list(names), key="leakage_study") if len(names) > 1 else next(iter(names))
study = names[chosen]
facts = study.facts
data = facts["data"].get("facts", {})
st.markdown(
    f"**{plain(facts['study']['title'])}.** The network {plain(facts['network']['name'])} was trained "
    f"{units_of(len(facts['study']['seeds']), 'time')} under each split, with the same budget. Under *random patches* "
    "the test patches come from patients and slides that the network has seen in training; only the other splits say "
    "anything about new ones."
)
if data.get("synthetic"):
    st.info(
        "The patches of this study are synthetic: drawn by a program, not tissue. How far real figures are "
        "inflated, it does not say; that they can be, it shows."
    )
left, right = st.columns(2)
units = list(dict.fromkeys(study.figures["unit"]))
unit = left.segmented_control("Judged by", units, default=units[0], key="leakage_unit", required=True) or units[0]
metric = right.selectbox("Figure", list(METRICS), format_func=METRICS.get, key="leakage_metric", bind="query-params")
rows = study.figures[(study.figures["unit"] == unit) & (study.figures["metric"] == metric)]
figure(seeds_figure(rows), seeds_words(rows), key="leakage", table=rows)
st.caption("Points: mean over the seeds, with a 95 % interval that draws patients. Ticks: lowest and highest seed.")
shown = [
    {
        "split": SPLITS.get(r["group"], r["group"]),
        METRICS[metric]: interval(r),
        "seeds": r["seeds"],
        "lowest seed": f"{r['lowest']:.1%}",
        "highest seed": f"{r['highest']:.1%}",
        f"{r['resampling_unit']}s drawn": r["n_clusters"],
        f"{unit} rows a run": r["n"],
    }
    for _, r in rows.iterrows()
]
st.dataframe(shown, hide_index=True, width="stretch", alt=f"{METRICS[metric]} by {unit} under each split")

st.header("The gap")
st.caption(
    "What each split gains over the split by patient, the same patients drawn for both. What is said of it is "
    "corrected for the number of splits (Holm 1979), so it may be less than an interval by itself suggests."
)
gaps = study.differences[(study.differences["unit"] == unit) & (study.differences["metric"] == metric)]
st.dataframe(
    [
        {
            "split": SPLITS.get(g.group, g.group),
            "less by patient": f"{g.difference:+.1%} [{g.lower_95:+.1%}, {g.upper_95:+.1%}]",
            "so": g.statement,
        }
        for g in gaps.itertuples()
    ],
    hide_index=True,
    width="stretch",
    alt=f"Difference of each split from the split by patient, {METRICS[metric]}",
)
download_table("All figures (CSV)", study.figures, "leakage-figures")
download_table("All gaps (CSV)", study.differences, "leakage-gaps")
st.caption(NOTICE)
