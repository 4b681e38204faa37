"""Reading of a slide at an exact scale.

A tile of a given side in microns becomes a given number of pixels: it is read from the coarsest level that is at least
as fine as asked, and resampled (Lanczos, as ``data.prepare`` does) with its exact border, fractions of a pixel
included. The nearest level is never taken in its place. Neighbouring tiles are read together. Images that a slide
carries beside the tissue (label, macro) are never opened: they may show a patient's name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from her2core.errors import ImageError
from her2core.io.images import RGBImage
from her2core.io.text import printable_path
from her2core.slide.scale import scale_note, slide_mpp
from her2core.slide.sources import SlideSource, open_source
from her2core.slide.units import Level, Level0Pixels, Microns, Scale

#: Pixels of a level read at once for the overview.
_BAND_PIXELS = 16_000_000
#: Share by which a level may be coarser than asked without being coarser: scales are stated with few digits.
_ROUNDING = 1.001
#: Reach of the Lanczos filter in pixels of the result.
_LANCZOS = 3

#: x, y, side of a square in level-0 pixels, fractions included.
Box = tuple[float, float, float]


class Slide:
    """An opened slide; get one with ``open_slide``, close it or use it in a ``with`` block.

    Attributes
    ----------
    name : str
        The file's name without folder and suffix.
    path : Path
    scale : Scale
        Of level 0.
    scale_source : str
        Where the scale comes from.
    levels : tuple of Level
        From fine to coarse.
    kind : str
        Format.
    notes : tuple of str
        What must be known about its scale.
    """

    def __init__(self, path: Path, source: SlideSource, mpp: float, scale_source: str) -> None:
        self.path, self.name, self._source = path, path.stem, source
        self.scale, self.scale_source = Scale(mpp), scale_source
        self.levels, self.kind = source.levels, source.kind
        self.notes = tuple(filter(None, (scale_note(source.stated, mpp),)))

    @property
    def width(self) -> Level0Pixels:
        """Width of the scanned area."""
        return Level0Pixels(self.levels[0].width)

    @property
    def height(self) -> Level0Pixels:
        """Height of the scanned area."""
        return Level0Pixels(self.levels[0].height)

    def level_for(self, mpp: float) -> Level:
        """The coarsest level that is at least as fine as a scale; level 0 where none is.

        Parameters
        ----------
        mpp : float
            Microns per pixel.

        Returns
        -------
        Level
        """
        wanted = mpp / self.scale.mpp * _ROUNDING
        return max((lv for lv in self.levels if lv.downsample <= wanted), key=_downsample, default=self.levels[0])

    def read_tiles(self, boxes: Sequence[Box], px: int) -> tuple[list[RGBImage], tuple[str, ...]]:
        """Read square tiles, their common surroundings at once.

        Parameters
        ----------
        boxes : sequence of (float, float, float)
            x, y and side in level-0 pixels, fractions included. What lies beyond the slide is white.
        px : int
            Side of each tile in the result, in pixels.

        Returns
        -------
        tiles : list of uint8 arrays (px, px, 3)
            RGB, in sRGB.
        flags : tuple of str
            Keys of ``io.colours.FLAGS``.

        Raises
        ------
        ImageError
            The slide is damaged there, or its file vanished.
        """
        level = self.level_for(self.scale.mpp * boxes[0][2] / px)
        scaled = [(x / level.downsample, y / level.downsample, side / level.downsample) for x, y, side in boxes]
        # With the pixels that resampling takes from beyond a tile, so that a tile does not depend on those beside it.
        margin = 0 if scaled[0][2] == px else int(np.ceil(_LANCZOS * max(1.0, scaled[0][2] / px))) + 1
        left, right = _span(scaled, 0, margin, level.width)
        top, bottom = _span(scaled, 1, margin, level.height)
        pixels, flags = self._read(level, left, top, right - left, bottom - top)
        picture = Image.fromarray(pixels)
        return [_cut(picture, pixels, (x - left, y - top, side), px) for x, y, side in scaled], flags

    def overview(self, mpp: float) -> RGBImage:
        """The whole slide at low power.

        Parameters
        ----------
        mpp : float
            Microns per pixel of the result; that of level 0 where it is finer.

        Returns
        -------
        uint8 array (H, W, 3)
            RGB. Pixel (i, j) shows the square of ``mpp`` microns that starts at i and j times ``mpp``, up to rounding
            of the size to whole pixels.

        Raises
        ------
        ImageError
            The slide is damaged, or its file vanished.
        """
        level = self.level_for(mpp)
        factor = max(1.0, mpp / (self.scale.mpp * level.downsample))
        width, height = max(1, round(level.width / factor)), max(1, round(level.height / factor))
        across = level.width / width
        rows = max(1, int(_BAND_PIXELS / level.width / factor))
        bands = []
        for row in range(0, height, rows):
            end = min(height, row + rows)
            low, high = row * level.height / height, end * level.height / height
            top, bottom = int(low), min(level.height, int(np.ceil(high)))
            pixels, _ = self._read(level, 0, top, level.width, bottom - top)
            box = (0.0, low - top, width * across, min(high - top, float(len(pixels))))
            bands.append(np.asarray(Image.fromarray(pixels).resize((width, end - row), Image.Resampling.BOX, box=box)))
        return np.concatenate(bands)

    def _read(self, level: Level, x: int, y: int, width: int, height: int) -> tuple[RGBImage, tuple[str, ...]]:
        """A region of a level; white beyond it."""
        left, top = max(0, x), max(0, y)
        right, bottom = min(level.width, x + width), min(level.height, y + height)
        if right <= left or bottom <= top:
            return np.full((height, width, 3), 255, np.uint8), ()
        pixels, flags = self._source.read(level, left, top, right - left, bottom - top)
        if pixels.shape[:2] != (height, width):
            canvas = np.full((height, width, 3), 255, np.uint8)
            canvas[top - y : bottom - y, left - x : right - x] = pixels
            pixels = canvas
        return pixels, flags

    def close(self) -> None:
        """Give the file back."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Slide({self.name!r}, {self.levels[0].width} x {self.levels[0].height} px, {self.scale.mpp:g} microns per "
            f"pixel, {len(self.levels)} levels)"
        )


def open_slide(path: str | os.PathLike[str], *, mpp: float | None = None) -> Slide:
    """Open a whole slide, or a plain image as one.

    Parameters
    ----------
    path : path
        A file of one of OpenSlide's formats (Aperio, Hamamatsu, 3DHistech, Philips, Ventana, Leica, Zeiss, DICOM,
        tiled TIFF), or a plain image.
    mpp : float, optional
        Microns per pixel of level 0; what the file states when left out.

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        The file is missing, damaged or of no such format, or its scale is missing or doubtful.
    ConfigError
        It needs OpenSlide, which is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from her2core.io.images import encode_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "field.png")
    ...     _ = file.write_bytes(encode_png(np.full((90, 120, 3), 200, np.uint8)))
    ...     with open_slide(file, mpp=0.5) as slide:
    ...         tiles, _ = slide.read_tiles([(10.5, 20.0, 64.0), (100.0, 60.0, 64.0)], 32)
    ...         slide, tiles[0].shape, tiles[1][31, 31].tolist()
    (Slide('field', 120 x 90 px, 0.5 microns per pixel, 1 levels), (32, 32, 3), [255, 255, 255])
    """
    path = Path(path)
    source = open_source(path)
    try:
        found, said = slide_mpp(source.stated, mpp, where=printable_path(path))
    except ImageError:
        source.close()
        raise
    return Slide(path, source, found, said)


def exact_tile(slide: Slide, side: Microns, px: int) -> int:
    """Side in pixels at which tiles of a field of view are read: as asked, or the slide's own where it is coarser.

    Parameters
    ----------
    slide : Slide
    side : Microns
        Side of a tile.
    px : int
        Pixels asked for.

    Returns
    -------
    int

    Examples
    --------
    >>> class Coarse:
    ...     scale = Scale(1.0)
    >>> exact_tile(Coarse(), Microns(112.0), 112), exact_tile(Coarse(), Microns(56.0), 112)
    (112, 56)
    """
    return min(px, max(1, round(slide.scale.level0(side).value * _ROUNDING)))


def _downsample(level: Level) -> float:
    return level.downsample


def _span(boxes: Sequence[Box], axis: int, margin: int, length: int) -> tuple[int, int]:
    """First pixel and the one after the last that boxes need along an axis; the margin ends where the level does."""
    first = int(np.floor(min(box[axis] for box in boxes) + 1e-6))
    last = int(np.ceil(max(box[axis] + box[2] for box in boxes) - 1e-6))
    return min(first, max(0, first - margin)), max(last, min(length, last + margin))


def _cut(picture: Image.Image, pixels: RGBImage, box: Box, px: int) -> RGBImage:
    x, y, side = box
    whole = all(abs(v - round(v)) < 1e-6 for v in box) and round(side) == px
    if whole:
        left, top = round(x), round(y)
        return np.ascontiguousarray(pixels[top : top + px, left : left + px])
    right, bottom = min(x + side, picture.width), min(y + side, picture.height)
    return np.asarray(picture.resize((px, px), Image.Resampling.LANCZOS, box=(max(0.0, x), max(0.0, y), right, bottom)))
