"""Reader of images: what is refused, names in messages, damage, warnings and threads."""

from __future__ import annotations

import io
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
from image_files import PICTURE, PIXELS, SEEDS, chunk, encode, few, png, refusal, tiff
from PIL import Image, ImageFile, TiffImagePlugin

from her2core.errors import ImageError
from her2core.io.images import encode_png, image_size, read_image

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
