"""What runs for each visitor, whichever page is asked for? Sign-in first, then the run in use, then the page."""

from __future__ import annotations

import streamlit as st

from dashboard.access import guard
from dashboard.choice import choose
from dashboard.navigation import links, pages


def main() -> None:
    """One run of the script: nothing of a page is drawn, and no run looked at, before the guard has let it pass."""
    st.set_page_config(page_title="her2core", page_icon=":microscope:", layout="wide")
    sections = pages()
    page = st.navigation(sections, position="hidden")
    guard()
    menu = st.sidebar.container(gap="xxsmall")
    choose()
    links(sections, menu)
    page.run()


if __name__ == "__main__":
    main()
