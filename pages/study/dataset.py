"""Dataset page: the data of a run, the outcomes of its checks, and its composition."""

from __future__ import annotations

import streamlit as st

from dashboard.selection import opened_run
from dashboard.views.checks import show_finding, show_unanswered
from dashboard.views.performance import licence_and_citation
from dashboard.widgets import dataframe, download_table, figure
from her2core.data.composition import composition
from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import split_label
from her2core.plots.composition import composition_description, composition_figure

GROUPS = {"split": "Split", "site": "Site", "scanner": "Scanner", "source": "Source"}
COUNTED = {"patches": "patch_id", "patients": "patient_id", "slides": "slide_id"}


run, (dataset, checks) = opened_run("Dataset", lambda r: (r.dataset, r.checks))
patients_known = dataset["patient_id"].ne(UNKNOWN).all()
first, second, third, fourth = st.columns(4)
first.metric("Patches", f"{len(dataset):,}", border=True)
second.metric("Patients", f"{dataset['patient_id'].nunique():,}" if patients_known else "unknown", border=True)
slides = dataset.loc[dataset["slide_id"] != UNKNOWN, "slide_id"].nunique()
third.metric("Slides", f"{slides:,}" if slides else "unknown", border=True)
fourth.metric("Split", split_label(run.card["data"]["split_unit"]), border=True)
st.markdown(licence_and_citation(run))

st.header("Checks")
if not checks:
    st.success("The checks have no finding.", icon=":material/check:")
for finding in checks:
    show_finding(finding, dataset)
show_unanswered(checks)

st.header("Composition")
left, right = st.columns(2)
by = left.selectbox("Group by", list(GROUPS), format_func=GROUPS.__getitem__, key="by", bind="query-params")
counted = right.selectbox("Count", list(COUNTED), key="counted", bind="query-params")
if (dataset[COUNTED[counted]] == UNKNOWN).any():
    st.info(f"The {counted} of these data are unknown.")
else:
    table = composition(dataset, by=by, count=COUNTED[counted], classes=run.classes)
    description = composition_description(table, run.classes, counted)
    figure(composition_figure(table, run.classes), description, key="composition", table=table)
if patients_known:
    with st.expander(f"All {dataset['patient_id'].nunique():,} patients"):
        patients = (
            dataset.groupby("patient_id")
            .agg(
                label=("label", "first"),
                labels=("label", "nunique"),
                patches=("patch_id", "size"),
                slides=("slide_id", "nunique"),
                site=("site", "first"),
                split=("split", "first"),
            )
            .reset_index()
        )
        shown = patients.rename(columns={"patient_id": "patient", "label": "class", "labels": "classes"})
        dataframe(shown, "One row per patient")
        download_table("Patients (CSV)", patients, f"{run.name}-patients")
download_table("Data table (CSV)", dataset, f"{run.name}-dataset")
