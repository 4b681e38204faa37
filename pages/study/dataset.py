"""What is in the data of this run, and can they carry the claim? Its data table and coded checks in; figures out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.choice import opened_run
from dashboard.parts import NOTICE, download_table, figure
from dashboard.words import plain, sentence
from her2core.data.composition import composition
from her2core.data.manifest import UNKNOWN
from her2core.plots.composition import composition_figure, composition_words

BY = {"split": "Part of the split", "site": "Site", "scanner": "Scanner", "source": "Source"}
COUNTED = {"patches": "patch_id", "patients": "patient_id", "slides": "slide_id"}

run, (dataset, checks) = opened_run("Dataset", lambda r: (r.dataset, r.checks))
facts = run.card["data"].get("facts", {})
known = dataset["patient_id"].ne(UNKNOWN).all()
first, second, third, fourth = st.columns(4)
first.metric("Patches", f"{len(dataset):,}", border=True)
second.metric("Patients", f"{dataset['patient_id'].nunique():,}" if known else "unknown", border=True)
slides = dataset.loc[dataset["slide_id"] != UNKNOWN, "slide_id"].nunique()
third.metric("Slides", f"{slides:,}" if slides else "unknown", border=True)
fourth.metric("Split by", run.card["data"]["split_unit"].replace("_", " "), border=True)
st.markdown(
    f"Licence: {sentence(facts.get('licence', 'not stated'))}. {sentence(facts.get('citation', 'No citation.'))}"
)

st.header("Checks")
if not checks:
    st.success("The coded checks found nothing.", icon=":material/check:")
for finding in checks:
    show = {"error": st.error, "warning": st.warning}.get(finding["severity"], st.info)
    show(
        f"**{plain(finding['code'])}**: "
        + sentence(f"expected {finding['expected']}, got {finding['got']}. {finding['fix']}")
        + (f"\n\n{sentence(finding['why'])}" if finding.get("why") else "")
    )
    if finding["rows"]:
        with st.expander(f"{plain(finding['code'])}: {finding['count']:,} rows, the first {len(finding['rows'])}"):
            rows = dataset[dataset["patch_id"].isin(finding["rows"])]
            st.dataframe(rows, hide_index=True, width="stretch", alt=f"Rows of the finding {finding['code']}")
            if finding.get("pairs"):
                pairs = pd.DataFrame(finding["pairs"], columns=["patch", "found with"])
                st.dataframe(pairs, hide_index=True, width="stretch", alt=f"Pairs of the finding {finding['code']}")

st.header("Composition")
left, right = st.columns(2)
by = left.selectbox("By", list(BY), format_func=BY.get, key="by", bind="query-params")
counted = right.selectbox("Count", list(COUNTED), key="counted", bind="query-params")
if (dataset[COUNTED[counted]] == UNKNOWN).any():
    st.info(f"The {counted} of these data are unknown.")
else:
    table = composition(dataset, by=by, count=COUNTED[counted], classes=run.classes)
    figure(
        composition_figure(table, run.classes),
        composition_words(table, run.classes, counted),
        key="composition",
        table=table,
    )
if known:
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
        st.dataframe(patients, hide_index=True, width="stretch", alt="One row a patient")
        download_table("Patients (CSV)", patients, f"{run.name}-patients")
download_table("Data table (CSV)", dataset, f"{run.name}-dataset")
st.caption(NOTICE)
