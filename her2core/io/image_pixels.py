"""Conversion of decoded Pillow images of any mode into uint8 RGB pixels.

The rules (transparency over white, full range of integers and floating-point numbers) are stated in
``her2core.io.images``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from her2core.io.image_header import unclear_white

_BAND_PIXELS = 4_000_000  # pixels converted at a time, so that a whole section needs no second copy in memory


def rgb_pixels(image: Image.Image, stored: str, where: str) -> npt.NDArray[np.uint8]:
    """RGB pixels of a decoded image.

    Parameters
    ----------
    image : PIL.Image.Image
        A decoded image of any mode of the five formats, upright.
    stored : str
        How the file stored a pixel (``image_header.stored_mode``); empty where unknown.
    where : str
        Name of the file in messages.

    Returns
    -------
    uint8 array (H, W, 3)
        RGB, 0-255, writable and C-contiguous.

    Raises
    ------
    ImageError
        Numbers of which none is known to mean white.

    Examples
    --------
    >>> half = Image.new("RGBA", (2, 1), (0, 0, 0, 128))
    >>> rgb_pixels(half, "RGBA", "a.png")[0, 0].tolist()
    [127, 127, 127]
    """
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _band(image.crop((0, top, width, bottom)), stored, where)
    return pixels


def _band(image: Image.Image, stored: str, where: str) -> npt.NDArray[np.uint8]:
    transparent = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        full = 4095 if stored == "I;12" else 65535
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + full // 2) // full).astype(np.uint8)
        if isinstance(transparent, int):  # a text chunk named "transparency" would put a str here
            grey[values == transparent] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "I":
        raise unclear_white("32-bit integers", where)
    if image.mode == "F":
        numbers = np.asarray(image)
        if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > 1:
            raise unclear_white("floating-point pixels outside 0..1, or NaN", where)
        return np.repeat(np.rint(numbers * 255).astype(np.uint8)[..., None], 3, axis=2)
    if transparent is not None and image.mode != "P" and stored in ("L;2", "L;4", "RGB;16B"):
        # Pillow rescales these pixels but not the colour declared transparent, so the two no longer compare.
        raise unclear_white(f"{stored} pixels with one colour declared transparent", where)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        image = Image.new("RGB", layered.size, (255, 255, 255))
        image.paste(layered, mask=layered.getchannel("A"))
    return np.asarray(image.convert("RGB"))
