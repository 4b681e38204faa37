"""Class-activation maps laid over their patches."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from her2core.io.images import resize_rgb
from her2core.maps.class_map import ClassMap

#: Size of the caption's letters, height of its lines and space beside them, in pixels.
_FONT, _LINE, _MARGIN = 12, 16, 6


def overlay(image: np.ndarray, class_map: ClassMap, *, opacity: float = 0.45, size: int | None = None) -> np.ndarray:
    """A patch with a map over it in viridis.

    The colour is mixed in by the map's own strength times ``opacity``, so that tissue the network did not use is shown
    unchanged.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3) RGB, square.
    class_map : ClassMap
    opacity : float, default 0.45
        In 0..1, of the strongest cell.
    size : int, optional
        Side of the result in pixels; the image's own by default.

    Returns
    -------
    ndarray
        uint8 (size, size, 3) RGB.

    Examples
    --------
    >>> white = np.full((64, 64, 3), 255, np.uint8)
    >>> picture = overlay(white, ClassMap(np.eye(2, dtype=np.float32), "positive"))
    >>> picture.shape, picture[0, -1].tolist()
    ((64, 64, 3), [255, 255, 255])
    """
    size = size or image.shape[0]
    base = resize_rgb(image, size).astype(np.float32)
    strength = class_map.scaled(size)
    colour = colormaps["viridis"](strength)[..., :3].astype(np.float32) * 255
    mix = (opacity * strength)[..., None]
    return np.clip(base * (1 - mix) + colour * mix, 0, 255).astype(np.uint8)


def with_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with text on a white strip below it, broken into as many lines as its width needs.

    Parameters
    ----------
    picture : ndarray
        uint8 (H, W, 3) RGB.
    text : str
        Words; a word that is wider than the picture is broken.

    Returns
    -------
    ndarray
        uint8 (H + 6 + 16 times the number of lines, W, 3) RGB.

    Examples
    --------
    >>> picture = np.zeros((64, 224, 3), np.uint8)
    >>> with_caption(picture, "Research use only.").shape
    (86, 224, 3)
    >>> with_caption(picture, "Grad-CAM for positive. Research use only; not for diagnosis.").shape
    (102, 224, 3)
    """
    height, width = picture.shape[:2]
    lines = _lines(text, width - 2 * _MARGIN)
    canvas = Image.new("RGB", (width, height + 6 + _LINE * len(lines)), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, height + 4 + i * _LINE), line, fill="black", font_size=_FONT)
    return np.asarray(canvas)


def _lines(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` px."""
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines, line = [], ""
    words = text.split()
    while words:
        word = words.pop(0)
        longer = f"{line} {word}".strip()
        if measure.textlength(longer, font_size=_FONT) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
            line = ""
            words.insert(0, word)
            continue
        fits = 1
        while fits < len(word) and measure.textlength(word[: fits + 1], font_size=_FONT) <= width:
            fits += 1
        lines.append(word[:fits])
        words = [word[fits:], *words] if word[fits:] else words
    return [*lines, line] if line or not lines else lines
