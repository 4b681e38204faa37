"""A large field on the patch page: its scale, its answer from tiles, and the heatmap of a class."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import streamlit as st

from dashboard.session import latest
from dashboard.views.answer import RAW
from dashboard.views.patch import MapChoice, analyse, pixels, report_downloads
from dashboard.views.viewer import OVERLAY, show_pictures
from dashboard.widgets import NOTICE, count, download, download_table, figure, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.reservation import reservation
from her2core.inference.answers import field_table, reason_sentences
from her2core.inference.field import FIELD_RULE, MIN_FIELDS, FieldPrediction, is_field, predict_field
from her2core.inference.predictor import Predictor
from her2core.io.images import encode_png
from her2core.io.scale import PRESETS
from her2core.io.text import capitalised, markdown_text
from her2core.io.uploads import Upload
from her2core.maps.field_overlay import field_overlay, with_colour_scale
from her2core.maps.overlay import with_caption
from her2core.plots.field import field_description, field_figure
from her2core.plots.probabilities import probability_description, probability_figure
from her2core.report.case import CaseReport, field_report
from her2core.runs.folder import Run

#: Choice of an unknown scale: the image is taken for one patch.
UNKNOWN = "not known: take the whole image for one patch"
#: Of heatmap and map at first.
OPACITY = 0.45
#: Longest side of a usual patch in pixels; a larger image of unknown scale may be a field.
LONGEST_PATCH = 512
_PRESETS = {f"{mpp:g} (objective {name})": mpp for name, mpp in PRESETS.items()}


def scale_of(patch: Upload) -> float | None:
    """Microns per pixel of a patch: as chosen, or as its file states them."""
    chosen = st.session_state.get(_key(patch))
    return patch.mpp if chosen is None or chosen not in _choices(patch) else _choices(patch)[chosen]


def choose_scale(patch: Upload) -> None:
    """Let the viewer state the scale of an uploaded patch; that of its file is offered first."""
    choices = _choices(patch)
    chosen = st.selectbox(
        "Microns per pixel",
        list(choices),
        key=_key(patch),
        persist_state="session",
        help="An image that shows more than one field of view of the training patches is cut into tiles of it.",
    )
    if choices[chosen] is None and patch.image is not None and max(patch.image.shape[:2]) > MIN_FIELDS * LONGEST_PATCH:
        st.info("This image is large: state its microns per pixel, and it is predicted tile by tile.")


def is_large(model: Predictor, patch: Upload) -> bool:
    """Whether a patch of known scale is a field of several tiles."""
    if patch.image is None:
        return False
    height, width = patch.image.shape[:2]
    return bool(is_field(model, width, height, patch.mpp))


def show_field(run: Run, model: Predictor, patch: Upload, mpp: float) -> None:
    """Draw the answer for a field, its heatmap, and what was left out; or why it cannot be predicted."""
    bar = st.empty()
    try:
        found = latest(
            "field",
            (model.model_id, patch.content_hash, mpp),
            lambda: predict_field(
                model,
                patch.decoded,
                mpp=mpp,
                name=patch.name,
                progress=lambda done, of: bar.progress(done / of, text=f"{done:,} of {count(of, 'tile')}"),
            ),
        )
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence), icon=":material/block:")
        return
    finally:
        bar.empty()
    found = replace(found, name=patch.name)  # one image under two names is one content: each name keeps its own
    st.header(markdown_text(found.answer))
    for reason in found.reasons:
        st.warning(_sentence(reason), icon=":material/block:")
    for note in found.notes:
        st.caption(_sentence(note))
    st.caption(FIELD_RULE)
    if found.reliable:
        _show_figures(model, found, patch)
    elif found.counted:
        with st.expander(RAW):
            _show_figures(model, found, patch)
    else:
        st.image(pixels(patch), width=448, alt=f"The field {patch.name}")
    with st.container(horizontal=True):
        if found.most_probable is not None:
            _heatmap_download(found, patch)
        report_downloads(
            lambda: _case_report(run, found, patch), content=(found.model, patch.name, patch.content_hash, mpp)
        )
        download_table("Tiles (CSV)", field_table(found).assign(file=patch.file or patch.name), "tiles")


def _show_figures(model: Predictor, found: FieldPrediction, patch: Upload) -> None:
    """Draw the heatmap large with its probabilities beside it, and the tile that was chosen."""
    key = f"{found.model}-{patch.content_hash[:16]}"
    left, right = st.columns([11, 8], gap="medium")
    with left:
        target = st.segmented_control(
            "Heatmap of class",
            found.classes,
            default=found.most_probable or found.classes[0],
            format_func=markdown_text,
            key=f"field-target-{key}",
            required=True,
        )
        target = target if target in found.classes else found.classes[0]
        opacity = st.session_state.get("field-opacity", OPACITY)
        figure(
            field_figure(found, pixels(patch), target, opacity=opacity),
            field_description(found, target),
            key=f"field-{key}-{found.mpp:g}",
            words=False,
            on_select=lambda: _tile_clicked(f"field-{key}-{found.mpp:g}", f"tile-{key}-{found.mpp:g}"),
            selection_mode="points",
        )
        st.slider("Opacity", 0.0, 1.0, OPACITY, 0.05, key="field-opacity", persist_state="session")
    with right:
        figure(
            probability_figure(found.classes, found.probabilities, coloured=found.reliable),
            probability_description(found.classes, found.probabilities),
            key=f"field-probabilities-{key}",
            words=not found.reliable,
        )
        number = st.number_input(
            f"Tile to open (1 to {len(found.tiles):,}, or click it)",
            1,
            len(found.tiles),
            None,
            key=f"tile-{key}-{found.mpp:g}",
            placeholder="number of a tile",
        )
        if number is not None:
            _show_tile(model, found, patch, int(number), target)


def _tile_clicked(chart: str, box: str) -> None:
    """Write the number of the tile that was clicked into the box."""
    points = st.session_state[chart]["selection"]["points"]
    if points:
        st.session_state[box] = int(points[0]["point_index"]) + 1


def _show_tile(model: Predictor, found: FieldPrediction, patch: Upload, number: int, target: str) -> None:
    """Draw one tile with the map of the class, as the network saw it."""
    row = found.tiles.iloc[number - 1]
    x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
    crop = np.ascontiguousarray(pixels(patch)[y : y + height, x : x + width])
    tile = Upload(f"tile {number} of {patch.name}", crop, flags=patch.flags, mpp=found.mpp)
    analysis = analyse(model, tile)
    probabilities = ", ".join(
        f"{markdown_text(name)} {row[f'probability_{name}']:.1%}"
        for name in found.classes
        if np.isfinite(row[f"probability_{name}"])
    )
    st.caption(f"**Tile {number}**, from x {x:,}, y {y:,} px. {probabilities or 'Not predicted'}.")
    for reason in reason_sentences(analysis.prediction):
        st.caption(reason)
    show_pictures(
        analysis, MapChoice(target, analysis.method, OPACITY, OVERLAY), (st.container(), st.container()), mpp=found.mpp
    )


def _heatmap_download(found: FieldPrediction, patch: Upload) -> None:
    """Offer the heatmap of the most probable class as PNG, with every notice in the picture."""
    doubt = "" if found.reliable else f"{found.answer} for this field. "
    text = f"{doubt}{_heatmap_caption(found.most_probable)}; tiles without colour do not count. {NOTICE}"
    content = (found.model, patch.content_hash, found.mpp, text)
    png = latest(
        "heatmap",
        content,
        lambda: encode_png(with_caption(with_colour_scale(field_overlay(found, pixels(patch))), text)),
    )
    download("Heatmap (PNG)", png, name="heatmap-research-use-only.png", mime="image/png")


def _case_report(run: Run, found: FieldPrediction, patch: Upload) -> CaseReport:
    image = pixels(patch)
    pictures = [("Field", f"The field {found.name}", image)]
    if found.reliable:
        for target in found.classes:
            caption = f"{_heatmap_caption(target)}: purple 0, yellow 100 %"
            pictures.append((caption, f"{caption}, laid over the field", field_overlay(found, image, target)))
    return field_report(
        found,
        card=run.card,
        created=datetime.now().astimezone(),
        pictures=pictures,
        synthetic=False,
        reservation=reservation(run),
    )


def _heatmap_caption(target: str | None) -> str:
    return f"Probability of {target} by tile"


def _choices(patch: Upload) -> dict[str, float | None]:
    first: dict[str, float | None] = {UNKNOWN: None}
    if patch.mpp is not None:
        first = {f"{patch.mpp:.4g} ({patch.scale_source})": patch.mpp}
    return {**first, **_PRESETS, UNKNOWN: None}


def _key(patch: Upload) -> str:
    return f"scale-{patch.content_hash[:16]}-{patch.mpp}"  # the same pixels may come again with a scale


def _sentence(phrase: str) -> str:
    return markdown_sentence(f"{capitalised(phrase)}.")
