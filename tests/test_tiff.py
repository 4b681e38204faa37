"""Decoding of TIFFs: every combination of bits, planes, compression, byte order and layout gives the array's pixels.

The oracle is the array that was written: by tifffile (uncompressed, Deflate), and by a writer of this file for the
compressions that tifffile leaves to imagecodecs (LZW, PackBits, JPEG), whose segments Pillow encodes one by one.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from her2core.errors import ImageError
from her2core.io.images import image_size, read_image
from her2core.io.tiff_planes import is_misread

HEIGHT, WIDTH = 42, 52
LAYOUTS = {"one strip": {"rowsperstrip": HEIGHT}, "strips": {"rowsperstrip": 5}, "tiles": {"tile": (16, 32)}}


def picture(bits: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth colours with noise, uint8 or uint16 (HEIGHT, WIDTH, channels); the fourth channel is opaque."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([40 + 3 * x, 30 + 4 * y, 200 - x - y, np.full_like(x, 255)], axis=-1)[..., :channels]
    smooth[..., :3] += rng.integers(0, 9, (HEIGHT, WIDTH, 3))
    if bits == 8:
        return smooth.astype(np.uint8)
    low = rng.integers(0, 256, smooth.shape)
    low[..., 3:] = 255
    return (smooth * 256 + low).astype(np.uint16)


def high_bytes(pixels: np.ndarray) -> np.ndarray:
    return (pixels if pixels.dtype == np.uint8 else pixels >> 8).astype(np.uint8)


def by_tifffile(pixels: np.ndarray, planar: str = "separate", **options) -> bytes:
    stream = io.BytesIO()
    extra = ["unassalpha"] if pixels.shape[2] == 4 else None
    options = {"photometric": "rgb", "extrasamples": extra, "metadata": None} | options
    written = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
    tifffile.imwrite(stream, written, planarconfig=planar, **options)
    return stream.getvalue()


# A writer for compressions that tifffile does not encode by itself


def segment_bytes(block: np.ndarray, compression: str, order: str) -> bytes:
    """One strip or tile (rows, columns, samples), encoded."""
    if compression == "jpeg":
        stream = io.BytesIO()
        Image.fromarray(block if block.shape[2] == 3 else block[..., 0]).save(stream, "JPEG", quality=95, subsampling=0)
        return stream.getvalue()
    rows = block.astype(block.dtype.newbyteorder(order)).reshape(len(block), -1).view(np.uint8)
    if compression == "deflate":
        return zlib.compress(rows.tobytes())
    if compression == "packbits":  # literal runs of at most 128 bytes, row by row
        runs = [row[i : i + 128] for row in rows for i in range(0, len(row), 128)]
        return b"".join(bytes([len(run) - 1]) + run.tobytes() for run in runs)
    if compression == "none":
        return rows.tobytes()
    stream = io.BytesIO()
    Image.fromarray(rows).save(stream, "TIFF", compression="tiff_lzw", strip_size=rows.size)
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        page = file.pages.first
        (start,), (count,) = page.dataoffsets, page.databytecounts
    return stream.getvalue()[start : start + count]


def by_hand(pixels: np.ndarray, planar: str, compression: str, order: str, layout: str, **changes: tuple) -> bytes:
    """A TIFF of these pixels; ``changes`` are tag=(type, values) such as t266=(3, [2])."""
    height, width, samples = pixels.shape
    rows, columns = LAYOUTS[layout].get("tile", (LAYOUTS[layout].get("rowsperstrip"), width))
    planes = [pixels[..., i : i + 1] for i in range(samples)] if planar == "separate" else [pixels]
    segments = []
    for plane, top, left in itertools.product(planes, range(0, height, rows), range(0, width, columns)):
        block = plane[top : top + rows, left : left + columns]
        if layout == "tiles":
            missing = (0, rows - block.shape[0]), (0, columns - block.shape[1]), (0, 0)
            block = np.pad(block, missing, mode="edge")
        if changes.get("t317") == (3, [2]):  # horizontal differencing, TIFF 6.0 section 14
            block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
        elif changes.get("t317") == (3, [3]):
            block = floating_point_differences(block)
        segments.append(segment_bytes(np.ascontiguousarray(block), compression, order))
    offsets = [8 + sum(map(len, segments[:i])) for i in range(len(segments))]
    place, count = (324, 325) if layout == "tiles" else (273, 279)
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * pixels.itemsize] * samples),
        259: (3, [{"lzw": 5, "packbits": 32773, "jpeg": 7, "deflate": 8, "none": 1}[compression]]),
        262: (3, [6 if compression == "jpeg" and planar == "contig" else 2]),
        place: (4, offsets),
        277: (3, [samples]),
        count: (4, [len(s) for s in segments]),
        284: (3, [2 if planar == "separate" else 1]),
    }
    tags |= {322: (4, [columns]), 323: (4, [rows])} if layout == "tiles" else {278: (4, [rows])}
    tags |= {338: (3, [2])} if samples == 4 else {}
    tags |= {530: (3, [1, 1])} if tags[262][1] == [6] else {}
    tags |= {int(tag[1:]): value for tag, value in changes.items()}
    return ifd(tags, b"".join(segments), order)


def floating_point_differences(block: np.ndarray) -> np.ndarray:
    """Predictor 3 (TIFF Technical Note 3, Adobe 2005): bytes by significance, each the difference to the one before."""
    rows, columns, samples = block.shape
    planes = block.astype(">f4").reshape(rows, columns * samples, 1).view(np.uint8)
    planes = planes.transpose(0, 2, 1).reshape(rows, -1, samples)
    return np.concatenate([planes[:, :1], np.diff(planes, axis=1)], axis=1)


def ifd(tags: dict[int, tuple[int, list[int]]], body: bytes, order: str) -> bytes:
    """The file of these tags, ``body`` at byte 8."""
    start = 8 + len(body) + len(body) % 2
    overflow, lines = b"", b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{'HI'[kind == 4]}", *values)
        if len(packed) > 4:
            packed, overflow = struct.pack(f"{order}I", behind + len(overflow)), overflow + packed
        lines += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    table = struct.pack(f"{order}H", len(tags)) + lines + bytes(4)
    return head + body + b"\0" * (len(body) % 2) + table + overflow


# Every combination


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_tifffile_writes_is_read_back(bits, planar, compression, order):
    for layout, channels, predictor, big in itertools.product(LAYOUTS, (3, 4), (False, True), (False, True)):
        if predictor and not compression:
            continue
        pixels = picture(bits, channels)
        options = {"compression": compression, "byteorder": order, "predictor": predictor, "bigtiff": big}
        data = by_tifffile(pixels, planar, **options, **LAYOUTS[layout])
        if big and order == ">":  # Pillow 13 does not find the tags of a big-endian BigTIFF
            with pytest.raises(ImageError):
                read_image(data)
            continue
        found = read_image(data)
        np.testing.assert_array_equal(found, high_bytes(pixels)[..., :3], err_msg=f"{layout}, {channels} channels")
        assert found.flags.c_contiguous
        assert found.flags.writeable
        assert image_size(data) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", ["none", "lzw", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
def test_other_lossless_compressions_are_read_back(bits, planar, compression, order):
    for layout, channels in itertools.product(LAYOUTS, (3, 4)):
        pixels = picture(bits, channels)
        found = read_image(by_hand(pixels, planar, compression, order, layout))
        np.testing.assert_array_equal(found, high_bytes(pixels)[..., :3], err_msg=f"{layout}, {channels} channels")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_jpeg_within_a_tiff_is_close_to_what_was_written(planar, layout, order):
    smooth = np.repeat(np.repeat(picture(8)[::8, ::8], 8, 0), 8, 1)[:HEIGHT, :WIDTH]
    found = read_image(by_hand(smooth, planar, "jpeg", order, layout))
    assert np.abs(found.astype(int) - smooth).max() <= 12
    assert np.abs(found.astype(int) - smooth).mean() <= 2


# Transparency, orientation and greyscale


@pytest.mark.parametrize(
    ("bits", "kind"), [(8, "unassalpha"), (16, "unassalpha"), (16, "assocalpha"), (16, "unspecified")]
)
def test_separate_planes_are_composited_as_interleaved_samples_are(bits, kind):
    pixels = picture(bits, 4)
    pixels[..., 3] = np.linspace(0, np.iinfo(pixels.dtype).max, WIDTH).astype(pixels.dtype)
    if kind == "assocalpha":
        share = pixels[..., 3:].astype(float) / np.iinfo(pixels.dtype).max
        pixels[..., :3] = (pixels[..., :3] * share).astype(pixels.dtype)
    for layout in LAYOUTS.values():
        separate, together = (
            read_image(by_tifffile(pixels, planar, extrasamples=[kind], **layout)) for planar in ("separate", "contig")
        )
        np.testing.assert_array_equal(separate, together)
    plain = high_bytes(pixels)[..., :3]
    if kind == "unspecified":  # a fourth channel that is no alpha
        np.testing.assert_array_equal(separate, plain)
    else:
        assert (separate[:, 0] == 255).all()
        assert np.abs(separate[:, -1].astype(int) - plain[:, -1]).max() <= 1


@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_applied_to_separate_planes(value):
    pixels = picture(16)
    data = by_hand(pixels, "separate", "none", "<", "strips", t274=(3, [value]))
    together = by_hand(picture(8), "contig", "none", "<", "strips", t274=(3, [value]))
    found = read_image(data)
    assert image_size(data) == image_size(together) == (found.shape[1], found.shape[0])
    upright = Image.fromarray(high_bytes(pixels))
    with Image.open(io.BytesIO(together)) as opened:  # Pillow turns TIFFs itself
        opened.load()
        assert opened.size == image_size(data)
    flips = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
    flips |= {5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1)}
    flips |= {7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}
    np.testing.assert_array_equal(found, flips[value](np.asarray(upright)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_single_16_bit_plane_is_divided_by_257(order):
    values = picture(16)[..., :1]
    data = by_hand(values, "separate", "none", order, "strips", t262=(3, [1]))
    assert is_misread(TiffImagePlugin.TiffImageFile(io.BytesIO(data)))
    np.testing.assert_array_equal(read_image(data)[..., 1], np.rint(values[..., 0] / 257).astype(np.uint8))


# What is refused


@pytest.mark.parametrize(
    ("bits", "changes"),
    [
        (16, {"t262": (3, [5])}),  # CMYK
        (16, {"t262": (3, [8])}),  # CIELab
        (16, {"t266": (3, [2])}),  # reversed bits
        (16, {"t339": (3, [2])}),  # signed
        (16, {"t339": (3, [3])}),  # half-precision floating point
        (16, {"t258": (3, [16, 8, 16])}),
        (8, {"t266": (3, [2])}),
        (8, {"t262": (3, [6])}),  # YCbCr, uncompressed
    ],
)
def test_other_planar_layouts_are_refused_or_right(bits, changes):
    pixels = picture(bits, 4 if changes.get("t262") == (3, [5]) else 3)
    data = by_hand(pixels, "separate", "none", "<", "strips", **changes)
    with pytest.raises(ImageError, match="PNG"):
        read_image(data)


@pytest.mark.parametrize("kind", ["assocalpha", "unspecified"])
def test_other_fourth_planes_of_8_bits_are_refused(kind):
    with pytest.raises(ImageError, match="PNG"):
        read_image(by_tifffile(picture(8, 4), extrasamples=[kind], **LAYOUTS["strips"]))


@pytest.mark.parametrize("mode", ["inverted", "bilevel"])
def test_one_inverted_plane_is_not_read_uninverted(mode):
    grey = picture(8)[..., :1]
    changes = {"t262": (3, [0])} | ({"t258": (3, [1])} if mode == "bilevel" else {})
    with pytest.raises(ImageError, match="PNG"):
        read_image(by_hand(grey, "separate", "none", "<", "one strip", **changes))


def test_size_limits_hold_for_separate_planes_too():
    data = by_tifffile(picture(16), **LAYOUTS["strips"])
    with pytest.raises(ImageError, match=f"at most {HEIGHT * WIDTH - 1:,} px"):
        read_image(data, max_pixels=HEIGHT * WIDTH - 1)
    with pytest.raises(ImageError, match="at least 43 px"):
        read_image(data, min_side=43)
    assert read_image(data, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)


def test_a_small_file_that_claims_a_giant_plane_is_refused_without_its_memory(monkeypatch):
    made = []
    for side in (50_000, 9_000):
        claims = {f"t{tag}": (4, [side]) for tag in (256, 257, 278)}
        made.append(by_hand(picture(16), "separate", "none", "<", "one strip", **claims))
    monkeypatch.setattr(np, "empty", None)
    for data, found in zip(made, ("at most 178,000,000 px", "missing"), strict=True):
        with pytest.raises(ImageError, match=found):
            read_image(data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_and_shortened_segments_are_refused(layout):
    place, count = (324, 325) if layout == "tiles" else (273, 279)
    data = by_tifffile(picture(16), **LAYOUTS[layout])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = {t.code: list(t.value) if isinstance(t.value, tuple) else [t.value] for t in file.pages.first.tags}
    offsets, counts = tags[place], tags[count]
    body = data[8:]
    kinds = {256: 4, 257: 4, 278: 4, 322: 4, 323: 4, place: 4, count: 4}
    for changed in (
        {place: [*offsets[:-1], 0]},
        {place: offsets[:-1], count: counts[:-1]},
        {count: [*counts[:-1], counts[-1] - 1]},
        {place: [*offsets[:-1], 10**6]},
    ):
        broken = ifd({t: (kinds.get(t, 3), v) for t, v in (tags | changed).items() if t < 400 and t != 305}, body, "<")
        try:  # a byte count that is too small alone does no harm
            found = read_image(broken)
            np.testing.assert_array_equal(found, high_bytes(picture(16)))
        except ImageError as error:
            assert "Copy the file again" in str(error)
        else:
            assert set(changed) == {count}


SEED = by_tifffile(picture(16), **LAYOUTS["strips"])


@given(flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=300)
def test_flipped_bytes_of_the_header_raise_nothing_but_image_error(flips):
    damaged = bytearray(SEED)
    for at, byte in flips:
        damaged[at] = byte
    try:
        found = read_image(bytes(damaged), max_pixels=1_000_000)
    except ImageError as error:
        assert str(error).isprintable()
        return
    assert image_size(bytes(damaged)) == (found.shape[1], found.shape[0])


def test_a_truncated_planar_file_is_refused(capfd):
    for length in range(8, len(SEED), 997):
        with pytest.raises(ImageError):
            read_image(SEED[:length])
    assert capfd.readouterr() == ("", "")


def test_deflate_is_zlib_s():
    """The oracle's own compression is the standard's: TIFF 6.0 supplement 2 wraps zlib streams."""
    data = by_tifffile(picture(8), "contig", compression="zlib", rowsperstrip=HEIGHT)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        (start,), (count,) = page.dataoffsets, page.databytecounts
    assert zlib.decompress(data[start : start + count]) == picture(8).tobytes()
