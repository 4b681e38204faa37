"""Pages of the dashboard by section, and the links to them.

Streamlit's own menu puts headings between the items of one list, which screen readers lose (axe-core: ``list``), so
the links are drawn here. They keep the choice of model and unit in the address.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import StreamlitPage

#: The folder with app.py and pages/.
HOME = Path(__file__).resolve().parents[1]
PAGES = HOME / "pages"
#: Query parameters that a link to another page keeps: model, unit of analysis, and the filter of the cases.
KEPT = ("run", "unit", "errors_true", "errors_predicted", "errors_patient_id", "errors_site", "errors_order")


def pages() -> dict[str, list[StreamlitPage]]:
    """Section -> its pages. They lie in pages/<section>/: a flat pages/*.py could be opened without app.py."""
    return {
        "": [st.Page(PAGES / "home/home.py", title="Home", icon=":material/home:", default=True)],
        "Analyse": [
            st.Page(PAGES / "analyse/patch.py", title="Patch", icon=":material/search:"),
            st.Page(PAGES / "analyse/batch.py", title="Batch", icon=":material/grid_view:"),
            st.Page(PAGES / "analyse/slide.py", title="Slide", icon=":material/biotech:"),
        ],
        "Evidence": [
            st.Page(PAGES / "evidence/performance.py", title="Performance", icon=":material/fact_check:"),
            st.Page(PAGES / "evidence/errors.py", title="Errors", icon=":material/report:"),
            st.Page(PAGES / "evidence/calibration.py", title="Calibration", icon=":material/balance:"),
            st.Page(PAGES / "evidence/decisions.py", title="Decisions", icon=":material/alt_route:"),
            st.Page(PAGES / "evidence/subgroups.py", title="Subgroups", icon=":material/groups:"),
            st.Page(PAGES / "evidence/external.py", title="External validation", icon=":material/public:"),
            st.Page(PAGES / "evidence/planning.py", title="Planning", icon=":material/straighten:"),
            st.Page(PAGES / "evidence/predictions.py", title="Your predictions", icon=":material/upload_file:"),
        ],
        "Study": [
            st.Page(PAGES / "study/runs.py", title="Runs", icon=":material/table_rows:"),
            st.Page(PAGES / "study/backbones.py", title="Backbones", icon=":material/compare_arrows:"),
            st.Page(PAGES / "study/leakage.py", title="Leakage", icon=":material/water_drop:"),
            st.Page(PAGES / "study/dataset.py", title="Dataset", icon=":material/dataset:"),
            st.Page(PAGES / "study/training.py", title="Training", icon=":material/show_chart:"),
        ],
        "About": [st.Page(PAGES / "about/about.py", title="About", icon=":material/info:")],
    }


def page_links(sections: dict[str, list[StreamlitPage]], menu: DeltaGenerator) -> None:
    """Draw the pages as links in the container ``menu``, under the names of their sections."""
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    with menu:
        for section, members in sections.items():
            if section:
                st.markdown(f"**{section}**")
            for page in members:
                st.page_link(page, query_params=kept)
