"""Dataset page: the data of a run, the outcomes of its checks, and its composition."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.selection import opened_run
from dashboard.views.performance import licence_and_citation
from dashboard.widgets import dataframe, download_table, figure, markdown_sentence
from her2core.data.checks import CheckReport, Finding
from her2core.data.composition import composition
from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import split_label
from her2core.io.text import markdown_text
from her2core.plots.composition import composition_description, composition_figure

GROUPS = {"split": "Split", "site": "Site", "scanner": "Scanner", "source": "Source"}
COUNTED = {"patches": "patch_id", "patients": "patient_id", "slides": "slide_id"}


def show_finding(finding: Finding, dataset: pd.DataFrame) -> None:
    """Draw a finding of the checks with the rows that it concerns."""
    show = {"error": st.error, "warning": st.warning}.get(finding.severity, st.info)
    show(f"{markdown_sentence(finding.sentence)}\n\n{markdown_sentence(finding.why)}")
    if not finding.rows:
        return
    with st.expander(f"{markdown_text(finding.title)}: {finding.count:,} rows, the first {len(finding.rows)}"):
        rows = dataset[dataset["patch_id"].isin(finding.rows)]
        dataframe(rows, f"Rows of the finding {finding.title}")
        if finding.pairs:
            pairs = pd.DataFrame(finding.pairs, columns=["patch", "duplicate or neighbour"])
            dataframe(pairs, f"Pairs of the finding {finding.title}")


def show_unanswered(checks: CheckReport) -> None:
    """Draw how many checks ended how, and those that were not applicable or could not be run, with reasons."""
    st.caption(markdown_sentence(checks.summary[0]))
    unanswered = [o for o in checks.outcomes if o.reason]
    if not unanswered:
        return
    with st.expander(f"Checks without an answer: {len(unanswered)} of {len(checks.outcomes)}"):
        dataframe(
            [{"check": o.title, "outcome": o.status, "reason": o.reason} for o in unanswered],
            "Checks that were not applicable or could not be run, with reasons",
        )


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
