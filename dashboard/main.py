"""Script run for each visitor: sign-in first, then the choice of a model, then the page."""

from __future__ import annotations

import logging

import streamlit as st

from dashboard.access import require_sign_in
from dashboard.ending import watch_session
from dashboard.navigation import HOME, page_links, pages
from dashboard.selection import choose_model
from dashboard.widgets import NOTICE, markdown_sentence
from her2core.errors import Her2Error
from her2core.identity import ASSETS

MARK, LOGO = (ASSETS / name for name in ("mark.svg", "logo.svg"))
_STYLE = HOME / "dashboard" / "style.css"
FAILURE = "This is a fault of her2core, not yours: {}. Reload the page; the server's log has the details."


def main() -> None:
    """Run the script once: nothing of a page is drawn, and no run is opened, before the sign-in has let it pass."""
    st.set_page_config(page_title="her2core", page_icon=str(MARK), layout="wide")
    st.logo(str(LOGO), size="large", icon_image=str(MARK))
    st.html(_STYLE)
    sections = pages()
    page = st.navigation(sections, position="hidden")
    require_sign_in()
    watch_session()
    menu = st.sidebar.container(gap="xxsmall")
    choose_model()
    page_links(sections, menu)
    content = st.container()
    st.caption(NOTICE)  # the footer, there wherever the page ends
    with content:
        try:
            page.run()
        except Her2Error as refused:  # a run's file that is damaged, or was exchanged while the page was drawn
            st.error(markdown_sentence(refused.sentence))


def show_failure(failure: Exception) -> bool:
    """Show one sentence in place of Streamlit's own message and log the traceback.

    For ``st.App(on_script_error=...)``.
    """
    logging.getLogger(__name__).error("a page failed", exc_info=failure)
    st.error(FAILURE.format(type(failure).__name__), icon=":material/error:")
    return True


if __name__ == "__main__":
    main()
