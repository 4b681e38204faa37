"""Heatmap of a slide: probability by class, and a state that keeps apart why there is none.

A low probability, tissue unlike the training patches and tissue that nobody looked at are three different things. So
the heatmap has, beside one channel a class with NaN where no tile counts, a channel of states.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import numpy.typing as npt
import pandas as pd
import tifffile
from matplotlib import colormaps
from PIL import Image, ImageDraw

from her2core.io.files import write_via_temporary
from her2core.io.images import RGBImage
from her2core.slide.units import Microns

#: State of a place, its number in the heatmap, its meaning for people.
STATES = {
    "not_analysed": (0, "not analysed"),
    "not_assessable": (1, "analysed, without assessable H&E tissue"),
    "out_of_distribution": (2, "out of distribution: unlike the training patches"),
    "counted": (3, "counted: the probability holds"),
}
#: Cells of the heatmap along the side of a tile.
CELLS = 4
#: Colours of states in the picture (Okabe and Ito; not in viridis); counted places have that of their probability.
STATE_COLOURS = {"not_assessable": (153, 153, 153), "out_of_distribution": (213, 94, 0)}
_TILE, _SMALLEST = 256, 256
_OPACITY = 0.6


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Probabilities and states over a slide.

    Attributes
    ----------
    classes : tuple of str
    values : float32 array (K, H, W)
        Mean probability of the tiles that count there, 0-1; NaN where none does.
    state : uint8 array (H, W)
        Numbers of STATES; where tiles overlap, the highest.
    mpp : float
        Microns per pixel of both.
    """

    classes: tuple[str, ...]
    values: npt.NDArray[np.float32]
    state: npt.NDArray[np.uint8]
    mpp: float


def tile_state(tiles: pd.DataFrame) -> pd.Series:
    """The state of each tile.

    Parameters
    ----------
    tiles : DataFrame
        Columns ``flags`` and ``counts``.

    Returns
    -------
    Series of str
        Keys of STATES.

    Examples
    --------
    >>> rows = pd.DataFrame({"flags": ["", "out_of_distribution", "blank"], "counts": [True, False, False]})
    >>> tile_state(rows).tolist()
    ['counted', 'out_of_distribution', 'not_assessable']
    """
    unlike = tiles["flags"].str.contains("out_of_distribution", regex=False)
    state = np.select([tiles["counts"].astype(bool), unlike], ["counted", "out_of_distribution"], "not_assessable")
    return pd.Series(state, index=tiles.index, dtype=object)


def make_heatmap(
    tiles: pd.DataFrame, classes: tuple[str, ...], *, width: Microns, height: Microns, tile: Microns
) -> Heatmap:
    """Lay the tiles of a slide out as a heatmap.

    Parameters
    ----------
    tiles : DataFrame
        ``x_um, y_um, state`` and ``probability_<class>``.
    classes : tuple of str
    width, height : Microns
        Of the slide.
    tile : Microns
        Side of a tile.

    Returns
    -------
    Heatmap
        CELLS cells along a tile; a tile's border is rounded to whole cells.

    Examples
    --------
    >>> tiles = pd.DataFrame({"x_um": [0.0, 100.0], "y_um": [0.0, 0.0], "state": ["counted", "out_of_distribution"],
    ...                       "probability_a": [0.25, 0.9]})
    >>> found = make_heatmap(tiles, ("a",), width=Microns(300.0), height=Microns(100.0), tile=Microns(100.0))
    >>> found.state[0].tolist(), found.values[0, 0, :5].tolist()
    ([3, 3, 3, 3, 2, 2, 2, 2, 0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, nan])
    """
    mpp = tile.value / CELLS
    shape = max(1, round(height.value / mpp)), max(1, round(width.value / mpp))
    total = np.zeros((len(classes), *shape), np.float32)
    times = np.zeros(shape, np.uint16)
    state = np.zeros(shape, np.uint8)
    names = [f"probability_{c}" for c in classes]
    columns = tiles[["x_um", "y_um"]].to_numpy(float) / mpp
    numbers = tiles["state"].map({k: v[0] for k, v in STATES.items()}).to_numpy(np.uint8)
    probs = tiles[names].to_numpy(np.float32)
    for (x, y), number, values in zip(np.rint(columns).astype(int), numbers, probs, strict=True):
        place = np.s_[y : y + CELLS, x : x + CELLS]
        np.maximum(state[place], number, out=state[place])
        if number == STATES["counted"][0]:
            total[(slice(None), *place)] += values[:, None, None]
            times[place] += 1
    found = np.where(times > 0, total / np.maximum(times, 1), np.float32(np.nan)).astype(np.float32)
    return Heatmap(classes, found, state, mpp)


def write_ome_tiff(path: Path, heatmap: Heatmap) -> Path:
    """Write a heatmap as an OME-TIFF pyramid: a float channel a class (NaN: none), and one of states.

    Parameters
    ----------
    path : Path
        Ending in .ome.tif.
    heatmap : Heatmap

    Returns
    -------
    Path
    """
    planes = np.concatenate([heatmap.values, heatmap.state[None].astype(np.float32)])
    levels = [planes]
    while max(levels[-1].shape[1:]) > _SMALLEST:
        levels.append(_halved(levels[-1]))
    names = [f"probability of {c}" for c in heatmap.classes]
    names.append("state: " + ", ".join(f"{n} {key}" for key, (n, _) in STATES.items()))
    about = {
        "axes": "CYX",
        "PhysicalSizeX": heatmap.mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": heatmap.mpp,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": names},
        "Description": "Research use only.",
    }
    about["UUID"] = str(uuid5(NAMESPACE_OID, hashlib.sha256(repr(about).encode() + planes.tobytes()).hexdigest()))

    def write(temporary: Path) -> None:
        options: dict[str, Any] = {"tile": (_TILE, _TILE), "compression": "zlib", "photometric": "minisblack"}
        with tifffile.TiffWriter(temporary, ome=True, bigtiff=True) as writer:
            writer.write(levels[0], subifds=len(levels) - 1, metadata=about, **options)
            for level in levels[1:]:
                writer.write(level, subfiletype=1, **options)

    return write_via_temporary(path, write)


def heatmap_colours(heatmap: Heatmap, target: str) -> npt.NDArray[np.uint8]:
    """The cells of a heatmap in the colours of a class's probability and of the states.

    Parameters
    ----------
    heatmap : Heatmap
    target : str
        The class.

    Returns
    -------
    uint8 array (H, W, 4)
        RGBA: counted places in viridis, others in STATE_COLOURS; what was not analysed is transparent.

    Examples
    --------
    >>> cells = np.array([[[0.0, 1.0, np.nan, np.nan]]], np.float32)
    >>> heatmap = Heatmap(("a",), cells, np.array([[3, 3, 2, 0]], np.uint8), 28.0)
    >>> heatmap_colours(heatmap, "a")[0].tolist()
    [[68, 1, 84, 255], [253, 231, 36, 255], [213, 94, 0, 255], [68, 1, 84, 0]]
    """
    values = heatmap.values[heatmap.classes.index(target)]
    colour = (colormaps["viridis"](np.nan_to_num(values)) * 255).astype(np.uint8)
    for key, rgb in STATE_COLOURS.items():
        colour[heatmap.state == STATES[key][0], :3] = rgb
    colour[..., 3] = np.where(heatmap.state > 0, 255, 0)
    return colour


def heatmap_picture(heatmap: Heatmap, overview: RGBImage, target: str, *, longest: int = 1600) -> RGBImage:
    """The slide at low power with the probability of a class over it, and a legend of states.

    Parameters
    ----------
    heatmap : Heatmap
    overview : uint8 array (H, W, 3)
        The whole slide.
    target : str
        The class.
    longest : int
        Longest side in pixels, at most the overview's.

    Returns
    -------
    uint8 array (h, w, 3)
        Counted places in viridis, others in STATE_COLOURS; what was not analysed keeps the slide's own colours.
    """
    picture = Image.fromarray(overview)
    picture.thumbnail((longest, longest))
    base = np.asarray(picture, np.float32)
    colour = heatmap_colours(heatmap, target)[..., :3]
    nearest = Image.Resampling.NEAREST
    over = np.asarray(Image.fromarray(colour).resize(picture.size, nearest), np.float32)
    seen = np.asarray(Image.fromarray(heatmap.state).resize(picture.size, nearest)) > 0
    mix = np.where(seen, _OPACITY, 0.0)[..., None]
    return with_state_legend(np.clip(base * (1 - mix) + over * mix, 0, 255).astype(np.uint8))


def with_state_legend(picture: RGBImage) -> RGBImage:
    """A picture with the colours of STATE_COLOURS named below it.

    Parameters
    ----------
    picture : uint8 array (H, W, 3)

    Returns
    -------
    uint8 array (H + 54, at least 420 wide, 3)

    Examples
    --------
    >>> with_state_legend(np.zeros((64, 64, 3), np.uint8)).shape
    (118, 420, 3)
    """
    height, width = picture.shape[:2]
    canvas = Image.new("RGB", (max(width, 420), height + 18 * (len(STATE_COLOURS) + 1)), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, (key, rgb) in enumerate(STATE_COLOURS.items()):
        top = height + 18 * number
        draw.rectangle((6, top + 4, 18, top + 14), fill=rgb)
        draw.text((24, top + 2), STATES[key][1], fill="black", font_size=12)
    draw.text((24, canvas.height - 16), f"without colour: {STATES['not_analysed'][1]}", fill="black", font_size=12)
    return np.asarray(canvas)


def _halved(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Half the size: the mean of what is no NaN, of states the highest."""
    count, height, width = planes.shape
    padded = np.full((count, height + height % 2, width + width % 2), np.nan, np.float32)
    padded[:, :height, :width] = planes
    blocks = padded.reshape(count, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2)
    known = ~np.isnan(blocks)
    mean = np.where(known, blocks, 0).sum(axis=(2, 4)) / np.maximum(known.sum(axis=(2, 4)), 1)
    halved = np.where(known.any(axis=(2, 4)), mean, np.nan).astype(np.float32)
    halved[-1] = np.nan_to_num(blocks[-1]).max(axis=(1, 3))
    return halved
