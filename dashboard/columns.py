"""Choice of the columns of an uploaded table of predictions, filled in with those recognised by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from her2core.evidence.prediction_columns import ColumnMap, label_values
from her2core.evidence.prediction_labels import unread_labels
from her2core.io.text import markdown_text

#: With more labels than this that are no class, the choice of columns is wrong: the message about it is shown instead.
MAX_SPELLINGS = 12


@dataclass(frozen=True)
class ChosenColumns:
    """What the viewer chose.

    Attributes
    ----------
    columns : ColumnMap
        As ``Predictions.from_frame`` takes it.
    kind : str
        "probabilities", "logits" or "auto".
    problem : str
        Why the choice cannot be used yet; empty where it can.
    """

    columns: ColumnMap
    kind: str
    problem: str = ""


def choose_columns(frame: pd.DataFrame, guess: ColumnMap, *, key: str) -> ChosenColumns:
    """Draw the choice of columns.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table.
    guess : ColumnMap
        Recognised columns, chosen at first.
    key : str
        Prefix of the widgets' keys.

    Returns
    -------
    ChosenColumns
    """
    names = [str(c) for c in frame.columns]

    def choose(label: str, guessed: str | None, place: DeltaGenerator) -> str | None:
        index = names.index(guessed) if guessed in names else None
        chosen: str | None = place.selectbox(label, names, index=index, key=f"{key}-{label}", placeholder="none")
        return chosen

    left, middle, right = st.columns(3)
    columns = ColumnMap(
        label=choose("True class", guess.label, left),
        patient_id=choose("Patient", guess.patient_id, middle),
        slide_id=choose("Slide", guess.slide_id, right),
        patch_id=choose("Patch", guess.patch_id, left),
        site=choose("Site", guess.site, middle),
        split=choose("Split part (only test rows are evaluated)", guess.split, right),
        predicted=choose("Predicted class (used without scores only)", guess.predicted, left),
    )
    chosen = st.multiselect(
        "Score of each class (probability or logit)", names, default=list(guess.scores.values()), key=f"{key}-scores"
    )
    scores, rest = _class_names(chosen, guess, key)
    kind = st.segmented_control(
        "Kind of scores", ["auto", "probabilities", "logits"], default="auto", required=True, key=f"{key}-kind"
    )
    columns = replace(columns, scores=scores, rest=rest)
    columns = replace(columns, labels=_spellings(frame, columns, key))
    problem = "" if len(scores) == len(chosen) else "Two of the columns have the same class. Give each its own name."
    return ChosenColumns(columns, kind or "auto", problem)


def _class_names(chosen: list[str], guess: ColumnMap, key: str) -> tuple[dict[str, str], str | None]:
    """The class of each score column, and of two classes the one without a score."""
    guessed = {column: name for name, column in guess.scores.items()}
    places = st.columns(max(len(chosen) + (len(chosen) == 1), 1))
    scores = {
        place.text_input(
            f"Class of {markdown_text(column)}", guessed.get(column, column), key=f"{key}-class-{column}"
        ).strip(): column
        for place, column in zip(places, chosen, strict=False)
    }
    if len(chosen) != 1:
        return scores, None
    rest = places[1].text_input("The other class (probability: one minus this)", guess.rest or "", key=f"{key}-rest")
    return scores, rest.strip() or None


def _spellings(frame: pd.DataFrame, columns: ColumnMap, key: str) -> dict[str, str]:
    """The class that each label means which is not read as one: chosen by the viewer, never assumed."""
    classes = [*filter(None, [columns.rest]), *columns.scores]
    if columns.label is None or len(classes) < 2:
        return {}
    unread = unread_labels(label_values(frame, columns.label), classes)
    if not unread or len(unread) > MAX_SPELLINGS:
        return {}
    st.caption("These true labels are no class of the columns above. Choose what each means, or correct the classes.")
    meanings = {}
    for place, value in zip(st.columns(len(unread)), unread, strict=True):
        meant = place.selectbox(
            f"{markdown_text(value)} means", classes, index=None, key=f"{key}-means-{value}", placeholder="no class"
        )
        if meant is not None:
            meanings[value] = meant
    return meanings
