"""Decoding of image files: every allowed format by its stated rules, and everything else refused in one sentence."""

from __future__ import annotations

import io
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from image_files import DATA, LOSSLESS, PICTURE, PIXELS, chunk, encode, few, needs_data, png, refusal, tiff
from PIL import Image, ImageOps

from her2core.errors import ImageError
from her2core.io.images import SUFFIXES, encode_png, image_size, read_image, resize_rgb

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
