"""Who may see this? Nothing in; the script ends here for a visitor who must sign in first.

Sign-in is optional: it is on when ``.streamlit/secrets.toml`` has an ``[auth]`` section (OpenID Connect, see
``st.login``). shell.py calls ``guard`` before any page runs, and every page is reached through it alone, so a cold
deep link meets it too.
"""

from __future__ import annotations

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.parts import NOTICE
from dashboard.words import plain


def sign_in_is_on() -> bool:
    """Whether the secrets ask for sign-in."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def guard() -> None:
    """Let a signed-in visitor pass, and everybody where sign-in is off; show all others the door."""
    if not sign_in_is_on():
        return
    if st.user.is_logged_in:
        with st.sidebar:
            st.caption(f"Signed in as {plain(st.user.get('email') or st.user.get('name') or 'unnamed')}")
            st.button("Sign out", on_click=st.logout, width="stretch")
        return
    st.title("her2core")
    st.write("This dashboard asks its visitors to sign in.")
    st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:")
    st.caption(NOTICE)
    st.stop()
