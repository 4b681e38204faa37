"""Which patches are in view? Uploads of this session, a patch that a link names, or synthetic samples."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import streamlit as st

from dashboard.loaders import pictures, samples
from dashboard.uploads import MAX_BYTES, MAX_FILES, Upload, accept
from dashboard.words import plain, sentence
from her2core.errors import Her2Error
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic


@dataclass(frozen=True)
class View:
    """``patches``: what can be looked at. ``key`` names them, so that answers are found again."""

    patches: list[Upload]
    key: Hashable
    synthetic: bool


def patches_in_view(run: Run) -> View:
    """Draw the uploader, say what was refused, and give what is in view."""
    st.file_uploader(
        f"H&E patches (PNG, JPEG, TIFF, BMP or WebP; up to {MAX_FILES})",
        accept_multiple_files=True,
        key=_key(),
        on_change=_take,
        max_upload_size=MAX_BYTES // 2**20,
        help="Patches stay in memory for this session and are never stored.",
    )
    linked = st.query_params.get("patch")
    if linked and not st.session_state.get("taken"):
        return _linked(run, linked)
    taken: list[Upload] = st.session_state.get("taken", [])
    for upload in taken:
        if upload.error:
            st.error(sentence(upload.error), icon=":material/block:")
    if taken:
        good = [u for u in taken if u.image is not None]
        st.button(f"Clear the {len(good)} uploaded" if good else "Clear", on_click=_clear, icon=":material/close:")
        return View(good, ("taken", st.session_state["taken_number"]), synthetic=False)
    try:
        drawn = [Upload(name, image) for name, image, _ in samples(str(run.path))]
    except Her2Error as refused:
        st.error(f"No samples for this run: {sentence(refused)}")
        return View([], "none", synthetic=False)
    st.caption("No patch uploaded: showing synthetic samples, drawn by a program.")
    return View(drawn, ("samples", str(run.path)), synthetic=True)


def _take() -> None:
    """Decode what was just uploaded; it stays for the session, whichever page is looked at."""
    st.session_state["taken"] = accept(st.session_state[_key()])
    st.session_state["taken_number"] = st.session_state.get("taken_number", 0) + 1
    st.query_params.pop("patch", None)


def _clear() -> None:
    """Forget the patches; the uploader under the next key is an empty one, in the browser too."""
    st.session_state.pop("taken", None)
    st.session_state["cleared"] = st.session_state.get("cleared", 0) + 1


def _key() -> str:
    return f"uploads-{st.session_state.get('cleared', 0)}"


def _linked(run: Run, patch_id: str) -> View:
    """The patch of the run that a link names."""
    found = pictures(run)
    try:
        if found.read is None:
            st.info(f"The picture of this patch is not at hand here. {sentence(found.why_not)}")
            return View([], "none", synthetic=False)
        image = found.read(patch_id)
    except Her2Error as refused:
        st.error(sentence(refused))
        return View([], "none", synthetic=False)
    st.caption(
        f"From the data of this run: {plain(patch_id)}"
        + (", a synthetic patch, drawn by a program." if is_synthetic(run) else ".")
    )
    st.button("Close this patch", on_click=lambda: st.query_params.pop("patch", None), icon=":material/close:")
    return View([Upload(patch_id, image)], ("linked", str(run.path), patch_id), synthetic=is_synthetic(run))
