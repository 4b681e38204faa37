"""Patches in view on the patch page: uploads of this session, a patch named in the address, or synthetic samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import streamlit as st

from dashboard.cache import pictures, samples
from dashboard.widgets import count, markdown_sentence
from her2core.data.synthetic import CohortSpec
from her2core.errors import Her2Error
from her2core.io.text import markdown_text
from her2core.io.uploads import MAX_BYTES, MAX_FILES, Upload, read_uploads
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic, synthetic_cohort


@dataclass(frozen=True)
class View:
    """Patches in view: ``patches``, each with an image; whether they are ``synthetic``, and ``uploaded``.

    ``chosen`` names the sample that the address asks for, or the first of the latest uploads; empty for none. ``true``
    has the true class of patches by name where it is known, ``mpp`` the microns per pixel of patches not uploaded.
    """

    patches: tuple[Upload, ...]
    synthetic: bool = False
    uploaded: bool = False
    chosen: str = ""
    true: Mapping[str, str] = field(default_factory=dict)
    mpp: float | None = None

    @property
    def key(self) -> str:
        """A hash of names and pixels: widgets keyed by it never outlive the patches that they show."""
        shown = "\n".join(f"{patch.name} {patch.content_hash}" for patch in self.patches)
        return hashlib.sha256(shown.encode()).hexdigest()[:16]


def patches_in_view(run: Run) -> View:
    """Draw the uploader, show why files were refused, and return what is in view."""
    st.file_uploader(
        f"H&E patches (PNG, JPEG, TIFF, BMP or WebP; up to {MAX_FILES})",
        accept_multiple_files=True,
        key=_uploader_key(),
        on_change=_read,
        max_upload_size=MAX_BYTES // 2**20,
        help="Patches stay in memory for this session and are never stored.",
    )
    uploads: list[Upload] = st.session_state.get("uploads", [])
    linked = st.query_params.get("patch")
    if linked and not uploads:
        return _linked(run, linked)
    for upload in uploads:
        if upload.error:
            st.error(markdown_sentence(upload.error), icon=":material/block:")
    if uploads:
        readable = tuple(u for u in uploads if u.image is not None)
        label = f"Clear the {count(len(readable), 'uploaded patch')}" if readable else "Clear"
        st.button(label, on_click=_clear, icon=":material/close:")
        latest = st.session_state.get("latest_upload", "")
        return View(readable, uploaded=True, chosen=latest if latest in {u.name for u in readable} else "")
    try:
        found = samples(str(run.path))
        spec = synthetic_cohort(run) if is_synthetic(run) else CohortSpec()
    except Her2Error as refused:
        st.error(f"No samples for this model. {markdown_sentence(refused.sentence)}")
        return View(())
    st.caption("No patch uploaded: showing synthetic samples, which are generated images.")
    drawn = tuple(Upload(sample.name, sample.image) for sample in found)
    true, chosen = {sample.name: sample.label for sample in found}, st.query_params.get("sample", "")
    return View(drawn, synthetic=True, chosen=chosen if chosen in true else "", true=true, mpp=spec.mpp)


def _read() -> None:
    """Decode what was just uploaded; it stays for the session, whichever page is looked at."""
    before = {(u.name, u.content_hash) for u in st.session_state.get("uploads", [])}
    uploads = st.session_state["uploads"] = read_uploads(st.session_state[_uploader_key()])
    new = (u.name for u in uploads if u.image is not None and (u.name, u.content_hash) not in before)
    st.session_state["latest_upload"] = next(new, "")  # a patch added to others is the one to look at
    st.query_params.pop("patch", None)


def _clear() -> None:
    """Drop the patches; the uploader under the next key is an empty one, in the browser too."""
    st.session_state.pop("uploads", None)
    st.session_state["uploads_cleared"] = st.session_state.get("uploads_cleared", 0) + 1


def _close() -> None:
    """Take the patch out of the address."""
    st.query_params.pop("patch", None)


def _uploader_key() -> str:
    return f"uploads-{st.session_state.get('uploads_cleared', 0)}"


def _linked(run: Run, patch_id: str) -> View:
    """The patch of the run that the address names."""
    found = pictures(run)
    try:
        if found.read is None:
            st.info(f"The picture of this patch is not available here. {markdown_sentence(found.why_not)}")
            return View(())
        image = found.read(patch_id)
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return View(())
    source = "a synthetic patch, which is a generated image" if is_synthetic(run) else "a patch"
    st.caption(f"{markdown_text(patch_id)}: {source} of this model's data.")
    st.button("Close this patch", on_click=_close, icon=":material/close:")
    rows = run.dataset.set_index("patch_id").loc[[patch_id]] if patch_id in set(run.dataset["patch_id"]) else None
    label = "" if rows is None else str(rows["label"].iloc[0])
    mpp = None if rows is None or "mpp" not in rows else float(pd.to_numeric(rows["mpp"], errors="coerce").iloc[0])
    mpp = synthetic_cohort(run).mpp if is_synthetic(run) else mpp
    known = mpp if mpp is not None and mpp > 0 else None
    true = {patch_id: label} if label in run.classes else {}
    return View((Upload(patch_id, image),), synthetic=is_synthetic(run), true=true, mpp=known)
