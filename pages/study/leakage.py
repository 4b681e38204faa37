"""Leakage page: one network under several units of the split, and the gap to the split by patient."""

from __future__ import annotations

import streamlit as st

from dashboard.cache import studies
from dashboard.views.studies import seeds_caption, study_statements
from dashboard.widgets import (
    NOTICE,
    count,
    dataframe,
    download_table,
    figure,
    format_detectable,
    format_difference,
    format_interval,
    heading,
    markdown_sentence,
)
from her2core.data.split_units import SPLIT_LABELS
from her2core.evidence.metrics.registry import metric_label
from her2core.io.archives import unique_name
from her2core.io.text import markdown_text
from her2core.plots.seeds import seeds_description, seeds_figure
from her2core.runs.schema.study import STUDY_METRICS

heading("Leakage", None, subject="One network and training budget, several units of the split")
found, problems = studies("leakage")
for problem in problems:
    st.warning(markdown_sentence(problem))
if not found:
    st.info(
        "No leakage study is finished. Make the cohort and run it: `her2 data demo --out data/leakage --patients "
        "100 --patches 20 --sites 5 --seed 11`, then `her2 study leakage`."
    )
    st.caption(NOTICE)
    st.stop()
taken: dict[str, int] = {}
by_title = {unique_name(study.title, taken): study for study in found}
title = st.selectbox("Study", list(by_title), key="leakage_study") if len(by_title) > 1 else next(iter(by_title))
study = by_title[title]
facts = study.facts
st.markdown(
    f"**{markdown_text(facts['study']['title'])}.** The network {markdown_text(facts['network']['name'])} was "
    f"trained {count(len(facts['study']['seeds']), 'time')} under each split with the same budget. Under *random "
    "patches* the test patches come from patients and slides that the network has seen in training; only the other "
    "splits estimate the performance on new ones."
)
if study.is_synthetic:
    st.info(
        "The patches of this study are synthetic: generated images, not tissue. The study shows that leakage inflates "
        "accuracy; it does not estimate by how much on real tissue."
    )
left, right = st.columns(2)
units = list(dict.fromkeys(study.figures["unit"]))
unit = (
    left.segmented_control("Unit of analysis", units, default=units[0], key="leakage_unit", required=True) or units[0]
)
metric = right.selectbox("Metric", STUDY_METRICS, format_func=metric_label, key="leakage_metric", bind="query-params")
label = metric_label(metric)
rows = study.figures[(study.figures["unit"] == unit) & (study.figures["metric"] == metric)]
figure(seeds_figure(rows, SPLIT_LABELS), seeds_description(rows, SPLIT_LABELS, metric=label), key="leakage", table=rows)
st.caption(seeds_caption(rows))
dataframe(
    [
        {
            "split": SPLIT_LABELS.get(r["group"], r["group"]),
            label: format_interval(r),
            "seeds": r["seeds"],
            "lowest seed": f"{r['lowest']:.1%}",
            "highest seed": f"{r['highest']:.1%}",
            "interval over": count(int(r["n_clusters"]), r["resampling_unit"]),
            f"{'patches' if unit == 'patch' else f'{unit}s'} per run": r["n"],
        }
        for _, r in rows.iterrows()
    ],
    f"{label} by {unit} under each split",
)

st.header("Leakage gap")
st.caption(
    "Difference of each split from the split by patient, over other patients and other trainings; a split by site over "
    "other sites. The result is about the primary metric and adjusted for the number of splits (Holm 1979), so it may "
    "be weaker than an interval by itself suggests. All other differences are descriptive."
)
gaps = study.differences[(study.differences["unit"] == unit) & (study.differences["metric"] == metric)]
st.markdown("\n".join(f"- {markdown_sentence(said)}" for said in study_statements(study, SPLIT_LABELS)))
dataframe(
    [
        {
            "split": SPLIT_LABELS.get(gap["group"], gap["group"]),
            "difference from split by patient (points)": format_difference(gap),
            "detectable (points)": format_detectable(gap),
            "result (Holm-adjusted)": gap["statement"].replace("than patient", f"than {SPLIT_LABELS['patient']}")
            or gap["note"]
            or "descriptive",
        }
        for _, gap in gaps.iterrows()
    ],
    f"Difference of each split from the split by patient, {label}",
)
download_table("All metrics (CSV)", study.figures, "leakage-metrics")
download_table("All gaps (CSV)", study.differences, "leakage-gaps")
st.caption(NOTICE)
