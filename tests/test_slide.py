"""Whole slides: units, exact scale, doubtful scales, tissue mask, grid, annotated regions, damaged files.

Oracles: Pillow's resampling of the whole picture for tiles, areas by hand for regions, drawn positions for the mask.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from slide_files import glass, slide_pixels, tissue, write_pyramid

from her2core import ConfigError, ImageError
from her2core.slide.grid import POLICIES, grid_starts
from her2core.slide.jobs import slide_jobs
from her2core.slide.plan import TileGrid, plan_tiles
from her2core.slide.reader import open_slide
from her2core.slide.regions import read_regions
from her2core.slide.scale import StatedScale, slide_mpp
from her2core.slide.stream import stream_tiles, tile_groups
from her2core.slide.tissue import tissue_mask
from her2core.slide.units import Level, Level0Pixels, LevelPixels, Microns, Scale, TilePixels

pytest.importorskip("openslide", reason="the extra slide is not installed")


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("slides") / "S1.tif", slide_pixels())


UNITS = [Microns(2.0), Level0Pixels(2.0), TilePixels(2.0), LevelPixels(2.0, 0), LevelPixels(2.0, 1)]


@pytest.mark.parametrize("left", UNITS)
@pytest.mark.parametrize("right", UNITS)
def test_units_never_mix(left, right):
    if left == right:
        assert left + right == 2 * left
        assert left - right == 0 * left
        assert left / right == 1.0
        return
    for operation in (lambda: left + right, lambda: left - right, lambda: left / right):
        with pytest.raises(TypeError):
            operation()
    with pytest.raises(TypeError):
        left * right


def test_units_convert_only_by_a_scale_or_a_level():
    assert Scale(0.25).level0(Microns(10.0)) == Level0Pixels(40.0)
    assert Scale(0.5).tile(Microns(10.0)) == TilePixels(20.0)
    level = Level(2, 10, 10, 16.0)
    assert level.level0(level.pixels(Level0Pixels(320.0))) == Level0Pixels(320.0)
    with pytest.raises(ConfigError):
        level.level0(LevelPixels(1.0, 1))
    with pytest.raises(ConfigError):
        Scale(0.0)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (StatedScale(), "no scale"),
        (StatedScale(None, None, 20.0), "20x objective"),
        (StatedScale(0.0, 0.0, 20.0), "no scanner has"),
        (StatedScale(float("nan"), 0.5), "no scanner has"),
        (StatedScale(0.25, 0.5), "not square"),
        (StatedScale(0.25, 0.25, 20.0), "20x objective"),
        (StatedScale(0.5, 0.5, 40.0), "40x objective"),
    ],
)
def test_a_missing_or_doubtful_scale_is_refused_with_the_way_out(stated, said):
    with pytest.raises(ImageError, match=said) as refused:
        slide_mpp(stated, None, where="S1")
    assert "--mpp" in refused.value.fix
    assert "--table" in refused.value.fix
    assert slide_mpp(stated, 0.5, where="S1") == (0.5, "the user")


@pytest.mark.parametrize("objective", [None, 20.0])
def test_a_sound_scale_is_taken_as_stated(objective):
    assert slide_mpp(StatedScale(0.499, 0.499, objective, "x"), None, where="S1") == (0.499, "x")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("length", "tile", "stride"), [(1000, 300, 300), (900, 300, 300), (1000, 300, 200)])
def test_the_grid_covers_what_its_policy_says(policy, length, tile, stride):
    starts = grid_starts(Microns(length), Microns(tile), Microns(stride), policy=policy)
    assert (np.diff(starts) > 0).all()
    assert starts[0] == 0
    end = starts[-1] + tile
    fits = (length - tile) % stride == 0
    if fits:
        assert end == length
    else:
        assert {"shift": end == length, "keep": end > length, "drop": length - stride < end < length}[policy]


def test_a_grid_of_impossible_settings_is_refused():
    for tile, stride, policy in ((100, 200, "shift"), (0, 0, "shift"), (100, 100, "nearest")):
        with pytest.raises(ConfigError):
            grid_starts(Microns(500), Microns(tile), Microns(stride), policy=policy)
    assert len(grid_starts(Microns(50), Microns(100), Microns(100), policy="shift")) == 0


def test_tiles_at_the_slides_own_scale_are_its_pixels(pyramid):
    with open_slide(pyramid) as slide:
        assert slide.scale.mpp == pytest.approx(0.5)
        tiles, _ = slide.read_tiles([(256.0, 128.0, 128.0), (300.0, 200.0, 128.0)], 128)
    pixels = slide_pixels()
    assert np.array_equal(tiles[0], pixels[128:256, 256:384])
    assert np.array_equal(tiles[1], pixels[200:328, 300:428])


def test_another_scale_is_resampled_from_the_finer_level_with_exact_borders(tmp_path):
    """With levels at 1 and 4 a tile at 2.5 comes from level 0: from level 4 its detail would be gone."""
    pixels = slide_pixels()
    path = write_pyramid(tmp_path / "S.tif", pixels)
    box = (256.0 + 0.4, 128.0 + 0.7, 320.3)
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 4.0]
        (tile,), _ = slide.read_tiles([box], 128)
        assert slide.level_for(0.5 * 320.3 / 128).number == 0
        assert slide.level_for(2.0).number == 1
    x, y, side = box
    expected = Image.fromarray(pixels).resize((128, 128), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side))
    assert np.abs(tile.astype(int) - np.asarray(expected)).max() <= 1


def test_what_lies_beyond_the_slide_is_white(pyramid):
    with open_slide(pyramid) as slide:
        (tile,), _ = slide.read_tiles([(1024.0 - 64, 768.0 - 64, 128.0)], 128)
    assert (tile[64:] == 255).all()
    assert (tile[:, 64:] == 255).all()
    assert (tile[:64, :64] == glass(1, 1)[0, 0]).all()


def test_a_pyramid_and_a_plain_image_give_the_same_tiles(tmp_path, pyramid):
    Image.fromarray(slide_pixels()).save(tmp_path / "S1.png")
    boxes = [(260.3, 140.8, 200.0), (500.0, 300.0, 200.0)]
    with open_slide(pyramid) as slide, open_slide(tmp_path / "S1.png", mpp=0.5) as plain:
        one, other = slide.read_tiles(boxes, 112)[0], plain.read_tiles(boxes, 112)[0]
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_overview_is_the_slide_at_low_power(pyramid):
    with open_slide(pyramid) as slide:
        overview = slide.overview(4.0)
    assert overview.shape == (96, 128, 3)
    reference = np.asarray(Image.fromarray(slide_pixels()).reduce(8))
    assert np.abs(overview.astype(int) - reference).max() <= 2


def test_the_plan_keeps_the_tissue_and_counts_the_rest(pyramid):
    with open_slide(pyramid) as slide:
        plan = plan_tiles(slide, TileGrid(64.0))
    inside = {(c, r) for c in range(2, 6) for r in range(1, 5)}
    assert {(t.column, t.row) for t in plan.kept.itertuples()} == inside
    counts = dict(zip(plan.audit["stage"], plan.audit["left_out"], strict=True))
    assert counts == {"grid": 0, "region": 0, "glass": 48 - 16, "ink": 0, "fold": 0}
    assert plan.audit["remaining"].tolist()[-1] == 16


def test_pen_and_folds_are_screened_and_specks_dropped():
    picture = glass(600, 600)
    for i in range(4):
        picture[100 : 100 + 256, 64 + 128 * i : 192 + 128 * i] = np.tile(tissue(128, i), (2, 1, 1))
    one_layer = np.median(picture[100:356, 64:576].reshape(-1, 3), axis=0) / 243
    picture[150:300, 80:110] = (one_layer**2.3 * 243).astype(np.uint8)
    drawing = Image.fromarray(picture)
    ImageDraw.Draw(drawing).line((400, 20, 560, 580), fill=(20, 140, 60), width=14)
    drawing.putpixel((20, 20), (215, 120, 180))
    mask = tissue_mask(np.asarray(drawing), 4.0)
    assert mask.ink[10:-10].any(axis=1).all(), "the stroke runs from top to bottom"
    assert mask.fold[80:145, 42:53].mean() > 0.8
    assert mask.fold[:, 60:].mean() < 0.01
    assert not mask.tissue[:20, :20].any(), "a speck is no tissue"
    assert mask.tissue[60:170, 120:160].mean() > 0.9


def test_the_stream_gives_every_tile_once_in_the_same_order(pyramid):
    with open_slide(pyramid) as slide:
        tiles = plan_tiles(slide, TileGrid(32.0, 16.0)).kept
        groups = tile_groups(slide, tiles, 64)
        found = list(stream_tiles(slide, tiles, groups, 64, threads=3))
        assert np.array_equal(np.concatenate([g.rows for g in found]), np.concatenate(groups))
        assert sorted(np.concatenate(groups)) == list(range(len(tiles)))
        last = found[-1]
        place = tiles.iloc[int(last.rows[-1])]
        alone = slide.read_tiles([(place["x"], place["y"], place["side"])], 64)[0][0]
    assert np.array_equal(last.images[-1], alone)


SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300]]


def aperio(*regions: tuple[list, int]) -> str:
    text = "".join(
        f'<Region NegativeROA="{negative}"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
        + "</Vertices></Region>"
        for ring, negative in regions
    )
    return f"<?xml version='1.0'?><Annotations><Annotation><Regions>{text}</Regions></Annotation></Annotations>"


def geojson(kind: str, coordinates) -> str:
    feature = {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": {}}
    return json.dumps({"type": "FeatureCollection", "features": [feature]})


HOLE = [[150, 150], [250, 150], [250, 250], [150, 250]]


@pytest.mark.parametrize(
    ("name", "text", "area"),
    [
        ("a.xml", aperio((SQUARE, 0)), 40_000),
        ("a.xml", aperio((SQUARE, 0), (HOLE, 1)), 30_000),
        ("a.json", json.dumps({"positive": [{"vertices": SQUARE}], "negative": []}), 40_000),
        ("a.geojson", geojson("Polygon", [[*SQUARE, SQUARE[0]], [*HOLE, HOLE[0]]]), 30_000),
        ("a.geojson", geojson("MultiPolygon", [[[*SQUARE, SQUARE[0]]]]), 40_000),
        ("a.json", json.dumps(json.loads(geojson("Polygon", [SQUARE]))["features"]), 40_000),
    ],
)
def test_regions_of_three_programs(tmp_path, name, text, area):
    (tmp_path / name).write_text(text)
    regions = read_regions(tmp_path / name, width=1000, height=1000)
    assert regions.shape.area == pytest.approx(area)
    assert regions.notes == ()
    shares = regions.shares(np.array([100.0, 250.0, 900.0]), np.array([100.0, 250.0, 900.0]), 50.0)
    assert shares.tolist() == pytest.approx([1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("text", "area", "note"),
    [
        (aperio(([[0, 0], [100, 100], [100, 0], [0, 100]], 0)), 5_000, "crosses itself"),
        (aperio(([[900, 0], [1100, 0], [1100, 100], [900, 100]], 0)), 10_000, "beyond the slide"),
        (aperio((SQUARE, 0), ([[1, 1], [9, 9]], 0)), 40_000, "no area"),
    ],
)
def test_doubtful_regions_are_repaired_and_said(tmp_path, text, area, note):
    (tmp_path / "a.xml").write_text(text)
    regions = read_regions(tmp_path / "a.xml", width=1000, height=1000)
    assert regions.shape.area == pytest.approx(area)
    assert note in " ".join(regions.notes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<Annotations",
        "<svg/>",
        "{",
        "[1]",
        '{"positive": 3}',
        '{"positive": [{"vertices": [["a", 1]]}]}',
        aperio(([[5000, 5000], [6000, 5000], [6000, 6000]], 0)),
        '<!DOCTYPE a [<!ENTITY b "c">]><Annotations/>',
        aperio(([["nan", 0], [1, 1], [1, 0]], 0)),
        geojson("Point", [1, 1]),
        "[" * 100_000,
        geojson("Polygon", []),
        '{"type": "Feature", "geometry": null, "properties": {}}',
        '{"positive": [{"vertices": [[]]}]}',
        f'{{"positive": [{{"vertices": [[{"9" * 400}, 1]]}}]}}',
    ],
)
def test_annotations_without_a_region_on_the_slide_are_refused(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ImageError, match="annotations|region"):
        read_regions(tmp_path / "a.xml", width=1000, height=1000)


def test_regions_limit_the_tiles(tmp_path, pyramid):
    (tmp_path / "S1.xml").write_text(aperio(([[256, 128], [512, 128], [512, 384], [256, 384]], 0)))
    (job,), _ = slide_jobs([pyramid], regions=tmp_path)
    with open_slide(pyramid) as slide:
        plan = plan_tiles(slide, TileGrid(64.0), job.read_regions(slide))
    assert {(t.column, t.row) for t in plan.kept.itertuples()} == {(c, r) for c in (2, 3) for r in (1, 2)}
    assert plan.audit.set_index("stage").loc["region", "left_out"] == 44


def test_what_is_no_slide_is_refused_in_a_sentence(tmp_path, real_data):
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "folder.svs").mkdir()
    for path in (
        tmp_path / "absent.svs",
        tmp_path / "empty.svs",
        tmp_path / "folder.svs",
        real_data / "slides/broken.svs",
    ):
        with pytest.raises(ImageError, match="slide"):
            open_slide(path, mpp=0.5)


def test_a_truncated_slide_is_refused_and_never_partly_white(tmp_path, real_data):
    whole = (real_data / "slides" / "cmu-1-small-region.svs").read_bytes()
    for share in (0.3, 0.9, 0.99):
        path = tmp_path / "cut.svs"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ImageError, match="slide"), open_slide(path, mpp=0.499) as slide:
            slide.overview(0.499)


def test_real_slides_have_their_scale_or_ask_for_it(real_data):
    with open_slide(real_data / "slides" / "cmu-1-small-region.svs") as slide:
        assert (slide.width, slide.height) == (Level0Pixels(2220), Level0Pixels(2967))
        assert slide.scale.mpp == 0.499
    with pytest.raises(ImageError, match="no scale"):
        open_slide(real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs")


def test_label_and_macro_images_are_never_opened():
    """Nothing in the package touches what OpenSlide calls associated images, whatever the slide carries."""
    package = Path(__file__).resolve().parents[1] / "her2core"
    users = [p.name for p in package.rglob("*.py") if re.search(r"associated_image|\.get_thumbnail", p.read_text())]
    assert users == []


def test_two_slides_with_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_pyramid(tmp_path / folder / "S1.tif", glass(256, 256), factors=(1,))
    with pytest.raises(ConfigError, match="different names"):
        slide_jobs([tmp_path])


def test_a_table_states_scale_patient_and_name_of_slides(tmp_path):
    table = tmp_path / "slides.csv"
    table.write_text("slide,PatientID,mpp,slide_id\nS1.tif,P1,0.25,one\nS2,P2,,\nS9,P9,,\n")
    jobs, left_out = slide_jobs([Path("S1.tif"), Path("S2.svs")], table=table, mpp=0.5)
    assert [(j.slide_id, j.patient_id, j.mpp) for j in jobs] == [("one", "P1", 0.25), ("S2", "P2", 0.5)]
    assert "S9" in left_out[0]


def test_a_slide_of_impossible_size_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_pyramid(tmp_path / "S.tif", glass(256, 256), factors=(1,))
    with open_slide(path) as slide:
        monkeypatch.setattr(type(slide), "width", property(lambda self: Level0Pixels(5e7)))
        monkeypatch.setattr(type(slide), "overview", lambda self, mpp: pytest.fail("it was read"))
        with pytest.raises(ImageError, match="at most"):
            plan_tiles(slide, TileGrid(0.5))
