"""Progress, cancellation and outcome of a session's background job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.widgets import markdown_sentence
from her2core.inference.background import Job
from her2core.io.text import markdown_text

if TYPE_CHECKING:
    from her2core.inference.batch import Row


def files_done(job: Job[Row], done: int) -> str:
    """How many files are done, and of how many where these are not all."""
    total = job.progress[1]
    complete = not job.running and (total is None or done >= total)
    if complete and not job.error and not job.cancelled:
        return f"{done:,} files"
    return f"{done:,} of {total:,} files" if total else f"{done:,} files so far"


def show_job(job: Job[Any], source: str, *, cancelled: str = "") -> None:
    """Draw the progress of a job on the files of ``source``, with a button to cancel it, and how it ended.

    ``cancelled`` is said of a cancelled job that has no partial results.
    """

    @st.fragment(run_every=0.7 if job.running else None)
    def progress() -> None:
        done, total = job.progress
        if job.running:
            text = f"{markdown_text(source)}: {done:,}" + (f" of {total:,}" if total else "") + " done"
            st.progress(done / total if total else 0.0, text=text)
            with st.container(horizontal=True):
                st.button("Cancel", on_click=job.cancel, icon=":material/stop:")
                if not cancelled and st.button("Show what is done by now", icon=":material/refresh:"):
                    st.rerun()
            st.session_state["job_was_running"] = job
        elif st.session_state.pop("job_was_running", None) is job:
            st.rerun()

    progress()
    if job.error:
        st.error(markdown_sentence(job.error), icon=":material/block:")
    elif job.cancelled:
        partly = f"Cancelled: {files_done(job, job.progress[0])} were read; the predictions so far are shown below."
        st.warning(cancelled or partly, icon=":material/stop:")
