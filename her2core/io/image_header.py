"""Headers of image files: format, size, number of pictures and orientation, checked before a pixel is decoded.

Pillow's format classes are called directly. ``Image.open`` would guess among forty formats, and warns or raises on
size by a limit that any library may have changed.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from her2core.errors import ImageError
from her2core.io.text import clean_text

ALLOWED = "a PNG, JPEG, TIFF, BMP or WebP image"
SAVE_AGAIN = "Open it in an image program and save it as 8-bit RGB PNG."
SMALLER = "Cut it into smaller fields."
#: File endings of whole slides.
SLIDE_SUFFIXES = (
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".vms",
    ".vmu",
    ".bif",
    ".czi",
    ".vsi",
    ".svslide",
    ".dcm",
    ".isyntax",
)
COPY_AGAIN = "Copy the file again from its source."
MAX_PIXELS = 178_000_000  # px; just under Pillow's own limit; a section of 9,920 x 9,270 px is 92 million
MIN_SIDE = 8  # px; below this no tissue can be seen, and it is most often an icon or a tracking pixel

_OPENERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_MAGIC: dict[str, bytes | tuple[bytes, ...]] = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff",
    "BMP": b"BM",
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_OTHER_FORMATS: dict[str, bytes | tuple[bytes, ...]] = {
    "a GIF": b"GIF8",
    "a PDF": b"%PDF",
    "a ZIP archive or an Office document": b"PK\x03\x04",
    "a gzip archive": b"\x1f\x8b",
    "a JPEG 2000 image": (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
    "a NumPy array": b"\x93NUMPY",
    "an HDF5 file": b"\x89HDF",
    "a program": (b"\x7fELF", b"MZ"),
    "a Python pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
}
#: What the descriptions of scanners' TIFFs contain; 65420 is Hamamatsu's own tag.
_SCANNERS = ("aperio", "hamamatsu", "leica", "ventana", "iscan", "philips", "3dhistech", "olympus")
_TURN = Image.Transpose
#: EXIF orientation 2 to 8 (CIPA DC-008); 1 is upright.
TURNS = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}
#: Those that exchange width and height.
SIDEWAYS = (_TURN.TRANSPOSE, _TURN.ROTATE_270, _TURN.TRANSVERSE, _TURN.ROTATE_90)
_EXIF_KEYS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")


class _QuietWarnings:
    """Stand-in for the ``warnings`` module in Pillow's readers that drops what they warn while this thread decodes.

    A file from outside decides whether Pillow warns, and warnings may be errors in the calling program.
    ``warnings.catch_warnings`` is no alternative: it changes the filters of the whole process, other threads included
    (CPython issue gh-128384; Python 3.14 has per-context filters behind ``-X context_aware_warnings``, and once they
    are the default of the oldest supported Python this class can be dropped). Other threads, and this one outside of
    decoding, warn exactly as before.
    """

    def __init__(self) -> None:
        self.thread = threading.local()

    def warn(self, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None) -> None:
        if not getattr(self.thread, "decoding", False):
            warnings.warn(message, category, stacklevel + 1, source)

    def __getattr__(self, name: str) -> Any:  # Any: whatever the module of that name offers
        return getattr(warnings, name)


_quiet = _QuietWarnings()
for _module in (Image, PngImagePlugin, TiffImagePlugin):
    _module.warnings = _quiet  # type: ignore[attr-defined]  # see _QuietWarnings


@contextmanager
def check_decoding(where: str) -> Iterator[None]:
    """Turn whatever decoding raises into ``ImageError``, and keep Pillow's warnings from escaping.

    Parameters
    ----------
    where : str
        Name of the file, cleaned for display.

    Raises
    ------
    ImageError
        For every exception in the block.

    Examples
    --------
    >>> with check_decoding("a.png"):
    ...     raise SyntaxError("broken PNG file")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected an image that can be decoded completely, but got a damaged or ...
    """
    _quiet.thread.decoding = True
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            "an image within Pillow's own limit",
            got=f"one above twice PIL.Image.MAX_IMAGE_PIXELS ({Image.MAX_IMAGE_PIXELS})",
            where=where,
            fix=SMALLER,
        ) from error
    except MemoryError as error:
        raise ImageError("an image that fits in memory", got="one that does not", where=where, fix=SMALLER) from error
    except Exception as error:
        # Pillow raises a dozen types on damaged files, SyntaxError and struct.error among them, and may raise others
        # in its next version; a list of them would be incomplete.
        raise ImageError(
            "an image that can be decoded completely",
            got=f"a damaged or unsupported one ({clean_text(error).rstrip('.') or type(error).__name__})",
            where=where,
            fix=f"{COPY_AGAIN} {SAVE_AGAIN}",
        ) from error
    finally:
        _quiet.thread.decoding = False


def open_header(data: bytes, where: str, max_pixels: int, min_side: int) -> ImageFile.ImageFile:
    """Read an image's header and check everything that it states.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        Name of the file in messages.
    max_pixels, min_side : int
        Limits in pixels: largest width times height, smallest side.

    Returns
    -------
    PIL.ImageFile.ImageFile
        The image, not yet decoded.

    Raises
    ------
    ImageError
        Another format, several pictures, a size outside the limits, or a pixel layout without a defined white.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.io.images import encode_png
    >>> open_header(encode_png(np.zeros((10, 20, 3), np.uint8)), "a.png", 1000, 8).size
    (20, 10)
    """
    kind = _format(data, where)
    image = _OPENERS[kind](io.BytesIO(data))
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_slide(image, max_pixels):
        raise whole_slide(where)
    _check_size(image.size, where, max_pixels, min_side)
    if getattr(image, "is_animated", False):
        several = "several pages" if kind == "TIFF" else f"{getattr(image, 'n_frames', 'several')} frames"
        raise ImageError(
            "a single image", got=f"a {kind} with {several}", where=where, fix="Save one picture as its own file."
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, where, max_pixels)
    return image


def orientation(image: Image.Image) -> Image.Transpose | None:
    """How EXIF requires an image to be turned.

    Parameters
    ----------
    image : PIL.Image.Image
        An image that need not be decoded yet.

    Returns
    -------
    PIL.Image.Transpose or None
        None where EXIF is missing, broken or says upright, and for TIFFs, which Pillow turns itself.

    Examples
    --------
    >>> orientation(Image.new("RGB", (8, 8))) is None
    True
    """
    # A PNG asked for EXIF that its header lacks would decode itself to search for it.
    if image.format == "TIFF" or not any(key in image.info for key in _EXIF_KEYS):
        return None
    try:
        return TURNS.get(Image.Image.getexif(image).get(274, 1))
    except Exception:  # EXIF from outside may be broken in any way; the pixels are not
        return None


def stored_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's name of how the file stores a pixel, such as "RGB;16B"; known only until the image is decoded.

    Parameters
    ----------
    image : PIL.ImageFile.ImageFile
        The image, not yet decoded.

    Returns
    -------
    str
        The raw mode; empty where the format has none.

    Examples
    --------
    >>> from her2core.io.images import encode_png
    >>> import numpy as np
    >>> stored_mode(open_header(encode_png(np.zeros((8, 8, 3), np.uint8)), "a.png", 64, 8))
    'RGB'
    """
    args = image.tile[0][3] if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def whole_slide(where: str) -> ImageError:
    """The refusal of a whole slide, the same for every format.

    Parameters
    ----------
    where : str
        Name of the file.

    Returns
    -------
    ImageError
        To be raised.

    Examples
    --------
    >>> whole_slide("case.svs").got
    'a whole slide'
    """
    return ImageError(
        "one field of tissue as a PNG, JPEG, TIFF, BMP or WebP image",
        got="a whole slide",
        where=where,
        fix="Predict it with `her2 slide`, cut it with `her2 tile`, or export a field from a viewer such as QuPath.",
    )


def unclear_white(got: str, where: str) -> ImageError:
    """The refusal of pixels for which no number is known to mean white.

    Parameters
    ----------
    got : str
        What the file contains: a noun phrase.
    where : str
        Name of the file.

    Returns
    -------
    ImageError
        To be raised.

    Examples
    --------
    >>> unclear_white("signed integers", "a.tif").got
    'signed integers'
    """
    return ImageError("8-bit pixels, or numbers with a defined white", got=got, where=where, fix=SAVE_AGAIN)


def _is_slide(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> bool:
    """Whether a TIFF is a pyramid or a scanner's own format, rather than one field or a stack of pages."""
    tags = image.tag_v2
    text = f"{tags.get(270, '')} {tags.get(271, '')} {tags.get(305, '')}"[:20_000].lower()
    scanner = 65420 in tags or any(name in text for name in _SCANNERS)
    several = bool(tags.next) or 330 in tags  # a next page, or SubIFDs
    return (several and (322 in tags or scanner)) or (322 in tags and image.size[0] * image.size[1] > max_pixels)


def _format(data: bytes, where: str) -> str:
    if data[128:132] == b"DICM" or data.startswith(b"ZISRAWFILE") or where.lower().endswith(SLIDE_SUFFIXES):
        raise whole_slide(where)  # by its name too: an .mrxs is a JPEG of the label beside a folder with the slide
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    for kind, magic in _MAGIC.items():
        if data.startswith(magic):
            return kind
    got = next((other for other, magic in _OTHER_FORMATS.items() if data.startswith(magic)), None)
    head = data[:1024].lower()
    if got is None and b"<svg" in head:
        got = "an SVG drawing"
    elif got is None and b"<html" in head:
        got = "a web page"
    elif got is None and data[4:8] == b"ftyp":
        got = "a HEIC, AVIF or video file"
    elif got is None and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        got = "text"
    raise ImageError(ALLOWED, got=got or "an unknown kind of file", where=where, fix="Export the picture as PNG.")


def _check_size(size: tuple[int, int], where: str, max_pixels: int, min_side: int) -> None:
    width, height = size
    got = f"{width:,} x {height:,} px"
    if width * height > max_pixels:
        raise ImageError(f"an image of at most {max_pixels:,} px", got=got, where=where, fix=SMALLER)
    if min(width, height) < min_side:
        raise ImageError(
            f"an image of at least {min_side} px on each side",
            got=got,
            where=where,
            fix="Check that this is a tissue image and not an icon or a spacer.",
        )


def _check_tiff(image: TiffImagePlugin.TiffImageFile, where: str, max_pixels: int) -> None:
    tags = image.tag_v2
    width, height = tags.get(322), tags.get(323)  # TileWidth, TileLength: a small image may claim giant tiles
    if isinstance(width, int) and isinstance(height, int):
        _check_size((width, height), where, max_pixels, 1)
    if image.mode.startswith(("I;16", "F")) and tags.get(262) == 0:
        raise unclear_white("a 16- or 32-bit TIFF in which zero means white", where)
    if 2 in tags.get(339, ()):
        raise unclear_white("signed integers", where)
    if not image.use_load_libtiff:  # libtiff notices missing strips; Pillow's own decoder would leave them black
        planes = len(image.getbands()) if tags.get(284) == 2 else 1
        boxes = [piece[1] for piece in image.tile if piece[1] is not None]
        covered = sum((right - left) * (lower - upper) for left, upper, right, lower in boxes)
        if covered < image.size[0] * image.size[1] * planes:
            raise ImageError("a TIFF whose strips cover the image", got="missing strips", where=where, fix=COPY_AGAIN)
