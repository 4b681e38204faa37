"""What are somebody else's predictions worth? Any tool's table in; the same evidence as for a run of our own out."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.choice import put_in_use
from dashboard.navigation import PAGES
from dashboard.parts import NOTICE, heading, units_of
from dashboard.review import bring, brought_along
from dashboard.state import forget, remember
from dashboard.uploads import safe_name
from dashboard.words import plain, sentence
from her2core.errors import Her2Error
from her2core.evidence.foreign import ColumnMap, adopt, guess_columns, read_predictions_bytes, suggest_labels

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
    held = brought_along()
    if held:
        listed = ", ".join(plain(name) for name in held)
        st.info(f"In this session: {listed}. Choose it in the sidebar and open **Performance** or **Errors**.")
    with st.expander("What the table may look like"):
        st.dataframe(
            {"patch_id": ["a1", "a2"], "patient_id": ["P1", "P2"], "label": ["negative", "positive"],
             "prob_negative": [0.9, 0.2], "prob_positive": [0.1, 0.8]},
            hide_index=True, alt="Two rows of an example table",
        )  # fmt: skip
    st.caption(NOTICE)
    st.stop()

name = safe_name(file.name)
try:
    with st.spinner("Reading the table ..."):
        frame = remember(
            ("table", file.file_id),
            lambda: read_predictions_bytes(file.getvalue(), name=name, max_bytes=MAX_MB * 2**20),
        )
        guess = remember(("guess", file.file_id), lambda: guess_columns(frame))
except Her2Error as refused:
    st.error(sentence(refused), icon=":material/block:")
    st.caption(NOTICE)
    st.stop()

st.header("Which column is what")
st.caption(f"{units_of(len(frame), 'row')}. The choices are a guess from the names: look at them before you go on.")
st.dataframe(frame.head(5), hide_index=True, width="stretch", alt="The first five rows of your table")
names = [str(c) for c in frame.columns]
key = f"column-{file.file_id}"


def column_for(label: str, guessed: str | None, where) -> str | None:
    """A choice of one column, or none."""
    index = names.index(guessed) if guessed in names else None
    return where.selectbox(label, names, index=index, key=f"{key}-{label}", placeholder="none")


left, middle, right = st.columns(3)
truth = column_for("True class", guess.label, left)
patient = column_for("Patient", guess.patient_id, middle)
slide = column_for("Slide", guess.slide_id, right)
patch = column_for("Patch", guess.patch_id, left)
site = column_for("Site", guess.site, middle)
split = column_for("Part of the split (only test rows are judged)", guess.split, right)
scores = st.multiselect("Probability of each class, in the order of the classes", names,
                        default=list(guess.scores.values()), key=f"{key}-scores")  # fmt: skip
guessed_class = {column: name for name, column in guess.scores.items()}
called: dict[str, str] = {}
for where, column in zip(st.columns(max(len(scores), 1)), scores, strict=False):
    class_name = where.text_input(
        f"Class of {plain(column)}", guessed_class.get(column, column), key=f"{key}-class-{column}"
    )
    called[class_name.strip()] = column
kind = st.segmented_control("These columns hold", ["auto", "probabilities", "logits"], default="auto", required=True,
                            key=f"{key}-kind")  # fmt: skip
columns = ColumnMap(
    label=truth, scores=called, patch_id=patch, patient_id=patient, slide_id=slide, site=site, split=split
)
spelt = suggest_labels(frame, columns) if truth else {}
readings = ", ".join(f"{plain(repr(a))} as {plain(repr(b))}" for a, b in spelt.items())
if spelt and st.checkbox(f"Read {readings}", key=f"{key}-spelling"):
    columns = replace(columns, labels=spelt)

if st.button("Show the evidence", type="primary", icon=":material/fact_check:"):
    try:
        if len(called) < len(scores):
            st.error("Two of the columns have the same class. Give each class its own name.")
            st.stop()
        with st.spinner("Computing every metric with its interval ..."):
            predictions = adopt(frame, columns, kind=kind)
            del frame  # the table may be large, and all that is needed of it is in the predictions
            forget(("table", file.file_id))
            review = bring(name, predictions)
    except Her2Error as refused:
        st.error(sentence(refused), icon=":material/block:")
    else:
        put_in_use(review)
        st.switch_page(PAGES / "evidence/performance.py")
st.caption(NOTICE)
