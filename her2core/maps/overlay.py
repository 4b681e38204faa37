"""Class-activation maps laid over their patches."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from her2core.io.images import resize_rgb
from her2core.maps.class_map import ClassMap


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
    """A picture with a line of text on a white strip of 22 px below it.

    Parameters
    ----------
    picture : ndarray
        uint8 (H, W, 3) RGB.
    text : str
        One line.

    Returns
    -------
    ndarray
        uint8 (H + 22, W, 3) RGB.

    Examples
    --------
    >>> with_caption(np.zeros((64, 64, 3), np.uint8), "Research use only.").shape
    (86, 64, 3)
    """
    height, width = picture.shape[:2]
    canvas = Image.new("RGB", (width, height + 22), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    ImageDraw.Draw(canvas).text((6, height + 4), text, fill="black", font_size=12)
    return np.asarray(canvas)
