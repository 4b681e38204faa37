"""Forms in which a caller hands over images, and their conversion to RGB arrays."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from her2core.errors import ImageError
from her2core.io.images import MIN_SIDE, read_image

#: One image: a path, an encoded image, uint8 (H, W, 3) RGB, or a PIL image.
ImageLike = str | os.PathLike[str] | bytes | np.ndarray | Image.Image
#: Modes that PNG stores as they are; the others go through TIFF.
_PNG_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16")


def image_name(image: ImageLike, number: int) -> str:
    """File name of a path, or the image's number.

    Parameters
    ----------
    image : image
    number : int
        1 and up.

    Returns
    -------
    str

    Examples
    --------
    >>> image_name("folder/a.png", 1), image_name(b"...", 2)
    ('a.png', 'image 2')
    """
    return Path(image).name if isinstance(image, str | os.PathLike) else f"image {number}"


def rgb_array(image: ImageLike, name: str) -> np.ndarray:
    """Pixels of one image.

    Parameters
    ----------
    image : str, PathLike, bytes, ndarray or PIL.Image.Image
        A PIL image is treated as its file would be: turned by EXIF, transparency over white.
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray
        uint8 (H, W, 3) RGB.

    Raises
    ------
    ImageError
        If it cannot be read, or the array is of another form.

    Examples
    --------
    >>> rgb_array(Image.new("L", (64, 32), 7), "grey")[0, 0].tolist()
    [7, 7, 7]
    >>> rgb_array(np.zeros((64, 64)), "zeros")
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a uint8 (H, W, 3) RGB array with sides of 8 px or more, \
but got float64 (64, 64) (zeros). Convert the array, or pass the file itself.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < MIN_SIDE:
            raise ImageError(
                f"a uint8 (H, W, 3) RGB array with sides of {MIN_SIDE} px or more",
                got=f"{image.dtype} {image.shape}",
                where=name,
                fix="Convert the array, or pass the file itself.",
            )
        return image
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, bytes):
        return read_image(image, name=name)
    if isinstance(image, Image.Image):
        return read_image(_encoded(image, name), name=name)
    raise ImageError(
        "a path, bytes, a uint8 (H, W, 3) array or a PIL image", got=type(image).__name__, where=name, fix="Convert it."
    )


def _encoded(image: Image.Image, name: str) -> bytes:
    """Losslessly encoded, so that one reader decides on every mode."""
    stream = io.BytesIO()
    try:
        ImageOps.exif_transpose(image).save(stream, "PNG" if image.mode in _PNG_MODES else "TIFF")
    except Exception as refused:  # a lazily opened file of any kind is decoded here
        raise ImageError(
            "a PIL image that can be decoded whole",
            got=(str(refused).splitlines() or [type(refused).__name__])[0][:120],
            where=name,
            fix="Convert it to RGB first.",
        ) from None
    return stream.getvalue()
