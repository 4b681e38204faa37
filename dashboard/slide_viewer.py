"""Viewer of a slide at any magnification: the routes of its tiles and script, and what it draws over the slide.

OpenSeadragon (``components/deep_zoom``, with its licence) draws the slide; ``viewer.js`` there draws tissue, tiles and
heatmap over it. The guard stands before these routes as before every other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from streamlit.components import v2

from dashboard.guard import base_path
from dashboard.widgets import count
from her2core.io.text import clean_text
from her2core.maps.scale_bar import LENGTHS
from her2core.serving.slide_tiles import TILE_PATH, Offers, Tiles
from her2core.slide.deep_zoom import DeepZoom
from her2core.slide.heatmap import STATES
from her2core.slide.overlay import heatmap_key, heatmap_layer, overlay_outline, planned_tiles, predicted_tiles

if TYPE_CHECKING:  # torch comes with it, which the server needs only for a prediction
    from her2core.slide.in_memory import SlideAnswer, SlidePreview

#: OpenSeadragon as released, and what draws over its picture.
ASSETS = Path(__file__).parent / "components" / "deep_zoom"
SCRIPT = "openseadragon-5.0.1.min.js"
#: The slides that pages of this server show.
OFFERS = Offers()
_HTML, _CSS, _JS = ((ASSETS / f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
_VIEWER = v2.component("deep_zoom", html=_HTML, css=_CSS, js=_JS)


def routes() -> list[Route]:
    """The routes of the viewer, for ``st.App``."""
    return [
        Route(address(SCRIPT), _script, methods=["GET"]),
        Route(address(TILE_PATH), Tiles(OFFERS).tile, methods=["GET"]),
    ]


def address(name: str) -> str:
    """The path of a route of the viewer on this server."""
    return f"{base_path()}/deep-zoom/{name.lstrip('/')}"


async def _script(request: Request) -> FileResponse:
    headers = {"cache-control": "private, max-age=31536000, immutable"}  # its address has its version
    return FileResponse(ASSETS / "openseadragon.min.js", media_type="text/javascript", headers=headers)


def show_viewer(
    token: str,
    zoom: DeepZoom,
    name: str,
    *,
    mpp: float | None,
    preview: SlidePreview | None = None,
    answer: SlideAnswer | None = None,
    target: str = "",
) -> tuple[int, int] | None:
    """Draw the viewer.

    Parameters
    ----------
    token, zoom : str, DeepZoom
        From ``OFFERS.add``.
    name : str
        What the slide is called on the page.
    mpp : float or None
        Microns per pixel of level 0; without it there is no scale bar.
    preview : SlidePreview, optional
        Tissue and planned tiles; nothing is drawn over the slide without it.
    answer : SlideAnswer, optional
        Heatmap and predicted tiles take the place of the planned ones.
    target : str
        Class of the heatmap.

    Returns
    -------
    tuple of int or None
        Column and row in the grid of the tile that the visitor opened in this run of the script.
    """
    data: dict[str, Any] = {
        "script": address(SCRIPT),
        "slide": {
            "name": name,
            "tiles": address(token),
            "width": zoom.width,
            "height": zoom.height,
            "tile": zoom.tile,
            "overlap": zoom.overlap,
            "first": zoom.first,
            "last": zoom.last,
            "mpp": mpp,
            "lengths": list(LENGTHS),
        },
        "target": clean_text(target, 60),
        "key": heatmap_key(),
        "words": _words(name, preview, answer, target),
        "outline": None if preview is None else overlay_outline(preview.outline),
        "tiles": None if preview is None else planned_tiles(preview.grid),
        "heatmap": None,
    }
    if preview is not None and answer is not None:
        data["tiles"] = predicted_tiles(answer.tiles, target)
        data["heatmap"] = {
            **heatmap_layer(answer.heatmap, target, preview.mpp),
            "reliable": answer.found.label is not None,
        }
    found = _VIEWER(data=data, key="slide-viewer", on_open_change=_nothing)
    return _place(found.open)


def _nothing() -> None:
    """A trigger needs a callback to reach the script."""


def _place(opened: Any) -> tuple[int, int] | None:
    """What the browser sent as a place in the grid; None for anything else."""
    if not isinstance(opened, dict):
        return None
    column, row = opened.get("column"), opened.get("row")
    return (column, row) if type(column) is int and type(row) is int else None


def _words(name: str, preview: SlidePreview | None, answer: SlideAnswer | None, target: str) -> str:
    """Text alternative of the viewer."""
    if preview is None:
        return f"{name} at any magnification."
    width, height = preview.size_mm
    said = f"{name}, {width:.1f} x {height:.1f} mm, with the border of its tissue"
    if answer is None:
        return f"{said} and {count(preview.tiles, 'tile')} that will be predicted."
    states = answer.tiles["state"].value_counts()
    parts = [f"{int(states[key])} {text}" for key, (_, text) in STATES.items() if key in states]
    said = f"{said} and {count(len(answer.tiles), 'predicted tile')}: {'; '.join(parts)}."
    high, low = answer.ends(target)
    if high and low:
        share, row = (answer.tiles[name] for name in (f"probability_{target}", "row"))
        column = answer.tiles["column"]
        ends = [f"{share.iloc[i]:.1%} at column {column.iloc[i]}, row {row.iloc[i]}" for i in (low[0], high[0])]
        said += f" The probability of {target} of the tiles that count is from {ends[0]} to {ends[1]}."
    return said
