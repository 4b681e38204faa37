"""Viewer of one patch: the patch large with the map of a class over it, its scale bar, and the key of the colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.views.patch import SIDE, Analysis, MapChoice, chosen_method, pixels
from dashboard.widgets import markdown_sentence
from her2core.data.prepare import centre_square
from her2core.io.images import resize_rgb
from her2core.io.text import markdown_text
from her2core.io.uploads import Upload
from her2core.maps.methods import METHODS
from her2core.maps.scale_bar import colour_key, with_scale_bar

OVERLAY, BESIDE, ALL, INPUT = "Overlay", "Side by side", "All classes", "Network input"
VIEWS = (OVERLAY, BESIDE, ALL, INPUT)
#: Thumbnails of a row, and their side in pixels; the box above them offers all patches.
MOST_THUMBNAILS, THUMBNAIL = 12, 56


def choose_patch(patches: Sequence[Upload], *, first: str, key: str) -> Upload:
    """Let the viewer choose a patch by its thumbnail, in a box, or with Shift and the arrow keys."""
    by_name = {patch.name: patch for patch in patches}
    names = list(by_name)

    def go(name: str) -> None:
        st.session_state[key] = name

    # A key for each set of patches: a box of other patches must not show a name of these.
    name = st.selectbox("Patch", names, index=names.index(first) if first else 0, key=key, persist_state="session")
    at = names.index(name)
    with st.container(horizontal=True, wrap=False, gap="xsmall", key="thumbnails"):
        for number, (patch_name, patch) in enumerate(list(by_name.items())[:MOST_THUMBNAILS]):
            chosen = "now" if patch_name == name else "other"
            with st.container(key=f"card-thumbnail-{chosen}-{number}", width=THUMBNAIL, gap=None):
                picture = resize_rgb(centre_square(pixels(patch)), 2 * THUMBNAIL)
                st.image(picture, width=THUMBNAIL, alt=f"Thumbnail of {patch_name}")
                st.button(
                    str(number + 1),
                    key=f"thumbnail-{number}-{key}",
                    type="tertiary",
                    help=markdown_text(patch_name),
                    on_click=go,
                    args=(patch_name,),
                )
    with st.container(horizontal=True, gap="xsmall"):
        for icon, label, arrow, to in (("back", "Previous", "Left", at - 1), ("forward", "Next", "Right", at + 1)):
            st.button(
                label,
                key=f"{icon}-{key}",
                icon=f":material/arrow_{icon}:",
                shortcut=f"Shift+{arrow}",
                on_click=go,
                args=(names[to % len(names)],),
                disabled=not 0 <= to < len(names),
            )
    return by_name[name]


def class_tabs(analysis: Analysis) -> str:
    """Let the viewer choose the class of the map."""
    prediction = analysis.prediction
    first = prediction.most_probable or prediction.classes[0]
    # A key for each patch and model: another patch starts at its own most probable class.
    key = f"target-{prediction.model}-{analysis.patch.content_hash}"
    chosen = st.segmented_control(
        "Map for class", prediction.classes, default=first, format_func=markdown_text, key=key, required=True
    )
    return chosen if chosen in prediction.classes else first


def map_controls(target: str) -> MapChoice:
    """Let the viewer choose view, opacity and method of the maps."""
    view = st.segmented_control("View", VIEWS, default=OVERLAY, key="view", persist_state="session", required=True)
    left, right = st.columns([3, 2], gap="small")
    opacity = left.slider("Opacity", 0.0, 1.0, 0.55, 0.05, key="opacity", persist_state="session")
    method = right.selectbox(
        "Method",
        list(METHODS),
        format_func=lambda m: METHODS[m].label,
        key="method",
        persist_state="session",
        help=f"{METHODS[chosen_method()].description} ({METHODS[chosen_method()].reference})",
    )
    return MapChoice(target, method, opacity, view if view in VIEWS else OVERLAY)


def show_pictures(
    analysis: Analysis, choice: MapChoice, places: Sequence[DeltaGenerator], *, mpp: float | None
) -> None:
    """Draw the pictures of the chosen view: one into the first of ``places``, several across the second."""
    one, across = places
    if choice.view == INPUT:
        show_input(analysis, one, mpp=mpp)
    elif choice.view == OVERLAY or not analysis.maps:
        _map(analysis, choice.target, choice.opacity, one, mpp)
    elif choice.view == BESIDE:
        left, right = across.columns(2, gap="small")
        show_original(analysis, left, mpp=mpp)
        _map(analysis, choice.target, choice.opacity, right, mpp)
    else:
        cells = across.columns(min(len(analysis.maps), 3), gap="small")
        for i, target in enumerate(analysis.maps):
            _map(analysis, target, choice.opacity, cells[i % len(cells)], mpp)
    if analysis.no_maps:
        st.info(f"No map for this model. {markdown_sentence(analysis.no_maps)}")


def show_original(analysis: Analysis, place: DeltaGenerator, *, mpp: float | None) -> None:
    """Draw the patch as it was brought."""
    name = analysis.patch.name
    alt = f"The patch {name} before normalisation"
    place.image(_scaled(analysis, analysis.original, mpp), caption="patch", width="stretch", alt=alt)


def show_input(analysis: Analysis, place: DeltaGenerator, *, mpp: float | None) -> None:
    """Draw the patch as the network sees it."""
    place.image(
        _scaled(analysis, analysis.normalised, mpp),
        caption="stain normalised (network input)",
        width="stretch",
        alt="The same patch with the reference stain",
    )


def _map(analysis: Analysis, target: str, opacity: float, place: DeltaGenerator, mpp: float | None) -> None:
    if target not in analysis.maps:
        show_original(analysis, place, mpp=mpp)
        return
    picture, description = analysis.overlay(target, opacity)
    with place.container(gap="xsmall"):
        st.image(
            _scaled(analysis, picture, mpp),
            width="stretch",
            alt=f"{description}, laid over the patch {analysis.patch.name}",
        )
        st.image(colour_key(SIDE), width="stretch", alt="Colours of the map from weak to strong evidence")
        st.caption(f"weak to strong evidence · {markdown_sentence(description)}")


def _scaled(analysis: Analysis, picture: np.ndarray, mpp: float | None) -> np.ndarray:
    """The picture with a scale bar where the patch's microns per pixel are known."""
    if mpp is None:
        return picture
    return with_scale_bar(picture, mpp=mpp * min(pixels(analysis.patch).shape[:2]) / picture.shape[0])
