"""TIFFs that Pillow decodes wrongly: separate colour planes, and compressed big-endian floating-point samples.

Where samples are stored plane by plane (PlanarConfiguration 2, TIFF 6.0, Adobe 1992) without compression, Pillow 13
hands each plane to the decoder of the first letters of its raw mode ("RGB;16L" becomes "R", "G" and "B") and forgets
the suffix: 16-bit samples are read as bytes, inverted greyscale is not inverted, premultiplied alpha is not divided.
The result is another picture, without an error. Compressed planes go through libtiff and are right, but for greyscale
with alpha, whose alpha is lost or mixed in. Planes that are misread are decoded by tifffile, and layouts that tifffile
is not used for are refused. So are compressed big-endian floats, whose bytes libtiff and Pillow both swap.
"""

from __future__ import annotations

import io
import logging

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from her2core.errors import ImageError
from her2core.io.image_header import COPY_AGAIN, SAVE_AGAIN, SIDEWAYS, TURNS

_BITS, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION, _SAMPLES = 258, 262, 266, 274, 277
_PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 284, 338, 339
_BLACK_IS_ZERO, _RGB, _CMYK = 1, 2, 5
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples: alpha already multiplied into the colours, or not

# A file from outside decides whether tifffile logs. Without a handler Python prints such records to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow would decode an image as another picture.

    Parameters
    ----------
    image : PIL.Image.Image
        An opened image, not yet decoded.

    Returns
    -------
    bool
        True for planar greyscale with alpha, uncompressed planar TIFFs other than 8-bit RGB, RGBA and CMYK, and
        compressed big-endian floats.

    Examples
    --------
    >>> is_misread(Image.new("RGB", (8, 8)))
    False
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    if image.mode == "F" and image.use_load_libtiff and image.tag_v2.prefix == TiffImagePlugin.MM:
        return True
    if image.tag_v2.get(_PLANAR) != 2:
        return False
    if image.mode in ("LA", "La", "PA"):
        return True
    if image.use_load_libtiff:
        return False
    tags = image.tag_v2
    right = (
        set(tags.get(_BITS, (1,))) == {8}
        and tags.get(_FILL_ORDER, 1) == 1
        and tags.get(_PHOTOMETRIC) in (_RGB, _CMYK)
        and _PREMULTIPLIED not in tags.get(_EXTRA_SAMPLES, ())
    )
    return not right


def decode_planes(data: bytes, image: Image.Image, where: str) -> Image.Image:
    """Decode a TIFF for which ``is_misread`` is true.

    Parameters
    ----------
    data : bytes
        The whole file.
    image : PIL.TiffImagePlugin.TiffImageFile
        The same file opened by Pillow, its size checked against the limits.
    where : str
        Name of the file in messages.

    Returns
    -------
    PIL.Image.Image
        Mode RGB or RGBA with the high byte of each sample, as Pillow gives for interleaved samples, or I;16; turned
        upright.

    Raises
    ------
    ImageError
        A layout other than 16-bit unsigned RGB, RGBA or greyscale, or strips or tiles that are missing or cut short.
    """
    assert isinstance(image, TiffImagePlugin.TiffImageFile)  # for the type checker; is_misread was true
    tags = image.tag_v2
    photometric, samples = tags.get(_PHOTOMETRIC), tags.get(_SAMPLES, 1)
    extra = tuple(tags.get(_EXTRA_SAMPLES, ()))
    colours = {_RGB: 3, _BLACK_IS_ZERO: 1}.get(photometric or 0)
    known = (
        colours is not None
        and set(tags.get(_BITS, (1,))) == {16}
        and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
        and tags.get(_FILL_ORDER, 1) == 1
        and samples == colours + len(extra)
        and len(extra) <= (1 if colours == 3 else 0)
    )
    if not known or colours is None:
        raise ImageError(
            "a TIFF with interleaved integer samples, or separate planes of 8 or 16 bits in RGB",
            got="another layout, which image libraries misread",
            where=where,
            fix=SAVE_AGAIN,
        )
    alpha = bool(extra) and extra[0] in (_PREMULTIPLIED, _STRAIGHT)
    turn = TURNS.get(tags.get(_ORIENTATION, 1))
    width, height = image.size[::-1] if turn in SIDEWAYS else image.size
    planes = _planes(data, (height, width), colours + alpha, samples, where)
    if colours == 1:
        found = Image.fromarray(planes[..., 0])
    else:
        raw = "RGBa" if alpha and extra[0] == _PREMULTIPLIED else "RGBA" if alpha else "RGB"
        found = Image.frombytes(raw.upper(), (width, height), planes.tobytes(), "raw", raw)
    return found if turn is None else found.transpose(turn)


def _planes(
    data: bytes, size: tuple[int, int], wanted: int, stored: int, where: str
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The first ``wanted`` of ``stored`` planes, (H, W, wanted): high bytes of colours, or whole greyscale samples.

    ``size`` is (H, W) as Pillow read them and as they were checked against the limits.
    """
    import tifffile  # 0.1 s to import, and needed for this layout alone

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        height, width = page.imagelength, page.imagewidth
        rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        rows = rows if page.is_tiled else min(rows, height)
        across, down = -(-width // columns), -(-height // rows)
        pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if (height, width) != size or len(pieces) != stored * across * down:
            raise _incomplete(where)
        for number, (offset, count) in enumerate(pieces):
            row = number // across % down
            # A last strip may be shorter than the others, a tile never.
            length = 2 * columns * (rows if page.is_tiled else min(rows, height - row * rows))
            if offset <= 0 or count < length or offset + length > len(data):
                raise _incomplete(where)
        pixels = np.empty((height, width, wanted), np.uint16 if wanted == 1 else np.uint8)
        for values, (plane, _, y, x, _), _ in page.segments(maxworkers=1):
            if values is None:
                raise _incomplete(where)
            if plane < wanted:
                piece = values[0, : height - y, : width - x, 0]  # tiles reach over the edge of the image
                place = pixels[y : y + len(piece), x : x + piece.shape[1], plane]
                place[...] = piece if wanted == 1 else piece >> 8
    return pixels


def _incomplete(where: str) -> ImageError:
    return ImageError(
        "a TIFF whose strips or tiles cover the image", got="missing or shortened ones", where=where, fix=COPY_AGAIN
    )
