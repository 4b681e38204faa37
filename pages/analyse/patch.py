"""Patch page: prediction, class-activation map and case report of one H&E patch."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.cache import load_model
from dashboard.selection import opened_run
from dashboard.uploads import patches_in_view
from dashboard.views.answer import RAW, show_answer, show_maps, show_notes, show_patch, show_probabilities
from dashboard.views.field import choose_scale, is_large, scale_of, show_field
from dashboard.views.patch import (
    Analysis,
    MapChoice,
    analyse,
    chosen_method,
    map_controls,
    overlay_download,
    patch_report_downloads,
    predictions_of,
)
from dashboard.widgets import count, dataframe, download_table
from her2core.inference.answers import prediction_table, with_files
from her2core.inference.prediction import RULE

run, model = opened_run("Patch", load_model)
view = patches_in_view(run)
if not view.patches:
    st.stop()

patch = view.patches[0]
if len(view.patches) > 1:
    by_name = {p.name: p for p in view.patches}
    names = list(by_name)
    # A key for each set of patches: a box of other patches must not show a name of these.
    patch = by_name[
        st.selectbox(
            "Patch",
            names,
            index=names.index(view.chosen) if view.chosen else 0,
            key=f"patch-{view.key}-{view.chosen}",
            persist_state="session",
        )
    ]
if view.uploaded:
    patch = replace(patch, mpp=choose_scale(patch))
fields = {p.content_hash for p in view.patches if view.uploaded and is_large(model, p)}
patches = [p for p in view.patches if p.content_hash not in fields]
predictions = predictions_of(model, [replace(p, mpp=scale_of(p)) if view.uploaded else p for p in patches])
temperature = float(run.card["temperature"])


def with_choice(found: Analysis) -> tuple[Analysis, MapChoice]:
    """Draw the controls of the maps; the analysis with the maps of the method that was just chosen."""
    choice = map_controls(found)
    return (found if choice.method == found.method else analyse(model, patch, method=choice.method)), choice


def show_patch_page() -> None:
    """Draw the answer for one patch with its maps and case report."""
    analysis = analyse(model, patch, method=chosen_method())
    prediction = analysis.prediction
    show_notes(prediction)
    if prediction.reliable:
        left, right = st.columns([2, 3], gap="large")
        with left:
            show_answer(prediction, temperature)
        with right:
            analysis, choice = with_choice(analysis)
            tiles = st.columns(2 if choice.side_by_side else 3)
            show_patch(analysis, tiles)
        show_maps(analysis, choice, tiles[-1])
        with st.container(horizontal=True):
            overlay_download(analysis, choice, synthetic=view.synthetic)
            patch_report_downloads(run, analysis, choice, synthetic=view.synthetic)
    else:
        show_patch(analysis, st.columns(4))
        with st.container(horizontal=True):
            patch_report_downloads(run, analysis, None, synthetic=view.synthetic)
        st.caption(RULE)
        if prediction.probabilities:
            with st.expander(RAW):
                show_probabilities(prediction, temperature, coloured=False)
                if prediction.usable:
                    analysis, choice = with_choice(analysis)
                    show_maps(analysis, choice, st.columns(4)[0])
                    overlay_download(analysis, choice, synthetic=view.synthetic)


if patch.content_hash in fields and patch.mpp is not None:
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
    download_table("Table (CSV)", with_files(table, {p.name: p.file for p in view.patches}), "predictions")
