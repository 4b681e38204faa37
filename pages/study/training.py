"""How did the training go, and how is the one under way? Histories and drafts in; curves, live progress, cancel out."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_run
from dashboard.loaders import ROOTS
from dashboard.parts import NOTICE, figure
from dashboard.words import SENTENCE, plain, sentence
from her2core.errors import Her2Error
from her2core.plots.history import history_figure, history_words
from her2core.runs.drafts import Draft, list_drafts, request_stop

run, history = opened_run("Training", lambda r: r.history)


@st.fragment(run_every=2)
def under_way() -> None:
    drafts = list_drafts(*ROOTS)
    if not drafts:
        st.markdown("Nothing is being trained. Start one: `her2 train configs/demo.yaml`; it appears here.")
    for draft in drafts:
        with st.container(border=True):
            show(draft)


def show(draft: Draft) -> None:
    st.markdown(f"**{plain(draft.title or draft.key)}** · {plain(draft.key)}")
    if draft.problem:
        st.warning(sentence(draft.problem))
    if draft.running and draft.progress:
        p = draft.progress
        share = (p["epoch"] + p["step"] / max(p["steps"], 1)) / max(p["epochs"], 1) if p["phase"] == "training" else 0.0
        st.progress(
            min(share, 1.0),
            text=f"{p['phase']}: epoch {p['epoch'] + 1} of {p['epochs']}, step {p['step']} of {p['steps']}",
        )
    if not draft.running:
        st.markdown("Unfinished and at rest; the same `her2 train` command resumes it.")
    elif draft.stop_requested:
        st.caption("Asked to stop; it ends after the step under way and can be resumed.")
    else:
        st.button("Stop this training", key=f"stop-{draft.path}", on_click=stop, args=(draft,), icon=":material/stop:")
    if not draft.history.empty:
        figure(history_figure(draft.history), history_words(draft.history), key=f"curves-{draft.path}")


def stop(draft: Draft) -> None:
    try:
        request_stop(draft)
    except Her2Error as refused:
        st.toast(sentence(refused))


st.header("Under way")
under_way()
st.header(f"Curves of {plain(run.name)}")
figure(history_figure(history), history_words(history), key="curves", table=history)
info = run.info
machine = f"{info['hardware']['processor']}, {info['hardware']['cores']} cores, torch {info['packages']['torch']}"
done = f"{run.selection}; made by"
st.markdown(f"{done} {plain(info['command'], SENTENCE)} on {plain(machine, SENTENCE)}.")
st.caption(NOTICE)
