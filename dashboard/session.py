"""Values remembered for one session, so that moving a slider computes nothing again.

They live in the session's own memory and end with it: an upload never reaches a cache that sessions share. Keys name
the content that a value was computed from (a hash, a unit), never its place in a list.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import pyarrow as pa
import streamlit as st

T = TypeVar("T")
#: With more values than this all are dropped; 32 uploads with a prediction and the maps of two methods each fit.
CAPACITY = 120


def remember(key: Hashable, compute: Callable[[], T]) -> T:
    """Return ``compute()`` for this key, computed once in this session."""
    memory = _memory()
    if key not in memory:
        store(key, compute())
    value: T = memory[key]
    return value


def recall(key: Hashable) -> Any:
    """Return the value remembered for this key, or None."""
    return _memory().get(key)


def store(key: Hashable, value: object) -> None:
    """Remember a value that was computed elsewhere."""
    memory = _memory()
    if key not in memory and len(memory) >= CAPACITY:
        memory.clear()
    memory[key] = value


def latest(place: str, content: Hashable, compute: Callable[[], T]) -> T:
    """Return ``compute()`` for this content; each place keeps one value, that of the content it had last."""
    held: dict[str, tuple[Hashable, Any]] = st.session_state.setdefault("latest", {})
    if place not in held or held[place][0] != content:
        held[place] = (content, compute())
    value: T = held[place][1]
    return value


def is_latest(place: str, content: Hashable) -> bool:
    """Whether a place holds the value of this content."""
    held: dict[str, tuple[Hashable, Any]] = st.session_state.get("latest", {})
    return place in held and held[place][0] == content


def forget(key: Hashable) -> None:
    """Drop one value that is large and no longer needed; a table's memory goes back to the system."""
    _memory().pop(key, None)
    pa.default_memory_pool().release_unused()


def _memory() -> dict[Hashable, Any]:
    memory: dict[Hashable, Any] = st.session_state.setdefault("remembered", {})
    return memory
