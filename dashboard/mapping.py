"""Where did the network look on the patch in view? A patch, and class, method and opacity in; pictures out."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from dashboard.state import remember
from dashboard.uploads import Upload
from her2core.data.prepare import centre_square
from her2core.inference.predictor import Prediction, Predictor
from her2core.io.images import resize_rgb
from her2core.maps.cam import ClassMap
from her2core.maps.methods import METHODS
from her2core.maps.overlay import overlay

#: Side of the pictures shown and saved, in pixels.
SHOWN = 448


@dataclass(frozen=True)
class MapChoice:
    """What the viewer asked for."""

    target: str
    method: str
    opacity: float
    side_by_side: bool


@dataclass(frozen=True)
class Mapping:
    """One patch under one model. Answers and maps are remembered in the session by ``key``."""

    model: Predictor
    patch: Upload
    key: Hashable

    @property
    def answer(self) -> Prediction:
        return remember(
            ("answer", self.key), lambda: self.model.predict([self.patch.image], names=[self.patch.name])[0]
        )

    def maps(self, method: str) -> dict[str, ClassMap]:
        """The map of every class. Raises NetworkError for a network whose features keep no place."""
        return remember(
            ("map", self.key, method),
            lambda: self.model.predict_and_explain(self.patch.image, name=self.patch.name, method=method)[1],
        )

    @cached_property
    def whole(self) -> np.ndarray:
        """The centre square of the patch, uint8 (SHOWN, SHOWN, 3)."""
        return resize_rgb(centre_square(self.patch.image), SHOWN)

    @cached_property
    def normalised(self) -> np.ndarray:
        """What the network saw, at the size shown."""
        return resize_rgb(self.answer.image, SHOWN)

    def picture(self, target: str, choice: MapChoice) -> tuple[np.ndarray, str]:
        """The overlay for a class, and what it is in words."""
        found = self.maps(choice.method)[target]
        rows, columns = found.grid.shape
        words = f"{METHODS[choice.method].title} for {target}, {rows} x {columns} cells"
        if found.empty:
            words += f": nothing in this patch speaks for {target}"
        return overlay(self.whole, found, opacity=choice.opacity), words


def map_controls(mapping: Mapping) -> MapChoice:
    """Let the viewer choose class, method, opacity, and all classes side by side."""
    answer = mapping.answer
    first, second, third = st.columns([3, 3, 4])
    # A key for each patch: another patch starts at its own predicted class.
    target = first.selectbox(
        "Map for class", answer.classes, index=answer.classes.index(answer.label), key=f"target-{mapping.key}"
    )
    method = second.selectbox(
        "Method", list(METHODS), format_func=lambda m: METHODS[m].title, key="method", persist_state="session"
    )
    opacity = third.slider("Opacity", 0.0, 1.0, 0.55, 0.05, key="opacity", persist_state="session")
    side_by_side = st.toggle("All classes side by side", key="side_by_side", persist_state="session")
    st.caption(f"{METHODS[method].explanation} ({METHODS[method].reference})")
    return MapChoice(target, method, opacity, side_by_side)
