"""Answer for one patch: headline, prediction set and probabilities, or why there is none; its maps."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.views.patch import Analysis, MapChoice
from dashboard.widgets import figure, markdown_sentence
from her2core.inference.answers import note_sentences, prediction_set_sentence, reason_sentences
from her2core.inference.prediction import RULE, Prediction
from her2core.io.text import markdown_text
from her2core.plots.probabilities import probability_description, probability_figure

#: Head of what stays folded where there is no reliable answer.
RAW = "Raw output of the network: no answer"


def show_notes(prediction: Prediction) -> None:
    """Draw what must be known when the answer is read: why there is none, and the other flags."""
    if not prediction.reliable:
        st.header(markdown_text(prediction.answer))
    show = st.warning if prediction.error is None else st.error
    for reason in reason_sentences(prediction):
        show(reason, icon=":material/block:")
    for note in note_sentences(prediction):
        st.warning(note, icon=":material/flag:")


def show_answer(prediction: Prediction, temperature: float) -> None:
    """Draw a reliable answer with its prediction set and the probabilities."""
    st.header(markdown_text(prediction.answer))
    st.markdown(prediction_set_sentence(prediction))
    show_probabilities(prediction, temperature, coloured=True)
    st.caption(RULE)


def show_probabilities(prediction: Prediction, temperature: float, *, coloured: bool) -> None:
    """Draw the probabilities; in grey where they are no answer."""
    figure(
        probability_figure(prediction.classes, prediction.probabilities, coloured=coloured),
        probability_description(prediction.classes, prediction.probabilities),
        key="probabilities",
    )
    milliseconds = sum(prediction.milliseconds.values())
    st.caption(f"{milliseconds:.0f} ms · temperature {temperature:.2f} · `{prediction.model}`")


def show_patch(analysis: Analysis, tiles: Sequence[DeltaGenerator]) -> None:
    """Draw the patch and the network's input into the first two of ``tiles``."""
    name = analysis.patch.name
    tiles[0].image(analysis.original, caption="patch", width="stretch", alt=f"The patch {name} before normalisation")
    tiles[1].image(
        analysis.normalised,
        caption="stain normalised (network input)",
        width="stretch",
        alt="The same patch with the reference stain",
    )


def show_maps(analysis: Analysis, choice: MapChoice, place: DeltaGenerator) -> None:
    """Draw the map of the chosen class into ``place``, or those of all classes below."""
    targets = analysis.prediction.classes if choice.side_by_side else (choice.target,)
    places = st.columns(max(3, min(len(targets), 6))) if choice.side_by_side else [place]
    for i, target in enumerate(t for t in targets if t in analysis.maps):
        picture, description = analysis.overlay(target, choice.opacity)
        alt = f"{description}, laid over the patch {analysis.patch.name}"
        places[i % len(places)].image(picture, caption=markdown_sentence(description), width="stretch", alt=alt)
    if analysis.no_maps:
        st.info(f"No map for this model. {markdown_sentence(analysis.no_maps)}")
