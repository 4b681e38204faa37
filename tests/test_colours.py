"""Colours that a file states are not sRGB: converted as the definitions of the colour spaces say, and flagged.

The oracle is the arithmetic of the colour spaces' definitions in floating point. Profiles are written by a builder of
this file, matrix and tone curves in ICC.1:2001-04 (version 2), and applied by LittleCMS in the code under test.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from her2core.inference.example import example_predictor
from her2core.io.colours import FLAGS
from her2core.io.images import DecodedImage, as_decoded, decode_image, read_image
from her2core.io.uploads import read_uploads

# Linear RGB to XYZ of D50, by the specifications (Lindbloom's tables give the same to four digits).
D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])


def srgb_to_linear(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(v):
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def gamma(exponent: float):
    return lambda v: v**exponent


SPACES = {"Adobe RGB": (ADOBE, gamma(563 / 256)), "Display P3": (P3, srgb_to_linear), "scanner": (SRGB, gamma(1.8))}


def profile(matrix: np.ndarray, curve, space: bytes = b"RGB ", kind: bytes = b"mntr") -> bytes:
    """A version 2 profile: three colorants and a tone curve of 1,024 points."""
    fixed = lambda values: b"".join(struct.pack(">i", round(v * 65536)) for v in values)  # noqa: E731
    points = np.rint(65535 * np.clip(curve(np.linspace(0, 1, 1024)), 0, 1)).astype(">u2").tobytes()
    curv = b"curv" + bytes(4) + struct.pack(">I", 1024) + points
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0\0\0\0", b"wtpt": b"XYZ " + bytes(4) + fixed(D50)}
    if space == b"RGB ":
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True):
            tags[name] = b"XYZ " + bytes(4) + fixed(column)
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curv)
    else:
        tags[b"kTRC"] = curv
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytes(4) + bytes(4) + b"\x02\x10\0\0" + kind + space + b"XYZ " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4) + fixed(D50) + bytes(4 + 44)
    whole = head + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def expected(pixels: np.ndarray, matrix: np.ndarray, curve) -> np.ndarray:
    linear = curve(pixels.astype(float) / 255) @ matrix.T @ np.linalg.inv(SRGB).T
    return np.rint(255 * linear_to_srgb(linear)).astype(int)


def picture() -> np.ndarray:
    """uint8 (24, 32, 3) of colours of H&E, from white to dark violet."""
    rng = np.random.default_rng(0)
    density = rng.random((24, 32, 2)) @ [(0.9, 1.3, 0.6), (0.2, 1.0, 0.5)]
    return np.rint(255 * np.exp(-density * rng.random((24, 32, 1)))).astype(np.uint8)


PIXELS = picture()


def encode(kind: str, pixels: np.ndarray = PIXELS, mode: str | None = None, **options) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WebP", "RGBA"])
def test_an_embedded_profile_is_converted_as_its_definition_says(space, kind):
    icc = profile(*SPACES[space])
    options = {"WebP": {"lossless": True}, "RGBA": {"mode": "RGBA"}}.get(kind, {})
    found = decode_image(encode("PNG" if kind == "RGBA" else kind, icc_profile=icc, **options))
    want = expected(PIXELS, *SPACES[space])
    assert np.abs(want - PIXELS).max() > 8, "the test would pass without conversion"
    assert np.abs(found.pixels.astype(int) - want).max() <= 2
    assert found.flags == ("colours_converted",)
    assert found.pixels.flags.writeable
    assert found.pixels.flags.c_contiguous


def test_a_jpeg_with_a_profile_is_converted():
    smooth = np.repeat(np.repeat(PIXELS[::8, ::8], 8, 0), 8, 1)
    data = encode("JPEG", smooth, icc_profile=profile(*SPACES["Adobe RGB"]), quality=100, subsampling=0)
    plain = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(read_image(data).astype(int) - expected(plain, *SPACES["Adobe RGB"])).max() <= 2


def test_16_bit_colours_with_a_profile_are_converted_too():
    icc = profile(*SPACES["Adobe RGB"])
    for planar in ("contig", "separate"):
        stream = io.BytesIO()
        deep = PIXELS.astype(np.uint16) * 257
        written = np.moveaxis(deep, -1, 0) if planar == "separate" else deep
        tifffile.imwrite(stream, written, photometric="rgb", planarconfig=planar, iccprofile=icc, metadata=None)
        found = decode_image(stream.getvalue())
        assert np.abs(found.pixels.astype(int) - expected(PIXELS, *SPACES["Adobe RGB"])).max() <= 2
        assert found.flags == ("colours_converted",)


def test_a_grey_profile_is_applied_to_grey():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None], 8, axis=0)
    found = decode_image(encode("PNG", grey, icc_profile=profile(SRGB, gamma(1.8), b"GRAY")))
    want = np.rint(255 * linear_to_srgb((grey / 255.0) ** 1.8))
    assert np.abs(found.pixels[..., 0] - want).max() <= 2
    assert found.flags == ("colours_converted",)


def test_white_stays_white_in_every_space():
    glass = np.full((8, 8, 3), 255, np.uint8)
    for space in SPACES.values():
        assert read_image(encode("PNG", glass, icc_profile=profile(*space))).min() >= 254


def test_srgb_by_any_name_is_left_alone_without_a_word():
    for icc in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), profile(SRGB, srgb_to_linear)):
        found = decode_image(encode("PNG", icc_profile=icc))
        assert found.flags == ()
        np.testing.assert_array_equal(found.pixels, PIXELS)


@pytest.mark.parametrize(
    "icc",
    [
        b"no profile",
        profile(*SPACES["Adobe RGB"])[:200],
        profile(*SPACES["Adobe RGB"]).replace(b"acsp", b"xxxx"),
        profile(SRGB, gamma(1.8), b"CMYK"),
    ],
)
def test_a_profile_that_cannot_be_applied_is_flagged_and_changes_nothing(icc):
    found = decode_image(encode("PNG", icc_profile=icc))
    assert found.flags == ("profile_unreadable",)
    np.testing.assert_array_equal(found.pixels, PIXELS)


def with_chunks(**chunks: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, data in chunks.items():
        info.add(name.encode(), data)
    return encode("PNG", pnginfo=info)


def corners(*xy: float) -> bytes:
    return struct.pack(">8I", *(round(v * 100_000) for v in xy))


ADOBE_CORNERS = corners(0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_CORNERS = corners(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "want"),
    [
        ({"gAMA": struct.pack(">I", 100_000)}, expected(PIXELS, SRGB, gamma(1.0))),
        ({"gAMA": struct.pack(">I", 55_556)}, expected(PIXELS, SRGB, gamma(1.8))),
        ({"gAMA": struct.pack(">I", 45_455)}, None),
        ({"gAMA": struct.pack(">I", 45_455), "cHRM": SRGB_CORNERS}, None),
        ({"gAMA": struct.pack(">I", 45_470), "cHRM": ADOBE_CORNERS}, expected(PIXELS, ADOBE, srgb_to_linear)),
        ({"gAMA": struct.pack(">I", 55_556), "cHRM": ADOBE_CORNERS}, expected(PIXELS, ADOBE, gamma(1.8))),
        ({"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000)}, None),
        ({"gAMA": struct.pack(">I", 0)}, None),
        ({"cHRM": bytes(32)}, None),
        ({"cHRM": corners(*[0.3] * 8)}, None),
    ],
)
def test_png_chunks_are_applied(chunks, want):
    found = decode_image(with_chunks(**chunks))
    if want is None:
        np.testing.assert_array_equal(found.pixels, PIXELS)
        assert found.flags == ()
    else:
        assert np.abs(found.pixels.astype(int) - want).max() <= 2
        assert found.flags == ("colours_converted",)


@pytest.mark.parametrize(("space", "index", "converted"), [(2, None, True), (65535, "R03", True), (1, "R98", False)])
def test_adobe_rgb_stated_by_exif_is_converted(space, index, converted):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    found = decode_image(encode("PNG", exif=exif.tobytes()))
    want = expected(PIXELS, *SPACES["Adobe RGB"]) if converted else PIXELS
    assert np.abs(found.pixels.astype(int) - want).max() <= (2 if converted else 0)


def test_a_pillow_image_with_a_profile_is_converted_like_its_file():
    data = encode("PNG", icc_profile=profile(*SPACES["Display P3"]))
    with Image.open(io.BytesIO(data)) as opened:
        found = as_decoded(opened)
    np.testing.assert_array_equal(found.pixels, read_image(data))
    assert found.flags == ("colours_converted",)


def test_the_note_reaches_the_prediction_from_files_and_uploads():
    data = encode("PNG", np.repeat(np.repeat(PIXELS, 3, 0), 3, 1), icc_profile=profile(*SPACES["Adobe RGB"]))
    predictor = example_predictor()

    class File:
        name = "a.png"

        def getvalue(self) -> bytes:
            return data

    [upload] = read_uploads([File()])
    alone, uploaded = predictor.predict(data), predictor.predict(upload.decoded)
    for found in (alone, uploaded):
        assert FLAGS["colours_converted"] in found.notes
    assert alone.probabilities == uploaded.probabilities
    assert alone.probabilities == predictor.predict(read_image(data)).probabilities
    assert predictor.predict(DecodedImage(read_image(data))).flags == predictor.predict(read_image(data)).flags
