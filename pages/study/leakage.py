"""Leakage page: what a random split is worth, one network under several validation designs."""

from __future__ import annotations

import hashlib

import streamlit as st

from dashboard.cache import studies
from dashboard.views.designs import show_class_accuracy, show_designs, show_differences, show_folds, show_statements
from dashboard.widgets import banner, count, download_table, heading, markdown_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.io.archives import unique_name
from her2core.io.text import markdown_text
from her2core.runs.schema.study import STUDY_METRICS, StudyKind
from her2core.study.designs import DesignComparison, design_comparisons
from her2core.study.tables import StudyTables

heading("Leakage", None, subject="One network and training budget, several validation designs")
found: list[tuple[StudyTables, list[DesignComparison]]] = []
problems: list[str] = []
kinds: tuple[StudyKind, ...] = ("cv", "leakage")
for kind in kinds:
    of_kind, unreadable = studies(kind)
    found += [(one, designs) for one in of_kind if (designs := design_comparisons(one))]
    problems += unreadable
for problem in dict.fromkeys(problems):
    st.warning(markdown_sentence(problem))
if not found:
    st.info(
        "No study of several validation designs is finished. Make the cohort and run it: `her2 data demo --out "
        "data/leakage --patients 100 --patches 20 --sites 5 --seed 11`, then `her2 study leakage`; or cross-validate "
        "your own cohort by patient and by random patches with `her2 study cv`."
    )
    st.stop()
found.sort(key=lambda pair: pair[0].is_synthetic)  # real tissue first
taken: dict[str, int] = {}
by_title = {unique_name(one.title, taken): (one, designs) for one, designs in found}
places = st.columns([4, 3, 3, 3], gap="small")
title = places[0].selectbox("Study", list(by_title), key="leakage_study") if len(by_title) > 1 else next(iter(by_title))
study, comparisons = by_title[title]
facts, key = study.facts, hashlib.sha256(str(study.path).encode()).hexdigest()[:16]
network, left, right = places[1:]
names = {one.network: one for one in comparisons}
chosen = network.selectbox("Network", list(names), key=f"leakage_network_{key}")
compared = names[chosen]
units = list(dict.fromkeys(study.figures["unit"]))
primary = facts["study"]["primary"]["unit"]  # of the statements, so that the figure shows what they say
first = primary if primary in units else units[0]
unit = (
    left.segmented_control("Unit of analysis", units, default=first, key=f"leakage_unit_{key}", required=True) or first
)
metric = right.selectbox("Metric", STUDY_METRICS, format_func=metric_label, key="leakage_metric", bind="query-params")
scheme = facts["scheme"]
banner(
    synthetic="The patches of this study are synthetic: generated images, not tissue. The study shows that leakage "
    "inflates accuracy; it does not estimate by how much on real tissue."
    if study.is_synthetic
    else "",
    other="" if scheme.get("is_her2") else scheme["meaning"],
    of="study",
)
limits = [*facts.get("limits", [])[:1], *facts.get("warnings", [])]
if limits:
    st.warning("\n\n".join(markdown_sentence(limit) for limit in limits), icon=":material/warning:")
show_statements(compared)
show_designs(compared, unit, metric, key=f"leakage-{key}-{chosen}")
gap, by_class, about = st.tabs(["Leakage gap", "Class-specific accuracy", "About"])
with gap:
    st.caption(
        f"Difference of each design from that {compared.labels[compared.reference]}, over other patients and other "
        "trainings; a design by site over other sites. The result is about the primary metric and adjusted for the "
        "number of comparisons of the study (Holm 1979), so it may be weaker than an interval by itself suggests. All "
        "other differences are descriptive."
    )
    show_differences(compared, unit, metric)
with by_class:
    show_class_accuracy(compared, unit, is_her2=bool(scheme.get("is_her2")))
with about:
    trained = "cross-validated" if facts["kind"] == "cv" else "trained"
    times = count(len(facts["study"]["seeds"]), "time")
    st.markdown(
        f"**{markdown_text(facts['study']['title'])}.** Each network was {trained} {times} under each design with the "
        "same budget. Under *random patches* the test patches come from patients and slides that the network has seen "
        "in training; only designs by patient and by site estimate the performance on new patients."
    )
    show_folds(study, compared)
    download_table("All metrics (CSV)", study.figures, f"{study.path.name}-metrics", key=f"metrics-{key}", minor=True)
    download_table(
        "All differences (CSV)",
        study.differences,
        f"{study.path.name}-differences",
        key=f"differences-{key}",
        minor=True,
    )
