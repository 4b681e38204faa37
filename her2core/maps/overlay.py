"""How is a map laid over its patch? A patch and a map in, an RGB picture out."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from her2core.io.images import resize_rgb
from her2core.maps.cam import ClassMap


def overlay(image: np.ndarray, class_map: ClassMap, *, opacity: float = 0.45, size: int | None = None) -> np.ndarray:
    """uint8 (S, S, 3) RGB: ``image`` (uint8 (H, W, 3), square) with the map over it in viridis.

    The colour is mixed in by the map's own strength times ``opacity`` (0..1), so that tissue the network did not use
    keeps its look. ``size`` is the side of the result, the image's own when left out.
    """
    size = size or image.shape[0]
    base = resize_rgb(image, size).astype(np.float32)
    strength = class_map.scaled(size)
    colour = colormaps["viridis"](strength)[..., :3].astype(np.float32) * 255
    mix = (opacity * strength)[..., None]
    return np.clip(base * (1 - mix) + colour * mix, 0, 255).astype(np.uint8)


def stamped(picture: np.ndarray, text: str) -> np.ndarray:
    """``picture``, uint8 (H, W, 3) RGB, with ``text`` on a strip of 22 px below: uint8 (H + 22, W, 3)."""
    height, width = picture.shape[:2]
    canvas = Image.new("RGB", (width, height + 22), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    ImageDraw.Draw(canvas).text((6, height + 4), text, fill="black", font_size=12)
    return np.asarray(canvas)
