"""Predictors, palettes and greyscale with alpha in TIFFs: read right or refused."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import tifffile
from test_tiff import HEIGHT, LAYOUTS, WIDTH, by_hand, by_tifffile, high_bytes, picture

from her2core.errors import ImageError
from her2core.io.images import read_image


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", ["lzw", "deflate"])
@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (8, 3), (8, 4), (16, 1), (16, 3), (16, 4)])
def test_horizontal_differences_are_added_up_again(bits, channels, compression, order):
    for layout, planar in itertools.product(LAYOUTS, ("contig", "separate")):
        pixels = picture(bits, 4)[..., :channels]
        changes = {"t317": (3, [2])} | ({"t262": (3, [1])} if channels == 1 else {})
        data = by_hand(pixels, planar, compression, order, layout, **changes)
        if compression == "deflate":  # the oracle agrees with this writer
            read = tifffile.imread(io.BytesIO(data))
            np.testing.assert_array_equal(
                read.squeeze(), np.moveaxis(pixels, -1, 0 if planar == "separate" else -1).squeeze()
            )
        expected = high_bytes(pixels)[..., :3] if channels > 1 or bits == 8 else np.rint(pixels / 257).astype(np.uint8)
        np.testing.assert_array_equal(read_image(data), np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), err_msg=layout)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", ["lzw", "deflate"])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_with_their_own_predictor_are_read_right_or_refused(channels, compression, order):
    values = (picture(16, 3)[..., :channels] / 65535).astype(np.float32)
    changes = {"t317": (3, [3]), "t339": (3, [3] * channels), "t258": (3, [32] * channels)}
    changes |= {"t262": (3, [1])} if channels == 1 else {}
    for layout in LAYOUTS:
        data = by_hand(values, "contig", compression, order, layout, **changes)
        try:
            found = read_image(data)
        except ImageError as refused:
            assert "PNG" in str(refused)
            assert (channels, order) != (1, "<")
        else:
            assert (channels, order) == (1, "<")
            np.testing.assert_array_equal(found, np.broadcast_to(np.rint(values * 255), found.shape), err_msg=layout)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_of_either_byte_order_are_read_right_or_refused(order, compression):
    """Of 0, 0.5 and 1 with their bytes swapped Pillow 13 makes black."""
    values = np.float32([0, 0.5, 1])[np.mgrid[:HEIGHT, :WIDTH][1] % 3]
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="minisblack", compression=compression, byteorder=order)
    if compression and order == ">":
        with pytest.raises(ImageError, match="PNG"):
            read_image(stream.getvalue())
    else:
        np.testing.assert_array_equal(read_image(stream.getvalue())[0, :3, 0], [0, 128, 255])


# Palettes, and greyscale with alpha


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_palettes_are_looked_up(compression, order):
    colours = np.random.default_rng(1).integers(0, 65536, (3, 256)).astype(np.uint16)
    numbers = picture(8)[..., 0]
    for layout, predictor in itertools.product(LAYOUTS, (False, True)[: 1 + bool(compression)]):
        options = {"compression": compression, "byteorder": order, "predictor": predictor}
        stream = io.BytesIO()
        tifffile.imwrite(stream, numbers, photometric="palette", colormap=colours, **options, **LAYOUTS[layout])
        with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
            page = file.pages.first
            expected = np.moveaxis(page.colormap[:, page.asarray()], 0, -1) >> 8
        np.testing.assert_array_equal(read_image(stream.getvalue()), expected, err_msg=layout)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bits", [8, 16])
def test_greyscale_with_alpha_is_laid_over_white_or_refused(bits, planar, kind):
    """Of separate planes Pillow 13 loses the alpha or mixes it in where they are compressed."""
    top = 2**bits - 1
    grey, alpha = picture(bits)[..., 0], np.linspace(0, top, WIDTH).astype(picture(bits).dtype)
    alpha = np.broadcast_to(alpha, grey.shape)
    share = 1.0 if kind == "unspecified" else alpha / top
    expected = 255 * (grey / top * share + 1 - share)
    stored = np.rint(grey * share).astype(grey.dtype) if kind == "assocalpha" else grey
    refused = 0
    for layout, compression, predictor in [
        (la, *how) for la in LAYOUTS for how in ((None, 0), ("zlib", 0), ("zlib", 2))
    ]:
        pixels = np.stack([stored, alpha], axis=-1)
        options = {"photometric": "minisblack", "extrasamples": [kind], "predictor": predictor or None}
        try:
            found = read_image(by_tifffile(pixels, planar, compression=compression, **options, **LAYOUTS[layout]))
        except ImageError as error:
            assert "PNG" in str(error)
            refused += 1
        else:
            np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, -1), atol=2, err_msg=layout)
    assert refused == 0 or (bits, planar) != (8, "contig")
