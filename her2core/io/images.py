"""Decoding of image files into uint8 RGB arrays.

Every image of this project, whether named on a command line, passed to the Python API, listed in a manifest, packed in
an archive or uploaded to a page, is decoded here. The result is one uint8 (H, W, 3) RGB array or an ``ImageError``
that names the file: never another exception, a warning, or a partly decoded picture. The rules are the same for every
file and are our choice:

- The format is recognised by the first bytes, never by the extension: PNG, JPEG, TIFF, BMP or WebP.
- Size limits are checked on the header, before a pixel is decoded or memory for it requested.
- One file is one image: animations and TIFFs of several pages are refused instead of one frame being chosen silently.
  Of a multi-picture JPEG the first picture is read, as the standard (CIPA DC-007) requires of every JPEG reader.
- Transparency is composited over white, the background of a slide. EXIF orientation is applied; EXIF that cannot be
  read is ignored. Colours are converted to sRGB from an embedded ICC profile, PNG's gamma chunks or EXIF, and flagged
  (``her2core.io.colours``).
- Greyscale becomes three equal channels. 16-bit greyscale is divided by 257 (65535 becomes 255), 12-bit scaled by its
  own full range; 16-bit colour keeps its high byte (as Pillow does). Floating point must lie in 0..1 and is multiplied
  by 255. 32-bit and signed integers are refused: nothing in such a file tells which number is white.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from her2core.errors import ImageError
from her2core.io.colours import cmyk_to_srgb, stated_colours, to_srgb
from her2core.io.image_header import MAX_PIXELS, MIN_SIDE, check_decoding, open_header, orientation, stored_mode
from her2core.io.image_pixels import rgb_pixels
from her2core.io.scale import opened_scale
from her2core.io.sources import MAX_BYTES, Source, file_bytes, shown_name
from her2core.io.text import clean_text
from her2core.io.tiff_planes import decode_planes, is_misread

#: File endings of the formats that can be read, for file dialogues and folder listings.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")

#: uint8 (H, W, 3) RGB.
RGBImage = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """Pixels of an image and what its reader says about them.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        RGB, 0-255.
    flags : tuple of str
        Keys of ``her2core.io.colours.FLAGS``.
    mpp : float or None
        Microns per pixel as the file states them (``her2core.io.scale``); None where it states none.

    Examples
    --------
    >>> decode_image(encode_png(np.zeros((8, 8, 3), np.uint8))).flags
    ()
    """

    pixels: RGBImage
    flags: tuple[str, ...] = ()
    mpp: float | None = None


#: What ``as_decoded`` takes: pixels, with or without flags, a Pillow image, or a file.
ImageLike = RGBImage | DecodedImage | Image.Image | Source


def read_image(
    source: Source,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> RGBImage:
    """Decode one image file.

    Parameters
    ----------
    source : bytes, path or binary stream
        The file's content, its path (a ``str`` is a path), or a stream that is read from its start.
    name : str, optional
        Name of the file in messages; its path or the stream's name when left out. Cleaned for display.
    max_pixels : int, default 178,000,000
        Largest width times height, in pixels. Above twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million unless another
        library changed it) Pillow may refuse whatever ``max_pixels`` is.
    max_bytes : int, default 600,000,000
        Largest file, in bytes.
    min_side : int, default 8
        Smallest width and height, in pixels.

    Returns
    -------
    uint8 array (H, W, 3)
        RGB pixels, 0-255, writable and C-contiguous.

    Raises
    ------
    ImageError
        The source cannot be read, is not one image of an allowed format within the limits, or cannot be decoded whole.

    Examples
    --------
    >>> import numpy as np
    >>> patch = np.full((16, 24, 3), (221, 180, 210), np.uint8)
    >>> pixels = read_image(encode_png(patch))
    >>> pixels.shape, pixels.dtype, pixels[0, 0].tolist()
    ((16, 24, 3), dtype('uint8'), [221, 180, 210])
    >>> read_image(b"slide,label", name="notes.png")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a PNG, JPEG, TIFF, BMP or WebP image, but got text (notes.png). ...
    """
    return decode_image(source, name=name, max_pixels=max_pixels, max_bytes=max_bytes, min_side=min_side).pixels


def decode_image(
    source: Source,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> DecodedImage:
    """Decode one image file, with flags on its colours and the scale that it states.

    Parameters
    ----------
    source, name, max_pixels, max_bytes, min_side
        As in ``read_image``.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        As ``read_image``.

    Examples
    --------
    >>> decode_image(encode_png(np.zeros((8, 9, 3), np.uint8))).pixels.shape
    (8, 9, 3)
    """
    where = shown_name(source, name)
    with check_decoding(where):
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            raise ImageError(
                "Pillow's ImageFile.LOAD_TRUNCATED_IMAGES to be False",
                got="True, with which an incomplete picture would be read as a complete one",
                where=where,
                fix="Set it back to False.",
            )
        data = file_bytes(source, where, max_bytes)
        image = open_header(data, where, max_pixels, min_side)
        mpp = opened_scale(image).mpp
        if is_misread(image):
            pixels = rgb_pixels(decode_planes(data, image, where), "", where)
            return DecodedImage(*to_srgb(pixels, stated_colours(image)), mpp)
        stored, turn = stored_mode(image), orientation(image)
        image.load()
        return _in_srgb(image, turn, stored, where, mpp)


def image_size(
    source: Source,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> tuple[int, int]:
    """Width and height of an image file, from its header: no pixel is decoded.

    Parameters
    ----------
    source, name, max_pixels, max_bytes, min_side
        As in ``read_image``.

    Returns
    -------
    tuple of int
        Width and height in pixels, after EXIF orientation: those of the array that ``read_image`` returns.

    Raises
    ------
    ImageError
        As ``read_image``; damage after the header is not noticed here.

    Examples
    --------
    >>> image_size(encode_png(np.zeros((16, 24, 3), np.uint8)))
    (24, 16)
    """
    where = shown_name(source, name)
    with check_decoding(where):
        found = opened_scale(open_header(file_bytes(source, where, max_bytes), where, max_pixels, min_side))
        return found.width, found.height


def check_rgb(image: object, *, where: str = "image", min_side: int = 1) -> RGBImage:
    """Check that an array is an RGB image as ``read_image`` returns it.

    Parameters
    ----------
    image : object
        What was passed as an image.
    where : str, default "image"
        The argument or file concerned, for the message.
    min_side : int, default 1
        Smallest height and width, in pixels.

    Returns
    -------
    uint8 array (H, W, 3)
        ``image`` itself, not a copy.

    Raises
    ------
    ImageError
        It is not a uint8 array of shape (H, W, 3) with sides of ``min_side`` pixels or more.

    Examples
    --------
    >>> import numpy as np
    >>> check_rgb(np.zeros((8, 9, 3), np.uint8)).shape
    (8, 9, 3)
    >>> check_rgb(np.zeros((8, 9, 3)), where="patch 7")
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a uint8 (H, W, 3) RGB array with pixels, but got float64 (8, 9, 3) (patch 7). \
Pass the array that read_image returns.
    """
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and min(image.shape[:2]) >= min_side
    ):
        return image
    size = f"with sides of {min_side} px or more" if min_side > 1 else "with pixels"
    raise ImageError(
        f"a uint8 (H, W, 3) RGB array {size}",
        got=f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__,
        where=where,
        fix="Pass the array that read_image returns.",
    )


def as_decoded(image: ImageLike, *, name: str | None = None, min_side: int = MIN_SIDE) -> DecodedImage:
    """Pixels and flags of an image in any of the forms that the Python API accepts.

    Parameters
    ----------
    image : uint8 array (H, W, 3), DecodedImage, PIL.Image.Image, bytes, path or binary stream
        An array is checked, a Pillow image converted by the rules for files, and anything else read by ``read_image``.
    name : str, optional
        Name of the image in messages.
    min_side : int, default 8
        Smallest width and height, in pixels.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        It is not an image, or one that ``read_image`` refuses.

    Examples
    --------
    >>> as_decoded(np.zeros((8, 8, 3), np.uint8)).flags
    ()
    """
    if isinstance(image, DecodedImage):
        check_rgb(image.pixels, where=name or "image", min_side=min_side)
        return image
    if isinstance(image, np.ndarray):
        return DecodedImage(check_rgb(image, where=name or "image", min_side=min_side))
    if not isinstance(image, Image.Image):
        return decode_image(image, name=name, min_side=min_side)
    where = clean_text(name or "") or "image"
    if is_misread(image):
        raise ImageError(
            "an image that Pillow decodes rightly",
            got="a TIFF that it misreads",
            where=where,
            fix="Pass the file's path or its bytes instead.",
        )
    with check_decoding(where):
        found = _in_srgb(image, orientation(image), "", where, opened_scale(image).mpp)
        check_rgb(found.pixels, where=where, min_side=min_side)
        return found


def resize_rgb(image: RGBImage, px: int) -> RGBImage:
    """Resize a whole patch to a square, antialiased (Pillow's Lanczos filter).

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels; a patch that is not square is distorted.
    px : int
        Side of the result in pixels, 1 to 16,384.

    Returns
    -------
    uint8 array (px, px, 3)
        RGB pixels, a new array.

    Raises
    ------
    ImageError
        ``image`` is not such an array or ``px`` not such a number.

    Examples
    --------
    >>> import numpy as np
    >>> resize_rgb(np.full((50, 50, 3), 90, np.uint8), 8)[0, 0].tolist()
    [90, 90, 90]
    """
    image = check_rgb(image)
    if isinstance(px, bool) or not isinstance(px, (int, np.integer)) or not 1 <= px <= 16_384:
        raise ImageError(
            "argument `px` to be a whole number from 1 to 16,384",
            got=clean_text(repr(px)),
            fix="Pass the side of the result in pixels.",
        )
    whole = Image.fromarray(np.ascontiguousarray(image))
    return np.array(whole.resize((int(px), int(px)), Image.Resampling.LANCZOS))


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image as PNG without any metadata: no text, date, EXIF or colour profile.

    Parameters
    ----------
    image : uint8 array (H, W, 3) or (H, W)
        RGB or greyscale pixels.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ImageError
        It is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> encode_png(np.zeros((8, 8, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    grey = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 2 and image.size > 0
    pixels = image if grey else check_rgb(image)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def _in_srgb(
    image: Image.Image, turn: Image.Transpose | None, stored: str, where: str, mpp: float | None
) -> DecodedImage:
    """Pixels of a decoded image, upright and in sRGB."""
    stated = stated_colours(image)
    image, flags = cmyk_to_srgb(image, stated)
    pixels = rgb_pixels(image if turn is None else image.transpose(turn), stored, where)
    return DecodedImage(pixels, flags, mpp) if flags else DecodedImage(*to_srgb(pixels, stated), mpp)
