"""Details of one run of the table: links to its pages, and the form for status, tags and note."""

from __future__ import annotations

import hashlib

import pandas as pd
import streamlit as st

from dashboard.access import NO_WRITING, may_write
from dashboard.cache import run_names
from dashboard.navigation import PAGES
from dashboard.widgets import markdown_sentence
from her2core.errors import Her2Error
from her2core.io.text import SENTENCE_LENGTH, capitalised, markdown_text
from her2core.runs.annotations import NOTE_LENGTH, STATUSES, Annotation, can_annotate, split_tags, write_annotation

#: Pages that a run is opened on.
_LINKS = (
    ("evidence/performance.py", "Performance", "fact_check"),
    ("evidence/errors.py", "Errors", "report"),
    ("about/about.py", "Model card", "info"),
)


def show_details(row: pd.Series) -> None:
    """Draw one row of ``evidence.run_table``."""
    with st.container(border=True):
        st.markdown(f"**{markdown_text(row['run'])}** · {markdown_text(row['title'], SENTENCE_LENGTH)}")
        offered = {path: name for name, path in run_names()[0].items()}
        if name := offered.get(row["path"]):
            with st.container(horizontal=True):
                for page, label, icon in _LINKS:
                    st.page_link(PAGES / page, label=label, icon=f":material/{icon}:", query_params={"run": name})
        else:
            st.caption("A run of a study without weights: its evidence is on the study's page.")
        if not may_write():
            st.caption(NO_WRITING)
        elif not can_annotate(row["path"]):
            st.caption("Status, tags and note cannot be changed here: the folder of runs is read-only.")
        else:
            _form(row)


def _form(row: pd.Series) -> None:
    """Draw the form; what it saves is kept beside the run and changes nothing in it."""
    # A key reaches the browser, a path must not; of another run the form shows other values.
    key = hashlib.sha256(str(row["path"]).encode()).hexdigest()[:16]
    with st.form(f"annotation-{key}", border=False):
        left, right = st.columns([1, 2], gap="small")
        status = left.selectbox(
            "Status",
            ["", *STATUSES],
            index=["", *STATUSES].index(row["status"]),
            format_func=lambda s: capitalised(s) or "None",
            key=f"status-{key}",
        )
        tags = right.text_input("Tags", ", ".join(row["tags"]), key=f"tags-{key}", help="Separated by commas.")
        note = st.text_area("Note", row["note"], key=f"note-{key}", max_chars=NOTE_LENGTH, height=80)
        if st.form_submit_button("Save", icon=":material/save:"):
            try:
                write_annotation(row["path"], Annotation(status, split_tags(tags), note))
            except Her2Error as refused:
                st.error(markdown_sentence(refused.sentence))
            else:
                st.rerun()
    st.caption("Kept beside the run on this server, for all who use it; nothing in the run is changed.")
