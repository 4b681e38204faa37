"""Properties of an image file beside its pixels: format, size, bytes and JPEG quantisation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from her2core.io.image_header import MAX_PIXELS, MIN_SIDE, check_decoding, open_header
from her2core.io.sources import Source, file_bytes, shown_name

#: Luminance table of the JPEG standard at quality 50 (ITU-T T.81, annex K.1), row by row; its sum is all that is used.
_LUMINANCE_SUM = 3685


@dataclass(frozen=True)
class ImageProperties:
    """What an image file states before a pixel is decoded.

    Parameters
    ----------
    format : str
        Such as JPEG or PNG.
    width, height : int
        As stored, in pixels.
    size : int
        Of the file, in bytes.
    jpeg_quality : float
        Quality, 1 to 100, at which the reference encoder of the Independent JPEG Group would have used as coarse a
        luminance table; NaN for other formats.
    jpeg_tables : str
        Hash of the quantisation tables; empty for other formats.
    """

    format: str
    width: int
    height: int
    size: int
    jpeg_quality: float
    jpeg_tables: str


def image_properties(source: Source, *, name: str | None = None) -> ImageProperties:
    """Properties of an image file, from its header: no pixel is decoded.

    Parameters
    ----------
    source : bytes, path or binary stream
        As in ``read_image``.
    name : str, optional
        Name of the file in messages.

    Returns
    -------
    ImageProperties

    Raises
    ------
    ImageError
        As ``read_image``.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> stream = io.BytesIO()
    >>> Image.new("RGB", (24, 16)).save(stream, "JPEG", quality=80)
    >>> found = image_properties(stream.getvalue())
    >>> found.format, found.width, found.height, round(found.jpeg_quality)
    ('JPEG', 24, 16, 80)
    """
    where = shown_name(source, name)
    data = file_bytes(source, where)
    with check_decoding(where):
        image = open_header(data, where, MAX_PIXELS, MIN_SIDE)
        tables = getattr(image, "quantization", None) or {}
        quality = _quality(np.asarray(tables[min(tables)], float)) if tables else float("nan")
        digest = hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()[:8] if tables else ""
        return ImageProperties(str(image.format), *image.size, len(data), quality, digest)


def _quality(table: np.ndarray) -> float:
    """Inverse of the scaling of the standard table by quality (Independent JPEG Group, jcparam.c)."""
    percent = 100 * table.sum() / _LUMINANCE_SUM
    return float(np.clip((200 - percent) / 2 if percent <= 100 else 5000 / percent, 1, 100))
