"""Deep Zoom tiles, open slides and the viewer's overlay.

Oracles: the drawn positions of a synthetic pyramid whose levels differ in colour, block means by NumPy, and the sizes
that the Deep Zoom format states.
"""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from slide_files import slide_pixels, write_pyramid

from her2core import ConfigError, ImageError
from her2core.io.images import encode_png
from her2core.slide.deep_zoom import DeepZoom, deep_zoom, deep_zoom_tile
from her2core.slide.handles import SlideHandles
from her2core.slide.heatmap import Heatmap
from her2core.slide.in_memory import preview_slide
from her2core.slide.overlay import heatmap_layer, overlay_outline, planned_tiles, tissue_outline
from her2core.slide.plan import TileGrid
from her2core.slide.sources import open_source
from her2core.slide.tissue import TissueMask

pytest.importorskip("openslide", reason="the extra slide is not installed")


def coordinates(height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3) that tells where a pixel is: slopes along x and y, and squares of 64 px in the third channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, 200 * ((x // 64 + y // 64) % 2)], axis=-1).astype(np.uint8)


def block_mean(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks; at the right and lower edge of what there is."""
    height, width = -(-pixels.shape[0] // factor), -(-pixels.shape[1] // factor)
    padded = np.full((height * factor, width * factor, 3), np.nan)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return np.nanmean(padded.reshape(height, factor, width, factor, 3), axis=(1, 3))


def whole_level(source, zoom: DeepZoom, level: int) -> np.ndarray:
    """A level put together from its tiles; NaN where no tile is, and neighbours must agree where they overlap."""
    width, height = zoom.size(level)
    found = np.full((height, width, 3), np.nan)
    columns, rows = zoom.grid(level)
    for row in range(rows):
        for column in range(columns):
            left, top, right, bottom = zoom.bounds(level, column, row)
            tile = deep_zoom_tile(source, zoom, level, column, row)
            assert tile.shape == (bottom - top, right - left, 3)
            place = found[top:bottom, left:right]
            assert np.nanmax(np.abs(place - tile)[..., :2], initial=0) <= 2
            place[:] = tile
    return found


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1021, 517), (257, 1003), (301, 9)])
@pytest.mark.parametrize("kind", ["pyramid", "plain"])
def test_every_level_shows_the_mean_of_its_place(tmp_path, width, height, kind):
    pixels = coordinates(height, width)
    if kind == "pyramid":
        path = write_pyramid(tmp_path / "S.svs", pixels, factors=(1, 4) if height > 9 else (1,))
    else:
        path = tmp_path / "S.png"
        path.write_bytes(encode_png(pixels))
    with SlideHandles().source(path) as source:
        zoom = DeepZoom(width, height, tile=126)
        assert (deep_zoom(source).width, deep_zoom(source).height) == (width, height)
        for level in range(zoom.first, zoom.last + 1):
            factor = 2 ** (zoom.last - level)
            found, truth = whole_level(source, zoom, level), block_mean(pixels, factor)
            assert found.shape == truth.shape
            error = np.abs(found - truth)
            # OpenSlide places a level by a rounded factor, by a part of a pixel: seen at the borders of the squares.
            inner = error[: max(1, height // factor), : max(1, width // factor)]
            assert inner[..., :2].max() <= 2, level
            assert inner[..., 2].max() <= (40 if kind == "pyramid" else 2), level
            # OpenSlide blends the outermost row and column of a level whose size is no whole part with the background.
            assert kind == "pyramid" or error[..., :2].max() <= 2, level


def test_levels_whose_sizes_are_no_powers_of_two_are_resampled_in_place(tmp_path):
    pixels = coordinates(900, 1200)
    path = write_pyramid(tmp_path / "S.svs", pixels, factors=(1, 3))
    with SlideHandles().source(path) as source:
        zoom = DeepZoom(1200, 900, tile=126)
        found, truth = whole_level(source, zoom, zoom.last - 2), block_mean(pixels, 4)
    assert np.abs(found - truth)[..., :2].max() <= 2
    assert np.abs(found - truth)[..., 2].mean() < 8  # squares: a third of a pixel of blur at their borders


def test_geometry_is_that_of_the_deep_zoom_format():
    zoom = DeepZoom(1024, 768, tile=254)
    assert (zoom.last, zoom.size(zoom.last), zoom.size(0), zoom.first) == (10, (1024, 768), (1, 1), 7)
    assert zoom.grid(10) == (5, 4)
    assert zoom.bounds(10, 0, 0) == (0, 0, 255, 255)
    assert zoom.bounds(10, 4, 3) == (1015, 761, 1024, 768)
    assert DeepZoom(1025, 3).last == 11
    assert DeepZoom(1, 1).last == DeepZoom(1, 1).first == 0


@pytest.mark.parametrize("place", [(11, 0, 0), (-1, 0, 0), (10, 3, 0), (10, 0, 2), (10, -1, 0), (0, 0, 1)])
def test_a_tile_that_there_is_none_of_is_refused(place):
    with pytest.raises(ConfigError, match="deep zoom"):
        DeepZoom(1024, 768).bounds(*place)


def test_a_tile_of_a_coarse_level_is_read_in_bands(tmp_path, monkeypatch):
    """However large the slide: the same pixels, and never more of them at once than the limit."""
    path = tmp_path / "S.png"
    path.write_bytes(encode_png(coordinates(700, 900)))
    with SlideHandles().source(path) as source:
        zoom, read = deep_zoom(source), []
        whole = deep_zoom_tile(source, zoom, zoom.last - 2, 0, 0)
        monkeypatch.setattr("her2core.slide.deep_zoom._BAND_PIXELS", 20_000)
        real = source.read
        source.read = lambda lv, x, y, w, h: (read.append(w * h), real(lv, x, y, w, h))[1]
        np.testing.assert_array_equal(deep_zoom_tile(source, zoom, zoom.last - 2, 0, 0), whole)
    assert len(read) > 10
    assert max(read) <= 20_000


class Opened:
    """A source that counts how often slides are opened and closed."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []

    def __call__(self, path: Path):
        source, name = open_source(path), path.name
        self.opened.append(name)
        close = source.close
        source.close = lambda: (self.closed.append(name), close())[1]
        return source


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for number, path in enumerate(paths):
        path.write_bytes(encode_png(np.full((40, 60, 3), 50 * number, np.uint8)))
    return paths


def test_the_least_recently_used_slide_is_closed_first(files):
    a, b, c = files
    count = Opened()
    handles = SlideHandles(capacity=2, opener=count)
    for path in (a, b, a, c, a):
        with handles.source(path) as source:
            assert source.levels[0].width == 60
    assert count.opened == ["a.png", "b.png", "c.png"]
    assert count.closed == ["b.png"]
    assert handles.open_paths == [c, a]
    handles.close()
    assert sorted(count.closed) == ["a.png", "b.png", "c.png"]


def test_memory_is_a_limit_too(files):
    count = Opened()
    handles = SlideHandles(capacity=9, memory=2 * 40 * 60 * 3, opener=count)
    for path in files:
        with handles.source(path):
            pass
    assert count.closed == ["a.png"]
    alone = SlideHandles(capacity=9, memory=1, opener=count)
    with alone.source(files[0]):
        pass
    assert alone.open_paths == [files[0]]


def test_a_slide_that_is_read_is_closed_by_its_last_reader(files):
    count = Opened()
    handles = SlideHandles(capacity=1, opener=count)
    with handles.source(files[0]) as first:
        with handles.source(files[1]):
            assert count.closed == []
        assert first.read(first.levels[0], 0, 0, 2, 2)[0].shape == (2, 2, 3)
    assert count.closed == ["a.png"]


def test_threads_share_one_handle_and_read_what_they_asked_for(files):
    count = Opened()
    handles = SlideHandles(capacity=2, opener=count)
    wrong: list[int] = []
    start = threading.Barrier(6)

    def read(number: int) -> None:
        start.wait()
        for turn in range(60):
            k = (number + turn) % 3
            with handles.source(files[k]) as source:
                pixels, _ = source.read(source.levels[0], 0, 0, 60, 40)
                if pixels.shape != (40, 60, 3) or not (pixels == 50 * k).all():
                    wrong.append(k)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(handles.open_paths) <= 2
    handles.close()
    assert sorted(count.opened) == sorted(count.closed)


def test_an_exchanged_file_is_opened_anew_and_a_vanished_one_is_a_sentence(files):
    count = Opened()
    handles = SlideHandles(opener=count)
    with handles.source(files[0]):
        pass
    files[0].unlink()
    files[0].write_bytes(encode_png(np.full((41, 61, 3), 9, np.uint8)))
    with handles.source(files[0]) as source:
        assert source.levels[0].width == 61
    assert count.closed == ["a.png"]
    assert handles.open_paths == [files[0]]
    files[0].unlink()
    with pytest.raises(ImageError, match="no such file"), handles.source(files[0]):
        pass
    (files[0]).write_bytes(b"II*\0 truncated")
    with pytest.raises(ImageError), handles.source(files[0]):
        pass


def test_the_scale_is_asked_for_by_a_slide_and_not_by_its_source(tmp_path):
    path = write_pyramid(tmp_path / "S.svs", slide_pixels(), mpp=None)
    handles = SlideHandles()
    with handles.source(path) as source:
        assert source.stated.mpp_x is None
    with pytest.raises(ImageError, match="reliable scale"), handles.slide(path):
        pass
    with handles.slide(path, mpp=0.5) as slide:
        assert slide.scale.mpp == 0.5
    assert handles.open_paths == [path]


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_outline_is_where_the_tissue_was_drawn(tmp_path):
    path = write_pyramid(tmp_path / "S.svs", slide_pixels(), mpp=0.5)
    found = preview_slide(path, TileGrid(64.0))
    corners = np.concatenate(found.outline)
    np.testing.assert_allclose(corners.min(axis=0), (256, 128), atol=16)  # a pixel of the mask is 16 level-0 pixels
    np.testing.assert_allclose(corners.max(axis=0), (768, 640), atol=16)
    packed = overlay_outline(found.outline)
    assert numbers(packed["lengths"], "<i4").sum() == len(corners)
    np.testing.assert_array_equal(numbers(packed["corners"], "<i4").reshape(-1, 2), corners)


def test_holes_are_outlined_from_a_size_on():
    tissue = np.zeros((100, 100), bool)
    tissue[10:90, 10:90] = True
    tissue[20:60, 20:60] = False  # 320 microns
    tissue[70:76, 70:76] = False  # 48 microns
    empty = np.zeros_like(tissue)
    found = tissue_outline(TissueMask(tissue, empty, empty, 8.0), 8.0)
    assert sorted(int(np.ptp(part[:, 0])) for part in found) == [pytest.approx(40, abs=2), 80]


def test_planned_tiles_are_those_of_the_plan(tmp_path):
    path = write_pyramid(tmp_path / "S.svs", slide_pixels(), mpp=0.5)
    found = preview_slide(path, TileGrid(64.0))
    sent = planned_tiles(found.grid)
    kept = found.grid[found.grid["stage"] == ""]
    opens = [k for k, group in enumerate(sent["groups"]) if group["opens"]]
    inside = np.isin(numbers(sent["group"], "u1"), opens)
    assert inside.sum() == found.tiles == len(kept)
    np.testing.assert_allclose(numbers(sent["x"], "<f4")[inside], kept["x"])
    np.testing.assert_array_equal(numbers(sent["row"], "<u2")[inside], kept["row"])
    assert sent["side"] == 128.0


def test_the_heatmap_lies_on_its_tiles():
    values = np.full((1, 8, 12), np.nan, np.float32)
    values[0, :4, 4:8] = 1.0
    state = np.where(np.isnan(values[0]), 0, 3).astype(np.uint8)
    layer = heatmap_layer(Heatmap(("a",), values, state, 28.0), "a", 0.25)
    assert (layer["width"], layer["height"]) == (12 * 112, 8 * 112)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer["picture"].split(",")[1]))))
    assert picture.shape == (8, 12, 4)
    np.testing.assert_array_equal(picture[..., 3] > 0, state == 3)
