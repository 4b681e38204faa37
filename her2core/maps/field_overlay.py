"""Heatmap of a class's probability laid over its field, with a colour scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from her2core.io.images import RGBImage

if TYPE_CHECKING:
    from her2core.inference.field import FieldPrediction

#: Longest side of the picture, in pixels.
LONGEST = 900
#: Height of the colour scale and of the numbers below it, in pixels.
_BAR, _NUMBERS, _MARGIN = 10, 16, 6


def field_overlay(
    found: FieldPrediction, image: RGBImage, target: str | None = None, *, opacity: float = 0.45, longest: int = LONGEST
) -> RGBImage:
    """The field with the probability of a class by tile over it in viridis.

    Tiles that do not count are left as they are.

    Parameters
    ----------
    found : FieldPrediction
        From ``predict_field``.
    image : uint8 array (H, W, 3)
        The field.
    target : str, optional
        The class; the most probable one by default.
    opacity : float, default 0.45
        Of the heatmap, 0 to 1.
    longest : int
        Longest side of the result in pixels, at most the field's own.

    Returns
    -------
    uint8 array (h, w, 3)

    Raises
    ------
    ConfigError
        For an unknown class.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> from her2core.inference.field import predict_field
    >>> glass = np.full((300, 400, 3), 245, np.uint8)
    >>> picture = field_overlay(predict_field(example_predictor(), glass, mpp=0.5, field_um=50.0), glass, longest=100)
    >>> picture.shape, int(picture.min())
    ((75, 100, 3), 245)
    """
    heat = found.heatmap(target, longest=longest)
    height, width = heat.shape
    base = np.asarray(Image.fromarray(image).resize((width, height)), np.float32)
    colour = colormaps["viridis"](np.nan_to_num(heat))[..., :3].astype(np.float32) * 255
    mix = np.where(np.isnan(heat), 0.0, opacity)[..., None]
    return np.clip(base * (1 - mix) + colour * mix, 0, 255).astype(np.uint8)


def with_colour_scale(picture: RGBImage) -> RGBImage:
    """A picture with the colours of probabilities from 0 to 100 % below it.

    Parameters
    ----------
    picture : uint8 array (H, W, 3)

    Returns
    -------
    uint8 array (H + 38, W, 3)

    Examples
    --------
    >>> with_colour_scale(np.zeros((64, 224, 3), np.uint8)).shape
    (102, 224, 3)
    """
    height, width = picture.shape[:2]
    canvas = Image.new("RGB", (width, height + _BAR + _NUMBERS + 2 * _MARGIN), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    across = max(1, width - 2 * _MARGIN)
    bar = np.tile(colormaps["viridis"](np.linspace(0, 1, across), bytes=True)[None, :, :3], (_BAR, 1, 1))
    canvas.paste(Image.fromarray(bar), (_MARGIN, height + _MARGIN))
    draw = ImageDraw.Draw(canvas)
    for share, anchor in ((0.0, "lt"), (0.5, "mt"), (1.0, "rt")):
        place = (_MARGIN + share * across, height + _MARGIN + _BAR + 4)
        draw.text(place, f"{share:.0%}", fill="black", font_size=11, anchor=anchor)
    return np.asarray(canvas)
