"""What are the pixels of this file? Bytes, a path or a stream come in; one uint8 (H, W, 3) RGB array goes out.

Or an ``ImageError`` that names the file: never another exception, a warning, or a partly decoded picture.

The rules, all ours, and the same for every file:

- The kind is told by the first bytes, never by the extension: PNG, JPEG, TIFF, BMP or WebP. All else is refused.
- Size limits are checked on the header, before a pixel is decoded or its memory asked for.
- One file is one image: animations and TIFFs of several pages are refused rather than a frame chosen silently. (A
  multi-picture JPEG is read as the standard says every JPEG reader must: its first picture is the image.)
- Transparency is laid over white, the background of a slide. EXIF orientation is applied; EXIF that cannot be read is
  ignored. Embedded ICC profiles are ignored: the numbers in the file are taken as sRGB.
- Greyscale becomes three equal channels. 16-bit greyscale is divided by 257 (65535 becomes 255), 12-bit scaled by its
  own full range; 16-bit colour keeps its high byte (Pillow). Floating point must lie in 0..1 and is multiplied by 255.
  32-bit and signed integers are refused: nothing in such a file says which number is white.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from her2core.errors import ImageError
from her2core.io.text import clean_text

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
MAX_PIXELS = 178_000_000  # px; just under where Pillow refuses; a section of 9,920 x 9,270 px is 92 million
MAX_BYTES = 600_000_000  # bytes; MAX_PIXELS stored as uncompressed RGB is 534 million
MIN_SIDE = 8  # px; below this there is no tissue to see, and it is most often a spacer or a tracking pixel

Source = bytes | bytearray | memoryview | str | os.PathLike | BinaryIO

# fmt: off
_OPENERS = {"PNG": PngImagePlugin.PngImageFile, "JPEG": JpegImagePlugin.JpegImageFile,
            "TIFF": TiffImagePlugin.TiffImageFile, "BMP": BmpImagePlugin.BmpImageFile,
            "WebP": WebPImagePlugin.WebPImageFile}
_MAGIC = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "BMP": b"BM",
          "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}
_STRANGERS = {"a GIF": b"GIF8", "a PDF": b"%PDF", "a ZIP archive or an Office document": b"PK\x03\x04",
              "a gzip archive": b"\x1f\x8b", "a JPEG 2000 image": (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
              "a NumPy array": b"\x93NUMPY", "an HDF5 file": b"\x89HDF", "a program": (b"\x7fELF", b"MZ"),
              "a Python pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")}
_ALLOWED = "a PNG, JPEG, TIFF, BMP or WebP image"
_RESAVE = "Open it in an image program and save it as 8-bit RGB PNG."
_SMALLER = "Cut it into smaller fields; a whole slide needs a slide reader."
_RECOPY = "Copy the file again from its source."
_TURN = Image.Transpose
_TURNS = {2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
          6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90}  # EXIF orientation 2 to 8; 1 is upright
# fmt: on
_EXIF_KEYS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_BAND_PIXELS = 4_000_000  # convert this many pixels at a time, so that a section needs no second whole copy


class _WarningsAside:
    """Stands where Pillow's reading modules hold ``warnings``; drops what they warn while this thread reads here.

    ``warnings.catch_warnings`` changes the whole process and is not thread-safe before Python 3.14, and a user's file
    decides whether Pillow warns. Other threads, and this one outside a read, warn exactly as before.
    """

    def __init__(self) -> None:
        self.thread = threading.local()

    def warn(self, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None) -> None:
        if not getattr(self.thread, "reading", False):
            warnings.warn(message, category, stacklevel + 1, source)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


_aside = _WarningsAside()
for _module in (Image, PngImagePlugin, TiffImagePlugin):
    _module.warnings = _aside  # type: ignore[attr-defined]


def read_image(
    source: Source,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> np.ndarray:
    """Decode one image into a writable, C-contiguous uint8 (H, W, 3) RGB array.

    Parameters
    ----------
    source : the file's content as bytes, its path, or a binary stream (read from its start). A ``str`` is a path.
    name : what to call the file in messages; its path or the stream's name when left out. Cleaned for display.
    max_pixels, max_bytes, min_side : limits in pixels, bytes and pixels. Above twice ``PIL.Image.MAX_IMAGE_PIXELS``
        (179 million px unless another library changed it) Pillow may refuse whatever ``max_pixels`` says.

    Raises
    ------
    ImageError : the source cannot be read, is not one allowed image within the limits, or cannot be decoded whole.
    """
    where = _where(source, name)
    with _refusing(where):
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            got = "True, which would let half a picture pass for a whole one"
            raise _error("Pillow's ImageFile.LOAD_TRUNCATED_IMAGES to be False", got, where, "Set it back to False.")
        image = _open(_read(source, where, max_bytes), where, max_pixels, min_side)
        stored, turn = _stored(image), _orientation(image)
        image.load()
        if turn is not None:
            image = image.transpose(turn)
        width, height = image.size
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, _BAND_PIXELS // width)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            pixels[top:bottom] = _rgb(image.crop((0, top, width, bottom)), stored, where)
        return pixels


def image_size(
    source: Source,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> tuple[int, int]:
    """Return (width, height) in px as ``read_image`` would, from the header: no pixel is decoded.

    Parameters and errors are those of ``read_image``; a file damaged after its header is not noticed here.
    """
    where = _where(source, name)
    with _refusing(where):
        image = _open(_read(source, where, max_bytes), where, max_pixels, min_side)
        width, height = image.size
        return (height, width) if _orientation(image) in [_TURNS[tag] for tag in (5, 6, 7, 8)] else (width, height)


def resize_rgb(image: np.ndarray, px: int) -> np.ndarray:
    """Resize a whole uint8 (H, W, 3) RGB patch to uint8 (px, px, 3), antialiased (Pillow's Lanczos)."""
    image = _checked(image, (3,))
    if isinstance(px, bool) or not isinstance(px, (int, np.integer)) or not 1 <= px <= 16_384:
        raise _error("a side of 1 to 16,384 px", clean_text(repr(px)), "px", "Pass a whole number of px.")
    return np.array(Image.fromarray(image).resize((int(px), int(px)), Image.Resampling.LANCZOS))


def encode_png(image: np.ndarray) -> bytes:
    """Encode a uint8 (H, W, 3) RGB or (H, W) grey array as PNG, with no metadata: no text, date, EXIF or profile."""
    stream = io.BytesIO()
    Image.fromarray(_checked(image, (2, 3))).save(stream, "PNG")
    return stream.getvalue()


def _checked(image: np.ndarray, dimensions: tuple[int, ...]) -> np.ndarray:
    got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
    right = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in dimensions and image.size > 0
    if not right or (image.ndim == 3 and image.shape[2] != 3):
        shapes = " or ".join(("(H, W)", "(H, W, 3)")[d - 2] for d in dimensions)
        raise _error(f"a uint8 {shapes} array with pixels", got, "image", "Pass what read_image returns.")
    return np.ascontiguousarray(image)


def _error(expected: str, got: str, where: str, fix: str) -> ImageError:
    return ImageError(expected, got=got, where=where, fix=fix)


def _where(source: Source, name: str | None) -> str:
    try:
        named = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
        named = named if name is None else name
        return (clean_text(os.fsdecode(named)) if isinstance(named, (str, os.PathLike)) else "") or "image"
    except Exception:  # a path or stream object of a stranger's making: it only costs the name
        return "image"


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn whatever reading raises into ImageError, and keep Pillow's warnings from escaping."""
    _aside.thread.reading = True
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        got = f"one above twice PIL.Image.MAX_IMAGE_PIXELS ({Image.MAX_IMAGE_PIXELS})"
        raise _error("an image within Pillow's own limit", got, where, _SMALLER) from error
    except MemoryError as error:
        raise _error("an image that fits into memory", "too little free memory", where, _SMALLER) from error
    except Exception as error:
        # Pillow raises a dozen types on damaged files, SyntaxError and struct.error among them, and may raise others
        # tomorrow; a list of them would be a list of holes.
        got = f"a damaged or unsupported one ({clean_text(error).rstrip('.') or type(error).__name__})"
        raise _error("an image that can be decoded whole", got, where, f"{_RECOPY} {_RESAVE}") from error
    finally:
        _aside.thread.reading = False


def _read(source: Source, where: str, max_bytes: int) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data: Any = source
    elif isinstance(source, (str, os.PathLike)):
        data = _read_path(source, where, max_bytes)
    else:
        seekable = getattr(source, "seekable", None)
        if seekable is not None and seekable():
            source.seek(0)
        data = source.read(max_bytes + 1) if hasattr(source, "read") else None
        if not isinstance(data, bytes):
            got = f"a {clean_text(type(source).__name__)} that gives no bytes"
            raise _error("bytes, a path or a binary stream", got, where, "Pass the file's bytes or its path.")
    _check_bytes(memoryview(data).nbytes, where, max_bytes)
    return bytes(data)


def _read_path(path: str | os.PathLike, where: str, max_bytes: int) -> bytes:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # asked before opening: opening a pipe would wait for ever
            got = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
            raise _error("an image file", got, where, "Name one image file.")
        _check_bytes(status.st_size, where, max_bytes)
        with open(path, "rb") as file:
            return file.read(status.st_size + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that holds a zero byte or cannot be encoded
        got = f"an error of the system ({clean_text(getattr(error, 'strerror', None) or error)})"
        raise _error("a file that can be read", got, where, "Check the path and that you may read it.") from error


def _check_bytes(size: int, where: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise _error(f"a file of at most {max_bytes:,} bytes", f"{size:,} bytes or more", where, _SMALLER)
    if not size:
        raise _error(_ALLOWED, "an empty file", where, _RECOPY)


def _kind(data: bytes, where: str) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    for kind, magic in _MAGIC.items():
        if data.startswith(magic):
            return kind
    got = next((stranger for stranger, magic in _STRANGERS.items() if data.startswith(magic)), None)
    head = data[:1024].lower()
    if got is None and b"<svg" in head:
        got = "an SVG drawing"
    elif got is None and b"<html" in head:
        got = "a web page"
    elif got is None and data[4:8] == b"ftyp":
        got = "a HEIC, AVIF or video file"
    elif got is None and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        got = "text"
    raise _error(_ALLOWED, got or "an unknown kind of file", where, "Export the picture as PNG and use that.")


def _open(data: bytes, where: str, max_pixels: int, min_side: int) -> ImageFile.ImageFile:
    """Read the header and check all that it tells; the image comes back not yet decoded."""
    kind = _kind(data, where)
    # The format's own class, not Image.open: that warns or raises on size, by a limit that any library may have moved.
    image = _OPENERS[kind](io.BytesIO(data))
    _check_size(image.size, where, max_pixels, min_side)
    if getattr(image, "is_animated", False):
        got = f"a {kind} with {'several pages' if kind == 'TIFF' else f'{image.n_frames} frames'}"
        raise _error("a single image", got, where, "Save one as its own file; a whole slide needs a slide reader.")
    if kind == "TIFF":
        _check_tiff(image, where, max_pixels)
    return image


def _check_size(size: tuple[int, int], where: str, max_pixels: int, min_side: int) -> None:
    width, height = size
    got = f"{width:,} x {height:,} px"
    if width * height > max_pixels:
        raise _error(f"an image of at most {max_pixels:,} px", got, where, _SMALLER)
    if min(width, height) < min_side:
        fix = "Check that this is a tissue image and not an icon or a spacer."
        raise _error(f"an image of at least {min_side} px on each side", got, where, fix)


def _check_tiff(image: Any, where: str, max_pixels: int) -> None:
    tags = image.tag_v2
    tile = tags.get(322), tags.get(323)  # TileWidth, TileLength: a small image may claim giant tiles
    if all(isinstance(side, int) for side in tile):
        _check_size(tile, where, max_pixels, 1)
    if image.mode.startswith(("I;16", "F")) and tags.get(262) == 0:
        raise _unclear("a 16- or 32-bit TIFF in which zero means white", where)
    if 2 in tags.get(339, ()):
        raise _unclear("signed integers", where)
    if not image.use_load_libtiff:  # libtiff notices missing strips; Pillow's own reader would leave them black
        planes = len(image.getbands()) if tags.get(284) == 2 else 1
        covered = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (piece[1] for piece in image.tile))
        if covered < image.size[0] * image.size[1] * planes:
            raise _error("a TIFF whose strips cover the image", "missing strips", where, _RECOPY)


def _stored(image: ImageFile.ImageFile) -> str:
    """How the file stores a pixel, in Pillow's words ("RGB;16B"): known only until the image is decoded."""
    args = image.tile[0][3] if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How EXIF wants the image turned; None when it does not say, or when EXIF is broken: pixels come first."""
    # Pillow turns TIFFs itself, and a PNG asked for EXIF that its header lacks would decode itself to search for it.
    if image.format == "TIFF" or not any(key in image.info for key in _EXIF_KEYS):
        return None
    try:
        return _TURNS.get(Image.Image.getexif(image).get(274, 1))
    except Exception:
        return None


def _unclear(got: str, where: str) -> ImageError:
    return _error("8-bit pixels, or numbers of which it is clear what white is", got, where, _RESAVE)


def _rgb(image: Image.Image, stored: str, where: str) -> np.ndarray:
    """Any mode that the five formats can hold -> uint8 (H, W, 3), by the rules at the top of this file."""
    clear = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        full = 4095 if stored == "I;12" else 65535
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + full // 2) // full).astype(np.uint8)
        if isinstance(clear, int):  # a text chunk named "transparency" would put a str here
            grey[values == clear] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "I":
        raise _unclear("32-bit integers", where)
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise _unclear("floating-point pixels outside 0..1, or NaN", where)
        return np.repeat(np.rint(values * 255).astype(np.uint8)[..., None], 3, axis=2)
    if clear is not None and image.mode != "P" and stored in ("L;2", "L;4", "RGB;16B"):
        # Pillow widens or narrows these pixels but not the colour declared transparent, so the two no longer compare.
        raise _unclear(f"{stored} pixels with one colour declared transparent", where)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        image = Image.new("RGB", layered.size, (255, 255, 255))
        image.paste(layered, mask=layered.getchannel("A"))
    return np.asarray(image.convert("RGB"))
