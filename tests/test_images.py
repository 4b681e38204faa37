"""Decoding of image files: every allowed format by its stated rules, and everything else refused in one sentence."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from her2core.errors import ImageError
from her2core.io.images import SUFFIXES, encode_png, image_size, read_image, resize_rgb

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


# What is read


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_return_the_very_pixels(kind):
    image = read_image(encode(PICTURE, kind, **LOSSLESS[kind]))
    assert np.array_equal(image, PIXELS)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert image.flags.owndata


MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("1", "L", "RGB", "YCbCr", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_every_mode_of_every_format_becomes_rgb(kind, mode):
    made = PICTURE.convert(mode)
    image = read_image(encode(made, kind, **LOSSLESS.get(kind, {"quality": 100, "subsampling": 0})))
    assert image.shape == PIXELS.shape
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - np.asarray(made.convert("RGB"))).max() <= (5 if kind == "JPEG" else 2)


@given(image=arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3))))
@few
def test_png_round_trip_is_exact(image):
    encoded = encode_png(image)
    assert np.array_equal(read_image(encoded), image)
    assert image_size(encoded) == (image.shape[1], image.shape[0])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])  # a BMP's fourth byte is reserved, not alpha
def test_alpha_is_laid_over_white(kind):
    layered = np.zeros((8, 9, 4), np.uint8)
    layered[:, :3, 3], layered[:, 3:6, 3], layered[:, 6:, 3] = 0, 128, 255
    image = read_image(encode(Image.fromarray(layered), kind, **LOSSLESS[kind]))
    assert image[0, 0].tolist() == [255] * 3
    assert image[0, 4].tolist() == [127] * 3
    assert image[0, 8].tolist() == [0] * 3


def test_transparent_palette_grey_and_colour_are_laid_over_white():
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((0, 0), 0)
    for clear in (1, b"\xff\x00"):  # one index, or one alpha an index
        image = read_image(encode(palette, "PNG", transparency=clear))
        assert image[0, 0].tolist() == [255, 0, 0]
        assert image[5, 5].tolist() == [255, 255, 255]
    for mode, colour in (("L", 7), ("RGB", (1, 2, 3)), ("1", 0)):
        image = read_image(encode(Image.new(mode, (8, 8), colour), "PNG", transparency=colour))
        assert (image == 255).all()


def test_premultiplied_grey_alpha_is_laid_over_white():
    image = read_image(tiff(8, 8, bytes([0, 0] * 32 + [64, 128] * 32), t277=(3, 2), t338=(3, 1)))
    assert (image[:4] == 255).all()
    assert np.abs(image[4:].astype(int) - 191).max() <= 1


def test_adobe_cmyk_jpeg_is_not_inverted():
    image = read_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 3


def test_16_bit_grey_is_divided_by_257():
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    wanted = np.rint(values / 257).astype(np.uint8)
    for data in (
        encode(Image.fromarray(values), "PNG"),
        encode(Image.fromarray(values), "TIFF"),
        encode(Image.fromarray(values), "TIFF", compression="tiff_lzw"),
    ):
        assert np.array_equal(read_image(data), np.repeat(wanted[..., None], 3, 2))


def test_a_16_bit_image_that_uses_8_bits_is_not_stretched():
    assert read_image(encode(Image.fromarray(np.full((8, 8), 255, np.uint16)), "PNG")).max() == 1


def test_16_bit_grey_with_a_transparent_value():
    rows = b"".join(b"\0" + struct.pack(">8H", *[257 * 9] * 4, *[257 * 10] * 4) for _ in range(8))
    image = read_image(png(8, 8, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 257 * 9))))
    assert (image[:, :4] == 255).all()
    assert (image[:, 4:] == 10).all()


def test_16_bit_colour_keeps_its_high_byte():
    rows = b"".join(b"\0" + struct.pack(">24H", *[0x12FF, 0x8000, 0xFFFF] * 8) for _ in range(8))
    assert read_image(png(8, 8, 16, 2, rows))[3, 3].tolist() == [0x12, 0x80, 0xFF]


def test_12_bit_tiff_uses_its_own_full_range():
    assert (read_image(tiff(8, 8, b"\xff" * 96, t258=(3, 12))) == 255).all()


def test_float_in_0_to_1_is_scaled_by_255():
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert np.array_equal(read_image(encode(Image.fromarray(values), "TIFF"))[..., 1], np.rint(values * 255))


@pytest.mark.parametrize("bad", [1.01, -0.01, 200.0, np.nan, np.inf])
def test_other_floats_are_refused(bad):
    values = np.full((8, 8), 0.5, np.float32)
    values[7, 7] = bad
    assert "outside 0..1, or NaN" in refusal(encode(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (encode(Image.fromarray(np.full((8, 8), 9, np.int32)), "TIFF"), "integers"),
        (tiff(8, 8, bytes(64), t339=(3, 2)), "signed integers"),
        (tiff(8, 8, bytes(128), t258=(3, 16), t262=(3, 0)), "zero means white"),
        (png(8, 8, 2, 0, bytes(24), chunk(b"tRNS", b"\0\1")), "transparent"),
        (png(8, 8, 16, 2, bytes(49 * 8), chunk(b"tRNS", bytes(6))), "transparent"),
    ],
)
def test_numbers_without_a_clear_white_are_refused(data, told):
    assert told in refusal(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientation_is_applied_to_pixels_and_size(kind, tag):
    exif = Image.Exif()
    exif[274] = tag
    data = encode(PICTURE, kind, exif=exif, **LOSSLESS.get(kind, {"quality": 95, "subsampling": 0}))
    with Image.open(io.BytesIO(data)) as opened:
        oracle = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    image = read_image(data)
    assert np.array_equal(image, oracle)
    assert image.shape == ((24, 40, 3) if tag < 5 else (40, 24, 3))
    assert image_size(data) == (image.shape[1], image.shape[0])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0garbage" * 9,
        b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x02\0\xff\xff\xff\x7f\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
    ],
)
def test_broken_exif_does_not_break_the_image(kind, exif):
    data = encode(PICTURE, kind, exif=exif)
    assert read_image(data).shape == PIXELS.shape
    assert image_size(data) == (40, 24)


def test_an_unreadable_icc_profile_changes_no_pixel():
    assert np.array_equal(read_image(encode(PICTURE, "PNG", icc_profile=b"no profile at all")), PIXELS)


def test_a_large_image_read_in_bands_equals_the_whole(monkeypatch):
    monkeypatch.setattr("her2core.io.image_pixels._BAND_PIXELS", 130)
    for mode in ("RGB", "RGBA", "P", "L"):
        made = PICTURE.convert(mode)
        assert np.array_equal(read_image(encode(made, "PNG")), np.asarray(made.convert("RGB")))


# Where it is read from


def test_bytes_paths_and_streams_give_the_same(tmp_path):
    data = encode_png(PIXELS)
    path = tmp_path / "patch.jpg"  # a wrong extension on a valid image is fine
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.read()  # as an upload that something else has read before
    for source in (data, bytearray(data), memoryview(data), path, str(path), stream):
        assert np.array_equal(read_image(source), PIXELS)
        assert image_size(source) == (40, 24)
    with open(path, "rb") as file:
        assert np.array_equal(read_image(file), PIXELS)
    assert ".png" in SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)


def test_places_that_cannot_be_read(tmp_path):
    loop, empty = tmp_path / "loop.png", tmp_path / "empty.png"
    loop.symlink_to(loop)
    empty.write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    assert "empty file" in refusal(empty)
    assert "empty file" in refusal(b"")
    assert "a folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.png")
    assert "symbolic links" in refusal(loop)
    assert "pipe" in refusal(tmp_path / "pipe.png")
    assert "device" in refusal("/dev/zero")
    assert "null byte" in refusal("a\0b.png")
    refusal("\ud800.png")
    refusal("")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "mine.png"
    path.write_bytes(encode_png(PIXELS))

    def denied(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # chmod does not stop root, as whom CI may run
    assert "Permission denied" in refusal(path)


class Hostile(io.RawIOBase):
    def read(self, size=-1):
        raise RuntimeError("\x1b[2Jgone")


@pytest.mark.parametrize("source", [None, 3, io.StringIO("text"), Hostile(), object(), PIXELS])
def test_sources_that_give_no_bytes(source):
    refusal(source)


def test_too_many_bytes_are_noticed_before_reading(tmp_path, monkeypatch):
    path = tmp_path / "big.png"
    with open(path, "wb") as file:
        file.truncate(10_000)
    monkeypatch.setattr("builtins.open", None)
    for source in (path, bytes(10_000), io.BytesIO(bytes(10_000))):
        assert "at most 9,999 bytes" in refusal(source, max_bytes=9_999)


# What is refused


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (encode(PICTURE.convert("P"), "GIF"), "a GIF"),
        (b"%PDF-1.7\n", "a PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
        (b"\n<!DOCTYPE html><html>login</html>", "a web page"),
        (b"slide_id,label\n1,2\n", "text"),
        (pickle.dumps(PIXELS), "a Python pickle"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\0\0\0\x1cftypheic" + bytes(40), "a HEIC"),
        (bytes(range(7, 90)), "an unknown kind"),
        (b"RIFF\0\0\0\0WAVEfmt ", "an unknown kind"),
    ],
)
def test_other_kinds_are_named_whatever_their_extension(tmp_path, data, told):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    message = refusal(path)
    assert told in message
    assert "picture.png" in message


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (encode(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)] * 2), "PNG with 3 frames"),
        (encode(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(180)]), "WebP with 2 frames"),
        (encode(PICTURE, "TIFF", save_all=True, append_images=[PICTURE]), "TIFF with several pages"),
    ],
)
def test_several_images_in_one_file_are_refused(data, told):
    assert told in refusal(data)


def giants() -> dict[str, bytes]:
    bmp = (
        b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 50_000, 50_000, 1, 24, *[0] * 6)
    )
    jpeg = bytearray(SEEDS["jpeg progressive"])
    at = jpeg.index(b"\xff\xc2") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 50_000, 50_000)
    return {
        "png": png(50_000, 50_000, 8, 2, b""),
        "bmp": bmp + bytes(100),
        "tiff": tiff(50_000, 50_000, bytes(10)),
        "jpeg": bytes(jpeg),
    }


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "jpeg"])
@pytest.mark.parametrize("reader", [read_image, image_size])
def test_a_giant_is_refused_from_its_header(kind, reader, monkeypatch):
    def decoded(*args):
        raise RuntimeError("asked for the memory")

    monkeypatch.setattr(Image.core, "new", decoded)
    with pytest.raises(ImageError, match="at most 178,000,000 px, but got 50,000 x 50,000 px"):
        reader(giants()[kind])


def test_limits_are_the_callers():
    data = encode_png(PIXELS)
    assert "at most 959 px, but got 40 x 24 px" in refusal(data, max_pixels=959)
    assert "at least 25 px" in refusal(data, min_side=25)
    assert read_image(data, max_pixels=960, max_bytes=len(data), min_side=24).shape == PIXELS.shape
    assert "at least 8 px on each side, but got 7 x 90 px" in refusal(encode_png(np.zeros((90, 7, 3), np.uint8)))
    assert read_image(encode_png(np.zeros((8, 3000), np.uint8))).shape == (8, 3000, 3)


def test_pillows_own_limits_turn_into_image_errors(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # 960 px: Pillow would warn
    assert all(read_image(data).size == PIXELS.size for name, data in SEEDS.items())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # and now it would raise
    assert "Pillow's own limit" in refusal(SEEDS["webp"])
    assert "Pillow's own limit" in refusal(SEEDS["tiff raw"])


def test_giant_tiles_of_a_small_tiff_are_refused():
    assert "got 60,000 x 60,000 px" in refusal(tiff(8, 8, bytes(64), t322=(4, 60_000), t323=(4, 60_000)))


def test_a_tiff_with_missing_strips_is_refused():
    assert "missing strips" in refusal(tiff(8, 8, bytes(64), t278=(4, 4)))


@pytest.mark.parametrize("name", [b"iCCP", b"zTXt", b"iTXt"])
def test_chunks_that_inflate_without_end_are_refused(name):
    bomb = zlib.compress(bytes(80_000_000 if name == b"iCCP" else 4_000_000))
    body = b"k\0" + (b"\1\0\0\0" if name == b"iTXt" else b"\0") + bomb
    rows = b"".join(b"\0" + bytes(24) for _ in range(8))
    data = png(8, 8, 8, 2, rows, chunk(name, body))
    assert "Decompressed data too large" in refusal(data)


@pytest.mark.parametrize("key", [b"transparency", b"exif", b"icc_profile", b"interlace", b"dpi", b"xmp"])
@pytest.mark.parametrize(("depth", "colour", "width"), [(16, 0, 16), (8, 0, 8), (8, 2, 24), (8, 6, 32)])
def test_text_that_poses_as_a_property_does_no_harm(key, depth, colour, width):
    rows = b"".join(b"\0" + bytes(width) for _ in range(8))  # Pillow files a text chunk under its key, beside its own
    data = png(8, 8, depth, colour, rows, chunk(b"tEXt", key + b"\0" + b"7"))
    try:
        assert read_image(data).shape == (8, 8, 3)
        assert image_size(data) == (8, 8)
    except ImageError as error:
        assert "damaged" in str(error)


def test_a_wrong_checksum_is_refused():
    data = bytearray(encode_png(PIXELS))
    data[29] ^= 1
    assert "checksum" in refusal(bytes(data))


def test_memory_that_runs_out_is_an_image_error(monkeypatch):
    def full(*args):
        raise MemoryError

    monkeypatch.setattr(Image.core, "new", full)
    assert "memory" in refusal(SEEDS["png"])


def test_nothing_is_read_while_truncated_images_are_let_through(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "LOAD_TRUNCATED_IMAGES" in refusal(SEEDS["png"])


# Names in messages


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x00b\x1b[31m\r\nc.png", "ab[31m c.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("\u2066\u200f\u061c\ufeff", "image"),
        ("  ", "image"),
        ("Schnitt \u00fc \u7d44\u7e54.png", "Schnitt \u00fc \u7d44\u7e54.png"),
        ("\ud800.png", ".png"),
    ],
)
def test_hostile_names_are_cleaned(name, shown):
    assert f" ({shown}). " in refusal(b"nothing", name=name)


def test_a_long_name_is_cut_in_its_middle(tmp_path):
    for source in (b"nothing", tmp_path / ("x" * 5000 + ".png")):
        message = refusal(source, name="x" * 5000 + ".png" if source == b"nothing" else None)
        assert len(re.search(r"\((\.|/|x).*x\.png\)", message)[0]) == 102


def test_a_stream_names_itself():
    stream = io.BytesIO(b"nothing")
    stream.name = "upload\u202e.png"
    assert "(upload.png)" in refusal(stream)
    assert "(mine)" in refusal(stream, name="mine")


# Damage


@pytest.mark.parametrize("name", SEEDS)
def test_a_truncated_file_gives_an_error_or_the_whole_image(name):
    data, whole = SEEDS[name], read_image(SEEDS[name])
    for length in {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 16, len(data))}:
        try:
            image = read_image(data[:length])
        except ImageError:
            continue
        assert np.array_equal(image, whole)


@given(data=st.binary(max_size=400), magic=st.sampled_from([b"", *{seed[:30] for seed in SEEDS.values()}]))
@settings(few, max_examples=150)
def test_random_bytes_raise_nothing_but_image_error(data, magic):
    for reader in (read_image, image_size):
        try:
            reader(magic + data, max_pixels=1_000_000)
        except ImageError as error:
            assert str(error).isprintable()


@given(
    data=st.sampled_from(list(SEEDS.values())),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 255)), max_size=8),
)
@settings(few, max_examples=300)
def test_flipped_bytes_raise_nothing_but_image_error(data, flips):
    damaged = bytearray(data)
    for place, in_header, byte in flips:
        damaged[int(place * (min(200, len(data)) if in_header else len(data)))] = byte
    try:
        image = read_image(bytes(damaged), max_pixels=1_000_000)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image_size(bytes(damaged)) == (image.shape[1], image.shape[0])


# Warnings and threads

WARNS = tiff(40, 24, bytes(960), t305=(7, 0)).replace(  # a text tag said to be 9,999 bytes, at an offset past the end
    struct.pack("<HHII", 305, 7, 1, 0), struct.pack("<HHII", 305, 7, 9_999, 9_000)
)


def test_pillow_warns_about_this_file_and_we_do_not():
    with pytest.warns(UserWarning, match="Tag data"), Image.open(io.BytesIO(WARNS)) as opened:
        opened.load()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (read_image(WARNS) == 0).all()
    assert caught == []
    with pytest.warns(UserWarning, match="Tag data"), Image.open(io.BytesIO(WARNS)):
        pass  # and afterwards Pillow warns as before


def test_another_thread_still_warns_while_we_read():
    inside, done, caught = threading.Event(), threading.Event(), []

    class Slow(io.BytesIO):
        def read(self, size=-1):
            inside.set()
            done.wait(10)
            return super().read(size)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_image, Slow(WARNS))
        inside.wait(10)
        with pytest.warns(UserWarning) as caught:
            TiffImagePlugin.warnings.warn("from elsewhere", stacklevel=1)
        done.set()
        assert reading.result().shape == (24, 40, 3)
    assert [str(one.message) for one in caught] == ["from elsewhere"]


def test_eight_threads_equal_one():
    sources = [*SEEDS.values(), WARNS, b"nothing"] * 12

    def outcome(data: bytes) -> object:
        try:
            return read_image(data).tobytes()
        except ImageError as error:
            return str(error)

    serial = [outcome(data) for data in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, sources)) == serial


def test_importing_brings_no_heavy_library():
    code = (
        "import sys, her2core.io.images; "
        "print([m for m in ('torch', 'pandas', 'scipy', 'streamlit', 'cv2') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Resizing and encoding


def test_resize_is_antialiased_and_whole():
    fine = np.zeros((64, 96, 3), np.uint8)
    fine[:, ::2] = 255
    small = resize_rgb(fine, 16)
    assert small.shape == (16, 16, 3)
    assert small.dtype == np.uint8
    assert abs(small.mean() - 127.5) < 3
    assert small.std() < 25
    assert np.array_equal(resize_rgb(fine[:, :64], 64), fine[:, :64])
    assert resize_rgb(fine[::2, ::-1], 200).shape == (200, 200, 3)


def test_png_has_no_metadata_and_grey_stays_grey():
    data = encode_png(PIXELS[..., 0])
    names, at = [], 8
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    assert set(names) == {b"IHDR", b"IDAT", b"IEND"}
    assert data[25] == 0
    assert np.array_equal(read_image(data)[..., 2], PIXELS[..., 0])


@pytest.mark.parametrize(
    "image", [PIXELS.astype(float), PIXELS[:0], PIXELS[..., :2], PIXELS[None], None, PIXELS.tolist()]
)
def test_other_arrays_are_refused(image):
    for call in (encode_png, lambda array: resize_rgb(array, 8)):
        with pytest.raises(ImageError, match="uint8"):
            call(image)


@pytest.mark.parametrize("px", [0, -1, 2.5, True, "8", 100_000])
def test_other_sides_are_refused(px):
    with pytest.raises(ImageError, match=r"1 to 16,384"):
        resize_rgb(PIXELS, px)


# Real tissue


@needs_data
def test_real_fields_and_tiles_decode():
    fields = sorted((DATA / "brecahad").glob("*.jpg"))
    tiles = [sorted(folder.glob("*.jpg"))[0] for folder in sorted((DATA / "tissue_tiles").iterdir())[:4]]
    assert len(fields) == 10
    assert len(tiles) == 4
    for path in [*fields, *tiles]:
        image = read_image(path)
        assert image_size(path) == (image.shape[1], image.shape[0])
        assert image.std() > 1


@needs_data
def test_slides_are_refused():
    said = [refusal(path).replace(str(path), "") for path in sorted((DATA / "slides").glob("*.svs"))]
    assert len(said) == 3
    assert len(set(said)) == 1
    assert "a whole slide" in said[0]
    assert "QuPath" in said[0]
