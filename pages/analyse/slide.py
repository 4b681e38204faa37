"""Slide page: a whole slide of a server folder in a viewer, its tissue and tiles, answer, heatmap and examples.

The viewer is drawn first, before the model is loaded and tissue is looked for; what is known of both is drawn over the
slide by the next run of this script.
"""

from __future__ import annotations

import streamlit as st

from dashboard.cache import load_model
from dashboard.ending import end_with_session
from dashboard.jobs import show_job
from dashboard.selection import opened_run, or_stop
from dashboard.views.slide import (
    choose_slide,
    find_preview,
    kept_preview,
    offer_slide,
    open_place,
    show_preview,
    show_slide,
    show_slide_viewer,
)
from dashboard.views.verdict import show_reservation
from dashboard.widgets import markdown_sentence
from her2core.errors import Her2Error
from her2core.inference.background import Job
from her2core.slide.in_memory import slide_steps
from her2core.slide.predict import slide_grid

run, _ = opened_run("Slide", lambda run: None)
show_reservation(run)
chosen = choose_slide()
if chosen is None or (offered := offer_slide(chosen)) is None:
    st.stop()
content = (chosen.key, str(run.path), run.card.get("weights_sha256"))  # what preview and answer belong to
held = st.session_state.get("slide-job")
if held is not None and held["content"] != content:  # another slide, scale or model
    held["job"].cancel()
    held = st.session_state.pop("slide-job", None) and None
answer = held["job"].results[-1] if held is not None and held["job"].results else None
preview = kept_preview(content)
opened = show_slide_viewer(chosen, offered, preview, answer)

model = or_stop(lambda: load_model(run))
try:
    grid = slide_grid(model)
except Her2Error as refused:
    st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    st.stop()
if preview is None:
    if find_preview(chosen, grid, content) is not None:
        st.rerun()
    st.stop()
if opened is not None:
    open_place(model, chosen, grid, preview, opened)
show_preview(preview, grid)
if not preview.tiles:
    st.stop()
if held is None:
    if not st.button(
        f"Predict {preview.tiles:,} tiles", key="predict_slide", type="primary", icon=":material/play_arrow:"
    ):
        st.caption("Label images are never opened. Nothing is stored: the result is kept for this session only.")
        st.stop()
    started = Job(slide_steps(model, chosen.path, grid, name=chosen.name, mpp=chosen.mpp))
    end_with_session(started)
    st.session_state["slide-job"] = {"job": started, "content": content}
    st.rerun()  # without the button
show_job(held["job"], chosen.name, cancelled="Cancelled: a slide has no answer from a part of its tiles.")
if held["job"].results:
    show_slide(held["job"].results[-1])
elif not held["job"].running and st.button("Start again", key="slide_again", icon=":material/refresh:"):
    st.session_state.pop("slide-job")
    st.rerun()
