"""Deep Zoom tiles of a slide: the geometry that viewers in a browser ask for, and the pixels of one tile.

The pyramid is that of Microsoft's Deep Zoom format as OpenSeadragon reads it: level 0 is one pixel, each level has
twice the size of the one below it, the last is the slide at full size; tiles overlap their neighbours by ``overlap``
pixels. Pixel i of a level n steps below the last shows level-0 pixels i 2^n to (i + 1) 2^n, up to half a pixel of the
level that is read: the mean of them (box filter), also where a row or column at the edge has fewer. Nothing of the
pyramid is stored; memory is bounded by reading in bands, whatever levels the file has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from her2core.errors import ConfigError
from her2core.io.images import RGBImage
from her2core.slide.sources import SlideSource
from her2core.slide.units import Level

#: Pixels of a level read at once.
_BAND_PIXELS = 4_000_000
#: Share by which a level may be coarser than asked: files state downsampling with rounding of their sizes.
_ROUNDING = 1.001


@dataclass(frozen=True)
class DeepZoom:
    """Geometry of the tiles of one slide.

    Parameters
    ----------
    width, height : int
        Of the slide in level-0 pixels, at least 1.
    tile : int
        Side of a tile in pixels, without overlap.
    overlap : int
        Pixels that a tile shows of each neighbour.

    Examples
    --------
    >>> zoom = DeepZoom(1000, 700, tile=254, overlap=1)
    >>> zoom.last, zoom.size(9), zoom.grid(9), zoom.bounds(9, 1, 0)
    (10, (500, 350), (2, 2), (253, 0, 500, 255))
    """

    width: int
    height: int
    tile: int = 510
    overlap: int = 1

    @property
    def last(self) -> int:
        """Number of the finest level, which has the slide's own size."""
        return (max(self.width, self.height) - 1).bit_length()

    @property
    def first(self) -> int:
        """Number of the finest level that one tile holds; coarser ones show less and are not needed."""
        return next(level for level in range(self.last, -1, -1) if max(self.size(level)) <= self.tile)

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a level.

        Raises
        ------
        ConfigError
            There is no such level.
        """
        if not 0 <= level <= self.last:
            raise ConfigError(
                f"a level from 0 to {self.last}", got=str(level), where="deep zoom", fix="Ask for one of these."
            )
        return 1 << (self.last - level)

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its pixels."""
        factor = self.downsample(level)
        return -(-self.width // factor), -(-self.height // factor)

    def grid(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles of a level."""
        width, height = self.size(level)
        return -(-width // self.tile), -(-height // self.tile)

    def bounds(self, level: int, column: int, row: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a tile in pixels of its level, overlap included.

        Raises
        ------
        ConfigError
            There is no such tile.
        """
        (width, height), (columns, rows) = self.size(level), self.grid(level)
        if not (0 <= column < columns and 0 <= row < rows):
            raise ConfigError(
                f"a column below {columns} and a row below {rows}",
                got=f"column {column}, row {row}",
                where=f"deep zoom, level {level}",
                fix="Ask for one of these.",
            )
        left, top = column * self.tile, row * self.tile
        return (
            max(0, left - self.overlap),
            max(0, top - self.overlap),
            min(width, left + self.tile + self.overlap),
            min(height, top + self.tile + self.overlap),
        )


def deep_zoom(source: SlideSource) -> DeepZoom:
    """The geometry for an opened slide.

    Parameters
    ----------
    source : SlideSource

    Returns
    -------
    DeepZoom
    """
    return DeepZoom(source.levels[0].width, source.levels[0].height)


def deep_zoom_tile(source: SlideSource, zoom: DeepZoom, level: int, column: int, row: int) -> RGBImage:
    """The pixels of one tile.

    Parameters
    ----------
    source : SlideSource
    zoom : DeepZoom
        From ``deep_zoom``.
    level, column, row : int
        Of the tile.

    Returns
    -------
    uint8 array (H, W, 3)
        RGB; at most ``tile + 2 overlap`` pixels a side.

    Raises
    ------
    ConfigError
        There is no such tile.
    ImageError
        The slide is damaged there, or its file vanished.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from her2core.io.images import encode_png
    >>> from her2core.slide.handles import SlideHandles
    >>> picture = np.zeros((90, 121, 3), np.uint8)
    >>> picture[:, 60:] = 200
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "field.png")
    ...     _ = file.write_bytes(encode_png(picture))
    ...     with SlideHandles().source(file) as source:
    ...         found = deep_zoom_tile(source, deep_zoom(source), 5, 0, 0)
    >>> found.shape, found[0, :, 0].tolist()[13:17]
    ((23, 31, 3), [0, 0, 200, 200])
    """
    left, top, right, bottom = zoom.bounds(level, column, row)
    factor = zoom.downsample(level)
    steps = {lv.number: _downsample(lv, zoom) for lv in source.levels}
    held = [lv for lv in source.levels if steps[lv.number] <= factor * _ROUNDING]
    fine = max(held, key=lambda lv: steps[lv.number], default=source.levels[0])
    ratio = factor / steps[fine.number]
    width, height = right - left, bottom - top
    x, y = left * ratio, top * ratio
    if abs(ratio - round(ratio)) * max(width, height) < 0.5:
        ratio = float(round(ratio))
    rows = max(1, int(_BAND_PIXELS / (width * ratio) / ratio))
    bands = [
        _band(source, fine, (x, y + start * ratio), ratio, width, min(rows, height - start))
        for start in range(0, height, rows)
    ]
    return np.concatenate(bands)


def _downsample(level: Level, zoom: DeepZoom) -> float:
    """The downsampling of a level: a whole number where its size, which is rounded, can have been made by it."""
    whole = max(1, round(level.downsample))
    exact = all(abs(of / whole - n) <= 1 for of, n in ((zoom.width, level.width), (zoom.height, level.height)))
    return float(whole) if exact else level.downsample


def _band(
    source: SlideSource, level: Level, place: tuple[float, float], ratio: float, width: int, height: int
) -> RGBImage:
    """Rows of a tile: ``width`` x ``height`` pixels, each the mean of a square of side ``ratio`` of the level."""
    whole = ratio.is_integer()
    x, y = (float(math.floor(v + 0.5)) for v in place) if whole else place
    left, top = min(int(x), level.width - 1), min(int(y), level.height - 1)
    right = min(level.width, max(left + 1, math.ceil(x + width * ratio)))
    bottom = min(level.height, max(top + 1, math.ceil(y + height * ratio)))
    pixels, _ = source.read(level, left, top, right - left, bottom - top)
    if not whole:
        box = (
            x - left,
            y - top,
            min(x - left + width * ratio, right - left),
            min(y - top + height * ratio, bottom - top),
        )
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX, box=box))
    # ``reduce`` takes the mean of what an edge has.
    found = pixels if ratio == 1 else np.asarray(Image.fromarray(pixels).reduce(int(ratio)))
    missing = max(0, height - found.shape[0]), max(0, width - found.shape[1])
    if any(missing):  # sizes of levels are rounded: a last row or column may be missing
        found = np.pad(found, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return np.ascontiguousarray(found[:height, :width])
