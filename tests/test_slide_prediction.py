"""``her2 slide``: tiles, answers, heatmap, exports, resumption, and slides that fail or vanish.

Oracles: ``Predictor.predict`` on crops cut by hand, NumPy's mean, tifffile's and json's own readers.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from slide_files import glass, slide_pixels, tissue, write_pyramid

from her2core import Predictor, load_predictor
from her2core.errors import ImageError
from her2core.evidence.reservation import reservation
from her2core.runs.folder import open_run
from her2core.slide import predict
from her2core.slide.heatmap import STATES, make_heatmap
from her2core.slide.jobs import SlideJob
from her2core.slide.predict import SlideSettings, predict_slide, slide_grid
from her2core.slide.reader import Slide
from her2core.slide.result import BLOCK, predict_unit
from her2core.slide.units import Microns

pytest.importorskip("openslide", reason="the extra slide is not installed")


@pytest.fixture(scope="module")
def run(run_of_64_microns) -> Path:
    return run_of_64_microns


@pytest.fixture(scope="module")
def predictor(run) -> Predictor:
    return load_predictor(run)


@pytest.fixture
def slides(tmp_path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    write_pyramid(folder / "S1.tif", slide_pixels())
    write_pyramid(folder / "S2.tif", np.ascontiguousarray(slide_pixels()[::-1]))
    (tmp_path / "slides.csv").write_text("slide,patient_id\nS1,P1\nS2,P1\n")
    return folder


def settings(predictor, **more) -> SlideSettings:
    return SlideSettings(slide_grid(predictor), **more)


def test_tiles_are_predicted_as_patches_of_that_field_of_view(predictor, slides, tmp_path):
    about, reused = predict_slide(predictor, SlideJob(slides / "S1.tif", "S1"), tmp_path / "out", settings(predictor))
    assert not reused
    assert (about["tile_px"], about["tile_mpp"]) == (64, 1.0)
    tiles = pd.read_parquet(tmp_path / "out" / "slides" / "S1" / "tiles.parquet")
    assert len(tiles) == 16
    names = [f"probability_{c}" for c in predictor.classes]
    whole = Image.fromarray(slide_pixels())
    for tile in tiles.itertuples():
        box = (tile.x, tile.y, tile.x + 128, tile.y + 128)
        alone = predictor.predict(np.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS, box=box)), mpp=1.0)
        assert tile.flags == " ".join(alone.flags)
        assert np.allclose([getattr(tile, n) for n in names], alone.probabilities, atol=1e-4)
    counted = tiles[tiles["counts"]]
    prediction = about["prediction"]
    assert len(counted)
    assert np.allclose(prediction["probabilities"], counted[names].mean(), atol=1e-6)
    assert prediction["rule"] == "mean"
    assert prediction["counted"] == len(counted)


def test_the_command_writes_answers_and_exports(her2, run, slides):
    code, out, err = her2("slide", run, slides, "--out", "o", "--table", slides.parent / "slides.csv")
    assert code == 0, err
    assert out.splitlines()[0] == reservation(open_run(run))  # above every number
    assert "slide S1:" in out
    assert "patient P1:" in out
    assert "Research use only" in out
    table = pd.read_csv("o/slides.csv")
    assert table["slide_id"].tolist() == ["S1", "S2"]
    patients = pd.read_csv("o/patients.csv")
    assert patients["slides"].tolist() == [2]
    assert set(patients["notice"]) == {"Research use only."}
    both = pd.concat([pd.read_parquet(f"o/slides/{s}/tiles.parquet") for s in ("S1", "S2")])
    counted = both[both["counts"]]
    name = "probability_positive"
    assert len(counted)
    assert patients[name].iloc[0] == pytest.approx(counted[name].mean())
    assert {p.name for p in Path("o/slides/S1").iterdir()} == {
        *("tiles.parquet", "tiles.geojson", "heatmap.ome.tif", "heatmap.png", "slide.json")
    }
    code, out, err = her2("slide", run, slides, "--out", "o", "--table", slides.parent / "slides.csv", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["patients"][0]["name"] == "P1"
    assert said["accuracy"] == reservation(open_run(run))
    assert her2("slide", run, slides, "--out", "o")[0] == 0
    assert not Path("o/patients.csv").exists()  # of the run with patients, perhaps of another model


def test_geojson_is_what_qupath_reads(predictor, slides, tmp_path):
    job = SlideJob(slides / "S1.tif", "S1")
    predict_slide(predictor, job, tmp_path / "out", settings(predictor))
    path = tmp_path / "out" / "slides" / "S1" / "tiles.geojson"
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    tiles = pd.read_parquet(path.with_name("tiles.parquet"))
    assert len(content["features"]) == len(tiles)
    assert len({uuid.UUID(f["id"]) for f in content["features"]}) == len(tiles)
    for feature, row in zip(content["features"], tiles.itertuples(), strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert ring[0] == [row.x, row.y]
        assert ring[2] == [row.x + 128, row.y + 128]
        about = feature["properties"]
        assert about["objectType"] == "tile"
        assert all(isinstance(v, int | float) for v in about["measurements"].values())
        assert all(0 <= v <= 255 for v in about["classification"]["color"])
        assert (about["classification"]["name"] in predictor.classes) == row.counts
    before = path.read_bytes()
    shutil.rmtree(tmp_path / "out")
    predict_slide(predictor, job, tmp_path / "out", settings(predictor))
    assert path.read_bytes() == before, "the same slide gives the same ids"


def test_the_heatmap_keeps_what_is_low_unlike_and_unseen_apart(tmp_path):
    tiles = pd.DataFrame(
        {
            "x_um": [0.0, 1000.0, 2000.0],
            "y_um": 0.0,
            "state": ["counted", "out_of_distribution", "not_assessable"],
            "probability_a": [0.0, 0.0, 0.0],
        }
    )
    size = {"width": Microns(300_000.0), "height": Microns(1000.0), "tile": Microns(1000.0)}
    heatmap = make_heatmap(tiles, ("a",), **size)
    assert heatmap.state[0, ::4][:5].tolist() == [3, 2, 1, 0, 0]
    assert heatmap.values[0, 0, 0] == 0.0
    assert np.isnan(heatmap.values[0, :, 4:]).all()
    path = predict.write_ome_tiff(tmp_path / "h.ome.tif", heatmap)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        (series,) = file.series
        assert series.axes == "CYX"
        assert [level.shape[2] for level in series.levels] == [1200, 600, 300, 150]
        planes = series.asarray()
        smaller = series.levels[-1].asarray()
        text = file.ome_metadata
    assert np.array_equal(planes[1], heatmap.state.astype(np.float32))
    assert np.array_equal(planes[0], heatmap.values[0], equal_nan=True)
    assert smaller[1, 0, 0] == STATES["counted"][0]
    assert 'PhysicalSizeX="250.0"' in text
    assert "probability of a" in text


def test_an_interrupted_slide_goes_on_where_it_stopped(predictor, tmp_path, monkeypatch):
    path = write_pyramid(tmp_path / "S.tif", np.tile(slide_pixels()[128:640, 256:768], (2, 2, 1)), factors=(1,))
    job, out = SlideJob(path, "S"), tmp_path / "out"
    monkeypatch.setattr(predict, "PART_TILES", 16)
    monkeypatch.setattr("her2core.slide.stream.READ_SIDE", 512)
    calls = []

    def counting(self, images, **more):
        calls.append(len(images))
        return real(self, images, **more)

    real = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", counting)
    predict_slide(predictor, job, tmp_path / "whole", settings(predictor))
    total = sum(calls)

    def stop(done, of):
        if done > 0.6 * of:
            raise KeyboardInterrupt

    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        predict_slide(predictor, job, out, settings(predictor), progress=stop)
    assert not (out / "slides").exists()
    first = sum(calls)
    calls.clear()
    predict_slide(predictor, job, out, settings(predictor))
    assert 0 < sum(calls) < total
    assert first + sum(calls) < 1.5 * total
    frames = [pd.read_parquet(folder / "slides" / "S" / "tiles.parquet") for folder in (tmp_path / "whole", out)]
    pd.testing.assert_frame_equal(*frames)
    calls.clear()
    assert predict_slide(predictor, job, out, settings(predictor))[1]
    assert calls == []


def test_slides_that_fail_or_vanish_are_named_and_the_rest_goes_on(her2, run, slides, real_data, monkeypatch):
    shutil.copy(real_data / "slides" / "broken.svs", slides / "A.svs")
    write_pyramid(slides / "G.tif", glass(512, 512))
    real = Slide.overview

    def vanishing(self, mpp):
        if self.name == "S1":
            self.path.unlink()
            raise ImageError("a slide that can be read", got="a file that vanished", where=self.name, fix="Connect it.")
        return real(self, mpp)

    monkeypatch.setattr(Slide, "overview", vanishing)
    code, out, _ = her2("slide", run, slides, "--out", "o", "--table", slides.parent / "slides.csv")
    assert code == 1
    assert "without 1 of their slides, which failed" in pd.read_csv("o/patients.csv")["notes"][0]
    assert set(pd.read_csv("o/failed.csv")["slide_id"]) == {"A", "S1"}
    assert set(pd.read_csv("o/slides.csv")["slide_id"]) == {"G", "S2"}
    assert "no tile with tissue was found" in out
    monkeypatch.undo()


def test_a_slide_too_coarse_for_the_network_is_refused(predictor, tmp_path):
    path = write_pyramid(tmp_path / "S.tif", slide_pixels(), mpp=8.0)
    with pytest.raises(ImageError, match="microns per pixel"):
        predict_slide(predictor, SlideJob(path, "S"), tmp_path / "out", settings(predictor))


def unit_tiles(high: np.ndarray, *, block: float = BLOCK.value) -> pd.DataFrame:
    rows = pd.DataFrame({"slide_id": "S1", "x_um": np.arange(len(high)) * block, "y_um": 0.0, "flags": ""})
    return rows.assign(tissue=True, counts=True, probability_low=1 - high, probability_high=high)


def answer_of(tiles):
    return predict_unit(tiles, ("low", "high"), unit="slide", name="S1", rule=("mean", ""), model="m")


def test_the_interval_widens_with_the_spread_between_blocks_of_tissue():
    rng = np.random.default_rng(0)
    alike, apart = (answer_of(unit_tiles(np.clip(0.6 + s * rng.normal(size=40), 0, 1))) for s in (0.02, 0.3))
    width = [found.upper[1] - found.lower[1] for found in (alike, apart)]
    assert width[0] < 0.03 < width[1]
    assert alike.agreement[1] == 1.0
    assert sum(apart.agreement) == pytest.approx(1.0)
    together = answer_of(
        unit_tiles(np.repeat(np.clip(0.6 + 0.3 * rng.normal(size=12), 0, 1), 30), block=BLOCK.value / 30)
    )
    assert together.blocks == 12
    assert together.upper[1] - together.lower[1] > 0.1, "360 alike tiles are no 360 observations"


def test_an_answer_names_every_class_that_other_tissue_would_have_given():
    rng = np.random.default_rng(1)
    open_case = answer_of(unit_tiles(np.clip(0.5 + 0.3 * rng.normal(size=20), 0, 1)))
    assert min(open_case.agreement) > 0.05
    assert open_case.answer == "low or high"
    clear = answer_of(unit_tiles(np.clip(0.8 + 0.1 * rng.normal(size=20), 0, 1)))
    assert clear.answer == clear.label == "high"
    assert clear.as_dict()["named"] == ["high"]


def test_few_blocks_have_no_interval_and_few_like_tiles_no_answer():
    few = answer_of(unit_tiles(np.full(4, 0.9)))
    assert few.answer == "high"
    assert few.lower == ()
    assert "no interval" in " ".join(few.notes)
    tiles = unit_tiles(np.full(10, 0.9))
    tiles.loc[:6, ["counts", "flags"]] = [False, "out_of_distribution"]
    unlike = answer_of(tiles)
    assert unlike.label is None
    assert unlike.answer == "No reliable answer"
    assert "3 of 10" in unlike.reasons[0]


def test_memory_of_the_stream_does_not_grow_with_the_slide(predictor, tmp_path):
    """Of a slide of 36 groups never more than those read ahead are held."""
    from her2core.slide.plan import TileGrid, plan_tiles
    from her2core.slide.reader import open_slide
    from her2core.slide.stream import _AHEAD, stream_tiles, tile_groups

    path = write_pyramid(tmp_path / "S.tif", np.tile(tissue(128), (12, 12, 1)), factors=(1,))
    reading = []
    with open_slide(path) as slide:
        tiles = plan_tiles(slide, TileGrid(64.0)).kept
        groups = [np.array([i]) for i in range(len(tiles))]
        assert len(tile_groups(slide, tiles, 128)) < len(groups)
        real = slide.read_tiles
        slide.read_tiles = lambda boxes, px: (reading.append(1), real(boxes, px))[1]  # type: ignore[method-assign]
        for done, _ in enumerate(stream_tiles(slide, tiles, groups, 128, threads=2), 1):
            assert len(reading) <= done + 2 * (_AHEAD + 1)
