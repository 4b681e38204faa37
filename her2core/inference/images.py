"""Forms in which a caller hands over images, and their names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from her2core.io.images import DecodedImage

#: One image: a path, an encoded image, uint8 (H, W, 3) RGB, the same with its reader's flags, or a PIL image.
ImageLike = str | os.PathLike[str] | bytes | np.ndarray | DecodedImage | Image.Image


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
