"""Trainings under way: progress, time left, curves beside those of finished runs, and buttons to stop and resume."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.access import may_write, why_no_training
from dashboard.navigation import PAGES
from dashboard.widgets import count, figure, markdown_sentence, short_names
from her2core.errors import Her2Error
from her2core.io.documents import parse_yaml
from her2core.io.text import markdown_text
from her2core.io.uploads import allowed_roots
from her2core.locations import working_folder
from her2core.plots.history import history_description, history_figure, overlay_description, overlay_figure
from her2core.runs.drafts import Draft, list_drafts, request_stop
from her2core.runs.time_left import duration_text, seconds_left
from her2core.training import queue
from her2core.training.queue import QueuedTraining, TrainingQueue
from her2core.training.queue_runner import command

#: Runs that can be drawn over those under way, at most.
MOST = 8
#: Queues shown, the newest first; those under way are always shown.
QUEUES = 5
ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/play_circle:",
    "unfinished": ":material/pause_circle:",
    "failed": ":material/error:",
    "finished": ":material/check_circle:",
}
WORDS = {
    "waiting": "waiting",
    "running": "starting",
    "unfinished": "stopped, can be resumed",
    "failed": "failed",
    "finished": "finished",
}


def choose_runs() -> dict[str, pd.DataFrame]:
    """Draw the choice of finished runs whose curves are drawn beside those under way; return their histories."""
    names, _ = cache.run_names()
    histories = {name: _history(path, _written(path)) for name, path in names.items()}
    offered = {name: history for name, history in histories.items() if history is not None}
    if not offered:
        return {}
    chosen = st.multiselect(
        "Finished runs to compare with",
        list(offered),
        key="overlaid",
        format_func=short_names(offered).__getitem__,
        max_selections=MOST,
        placeholder="none",
        persist_state="page",
        help="Curves can be compared where data, split and classes are the same.",
    )
    return {name: offered[name] for name in chosen}


@st.fragment(run_every=2)
def under_way(overlaid: dict[str, pd.DataFrame]) -> None:
    """Draw every queue and every other unfinished run, again every two seconds."""
    queues = [q for n, q in enumerate(queue.list_queues(cache.ROOTS[-1])) if n < QUEUES or q.running]
    own = {t.draft.path for q in queues for t in q.trainings if t.draft is not None}
    drafts = [draft for draft in list_drafts(*cache.ROOTS) if draft.path not in own]
    if not drafts and not any(q.running for q in queues):
        st.markdown("No training is under way. Start one: `her2 train configs/demo.yaml`; it appears here.")
    for number, one in enumerate(queues):
        with st.container(border=True):
            _show_queue(one, overlaid, curves=number == 0 or not one.finished)
    for draft in drafts:
        with st.container(border=True):
            _show_draft(draft, overlaid)


def _show_queue(one: TrainingQueue, overlaid: dict[str, pd.DataFrame], *, curves: bool) -> None:
    key = _key(one.path)
    done = sum(t.state == "finished" for t in one.trainings)
    of = count(len(one.trainings), "run")
    st.markdown(f"**Started from this page** · {markdown_text(one.path.name)} · {done} of {of} finished")
    for training in one.trainings:
        _show_training(training)
    _buttons(one, key)
    histories = {t.name: h for t in one.trainings if (h := _curves(t)) is not None}
    if histories and curves:
        _show_curves(_merged(histories, overlaid), f"queue-{key}")
    if not why_no_training():
        with st.expander("Commands and logs"):
            for training in one.trainings:
                words = [
                    Path(w).relative_to(working_folder()).as_posix() if _is_here(w) else w
                    for w in command(training.config)
                ]
                st.code(" ".join(["her2", *words]), language="bash", wrap_lines=True)
                if said := queue.log_end(training):
                    st.code(said, language=None, wrap_lines=True)


def _is_here(word: str) -> bool:
    return Path(word).is_relative_to(working_folder())


def _show_training(training: QueuedTraining) -> None:
    name = f"{ICONS[training.state]} **{markdown_text(training.name)}**"
    progress = training.draft.progress if training.draft is not None and training.draft.running else None
    if training.state == "running" and training.draft is not None and progress:
        _bar(training.draft, batch_size=_batch_size(str(training.config)), before=f"{name} · ")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        state = markdown_sentence(training.reason) if training.state == "failed" else ""
        st.markdown(f"{name} · {WORDS[training.state]}{': ' * bool(state)}{state}", width="content")
        offered = {path: shown for shown, path in cache.run_names()[0].items()}
        if run := offered.get(str(training.run)):
            query = {"run": run}
            page = PAGES / "evidence/performance.py"
            st.page_link(page, label="Its evidence", icon=":material/fact_check:", query_params=query)


def _bar(draft: Draft, *, batch_size: int | None = None, before: str = "") -> None:
    """Draw how far a running training is, and how long it may still take."""
    p = draft.progress
    if p is None:
        return
    done = (p["epoch"] + p["step"] / max(p["steps"], 1)) / max(p["epochs"], 1) if p["phase"] == "training" else 0.0
    left = seconds_left(p, draft.history, batch_size=batch_size)
    text = f"{before}{p['phase']}: epoch {p['epoch'] + 1} of {p['epochs']}, step {p['step']} of {p['steps']}"
    if p["phase"] == "evaluating":
        done, text = 1.0, f"{before}all epochs done, evaluating"
    if left is not None:
        text += f"; at most about {duration_text(left)} to the end of the last epoch"
    st.progress(min(done, 1.0), text=text)


def _buttons(one: TrainingQueue, key: str) -> None:
    if why_no_training():
        return
    active = one.running or any(t.state == "running" for t in one.trainings)
    with st.container(horizontal=True):
        if one.stopping:
            st.caption("Asked to stop: the training ends within its step, keeps its checkpoints and can be resumed.")
        elif active:
            st.button("Stop", key=f"stop-{key}", on_click=_act, args=("stop", one.path), icon=":material/stop:")
        else:
            if not one.finished:
                label = "Resume" if one.trainings[0].state != "waiting" else "Start"
                st.button(
                    label, key=f"resume-{key}", on_click=_act, args=("resume", one.path), icon=":material/play_arrow:"
                )
            st.button(
                "Remove from this list",
                key=f"remove-{key}",
                on_click=_act,
                args=("remove", one.path),
                icon=":material/playlist_remove:",
                type="tertiary",
                help="Deletes the configurations and logs of these trainings. Their runs stay.",
            )


def _act(what: str, path: Path) -> None:
    """Stop, resume or remove a queue, where training is switched on."""
    if refused := why_no_training():
        st.toast(markdown_sentence(refused))
        return
    try:
        if what == "stop":
            queue.stop(path)
        elif what == "remove":
            queue.remove(path)
        else:
            roots = allowed_roots(working_folder() / "data")
            queue.refuse_outside(queue.read_queue(path, []), roots)
            queue.start(path)
    except Her2Error as refused_by_core:
        st.toast(markdown_sentence(refused_by_core.sentence))


def _show_draft(draft: Draft, overlaid: dict[str, pd.DataFrame]) -> None:
    """Draw one unfinished run that was started elsewhere."""
    key = _key(draft.path)
    st.markdown(f"**{markdown_text(draft.title or draft.key)}** · {markdown_text(draft.key)}")
    if draft.problem:
        st.warning(markdown_sentence(draft.problem))
    if draft.running:
        _bar(draft)
    if not draft.running:
        st.markdown("Unfinished and not running; the same `her2 train` command resumes it.")
    elif draft.stop_requested:
        st.caption("Stop requested; the training ends after the current step and can be resumed.")
    elif may_write():
        st.button("Stop this training", key=f"stop-{key}", on_click=_stop_draft, args=(draft,), icon=":material/stop:")
    if draft.history.empty:
        return
    if overlaid:
        _show_curves(_merged({draft.key: draft.history}, overlaid), f"curves-{key}")
    else:
        figure(history_figure(draft.history), history_description(draft.history), key=f"curves-{key}")


def _stop_draft(draft: Draft) -> None:
    if not may_write():
        return
    try:
        request_stop(draft)
    except Her2Error as refused:
        st.toast(markdown_sentence(refused.sentence))


def _merged(own: dict[str, pd.DataFrame], overlaid: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The curves of trainings and of finished runs, of which one may have the name of a training."""
    others = {name: history for name, history in overlaid.items() if name not in own or not history.equals(own[name])}
    return own | {f"{name} (finished)" if name in own else name: history for name, history in others.items()}


def _show_curves(histories: dict[str, pd.DataFrame], key: str) -> None:
    if len(histories) == 1:
        (history,) = histories.values()
        figure(history_figure(history), history_description(history), key=key)
        return
    figure(overlay_figure(histories), overlay_description(histories), key=key)


def _curves(training: QueuedTraining) -> pd.DataFrame | None:
    """The epochs of a training so far; None before the first ends."""
    if training.run is not None:
        return _history(str(training.run), _written(str(training.run)))
    if training.draft is not None and "epoch" in training.draft.history:
        return training.draft.history
    return None


@st.cache_data(max_entries=200, show_spinner=False)
def _history(path: str, modified: float) -> pd.DataFrame | None:
    """The epochs of a finished run; None for a last layer on frozen features, and where they cannot be read."""
    run, _ = cache.try_open(path)
    try:
        history = None if run is None else run.history
    except Her2Error:
        return None
    return history if history is not None and "epoch" in history and len(history) else None


def _written(run: str) -> float:
    return cache.file_time(Path(run) / "history.csv")


@st.cache_data(max_entries=100, show_spinner=False)
def _batch_size(config: str) -> int | None:
    try:
        size = parse_yaml(Path(config).read_bytes())["train"]["batch_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) else None


def _key(path: Path) -> str:
    """A key reaches the browser, a path must not."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]
