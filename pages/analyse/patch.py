"""Patch page: prediction, class-activation map and case report of one H&E patch."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.cache import load_model
from dashboard.selection import opened_run
from dashboard.uploads import patches_in_view
from dashboard.views.answer import RAW, show_answer, show_notes, show_probabilities
from dashboard.views.crop import choose_part, part_of
from dashboard.views.field import choose_scale, is_large, scale_of, show_field
from dashboard.views.patch import (
    Analysis,
    analyse,
    chosen_method,
    content_of,
    overlay_download,
    patch_report_downloads,
    predictions_of,
)
from dashboard.views.verdict import show_reservation
from dashboard.views.viewer import choose_patch, class_tabs, map_controls, show_input, show_original, show_pictures
from dashboard.widgets import count, dataframe, download_table
from her2core.inference.answers import prediction_table, with_files
from her2core.inference.prediction import RULE

run, model = opened_run("Patch", load_model)
show_reservation(run)
uploading, choosing = st.columns([10, 9], gap="medium")
with uploading:
    view = patches_in_view(run)
if not view.patches:
    st.stop()

patch = view.patches[0]
with choosing:
    if len(view.patches) > 1:
        patch = choose_patch(view.patches, first=view.chosen, key=f"patch-{view.key}-{view.chosen}")
    if view.uploaded:
        choose_scale(patch)
        choose_part(patch)
shown = {p.name: replace(part_of(p), mpp=scale_of(p)) if view.uploaded else p for p in view.patches}
patch = shown[patch.name]
mpp = patch.mpp if view.uploaded else view.mpp
true = view.true.get(patch.name, "")
fields = {content_of(p) for p in shown.values() if view.uploaded and is_large(model, p)}
patches = [p for p in shown.values() if content_of(p) not in fields]
predictions = predictions_of(model, patches)
temperature = float(run.card["temperature"])


def show_patch_page() -> None:
    """Draw the answer for one patch beside the patch with its map."""
    analysis = analyse(model, patch, method=chosen_method())
    prediction = analysis.prediction
    show_notes(prediction, true)
    if not prediction.reliable:
        show_unreliable(analysis)
        return
    across = st.container()
    left, right = st.columns([10, 9], gap="medium")
    with left:
        target = class_tabs(analysis)
        one = st.container()
        choice = map_controls(target)
    analysis = analysis if choice.method == analysis.method else analyse(model, patch, method=choice.method)
    show_pictures(analysis, choice, (one, across), mpp=mpp)
    with right:
        show_answer(prediction, temperature, true)
        with st.container(horizontal=True):
            overlay_download(analysis, choice, synthetic=view.synthetic)
            patch_report_downloads(run, analysis, choice, synthetic=view.synthetic)


def show_unreliable(analysis: Analysis) -> None:
    """Draw a patch without a reliable answer; what the network gave for it stays folded."""
    prediction = analysis.prediction
    left, right = st.columns(2, gap="medium")
    show_original(analysis, left, mpp=mpp)
    show_input(analysis, right, mpp=mpp)
    with st.container(horizontal=True):
        patch_report_downloads(run, analysis, None, synthetic=view.synthetic)
    st.caption(RULE)
    if not prediction.probabilities:
        return
    with st.expander(RAW):
        show_probabilities(prediction, temperature, coloured=False)
        if prediction.usable:
            choice = map_controls(class_tabs(analysis))
            found = analysis if choice.method == analysis.method else analyse(model, patch, method=choice.method)
            show_pictures(found, choice, (st.columns(2)[0], st.container()), mpp=mpp)
            overlay_download(found, choice, synthetic=view.synthetic)


if content_of(patch) in fields and patch.mpp is not None:
    show_field(run, model, patch, patch.mpp)
else:
    show_patch_page()

table = prediction_table(predictions)
if len(predictions) > 1:
    st.header("All patches")
    percent = {c: st.column_config.NumberColumn(f"p ({c})", format="percent") for c in model.classes}
    dataframe(table, "Predictions for all patches in view", column_config=percent)
    st.caption("The probabilities are raw output of the network; they are an answer only where one is given.")
if fields and len(view.patches) > 1:
    st.caption(f"{count(len(fields), 'large field')} among these: predicted tile by tile where it is chosen above.")
if predictions:
    export = with_files(table, {p.name: p.file for p in patches}).assign(model=model.model_id)
    download_table("Table (CSV)", export, "predictions")
