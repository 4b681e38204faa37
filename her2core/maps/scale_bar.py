"""Scale bar on a picture whose microns per pixel are known, and the colour key of maps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import colormaps, get_data_path
from PIL import Image, ImageDraw, ImageFont

from her2core.io.images import RGBImage

#: Lengths of a scale bar in microns, from which the longest that fits is taken.
LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
#: Longest share of the width; distance from the edge, height of the bar and of its letters in pixels.
_SHARE, _EDGE, _HEIGHT, _FONT = 0.33, 12, 5, 14


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans of matplotlib, which has the micro sign; Pillow's own font has not."""
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT)


def bar_length(microns: float) -> float:
    """Length of the scale bar of a picture.

    Parameters
    ----------
    microns : float
        Width of the picture in microns.

    Returns
    -------
    float
        In microns: the longest of LENGTHS that takes at most a third of the width.

    Examples
    --------
    >>> bar_length(112.0), bar_length(2.0)
    (20, 0.66)
    """
    fitting = [length for length in LENGTHS if length <= _SHARE * microns]
    return max(fitting) if fitting else _SHARE * microns


def with_scale_bar(picture: RGBImage, *, mpp: float) -> RGBImage:
    """A picture with a scale bar in its lower left corner.

    Parameters
    ----------
    picture : uint8 array (H, W, 3)
    mpp : float
        Microns per pixel of this picture, above 0.

    Returns
    -------
    uint8 array (H, W, 3)
        A new array.

    Examples
    --------
    >>> grey = np.full((200, 200, 3), 128, np.uint8)
    >>> drawn = with_scale_bar(grey, mpp=0.5)
    >>> bool((drawn == 255).any()), bool((grey == 128).all())
    (True, True)
    """
    height, width = picture.shape[:2]
    length = bar_length(mpp * width)
    canvas = Image.fromarray(picture.copy())
    draw = ImageDraw.Draw(canvas)
    right, top = _EDGE + round(length / mpp), height - _EDGE - _HEIGHT
    draw.rectangle((_EDGE, top, right, top + _HEIGHT), fill="white", outline="black")
    text = f"{length:g} µm"
    place = ((_EDGE + right) / 2, top - 4)
    draw.text(place, text, fill="white", stroke_fill="black", stroke_width=2, font=_font(), anchor="mb")
    return np.asarray(canvas)


def colour_key(width: int, *, height: int = 12) -> RGBImage:
    """The colours of maps from none to the strongest evidence, left to right.

    Parameters
    ----------
    width, height : int
        In pixels.

    Returns
    -------
    uint8 array (height, width, 3)

    Examples
    --------
    >>> colour_key(100).shape
    (12, 100, 3)
    """
    row = colormaps["viridis"](np.linspace(0, 1, width), bytes=True)[None, :, :3]
    return np.tile(row, (height, 1, 1))
