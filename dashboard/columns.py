"""Which column of the table brought along means what? The table and a guess in; the visitor's choices out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from her2core.evidence.prediction_columns import ColumnMap, label_values
from her2core.io.text import markdown_text as plain
from her2core.labels import near_spellings

#: More spellings than this are no classes, and are left to the sentence that refuses them.
MAX_SPELLINGS = 12


@dataclass(frozen=True)
class Columns:
    """``columns`` and ``kind`` as ``Predictions.from_frame`` takes them; ``problem``: why they cannot be used yet."""

    columns: ColumnMap
    kind: str
    problem: str = ""


def choose_columns(frame: pd.DataFrame, guess: ColumnMap, *, key: str) -> Columns:
    """Draw the choices, filled in with the guess."""
    names = [str(c) for c in frame.columns]

    def one(label: str, guessed: str | None, where) -> str | None:
        index = names.index(guessed) if guessed in names else None
        return where.selectbox(label, names, index=index, key=f"{key}-{label}", placeholder="none")

    left, middle, right = st.columns(3)
    ids = {
        "label": one("True class", guess.label, left),
        "patient_id": one("Patient", guess.patient_id, middle),
        "slide_id": one("Slide", guess.slide_id, right),
        "patch_id": one("Patch", guess.patch_id, left),
        "site": one("Site", guess.site, middle),
        "split": one("Part of the split (only test rows are judged)", guess.split, right),
    }
    scores = st.multiselect(
        "Probability of each class, in the order of the classes",
        names,
        default=list(guess.scores.values()),
        key=f"{key}-scores",
    )
    guessed_class = {column: name for name, column in guess.scores.items()}
    called: dict[str, str] = {}
    places = st.columns(max(len(scores) + (len(scores) == 1), 1))
    for where, column in zip(places, scores, strict=False):
        name = where.text_input(
            f"Class of {plain(column)}", guessed_class.get(column, column), key=f"{key}-class-{column}"
        )
        called[name.strip()] = column
    rest = None
    if len(scores) == 1:
        rest = (
            places[1].text_input("The other class (gets one minus this)", guess.rest or "", key=f"{key}-rest").strip()
        )
    kind = (
        st.segmented_control(
            "These columns hold", ["auto", "probabilities", "logits"], default="auto", required=True, key=f"{key}-kind"
        )
        or "auto"
    )
    columns = ColumnMap(scores=called, rest=rest or None, **ids)
    columns = replace(columns, labels=_spellings(frame, columns, key))
    problem = "" if len(called) == len(scores) else "Two of the columns have the same class. Give each its own name."
    return Columns(columns, kind, problem)


def _spellings(frame: pd.DataFrame, columns: ColumnMap, key: str) -> dict[str, str]:
    """Which class each label means that is spelt as none: chosen by the visitor, never assumed."""
    classes = [*filter(None, [columns.rest]), *columns.scores]
    if columns.label is None or len(classes) < 2:
        return {}
    spelt = near_spellings(label_values(frame, columns.label), classes)
    if spelt:
        readings = ", ".join(f"{plain(repr(a))} as {plain(repr(b))}" for a, b in spelt.items())
        if not st.checkbox(f"Read {readings}", key=f"{key}-spelling"):
            spelt = {}
    others = [value for value in label_values(frame, columns.label) if value not in (*classes, *spelt)]
    if not others or len(others) > MAX_SPELLINGS:
        return spelt
    st.caption("These true labels are no class of the columns above. Choose what each means, or correct the classes.")
    for where, value in zip(st.columns(len(others)), others, strict=True):
        meant = where.selectbox(
            f"{plain(value)} means", classes, index=None, key=f"{key}-means-{value}", placeholder="no class"
        )
        if meant is not None:
            spelt[value] = meant
    return spelt
