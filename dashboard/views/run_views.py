"""Saved views of the table of runs: filter, columns and order under a name, kept on the server."""

from __future__ import annotations

import streamlit as st

from dashboard import cache
from dashboard.access import NO_WRITING, may_write
from dashboard.widgets import markdown_sentence
from her2core.errors import Her2Error
from her2core.io.text import markdown_text
from her2core.runs.views import NAME_LENGTH, Setting, delete_view, save_view, saved_views

#: Widgets of the page whose values make a view; they stand in its address too.
KEYS = ("search", "status", "verdict", "tags", "columns", "sort", "descending", "figures_unit", "studies")


def show_views() -> None:
    """Draw the saved views and the form that saves one."""
    views, problems = saved_views(*cache.ROOTS)
    with st.popover("Saved views", icon=":material/bookmark:"):
        for name, settings in views.items():
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(markdown_text(name), key=f"view-{name}", on_click=_apply, args=(settings,), type="tertiary")
                if may_write():
                    label = f"Delete the view {name}"
                    st.button(
                        "Delete", key=f"delete-{name}", on_click=_delete, args=(name,), help=markdown_sentence(label)
                    )
        if not views:
            st.caption("No saved view.")
        st.caption("The address of this page restores the present view as well: bookmark or send it.")
        for problem in problems:
            st.caption(markdown_sentence(problem))
        if not may_write():
            st.caption(NO_WRITING)
            return
        with st.form("save-view", border=False, clear_on_submit=True):
            name = st.text_input("Name of the present view", max_chars=NAME_LENGTH)
            if st.form_submit_button("Save the view", icon=":material/save:"):
                try:
                    save_view(cache.ROOTS[-1], name, _present())
                except Her2Error as refused:
                    st.error(markdown_sentence(refused.sentence))
                else:
                    st.rerun()


def _present() -> dict[str, Setting]:
    """The values of the widgets as they are now."""
    return {key: st.session_state[key] for key in KEYS if key in st.session_state}


def _apply(settings: dict[str, Setting]) -> None:
    """Set the widgets; a setting of another kind than the widget's is left out."""
    for key in KEYS:
        if key in settings and key in st.session_state:
            value, present = settings[key], st.session_state[key]
            if isinstance(value, type(present)) or present is None:
                st.session_state[key] = value


def _delete(name: str) -> None:
    for root in cache.ROOTS:
        try:
            delete_view(root, name)
        except Her2Error as refused:
            st.toast(markdown_sentence(refused.sentence))
