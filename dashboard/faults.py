"""What does a visitor read when the program is at fault? One sentence; the traceback goes to the log."""

from __future__ import annotations

import logging

import streamlit as st

FAULT = "This is a fault of her2core, not yours: {}. Reload the page; the server's log has the details."


def one_sentence(fault: Exception) -> bool:
    """Say it in place of Streamlit's own message. For ``st.App(on_script_error=...)``."""
    logging.getLogger(__name__).error("a page broke", exc_info=fault)
    st.error(FAULT.format(type(fault).__name__), icon=":material/error:")
    return True
