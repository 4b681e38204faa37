"""Slide page: a whole slide of a server folder, its tissue and tiles, answer, heatmap and examples."""

from __future__ import annotations

import streamlit as st

from dashboard.cache import load_model
from dashboard.ending import end_with_session
from dashboard.jobs import show_job
from dashboard.selection import opened_run
from dashboard.views.slide import choose_slide, show_preview, show_slide
from dashboard.views.verdict import show_reservation
from dashboard.widgets import markdown_sentence
from her2core.errors import Her2Error
from her2core.inference.background import Job
from her2core.slide.in_memory import slide_steps
from her2core.slide.predict import slide_grid

run, model = opened_run("Slide", load_model)
show_reservation(run)

try:
    grid = slide_grid(model)
except Her2Error as refused:
    st.error(markdown_sentence(refused.sentence), icon=":material/block:")
    st.stop()
chosen = choose_slide()
if chosen is None:
    st.stop()
preview = show_preview(chosen, grid)
key = (chosen.key, grid, model.model_id)
held = st.session_state.get("slide-job")
if held is not None and held["key"] != key:  # another slide, scale or model
    held["job"].cancel()
    held = st.session_state.pop("slide-job", None) and None
if preview is None:
    st.stop()
if held is None:
    if not st.button(
        f"Predict {preview.tiles:,} tiles", key="predict_slide", type="primary", icon=":material/play_arrow:"
    ):
        st.caption("Label images are never opened. Nothing is stored: the result is kept for this session only.")
        st.stop()
    started = Job(slide_steps(model, chosen.path, grid, name=chosen.name, mpp=chosen.mpp))
    end_with_session(started)
    held = st.session_state["slide-job"] = {"job": started, "key": key}
show_job(held["job"], chosen.name, cancelled="Cancelled: a slide has no answer from a part of its tiles.")
if held["job"].results:
    show_slide(held["job"].results[-1])
elif not held["job"].running and st.button("Start again", key="slide_again", icon=":material/refresh:"):
    st.session_state.pop("slide-job")
    st.rerun()
