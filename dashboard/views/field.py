"""A large field on the patch page: its scale, its answer from tiles, and the heatmap of a class."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard.session import latest
from dashboard.views.answer import RAW
from dashboard.views.patch import pixels, report_downloads
from dashboard.widgets import NOTICE, count, download, download_table, figure, markdown_sentence
from her2core.errors import Her2Error
from her2core.inference.answers import field_table
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
#: Longest side of a usual patch in pixels; a larger image of unknown scale may be a field.
LONGEST_PATCH = 512
_PRESETS = {f"{mpp:g} (objective {name})": mpp for name, mpp in PRESETS.items()}


def scale_of(patch: Upload) -> float | None:
    """Microns per pixel of a patch: as chosen, or as its file states them."""
    chosen = st.session_state.get(_key(patch))
    return patch.mpp if chosen is None or chosen not in _choices(patch) else _choices(patch)[chosen]


def choose_scale(patch: Upload) -> float | None:
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
    return choices[chosen]


def is_large(model: Predictor, patch: Upload) -> bool:
    """Whether the patch is a field of several tiles at its scale."""
    if patch.image is None:
        return False
    height, width = patch.image.shape[:2]
    return bool(is_field(model, width, height, scale_of(patch)))


def show_field(run: Run, model: Predictor, patch: Upload, mpp: float) -> None:
    """Draw the answer for a field, its heatmap, and what was left out; or why it cannot be predicted."""
    image = pixels(patch)
    bar = st.empty()
    try:
        found = latest(
            "field",
            (model.model_id, patch.content_hash, mpp),
            lambda: predict_field(
                model,
                image,
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
    st.header(markdown_text(found.answer))
    for reason in found.reasons:
        st.warning(_sentence(reason), icon=":material/block:")
    for note in found.notes:
        st.caption(_sentence(note))
    st.caption(FIELD_RULE)
    if found.reliable:
        _show_figures(found, patch)
    elif found.counted:
        with st.expander(RAW):
            _show_figures(found, patch)
    else:
        st.image(image, width=448, alt=f"The field {patch.name}")
    with st.container(horizontal=True):
        if found.most_probable is not None:
            _heatmap_download(found, patch)
        report_downloads(
            lambda: _case_report(run, found, patch), content=(found.model, patch.name, patch.content_hash, mpp)
        )
        download_table("Tiles (CSV)", field_table(found).assign(file=patch.file or patch.name), "tiles")


def _show_figures(found: FieldPrediction, patch: Upload) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        figure(
            probability_figure(found.classes, found.probabilities, coloured=found.reliable),
            probability_description(found.classes, found.probabilities),
            key=f"field-probabilities-{patch.content_hash[:16]}",
        )
    with right:
        target = st.selectbox(
            "Heatmap of class",
            found.classes,
            index=found.classes.index(found.most_probable or found.classes[0]),
            key=f"field-target-{found.model}-{patch.content_hash[:16]}",
        )
        opacity = st.slider("Opacity", 0.0, 1.0, 0.45, 0.05, key="field-opacity", persist_state="session")
        figure(
            field_figure(found, pixels(patch), target, opacity=opacity),
            field_description(found, target),
            key=f"field-{patch.content_hash[:16]}",
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
    return field_report(found, card=run.card, created=datetime.now().astimezone(), pictures=pictures, synthetic=False)


def _heatmap_caption(target: str | None) -> str:
    return f"Probability of {target} by tile"


def _choices(patch: Upload) -> dict[str, float | None]:
    first: dict[str, float | None] = {UNKNOWN: None}
    if patch.mpp is not None:
        first = {f"{patch.mpp:.4g} ({patch.scale_source})": patch.mpp}
    return {**first, **_PRESETS, UNKNOWN: None}


def _key(patch: Upload) -> str:
    return f"scale-{patch.content_hash[:16]}"


def _sentence(phrase: str) -> str:
    return markdown_sentence(f"{capitalised(phrase)}.")
