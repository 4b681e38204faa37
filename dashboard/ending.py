"""End of sessions whose visitors have left: their jobs are cancelled and their uploads dropped.

Streamlit 1.67 tells an app nothing when a tab is closed: the session is kept for two minutes so that a lost connection
can resume, then forgotten without being shut down, and its uploads stay in the server's memory. So a thread asks the
runtime (``Runtime.is_active_session``) which of the known sessions still have a connection. One without for GRACE
seconds is ended: its job is asked to stop (after the current step), its uploads are removed, and Streamlit closes it. A
connection that comes back later than that starts a new session. A session that never ran a script is known by the
files that were posted to it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from her2core.inference.background import Job

#: Seconds without a connection after which a session is ended, and between two looks.
GRACE, PERIOD = 60.0, 5.0


class Sessions(Protocol):
    """What is needed of ``streamlit.runtime.Runtime``; both methods may be called from any thread."""

    def is_active_session(self, session_id: str) -> bool:
        """Whether a browser is connected to the session."""
        ...

    def clear_user_info_for_session(self, session_id: str) -> None:
        """Close a session without a connection, so that it cannot be resumed."""
        ...

    @property
    def uploaded_file_mgr(self) -> Any:
        """The uploads of all sessions."""
        ...


class SessionWatch:
    """Known sessions, when each was last connected, and their jobs.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._jobs: dict[str, weakref.WeakSet[Job[Any]]] = {}

    def know(self, session_id: str) -> None:
        """Remember a session that is connected now."""
        with self._lock:
            self._seen[session_id] = self._clock()

    def add_job(self, session_id: str, job: Job[Any]) -> None:
        """Remember a job that ends with its session."""
        with self._lock:
            self._jobs.setdefault(session_id, weakref.WeakSet()).add(job)

    @property
    def known(self) -> set[str]:
        """Identifiers of the sessions that have not ended."""
        with self._lock:
            return set(self._seen)

    def look(self, sessions: Sessions) -> None:
        """End every session that has had no connection for GRACE seconds."""
        now = self._clock()
        held = list(getattr(sessions.uploaded_file_mgr, "file_storage", ()))
        with self._lock:
            for session_id in held:
                self._seen.setdefault(session_id, now)
            for session_id in self._seen:
                if sessions.is_active_session(session_id):
                    self._seen[session_id] = now
            over = [session_id for session_id, seen in self._seen.items() if now - seen >= GRACE]
            jobs = [job for session_id in over for job in self._jobs.pop(session_id, ())]
            for session_id in over:
                del self._seen[session_id]
        for job in jobs:
            job.cancel()
        for session_id in over:
            sessions.clear_user_info_for_session(session_id)
            sessions.uploaded_file_mgr.remove_session_files(session_id)


WATCH = SessionWatch()
_STARTING = threading.Lock()


def watch_session() -> None:
    """Have this session ended when its visitor has left; called at each run of the script."""
    context = get_script_run_ctx()
    if context is None or not st.runtime.exists():
        return
    WATCH.know(context.session_id)
    start_watching()


def start_watching() -> None:
    """Look after all sessions, and whatever was posted to them, as long as the server runs."""
    if not st.runtime.exists():
        return
    with _STARTING:
        if not any(thread.name == _run.__qualname__ for thread in threading.enumerate()):
            threading.Thread(target=_run, name=_run.__qualname__, daemon=True).start()


def end_with_session(job: Job[Any]) -> None:
    """Have a job of this session cancelled when the session ends."""
    context = get_script_run_ctx()
    if context is not None:
        WATCH.add_job(context.session_id, job)


def _run() -> None:
    while st.runtime.exists():
        WATCH.look(st.runtime.get_instance())
        time.sleep(PERIOD)
