"""Answer for one patch: headline, prediction set and probabilities, or why there is none."""

from __future__ import annotations

import streamlit as st

from dashboard.widgets import figure
from her2core.inference.answers import note_sentences, prediction_set_sentence, reason_sentences
from her2core.inference.prediction import RULE, Prediction
from her2core.io.text import markdown_text
from her2core.plots.probabilities import probability_description, probability_figure

#: Head of what stays folded where there is no reliable answer.
RAW = "Raw output of the network: no answer"


def show_head(prediction: Prediction, true: str) -> None:
    """Draw the answer, and the true class where it is known."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(markdown_text(prediction.answer), anchor=False, width="content")
        if true:
            st.badge(f"true class: {markdown_text(true)}", color="gray")


def show_notes(prediction: Prediction, true: str) -> None:
    """Draw what must be known when the answer is read: why there is none, and the other flags."""
    if not prediction.reliable:
        show_head(prediction, true)
    show = st.warning if prediction.error is None else st.error
    for reason in reason_sentences(prediction):
        show(reason, icon=":material/block:")
    for note in note_sentences(prediction):
        st.warning(note, icon=":material/flag:")


def show_answer(prediction: Prediction, temperature: float, true: str) -> None:
    """Draw a reliable answer with its prediction set and the probabilities."""
    show_head(prediction, true)
    st.markdown(prediction_set_sentence(prediction))
    show_probabilities(prediction, temperature, coloured=True)
    st.caption(RULE)


def show_probabilities(prediction: Prediction, temperature: float, *, coloured: bool) -> None:
    """Draw the probabilities; in grey where they are no answer."""
    figure(
        probability_figure(prediction.classes, prediction.probabilities, coloured=coloured),
        probability_description(prediction.classes, prediction.probabilities),
        key="probabilities",
        words=not coloured,
    )
    milliseconds = sum(prediction.milliseconds.values())
    st.caption(f"{milliseconds:.0f} ms · temperature {temperature:.2f} · `{prediction.model}`")
