"""Image files made byte by byte, for tests of the reader of images."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from her2core.errors import ImageError
from her2core.io.images import read_image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real images are not at {DATA}")
few = settings(deadline=None, max_examples=60)

PIXELS = np.random.default_rng(7).integers(0, 256, (24, 40, 3), dtype=np.uint8)
PIXELS[:, :20] //= 4  # a dark left half, so that turning shows
PICTURE = Image.fromarray(PIXELS)
LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


def tiff(width: int, height: int, pixels: bytes, **changes: tuple) -> bytes:
    """A little-endian greyscale TIFF of one strip; ``changes`` are tag=(type, value), like t258=(3, 12)."""
    tags = {
        256: (4, width),
        257: (4, height),
        258: (3, 8),
        259: (3, 1),
        262: (3, 1),
        273: (4, 8),
        277: (3, 1),
        278: (4, height),
        279: (4, len(pixels)),
    }
    tags |= {int(key[1:]): value for key, value in changes.items()}
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items())]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def refusal(source, **options) -> str:
    """The message of the ImageError that must come; all four parts must be filled and fit to show."""
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)
    error = caught.value
    assert error.expected
    assert error.got
    assert error.where
    assert error.fix
    assert str(error).isprintable()
    assert len(str(error)) < 500
    return str(error)


def seeds() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    made = {
        "png": encode(PICTURE, "PNG", exif=exif),
        "png palette": encode(PICTURE.convert("P"), "PNG", transparency=bytes(range(200))),
        "jpeg": encode(PICTURE, "JPEG", exif=exif),
        "jpeg progressive": encode(PICTURE, "JPEG", progressive=True),
        "jpeg cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
        "bmp": encode(PICTURE, "BMP"),
        "bmp palette": encode(PICTURE.convert("P"), "BMP"),
        "webp": encode(PICTURE, "WEBP", exif=exif),
        "webp lossless": encode(PICTURE, "WEBP", lossless=True),
        "tiff grey": tiff(40, 24, bytes(960)),
    }
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        made[f"tiff {compression}"] = encode(PICTURE, "TIFF", compression=compression, exif=exif)
    return made


SEEDS = seeds()
