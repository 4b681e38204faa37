"""Part of an uploaded picture that is looked at: for screenshots of a viewer and photographs through a microscope."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.session import remember
from dashboard.views.patch import pixels
from her2core.io.frame import Box, without_border
from her2core.io.uploads import Upload

#: Shortest side of a part, in pixels.
SHORTEST = 64
_PLACE = "parts"


def part_of(upload: Upload) -> Upload:
    """The part of a picture that the viewer chose, named so; the picture itself where none was chosen."""
    box = _box(upload)
    if box == _whole(upload):
        return upload
    return replace(upload, image=box.crop(pixels(upload)), name=f"{upload.name} (cropped)")


def choose_part(upload: Upload) -> None:
    """Let the viewer choose a part of an uploaded picture; one without border is offered where there is a border."""
    image, whole, box = pixels(upload), _whole(upload), _box(upload)
    height, width = image.shape[:2]
    if min(height, width) < 2 * SHORTEST:
        return
    inner = remember(("without border", upload.content_hash), lambda: without_border(image))
    offered = min(inner.size) >= SHORTEST and inner != whole
    if offered and box == whole:
        share = 1 - inner.size[0] * inner.size[1] / (height * width)
        st.warning(
            f"{share:.0%} of this picture is a border, as of a viewer's window or an eyepiece, and not tissue.",
            icon=":material/crop:",
        )
        st.button("Leave out the border", on_click=_keep, args=(upload, inner), icon=":material/crop:")
    with st.expander("Crop", icon=":material/crop:"):
        keys = [f"{_PLACE}-{name}-{upload.content_hash[:16]}" for name in ("rows", "columns")]
        for key, label, ends, length in (
            (keys[0], "Rows (px)", (box.top, box.bottom), height),
            (keys[1], "Columns (px)", (box.left, box.right), width),
        ):
            st.session_state[key] = ends
            st.slider(label, 0, length, key=key, on_change=_keep_sliders, args=(upload, *keys))
        st.caption(f"{box.size[1]} x {box.size[0]} of {width} x {height} px; at least {SHORTEST} px a side.")
        if box != whole:
            st.button("Show the whole picture", on_click=_keep, args=(upload, whole))


def _keep_sliders(upload: Upload, rows: str, columns: str) -> None:
    whole = _whole(upload)
    top, bottom = _ends(st.session_state[rows], whole.bottom)
    left, right = _ends(st.session_state[columns], whole.right)
    _keep(upload, Box(top, bottom, left, right))


def _ends(chosen: tuple[int, int], length: int) -> tuple[int, int]:
    """The ends of a slider, at least SHORTEST apart."""
    first = min(chosen[0], length - SHORTEST)
    return first, max(chosen[1], first + SHORTEST)


def _keep(upload: Upload, box: Box) -> None:
    st.session_state.setdefault(_PLACE, {})[upload.content_hash] = box


def _box(upload: Upload) -> Box:
    kept: dict[str, Box] = st.session_state.get(_PLACE, {})
    return kept.get(upload.content_hash, _whole(upload))


def _whole(upload: Upload) -> Box:
    height, width = pixels(upload).shape[:2]
    return Box(0, height, 0, width)
