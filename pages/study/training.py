"""Training page: learning curves of the selected run, and trainings under way with their progress."""

from __future__ import annotations

import hashlib

import streamlit as st

from dashboard import cache
from dashboard.selection import opened_run
from dashboard.widgets import figure, markdown_sentence
from her2core.errors import Her2Error
from her2core.io.text import SENTENCE_LENGTH, markdown_text
from her2core.plots.history import history_description, history_figure
from her2core.runs.drafts import Draft, list_drafts, request_stop
from her2core.runs.folder import Run


@st.fragment(run_every=2)
def under_way() -> None:
    """Draw every unfinished run, again every two seconds."""
    drafts = list_drafts(*cache.ROOTS)
    if not drafts:
        st.markdown("No training is under way. Start one: `her2 train configs/demo.yaml`; it appears here.")
    for draft in drafts:
        with st.container(border=True):
            show(draft)


def show(draft: Draft) -> None:
    """Draw one unfinished run."""
    key = hashlib.sha256(str(draft.path).encode()).hexdigest()[:16]  # a key reaches the browser, a path must not
    st.markdown(f"**{markdown_text(draft.title or draft.key)}** · {markdown_text(draft.key)}")
    if draft.problem:
        st.warning(markdown_sentence(draft.problem))
    if draft.running and draft.progress:
        p = draft.progress
        done = (p["epoch"] + p["step"] / max(p["steps"], 1)) / max(p["epochs"], 1) if p["phase"] == "training" else 0.0
        st.progress(
            min(done, 1.0),
            text=f"{p['phase']}: epoch {p['epoch'] + 1} of {p['epochs']}, step {p['step']} of {p['steps']}",
        )
    if not draft.running:
        st.markdown("Unfinished and not running; the same `her2 train` command resumes it.")
    elif draft.stop_requested:
        st.caption("Stop requested; the training ends after the current step and can be resumed.")
    else:
        st.button("Stop this training", key=f"stop-{key}", on_click=stop, args=(draft,), icon=":material/stop:")
    if not draft.history.empty:
        figure(history_figure(draft.history), history_description(draft.history), key=f"curves-{key}")


def stop(draft: Draft) -> None:
    """Ask a training to stop."""
    try:
        request_stop(draft)
    except Her2Error as refused:
        st.toast(markdown_sentence(refused.sentence))


def origin(run: Run) -> str:
    """Return the command and the machine of a run, as far as the run states them."""
    hardware, torch = run.info.get("hardware") or {}, (run.info.get("packages") or {}).get("torch")
    command, processor, cores = run.info.get("command"), hardware.get("processor"), hardware.get("cores")
    parts = [f"{processor}" if processor else "", f"{cores} cores" if cores else "", f"torch {torch}" if torch else ""]
    machine = ", ".join(filter(None, parts)) or "a machine that it does not name"
    stated = f"Command: {markdown_text(command, SENTENCE_LENGTH)}" if command else "The run does not state its command"
    return f"{stated}, on {markdown_text(machine, SENTENCE_LENGTH)}."


run, history = opened_run("Training", lambda r: r.history)
st.header("Trainings under way")
under_way()
st.header(f"Learning curves of {markdown_text(run.name)}")
figure(history_figure(history), history_description(history), key="curves", table=history)
st.markdown(f"{run.selection}. {origin(run)}" if run.selection else origin(run))
