"""What a viewer draws over a slide: the outline of its tissue, its tiles and its heatmap, compact for a browser.

Coordinates are level-0 pixels of the slide, so that they hold at any magnification. Arrays travel as base64 of
little-endian numbers: 50,000 tiles are about 1 MB.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from PIL import Image

from her2core.slide.contact import COLOURS
from her2core.slide.heatmap import STATE_COLOURS, STATES, Heatmap, heatmap_colours
from her2core.slide.plan import STAGES
from her2core.slide.tissue import TissueMask
from her2core.slide.units import Microns

#: Most tiles that a viewer is sent; of more, the heatmap alone is drawn.
MAX_TILES = 200_000
#: Side of the square whose area a hole must have to be drawn: vessels and fat would hide the tissue (our choice).
SMALLEST_HOLE = Microns(150.0)
#: Column of OpenCV's hierarchy that names the contour around a hole.
_PARENT = 3
#: Stops of the colour key.
_STOPS = 9
#: Frame of a tile that counts, in the heatmap's picture (its inside has the colour of the probability).
_COUNTED = (255, 255, 255)

Outline: TypeAlias = tuple[npt.NDArray[np.int32], ...]


def tissue_outline(mask: TissueMask, level0_mpp: float) -> Outline:
    """Borders of the pieces of tissue, and of their holes of SMALLEST_HOLE and larger.

    Parameters
    ----------
    mask : TissueMask
    level0_mpp : float
        Microns per pixel of the slide's level 0.

    Returns
    -------
    tuple of int32 arrays (N, 2)
        x and y of the corners of closed polygons, in level-0 pixels; simplified by at most one pixel of the mask.

    Examples
    --------
    >>> tissue = np.zeros((40, 40), bool)
    >>> tissue[10:20, 5:25] = True
    >>> empty = np.zeros_like(tissue)
    >>> (found,) = tissue_outline(TissueMask(tissue, empty, empty, 8.0), 0.5)
    >>> found.min(axis=0).tolist(), found.max(axis=0).tolist()
    ([80, 160], [400, 320])
    """
    # Drawn at twice the mask's size, so that the corners of a contour are the corners of its pixels.
    doubled = mask.tissue.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    scale = mask.mpp / level0_mpp
    smallest = (2 * SMALLEST_HOLE.value / mask.mpp) ** 2
    found = []
    for number, contour in enumerate(contours):
        hole = hierarchy[0, number, _PARENT] >= 0
        if hole and cv2.contourArea(contour) < smallest:
            continue
        corners = cv2.approxPolyDP(contour, 1.0, closed=True)[:, 0].astype(np.float64)
        if len(corners) > 2:
            found.append(np.rint((corners + (corners % 2)) / 2 * scale).astype(np.int32))
    return tuple(found)


def overlay_outline(outline: Outline) -> dict[str, Any]:
    """An outline for the viewer: all corners in one array, and how many each polygon has.

    Parameters
    ----------
    outline : tuple of int32 arrays (N, 2)

    Returns
    -------
    dict
        ``corners`` and ``lengths``: base64 of int32.

    Examples
    --------
    >>> overlay_outline((np.array([[0, 0], [1, 0], [1, 1]], np.int32),))["lengths"]
    'AwAAAA=='
    """
    corners = np.concatenate(outline) if outline else np.zeros((0, 2), np.int32)
    return {"corners": _packed(corners, "<i4"), "lengths": _packed([len(part) for part in outline], "<i4")}


def planned_tiles(tiles: pd.DataFrame) -> dict[str, Any]:
    """The tiles of a plan for the viewer, in the colours of what becomes of them; those on glass are not drawn.

    Parameters
    ----------
    tiles : DataFrame
        ``column, row, x, y, side, stage``, as ``TilePlan.tiles``.

    Returns
    -------
    dict
        As ``predicted_tiles``, without probabilities.

    Examples
    --------
    >>> tiles = pd.DataFrame({"column": [0, 1], "row": [0, 0], "x": [0.0, 9.0], "y": [0.0, 0.0], "side": [9.0, 9.0],
    ...                       "stage": ["", "glass"]})
    >>> found = planned_tiles(tiles)
    >>> found["count"], [group["name"] for group in found["groups"]][0]
    (1, 'will be predicted')
    """
    drawn = tiles[tiles["stage"].isin(list(COLOURS))]
    names = {stage: f"left out: {STAGES[stage]}" if stage else "will be predicted" for stage in COLOURS}
    return _tiles(drawn, drawn["stage"], names, COLOURS, opens=[""])


def predicted_tiles(tiles: pd.DataFrame, target: str) -> dict[str, Any]:
    """The predicted tiles of a slide for the viewer.

    Parameters
    ----------
    tiles : DataFrame
        ``column, row, x, y, side, state, probability_<target>``.
    target : str
        The class.

    Returns
    -------
    dict
        ``count``, ``side`` in level-0 pixels, arrays ``x, y`` (float32), ``column, row`` (uint16), ``group`` (uint8)
        and ``probability`` (uint16, 65,535 is 1; empty without) as base64, and ``groups``: name, colour, and whether
        their tiles can be opened and have a probability.

    Examples
    --------
    >>> tiles = pd.DataFrame({"column": [0], "row": [0], "x": [0.0], "y": [0.0], "side": [9.0], "state": ["counted"],
    ...                       "probability_a": [1.0]})
    >>> predicted_tiles(tiles, "a")["probability"]
    '//8='
    """
    names = {key: text for key, (_, text) in STATES.items() if key != "not_analysed"}
    colours = {**STATE_COLOURS, "counted": _COUNTED}
    share = np.clip(np.nan_to_num(tiles[f"probability_{target}"].to_numpy(float)), 0, 1)
    return _tiles(tiles, tiles["state"], names, colours, opens=list(names), probability=share)


def _tiles(
    tiles: pd.DataFrame,
    kind: pd.Series,
    names: Mapping[str, str],
    colours: Mapping[str, tuple[int, int, int]],
    *,
    opens: Sequence[str],
    probability: npt.NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    keys = list(names)
    few = len(tiles) <= MAX_TILES
    shown = tiles if few else tiles.iloc[:0]
    share = np.zeros(0) if probability is None or not few else probability
    return {
        "count": len(shown),
        "left_out": len(tiles) - len(shown),
        "side": float(tiles["side"].iloc[0]) if len(tiles) else 0.0,
        "x": _packed(shown["x"], "<f4"),
        "y": _packed(shown["y"], "<f4"),
        "column": _packed(shown["column"], "<u2"),
        "row": _packed(shown["row"], "<u2"),
        "group": _packed([keys.index(k) for k in kind.loc[shown.index]], "u1"),
        "probability": _packed(np.rint(share * 65535), "<u2"),
        "groups": [
            {"name": names[key], "colour": css_colour(colours[key]), "opens": key in opens, "counts": key == "counted"}
            for key in keys
        ],
    }


def heatmap_layer(heatmap: Heatmap, target: str, level0_mpp: float) -> dict[str, Any]:
    """The heatmap of a class for the viewer.

    Parameters
    ----------
    heatmap : Heatmap
    target : str
        The class.
    level0_mpp : float
        Microns per pixel of the slide's level 0.

    Returns
    -------
    dict
        ``picture``, a PNG as a data address; ``width`` and ``height`` that it covers, in level-0 pixels.

    Examples
    --------
    >>> cells = Heatmap(("a",), np.zeros((1, 2, 3), np.float32), np.full((2, 3), 3, np.uint8), 28.0)
    >>> layer = heatmap_layer(cells, "a", 0.5)
    >>> layer["width"], layer["height"], layer["picture"][:22]
    (168.0, 112.0, 'data:image/png;base64,')
    """
    written = io.BytesIO()
    Image.fromarray(heatmap_colours(heatmap, target)).save(written, "PNG", optimize=True)
    height, width = heatmap.state.shape
    side = heatmap.mpp / level0_mpp
    data = base64.b64encode(written.getvalue()).decode()
    return {"picture": f"data:image/png;base64,{data}", "width": width * side, "height": height * side}


def heatmap_key() -> dict[str, Any]:
    """Colours of the heatmap's key: stops of the probability's scale from 0 to 1, and the states with their names.

    Returns
    -------
    dict
        ``stops``, CSS colours; ``states``, names and colours.

    Examples
    --------
    >>> heatmap_key()["stops"][0], len(heatmap_key()["states"])
    ('rgb(68, 1, 84)', 2)
    """
    scale = colormaps["viridis"](np.linspace(0, 1, _STOPS))[:, :3] * 255
    return {
        "stops": [css_colour(tuple(int(v) for v in stop)) for stop in scale],
        "states": [{"name": STATES[key][1], "colour": css_colour(rgb)} for key, rgb in STATE_COLOURS.items()],
    }


def css_colour(rgb: Sequence[int]) -> str:
    """Three numbers from 0 to 255 as CSS writes a colour.

    Examples
    --------
    >>> css_colour((0, 158, 115))
    'rgb(0, 158, 115)'
    """
    return f"rgb({', '.join(map(str, rgb))})"


def _packed(values: Any, kind: str) -> str:
    return base64.b64encode(np.asarray(values).astype(kind).tobytes()).decode()
