"""A whole slide of a server folder: its choice, viewer, the plan of its tiles, its answer and examples."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.cache import slides_offered
from dashboard.navigation import PAGES
from dashboard.session import is_latest, latest
from dashboard.slide_viewer import OFFERS, show_viewer
from dashboard.views.answer import RAW
from dashboard.widgets import (
    NOTICE,
    File,
    count,
    dataframe,
    download,
    download_table,
    downloads_on_request,
    figure,
    markdown_sentence,
)
from her2core.errors import Her2Error
from her2core.inference.predictor import Predictor
from her2core.io.images import RGBImage, encode_png
from her2core.io.scale import PRESETS
from her2core.io.text import capitalised, markdown_text
from her2core.io.uploads import Upload
from her2core.maps.field_overlay import with_colour_scale
from her2core.maps.overlay import with_caption
from her2core.plots.probabilities import probability_description, probability_figure
from her2core.slide.deep_zoom import DeepZoom
from her2core.slide.dicom_map import write_parametric_map
from her2core.slide.geojson import write_geojson
from her2core.slide.heatmap import STATES, heatmap_picture, write_ome_tiff
from her2core.slide.in_memory import SlideAnswer, SlidePreview, preview_slide, read_tile
from her2core.slide.plan import TileGrid

#: The scale that the slide's own file states.
STATED = "as the slide states"
SLIDE_RULE = (
    "Tiles that count are aggregated by the rule of the model's evaluation. The interval says how much the answer "
    "depends on which part of the tissue was seen; the error of the network is not in it. Several classes are named "
    "where either of them leaves several open: that tissue, or the prediction set of a patch with these probabilities."
)
NO_SLIDES = (
    "No slide below the allowed folders. Put slides below `data/`, or name other folders in the environment variable "
    "`HER2_FOLDERS` before the server starts."
)


@dataclass(frozen=True)
class Chosen:
    """A slide that was chosen: its file, what it is called on the page, and the scale that the viewer stated."""

    path: Path
    name: str
    mpp: float | None

    @property
    def key(self) -> tuple[str, int, float | None]:
        """What a result belongs to: the file as it is now, and the scale."""
        return str(self.path), _facts(self.path)[1], self.mpp


def _facts(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change of a file; zeros where it has vanished since it was listed."""
    try:
        held = path.stat()
    except OSError:
        return 0, 0
    return held.st_size, held.st_mtime_ns


def choose_slide() -> Chosen | None:
    """Draw the choice of a slide and of its scale; names of files are hidden unless asked for."""
    paths = slides_offered()
    if not paths:
        st.info(NO_SLIDES)
        return None
    left, middle, right = st.columns([4, 3, 2], vertical_alignment="bottom")
    # What was chosen is kept while other pages are looked at: another slide or scale would end a job and its answer.
    named = right.toggle(
        "Show file names",
        key="slide-names",
        persist_state="session",
        help="File names may hold a patient's name or barcode: hidden at first.",
    )
    titles = {path: _title(number, path, named=named) for number, path in enumerate(paths, 1)}
    chosen = left.selectbox(
        "Slide on the server", paths, format_func=titles.__getitem__, key="slide", persist_state="session"
    )
    presets = {f"{mpp:g} (objective {name})": mpp for name, mpp in PRESETS.items()}
    number = paths.index(chosen) + 1
    scale = middle.selectbox(
        "Microns per pixel",
        [STATED, *presets],
        key=f"slide-scale-{hashlib.sha256(str(chosen).encode()).hexdigest()[:16]}",
        persist_state="session",
        help="The scale decides how large a nucleus appears to the network: state it where the slide does not.",
    )
    return Chosen(chosen, f"Slide {number}", presets.get(scale))


def _title(number: int, path: Path, *, named: bool) -> str:
    facts = f"Slide {number} ({path.suffix.lower().lstrip('.')}, {_facts(path)[0] / 1e6:,.1f} MB)"
    return f"{facts}: {path.name}" if named else facts


def slide_sentence(refused: Her2Error) -> str:
    """Why a slide cannot be used, without its file's name; the way out is on the page."""
    way_out = "State its microns per pixel above." if "scale" in refused.expected else refused.fix
    return markdown_sentence(f"This slide: her2core needs {refused.expected}, but found {refused.got}. {way_out}")


def offer_slide(chosen: Chosen) -> tuple[str, DeepZoom] | None:
    """The address and geometry of the slide's tiles for the viewer; or say why it cannot be read."""
    try:
        return OFFERS.add(chosen.path)
    except Her2Error as refused:
        st.error(slide_sentence(refused), icon=":material/block:")
        return None


def find_preview(chosen: Chosen, grid: TileGrid, content: Hashable) -> SlidePreview | None:
    """Tissue and tiles of the slide, kept for ``kept_preview``; or say why there are none."""
    try:
        with st.spinner("Looking for tissue ..."):
            return latest("slide-preview", content, lambda: preview_slide(chosen.path, grid, mpp=chosen.mpp))
    except Her2Error as refused:
        st.error(slide_sentence(refused), icon=":material/block:")
        return None


def kept_preview(content: Hashable) -> SlidePreview | None:
    """What ``find_preview`` found for this content in this session; None before."""
    if not is_latest("slide-preview", content):
        return None
    return latest("slide-preview", content, _not_reached)


def _not_reached() -> SlidePreview:
    raise LookupError("the preview was there")


def show_slide_viewer(
    chosen: Chosen, offered: tuple[str, DeepZoom], preview: SlidePreview | None, answer: SlideAnswer | None
) -> tuple[int, int] | None:
    """Draw the slide at any magnification; the place in the grid of the tile that the visitor opened."""
    target = "" if answer is None else _target(answer)
    mpp = chosen.mpp if preview is None else preview.mpp
    return show_viewer(*offered, chosen.name, mpp=mpp, preview=preview, answer=answer, target=target)


def show_preview(found: SlidePreview, grid: TileGrid) -> None:
    """Draw what is known of the slide, and the drop audit."""
    left, right = st.columns([2, 3], gap="large")
    width, height = found.size_mm
    left.markdown(
        f"{markdown_text(found.kind)}, {width:.1f} x {height:.1f} mm, {found.mpp:.4g} microns per pixel "
        f"({markdown_text(found.scale_source)}). Tiles of {grid.tile_um:.4g} microns, the field of view of the "
        "model's training patches."
    )
    with right.expander(f"Drop audit: {count(found.tiles, 'tile')} left"):
        audit = found.audit[["reason", "left_out", "remaining"]].rename(columns={"left_out": "left out"})
        dataframe(audit, "Tiles that each stage leaves out, and that remain")
    if not found.tiles:
        st.warning("No tile with tissue was found on this slide.", icon=":material/block:")


def open_place(model: Predictor, chosen: Chosen, grid: TileGrid, preview: SlidePreview, place: tuple[int, int]) -> None:
    """Show the tile at a column and row of the grid on the patch page; a place without such a tile is ignored."""
    column, row = place
    tiles = preview.grid
    found = tiles[(tiles["column"] == column) & (tiles["row"] == row) & (tiles["stage"] == "")]
    if found.empty:
        return
    x, y, side = (float(found[name].iloc[0]) for name in ("x", "y", "side"))
    try:
        pixels, mpp = read_tile(model, chosen.path, grid, (x, y, side), mpp=chosen.mpp)
    except Her2Error as refused:
        st.error(slide_sentence(refused), icon=":material/block:")
        return
    _open_tile(pixels, mpp, f"{chosen.name}, {_place(column, row)}")


def show_slide(answer: SlideAnswer) -> None:
    """Draw the answer of a slide with its uncertainty, heatmap, states, examples and downloads."""
    found = answer.found
    st.header(markdown_text(found.answer))
    for reason in found.reasons:
        st.warning(_sentence(reason), icon=":material/block:")
    for note in found.notes:
        st.caption(_sentence(note))
    st.caption(SLIDE_RULE)
    if found.label is not None:
        _show_figures(answer)
    elif found.probabilities:
        with st.expander(RAW):
            _show_figures(answer)
    else:
        _show_states(answer)
    _show_downloads(answer)


def _show_figures(answer: SlideAnswer) -> None:
    found = answer.found
    left, right = st.columns([2, 3], gap="large")
    with left:
        figure(
            probability_figure(found.classes, found.probabilities, coloured=found.label is not None),
            probability_description(found.classes, found.probabilities),
            key="slide-probabilities",
        )
        dataframe(_interval_rows(answer), "Probability of each class with its interval over blocks of tissue")
    with right:
        _show_states(answer)
    _show_examples(answer, str(st.session_state["slide-target"]))


def _target(answer: SlideAnswer) -> str:
    classes = answer.found.classes
    first = classes.index(answer.found.most_probable or classes[0])
    return str(st.selectbox("Heatmap and examples of class", classes, index=first, key="slide-target"))


def _interval_rows(answer: SlideAnswer) -> pd.DataFrame:
    found = answer.found
    rows = []
    for i, name in enumerate(found.classes):
        bounds = f"{found.lower[i]:.1%} to {found.upper[i]:.1%}" if found.lower else "no interval"
        share = f"{found.agreement[i]:.0%}" if found.agreement else "no interval"
        value = f"{found.probabilities[i]:.1%}"
        rows.append({"class": name, "probability": value, "95 % interval": bounds, "most probable in": share})
    return pd.DataFrame(rows)


def _show_states(answer: SlideAnswer) -> None:
    counts = answer.tiles["state"].value_counts()
    rows = [{"state": text, "tiles": int(counts.get(key, 0))} for key, (_, text) in STATES.items() if key in counts]
    dataframe(rows, "Tiles by state; the rest of the slide was not analysed")


def _show_examples(answer: SlideAnswer, target: str) -> None:
    high, low = answer.ends(target)
    for rows, words in ((high, "highest"), (low, "lowest")):
        if not rows:
            continue
        st.subheader(f"Tiles with the {words} probability of {target}")
        for column, row in zip(st.columns(max(4, len(rows))), rows, strict=False):
            share = float(answer.tiles[f"probability_{target}"].iloc[row])
            place = _place(answer.tiles["column"].iloc[row], answer.tiles["row"].iloc[row])
            column.image(
                answer.examples[row],
                caption=f"{share:.1%} ({place})",
                width="stretch",
                alt=f"A tile with a probability of {target} of {share:.1%}, {place}",
            )
            if column.button("Open as a patch", key=f"open-tile-{words}-{row}", help=f"The tile at {place}"):
                _open_tile(answer.examples[row], answer.tile_mpp, f"{answer.found.name}, {place}")


def _place(column: int, row: int) -> str:
    return f"column {column}, row {row}"


def _open_tile(pixels: RGBImage, mpp: float, name: str) -> None:
    """Show a tile on the patch page, with its map, as if it had been uploaded."""
    tile = Upload(name, pixels, mpp=round(mpp, 6), scale_source="the slide")
    st.session_state["uploads"] = [tile]
    st.switch_page(PAGES / "analyse/patch.py", query_params={"run": st.session_state["run"]})


def _show_downloads(answer: SlideAnswer) -> None:
    found = answer.found
    target = found.most_probable or found.classes[0]
    content = (found.name, found.model, len(answer.tiles), found.probabilities)
    said = f"{found.answer} for this slide. Probability of {target} by tile. {NOTICE}"

    def picture() -> bytes:
        heat = heatmap_picture(answer.heatmap, answer.overview, target)
        return encode_png(with_caption(with_colour_scale(heat), said))

    name = f"{found.name}/{found.model}"
    files = [
        File(
            "Tiles for QuPath (GeoJSON)",
            _through_file(".geojson", lambda path: write_geojson(path, answer.tiles, found.classes, name=name)),
            "tiles-research-use-only.geojson",
            "application/geo+json",
        ),
        File(
            "Heatmap (OME-TIFF)",
            _through_file(".ome.tif", lambda path: write_ome_tiff(path, answer.heatmap)),
            "heatmap-research-use-only.ome.tif",
            "image/tiff",
        ),
    ]
    if (frame := answer.frame) is not None:
        files.append(
            File(
                "Heatmap (DICOM)",
                _through_file(
                    ".dcm",
                    lambda path: write_parametric_map(
                        path, answer.heatmap, frame, model=found.model, comments=answer.comments
                    ),
                ),
                "heatmap-research-use-only.dcm",
                "application/dicom",
            )
        )
    with st.container(horizontal=True):
        png = latest("slide-heatmap", (content, target), picture)
        download("Heatmap (PNG)", png, name="heatmap-research-use-only.png", mime="image/png")
        download_table("Tiles (CSV)", answer.tiles, "slide-tiles")
        made = "GeoJSON and OME-TIFF" if answer.frame is None else "GeoJSON, OME-TIFF and DICOM"
        downloads_on_request(f"Make {made}", files, place="slide-files", content=content)


def _through_file(suffix: str, write: Callable[[Path], Path]) -> Callable[[], bytes]:
    """Bytes of what is written to a file that lasts as long as the writing."""

    def make() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return write(Path(folder, f"made{suffix}")).read_bytes()

    return make


def _sentence(phrase: str) -> str:
    return markdown_sentence(f"{capitalised(phrase)}.")
