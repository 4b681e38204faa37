"""Optional sign-in of visitors by OpenID Connect.

Sign-in is on when ``.streamlit/secrets.toml`` has an ``[auth]`` section (see ``st.login``). main.py calls
``require_sign_in`` before any page runs, and every page is reached through it alone, so a cold deep link meets it too.
"""

from __future__ import annotations

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.widgets import NOTICE
from her2core.io.text import markdown_text


def sign_in_is_on() -> bool:
    """Whether the secrets ask for sign-in."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def require_sign_in() -> None:
    """Let a signed-in visitor pass, and everybody where sign-in is off; show the sign-in page to all others."""
    if not sign_in_is_on():
        return
    if st.user.is_logged_in:
        with st.sidebar:
            st.caption(f"Signed in as {markdown_text(st.user.get('email') or st.user.get('name') or 'unnamed')}")
            st.button("Sign out", on_click=st.logout, width="stretch")
        return
    st.title("her2core")
    st.write("Please sign in to use this dashboard.")
    st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:")
    st.caption(NOTICE)
    st.stop()
