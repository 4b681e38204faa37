"""Patch page: prediction, class-activation map and case report of one H&E patch."""

from __future__ import annotations

import streamlit as st

from dashboard.cache import load_model
from dashboard.selection import opened_run
from dashboard.uploads import patches_in_view
from dashboard.views.patch import analyse, chosen_method, map_controls, predictions_of, report_downloads
from dashboard.widgets import NOTICE, dataframe, download, download_table, figure, markdown_sentence
from her2core.inference.answers import note_sentences, prediction_set_sentence, prediction_table
from her2core.io.images import encode_png
from her2core.io.text import markdown_text
from her2core.maps.overlay import with_caption
from her2core.plots.probabilities import probability_description, probability_figure

run, model = opened_run("Patch", load_model)
view = patches_in_view(run)
if not view.patches:
    st.stop()

predictions = predictions_of(model, view.patches)
patch = view.patches[0]
if len(view.patches) > 1:
    by_name = {p.name: p for p in view.patches}
    # A key for each set of patches: a box of other patches must not show a name of these.
    patch = by_name[st.selectbox("Patch", list(by_name), key=f"patch-{view.key}", persist_state="session")]
analysis = analyse(model, patch, method=chosen_method())
prediction = analysis.prediction

for note in note_sentences(prediction):
    st.warning(note, icon=":material/flag:")
if not prediction.usable or prediction.label is None:
    reason = prediction.error or "There is too little tissue in this patch for a prediction, so no class is given."
    st.error(markdown_sentence(reason))
    st.image(analysis.original, caption="patch", width=280, alt=f"The uploaded patch {patch.name}")
    report_downloads(run, analysis, None, synthetic=view.synthetic)
    st.caption(NOTICE)
    st.stop()

left, right = st.columns([2, 3], gap="large")
with left:
    st.header(markdown_text(prediction.label))
    st.markdown(prediction_set_sentence(prediction))
    figure(
        probability_figure(prediction.classes, prediction.probabilities),
        probability_description(prediction.classes, prediction.probabilities),
        key="probabilities",
    )
    milliseconds = sum(prediction.milliseconds.values())
    st.caption(f"{milliseconds:.0f} ms · temperature {run.card['temperature']:.2f} · `{prediction.model}`")
with right:
    choice = map_controls(analysis)
    if choice.method != analysis.method:  # changed in this very run
        analysis = analyse(model, patch, method=choice.method)
    tiles = st.columns(2 if choice.side_by_side else 3)
    tiles[0].image(
        analysis.original, caption="patch", width="stretch", alt=f"The patch {patch.name} before normalisation"
    )
    tiles[1].image(
        analysis.normalised,
        caption="stain normalised (network input)",
        width="stretch",
        alt="The same patch with the reference stain",
    )
targets = prediction.classes if choice.side_by_side else (choice.target,)
places = st.columns(max(3, min(len(targets), 6))) if choice.side_by_side else [tiles[2]]
for i, target in enumerate(t for t in targets if t in analysis.maps):
    picture, description = analysis.overlay(target, choice.opacity)
    alt = f"{description}, laid over the patch {patch.name}"
    places[i % len(places)].image(picture, caption=markdown_sentence(description), width="stretch", alt=alt)
if analysis.no_maps:
    st.info(f"No map for this model. {markdown_sentence(analysis.no_maps)}")

with st.container(horizontal=True):
    if choice.target in analysis.maps:
        picture, description = analysis.overlay(choice.target, choice.opacity)
        text = f"{'Synthetic patch. ' if view.synthetic else ''}{description}. {NOTICE}"
        download(
            "Overlay (PNG)",
            lambda: encode_png(with_caption(picture, text)),
            name="overlay-research-use-only.png",
            mime="image/png",
        )
    report_downloads(run, analysis, choice, synthetic=view.synthetic)

table = prediction_table(predictions)
if len(view.patches) > 1:
    st.header("All patches")
    percent = {c: st.column_config.NumberColumn(format="percent") for c in prediction.classes}
    dataframe(table, "Predictions for all patches in view", column_config=percent)
download_table("Table (CSV)", table, "predictions")
st.caption(NOTICE)
