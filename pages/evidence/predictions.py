"""Your predictions page: upload of any tool's table of predictions, with a choice of its columns."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.columns import choose_columns
from dashboard.navigation import PAGES
from dashboard.review import MAX_FILES, add_review, dropped_next, uploaded_reviews
from dashboard.selection import KEPT_FOR_SESSION, show_evidence
from dashboard.session import forget, remember
from dashboard.widgets import count, dataframe, heading, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.label_shift import corrected_for_shift, read_shares
from her2core.evidence.prediction_columns import guess_columns, names_predictions
from her2core.evidence.predictions import Predictions
from her2core.io.limits import UPLOADED_MIB, UPLOADED_TABLE
from her2core.io.tables import read_table
from her2core.io.text import markdown_text, safe_file_name

heading("Your predictions", None)
st.markdown(
    "Upload a table of any tool with one row per patch, slide or patient: the **true class**, and a **probability or "
    "logit for each class**, or the **predicted class** alone. Patient identifiers matter: without them intervals are "
    "too narrow, and overlap between training and test cannot be checked. The table stays in this session's memory and "
    "is never stored. " + KEPT_FOR_SESSION
)
file = st.file_uploader("Table (CSV, Parquet or Excel)", key="table", max_upload_size=UPLOADED_MIB)
if file is None:
    reviews = uploaded_reviews()
    if reviews:
        listed = ", ".join(markdown_text(name) for name in reviews)
        st.info(f"In this session: {listed}. Choose it in the sidebar and open **Performance** or **Errors**.")
    with st.expander("Example of a table"):
        dataframe(
            {
                "patch_id": ["a1", "a2"],
                "patient_id": ["P1", "P2"],
                "label": ["negative", "positive"],
                "probability_negative": [0.9, 0.2],
                "probability_positive": [0.1, 0.8],
            },
            "Two rows of an example table",
        )
    st.stop()

name, content = safe_file_name(file.name), file.getvalue
try:
    with st.spinner("Reading the table ..."):
        table = remember(
            ("table", file.file_id),
            lambda: read_table(content(), name=name, limits=UPLOADED_TABLE, wanted=names_predictions),
        )
        guess = remember(("guess", file.file_id), lambda: guess_columns(table.frame))
except Her2Error as refused:
    st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    st.stop()

st.header("Columns")
for note in table.notes:
    st.info(markdown_sentence(note))
st.caption(f"{count(len(table.frame), 'row')}. Columns are recognised by their names: check them before you go on.")
dataframe(table.frame.head(5), "The first five rows of your table")
chosen = choose_columns(table.frame, guess, key=f"column-{file.file_id}")

trained = None
with st.expander("New site: correct for label shift"):
    st.markdown(
        "Probabilities are those of the class shares of the training data. Where only these shares differ here, they "
        "can be estimated without the labels and the probabilities corrected (Saerens et al. 2002). Scanner, stain or "
        "patients that differ too can make matters worse; the evidence then states that it was corrected."
    )
    if st.checkbox("Correct for label shift", key=f"shift-{file.file_id}"):
        trained = st.text_input(
            "Class shares of the training data", key=f"trained-{file.file_id}", placeholder="negative=0.8, positive=0.2"
        )

if oldest := dropped_next():
    st.warning(f"{MAX_FILES} tables are kept in a session: showing this one drops {markdown_text(oldest)}.")
if st.button("Show the evidence", type="primary", icon=":material/fact_check:"):
    try:
        if chosen.problem:
            st.error(chosen.problem)
            st.stop()
        with st.spinner("Computing every metric with its interval ..."):
            predictions = Predictions.from_frame(table.frame, chosen.columns, kind=chosen.kind)
            predictions = replace(predictions, notes=(*table.notes, *predictions.notes))
            if trained is not None:
                predictions = corrected_for_shift(predictions, trained=read_shares(trained))
            del table  # it may be large, and all that is needed of it is in the predictions
            forget(("table", file.file_id))
            review = add_review(name, predictions)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    else:
        show_evidence(review, PAGES / "evidence/performance.py")
