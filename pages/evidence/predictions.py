"""What are somebody else's predictions worth? Any tool's table in; the same evidence as for a run of our own out."""

from __future__ import annotations

import streamlit as st

from dashboard.columns import choose_columns
from dashboard.navigation import PAGES
from dashboard.review import add_review, uploaded_reviews
from dashboard.selection import select
from dashboard.session import forget, remember
from dashboard.widgets import NOTICE, count, heading, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.prediction_columns import guess_columns
from her2core.evidence.predictions import Predictions
from her2core.io.limits import TableLimits
from her2core.io.tables import read_table
from her2core.io.text import markdown_text, safe_file_name

#: Largest table taken, in MiB.
MAX_MB = 200

heading("Your predictions", None)
st.markdown(
    "Bring a table with one row a patch: the **true class**, and a **probability (or score) for each class**. Any "
    "tool's will do. Patient, slide and site make the numbers honest: without patients, intervals are too narrow, and "
    "the pages say so. The table stays in this session's memory and is never stored."
)
file = st.file_uploader("Table (CSV, TSV or Parquet)", key="table", max_upload_size=MAX_MB)
if file is None:
    held = uploaded_reviews()
    if held:
        listed = ", ".join(markdown_text(name) for name in held)
        st.info(f"In this session: {listed}. Choose it in the sidebar and open **Performance** or **Errors**.")
    with st.expander("What the table may look like"):
        st.dataframe(
            {
                "patch_id": ["a1", "a2"],
                "patient_id": ["P1", "P2"],
                "label": ["negative", "positive"],
                "probability_negative": [0.9, 0.2],
                "probability_positive": [0.1, 0.8],
            },
            hide_index=True,
            alt="Two rows of an example table",
        )
    st.caption(NOTICE)
    st.stop()

name = safe_file_name(file.name)
try:
    with st.spinner("Reading the table ..."):
        frame = remember(
            ("table", file.file_id),
            lambda: read_table(file.getvalue(), name=name, limits=TableLimits(file=MAX_MB * 2**20)).frame,
        )
        guess = remember(("guess", file.file_id), lambda: guess_columns(frame))
except Her2Error as refused:
    st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    st.caption(NOTICE)
    st.stop()

st.header("Which column is what")
st.caption(f"{count(len(frame), 'row')}. The choices are a guess from the names: look at them before you go on.")
st.dataframe(frame.head(5), hide_index=True, width="stretch", alt="The first five rows of your table")
chosen = choose_columns(frame, guess, key=f"column-{file.file_id}")

if st.button("Show the evidence", type="primary", icon=":material/fact_check:"):
    try:
        if chosen.problem:
            st.error(chosen.problem)
            st.stop()
        with st.spinner("Computing every metric with its interval ..."):
            predictions = Predictions.from_frame(frame, chosen.columns, kind=chosen.kind)
            del frame  # the table may be large, and all that is needed of it is in the predictions
            forget(("table", file.file_id))
            review = add_review(name, predictions)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    else:
        select(review)
        st.switch_page(PAGES / "evidence/performance.py")
st.caption(NOTICE)
