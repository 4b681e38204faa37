"""How does a page get a table of the inputs? A review and a name in; its rows, with what is missing said, out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.parts import NOTICE
from dashboard.review import Review
from dashboard.words import sentence
from her2core.errors import Her2Error
from her2core.evidence.result_tables import ResultTable


def opened_exhibit(review: Review, name: str) -> ResultTable:
    """The table, or one sentence that says why not, and the page ends there."""
    try:
        with st.spinner("Resampling patients ..."):
            return review.result_table(name)
    except Her2Error as refused:
        st.error(sentence(refused))
        st.caption(NOTICE)
        st.stop()


def rows_at(result_table: ResultTable, unit: str) -> pd.DataFrame:
    """The rows of one unit; what could not be given there is said, with the reason."""
    missing = result_table.missing[result_table.missing["unit"] == unit].astype(object).fillna("")
    rows = result_table.frame[result_table.frame["unit"] == unit]
    said = [f"{row.what}: {row.reason}" if row.what else row.reason for row in missing.itertuples()]
    if rows.empty:
        st.info(f"Not given: {sentence('; '.join(said))}")
    elif said:
        with st.expander(f"Not given here: {len(said)}, with the reason"):
            for words in said:
                st.markdown(f"- {sentence(words)}")
    if result_table.name != "subgroups" and (rows["resampling_unit"] != "patient").any():
        st.warning(
            "Intervals draw single rows, which are not independent, since patients are unknown or too few: they "
            "are too narrow.",
            icon=":material/warning:",
        )
    return rows
