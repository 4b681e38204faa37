"""Prediction and class-activation maps of one patch: controls, overlays and the case report.

A patch goes through the network once: its prediction and features are remembered by model, content of the patch and
microns per pixel, and maps by any method follow from the features.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, cached_property
from typing import TypeAlias

import numpy as np
import streamlit as st

from dashboard.session import latest, recall, remember, store
from dashboard.widgets import NOTICE, File, download, downloads_on_request
from her2core.data.prepare import centre_square
from her2core.errors import NetworkError
from her2core.evidence.reservation import reservation
from her2core.inference.analysis import PatchAnalysis
from her2core.inference.prediction import Prediction
from her2core.inference.predictor import Predictor
from her2core.io.images import encode_png, resize_rgb
from her2core.io.uploads import Upload
from her2core.maps.class_map import ClassMap
from her2core.maps.methods import METHODS
from her2core.maps.overlay import overlay, with_caption
from her2core.report.case import CaseReport, case_report
from her2core.report.case_document import case_document
from her2core.report.render_html import render_html
from her2core.report.render_pdf import render_pdf
from her2core.runs.folder import Run

#: Side of the pictures shown and saved, in pixels.
SIDE = 448
DEFAULT_METHOD = "gradcam"
#: From ``content_of``.
Content: TypeAlias = tuple[str, float | None]


@dataclass(frozen=True)
class MapChoice:
    """What the viewer asked for: ``target`` class, ``method`` of METHODS, ``opacity`` 0 to 1, one of viewer.VIEWS."""

    target: str
    method: str
    opacity: float
    view: str


@dataclass(frozen=True)
class Analysis:
    """One patch under one model. Get one with ``analyse``.

    ``maps`` holds the map of every class; empty, with the reason in ``no_maps``, for a network whose features keep no
    spatial grid.
    """

    patch: Upload
    prediction: Prediction
    maps: dict[str, ClassMap]
    method: str
    no_maps: str = ""

    @cached_property
    def original(self) -> np.ndarray:
        """The centre square of the patch, uint8 (SIDE, SIDE, 3) RGB."""
        return resize_rgb(centre_square(pixels(self.patch)), SIDE)

    @cached_property
    def normalised(self) -> np.ndarray:
        """The network's input, uint8 (SIDE, SIDE, 3) RGB."""
        return self.original if self.prediction.image is None else resize_rgb(self.prediction.image, SIDE)

    def overlay(self, target: str, opacity: float) -> tuple[np.ndarray, str]:
        """The map of a class over the patch, uint8 (SIDE, SIDE, 3) RGB, and its description."""
        found = self.maps[target]
        rows, columns = found.grid.shape
        description = f"{METHODS[self.method].label} for {target}, {rows} x {columns} cells"
        if found.empty:
            description += f": no evidence for {target} in this patch"
        return overlay(self.original, found, opacity=opacity), description


def content_of(patch: Upload) -> Content:
    """What an answer belongs to: pixels with their flags, and microns per pixel."""
    return patch.content_hash, patch.mpp


def chosen_method() -> str:
    """The method that the viewer chose, before its widget is drawn."""
    method = st.session_state.get("method", DEFAULT_METHOD)
    return method if method in METHODS else DEFAULT_METHOD


def analyses_of(model: Predictor, patches: Sequence[Upload]) -> dict[Content, PatchAnalysis]:
    """Pass patches through the network, each content once in this session; by content."""
    found: dict[Content, PatchAnalysis] = {}
    missing: dict[float | None, dict[str, Upload]] = {}
    for patch in patches:
        known = recall(_key("analysis", model, patch))
        if isinstance(known, PatchAnalysis):
            found[content_of(patch)] = known
        else:
            missing.setdefault(patch.mpp, {})[patch.content_hash] = patch
    for mpp, group in missing.items():
        new = list(group.values())
        analyses = model.analyse([p.decoded for p in new], names=[p.name for p in new], mpp=mpp)
        for patch, analysis in zip(new, analyses, strict=True):
            store(_key("analysis", model, patch), analysis)
            found[content_of(patch)] = analysis
    return found


def analyse(model: Predictor, patch: Upload, *, method: str = DEFAULT_METHOD) -> Analysis:
    """Predict a patch and map every class by this method, from one pass through the network."""
    analysis = analyses_of(model, [patch])[content_of(patch)]
    # One image under two names is one content: each name keeps its own.
    prediction = replace(analysis.prediction, name=patch.name)
    if prediction.error is not None:
        return Analysis(patch, prediction, {}, method, prediction.error)
    try:
        maps = remember(_key("maps", model, patch, method), lambda: analysis.class_maps(method=method))
    except NetworkError as refused:
        return Analysis(patch, prediction, {}, method, refused.sentence)
    return Analysis(patch, prediction, maps, method)


def predictions_of(model: Predictor, patches: Sequence[Upload]) -> list[Prediction]:
    """Predict patches, in order; none goes through the network again."""
    found = analyses_of(model, patches)
    return [replace(found[content_of(p)].prediction, name=p.name) for p in patches]


def overlay_download(analysis: Analysis, choice: MapChoice, *, synthetic: bool) -> None:
    """Offer the map of the chosen class over the patch as PNG, with every notice in the picture."""
    if choice.target not in analysis.maps:
        return
    picture, description = analysis.overlay(choice.target, choice.opacity)
    doubt = "" if analysis.prediction.reliable else f"{analysis.prediction.answer} for this patch. "
    text = f"{'Synthetic patch. ' if synthetic else ''}{doubt}{description}. {NOTICE}"
    content = (analysis.prediction.model, analysis.patch.content_hash, choice, text)
    png = latest("overlay", content, lambda: encode_png(with_caption(picture, text)))
    download("Overlay (PNG)", png, name="overlay-research-use-only.png", mime="image/png")


def patch_report_downloads(run: Run, analysis: Analysis, choice: MapChoice | None, *, synthetic: bool) -> None:
    """Offer the case report of a patch, with the maps of every class unless ``choice`` is None."""
    patch = analysis.patch
    report_downloads(
        lambda: _case_report(run, analysis, choice, synthetic=synthetic),
        content=(analysis.prediction.model, patch.name, patch.content_hash, patch.mpp, choice, synthetic),
    )


def report_downloads(make: Callable[[], CaseReport], *, content: Hashable) -> None:
    """Offer a case report as HTML and as PDF; ``content`` names what it is made of."""
    document = cache(lambda: case_document(make()))
    files = [
        File("Case report (HTML)", lambda: render_html(document()), "case-research-use-only.html", "text/html"),
        File("Case report (PDF)", lambda: render_pdf(document()), "case-research-use-only.pdf", "application/pdf"),
    ]
    downloads_on_request("Make the case report", files, place="case", content=content)


def _case_report(run: Run, analysis: Analysis, choice: MapChoice | None, *, synthetic: bool) -> CaseReport:
    prediction = analysis.prediction
    pictures = [
        ("Patch", f"The patch {prediction.name}", analysis.original),
        ("Stain normalised", "The same patch as the network saw it", analysis.normalised),
    ]
    if choice is not None:
        for target in analysis.maps:
            picture, description = analysis.overlay(target, choice.opacity)
            pictures.append((description, f"{description}, laid over the patch", picture))
    return case_report(
        prediction,
        card=run.card,
        created=datetime.now().astimezone(),
        pictures=pictures,
        method=METHODS[choice.method].label if choice and analysis.maps else "none",
        synthetic=synthetic,
        mpp=analysis.patch.mpp,
        reservation=reservation(run),
    )


def _key(what: str, model: Predictor, patch: Upload, method: str = "") -> Hashable:
    return (what, model.model_id, *content_of(patch), method)


def pixels(patch: Upload) -> np.ndarray:
    """The patch's image; only patches with one are in view."""
    if patch.image is None:
        raise ValueError(f"{patch.name} has no image")
    return patch.image
