"""Optional sign-in of visitors by OpenID Connect.

Sign-in is on when ``.streamlit/secrets.toml`` has an ``[auth]`` section (see ``st.login``). ``guard.py`` asks for it
before every route of the server; main.py calls ``require_sign_in`` once more before any page runs. An ``[access]``
section limits it to some accounts:

    [access]
    accounts = ["a.person@hospital.example"]
    domains = ["university.example"]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.widgets import NOTICE
from her2core.io.text import markdown_text

#: Shown in place of every page.
SIGN_IN = "Please sign in to use this dashboard."
#: Why ``may_write`` is false.
NO_WRITING = "Nothing can be saved on this server: it answers other machines without a sign-in."
#: Addresses at which a server answers its own machine only.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Variable that switches training on, on this machine alone.
TRAINING = "HER2_TRAINING"
NO_TRAINING = "Training from the dashboard is off"
SWITCH = f"`{TRAINING}=1 streamlit run app.py --server.address 127.0.0.1`"
NO_ACCESS = "This account has no access to this dashboard."


def sign_in_is_on() -> bool:
    """Whether the secrets ask for sign-in."""
    return "auth" in _secrets()


def has_access(account: Mapping[str, Any]) -> bool:
    """Whether an account is among those of the secrets, by its whole address or its domain; any is where none is named.

    An address that the provider calls unverified has no access where accounts are named.
    """
    allowed = _secrets().get("access")
    if allowed is None:
        return True
    address = str(account.get("email") or "").casefold()
    if not address or account.get("email_verified") is False:
        return False
    accounts, domains = ({str(name).casefold() for name in allowed.get(key, ())} for key in ("accounts", "domains"))
    return address in accounts or address.rpartition("@")[2] in domains


def may_write() -> bool:
    """Whether visitors may change what is kept on the server: on this machine alone, or signed in."""
    return sign_in_is_on() or st.get_option("server.address") in LOOPBACK


def why_no_training() -> str:
    """Say in a sentence why nobody can train from the dashboard and how to switch it on; empty where one can.

    The server has to listen to this machine alone and answer to no other name, and the visitor to come from this
    machine: the last also where another program than Streamlit's own listens for the app.
    """
    if os.environ.get(TRAINING) != "1":
        return f"{NO_TRAINING}: set {TRAINING}=1 when you start the server on this machine, as in {SWITCH}."
    if st.get_option("server.address") not in LOOPBACK:
        return f"{NO_TRAINING}: this server listens to other machines; start one with {SWITCH}."
    if set(st.get_option("server.allowedHosts") or ()) - set(LOOPBACK) or st.context.ip_address is not None:
        return f"{NO_TRAINING}: this server is reached from other machines; start one with {SWITCH}."
    return ""


def require_sign_in() -> None:
    """Let a visitor with access pass, and everybody where sign-in is off; show the sign-in page to all others."""
    if not sign_in_is_on():
        return
    signed_in = bool(st.user.is_logged_in)
    if signed_in and has_access(st.user.to_dict()):
        with st.sidebar:
            st.caption(f"Signed in as {markdown_text(st.user.get('email') or st.user.get('name') or 'unnamed')}")
            st.button("Sign out", on_click=st.logout, width="stretch")
        return
    st.title("her2core")
    if signed_in:
        st.markdown(NO_ACCESS)
        st.button("Sign out", on_click=st.logout)
    else:
        st.markdown(SIGN_IN)
        st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:")
    st.caption(NOTICE)
    st.stop()


def _secrets() -> Mapping[str, Any]:
    try:
        return st.secrets.to_dict()
    except StreamlitSecretNotFoundError:
        return {}
