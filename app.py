"""The dashboard's entry: page config, navigation, and the run in use. Start it with ``streamlit run app.py``."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import choose_run

st.set_page_config(page_title="her2core", page_icon=":microscope:", layout="wide")

# Pages lie in pages/<section>/: a flat pages/*.py could be opened by a deep link without this file.
page = st.navigation(
    {
        "Analyse": [st.Page("pages/analyse/patch.py", title="Patch", icon=":material/search:", default=True)],
        "Evidence": [st.Page("pages/evidence/performance.py", title="Performance", icon=":material/fact_check:")],
    }
)
st.session_state["opened_run"] = choose_run()
page.run()
