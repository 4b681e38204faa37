"""Training page: trainings under way and the learning curves of the selected run, or the form of a new training."""

from __future__ import annotations

import streamlit as st

from dashboard.review import Review
from dashboard.selection import NO_RUN, or_stop, selected_run
from dashboard.views.training_form import FOLLOW, NEW, STARTED, VIEW, show_form
from dashboard.views.training_live import choose_runs, under_way
from dashboard.widgets import figure, heading
from her2core.io.text import SENTENCE_LENGTH, markdown_text
from her2core.plots.history import history_description, history_figure
from her2core.runs.folder import Run


def origin(run: Run) -> str:
    """Return the command and the machine of a run, as far as the run states them."""
    hardware, torch = run.info.get("hardware") or {}, (run.info.get("packages") or {}).get("torch")
    command, processor, cores = run.info.get("command"), hardware.get("processor"), hardware.get("cores")
    parts = [f"{processor}" if processor else "", f"{cores} cores" if cores else "", f"torch {torch}" if torch else ""]
    machine = ", ".join(filter(None, parts)) or "a machine that it does not name"
    stated = f"Command: {markdown_text(command, SENTENCE_LENGTH)}" if command else "The run does not state its command"
    return f"{stated}, on {markdown_text(machine, SENTENCE_LENGTH)}."


run, top = selected_run(), st.container()
view = st.segmented_control(
    "View",
    [FOLLOW, NEW],
    default=None if st.session_state.pop(STARTED, False) else FOLLOW,  # its value was set by the button
    key=VIEW,
    required=True,
    label_visibility="collapsed",
    bind="query-params",
)
with top:
    heading("Training", None if view == NEW else run)
if view == NEW:
    show_form()
    st.stop()
if run is None and not isinstance(st.session_state.get("selected"), Review):
    st.info(NO_RUN)
st.header("Trainings under way")
under_way(choose_runs())
if run is None:
    if isinstance(st.session_state.get("selected"), Review):
        st.info("Learning curves need a trained model, and a predictions file is selected. Choose one in the sidebar.")
    st.stop()
shown: Run = run
history = or_stop(lambda: shown.history)
st.header(f"Learning curves of {markdown_text(run.name)}")
figure(history_figure(history), history_description(history), key="curves", table=history)
st.markdown(f"{run.selection}. {origin(run)}" if run.selection else origin(run))
