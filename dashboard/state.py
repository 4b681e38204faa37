"""What does this session remember? Answers already computed, so that moving a slider computes nothing anew.

They live in the session's own memory and end with it: an upload never reaches a cache that sessions share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pyarrow as pa
import streamlit as st

#: More answers than this are forgotten together; a page of 32 uploads with one map set each fits.
KEEP = 80


def remember(key: Hashable, compute: Callable[[], Any]) -> Any:
    """The value of ``compute()`` for this key, computed once in this session."""
    memory: dict = st.session_state.setdefault("remembered", {})
    if key not in memory:
        if len(memory) >= KEEP:
            memory.clear()
        memory[key] = compute()
    return memory[key]


def forget(key: Hashable) -> None:
    """Let go of one value, where it is large and has done its work; a table's memory goes back to the system."""
    st.session_state.get("remembered", {}).pop(key, None)
    pa.default_memory_pool().release_unused()
