"""Prediction of large fields: tiles, mean, heatmap and refusals; scale of image files from their metadata.

The oracle of the tiles is ``Predictor.predict`` on crops cut by hand, of the mean NumPy's own.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib import colormaps
from PIL import Image

from her2core import ConfigError, ImageError, import_dataset, load_predictor
from her2core.inference.batch import FIELD, batch_steps
from her2core.inference.field import is_field, predict_field
from her2core.inference.prediction import NO_ANSWER, UNRELIABLE
from her2core.io.images import read_image
from her2core.io.scale import image_scale, parse_mpp
from her2core.io.uploads import read_folder
from her2core.maps.field_overlay import field_overlay
from her2core.slide.result import from_dict, predict_unit

ROOT = Path(__file__).resolve().parents[1]

# The released run on synthetic patches: 112 px of 0.8 microns.


@pytest.fixture(scope="module")
def demo():
    return load_predictor(ROOT / "models" / "demo")


@pytest.fixture(scope="module")
def field(tmp_path_factory) -> np.ndarray:
    """uint8 (336, 448, 3): nine synthetic patches, the last column glass."""
    root = tmp_path_factory.mktemp("cohort")
    manifest = import_dataset("demo", root, patients=9, patches_per_patient=1, px=112, seed=3, workers=1)
    patches = [read_image(root / path) for path in manifest.frame["path"]]
    glass = np.full((112, 112, 3), 245, np.uint8)
    return np.concatenate([np.concatenate([*patches[3 * i : 3 * i + 3], glass], axis=1) for i in range(3)])


def test_tiles_are_the_patches_of_that_field_of_view(demo, field):
    seen = []
    found = predict_field(demo, field, mpp=0.8, batch=5, progress=lambda *step: seen.append(step))
    assert seen == [(5, 12), (10, 12), (12, 12)]
    assert found.size == (448, 336)
    assert set(found.tiles["width"]) == {112}
    names = [f"probability_{c}" for c in found.classes]
    for tile in found.tiles.to_dict("records"):
        crop = field[tile["y"] : tile["y"] + 112, tile["x"] : tile["x"] + 112]
        alone = demo.predict(crop, mpp=0.8)
        assert tile["flags"] == " ".join(alone.flags)
        assert tile["counts"] == (not set(alone.flags) & set(UNRELIABLE))
        assert np.allclose([tile[n] for n in names], alone.probabilities, atol=1e-5)
    glass = found.tiles["x"] == 336
    assert not found.tiles.loc[glass, "tissue"].any()
    assert found.tiles.loc[~glass, "tissue"].all()
    counted = found.tiles[found.tiles["counts"]]
    assert len(counted)
    assert np.allclose(found.probabilities, counted[names].mean())
    assert any("3 tiles left out" in note for note in found.notes)


def test_a_field_of_other_size_is_covered_whole_and_scaled(demo, field):
    found = predict_field(demo, field[:250, :400], mpp=0.8)
    covered = np.zeros((250, 400), bool)
    for tile in found.tiles.itertuples():
        covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = True
    assert covered.all()
    finer = predict_field(demo, np.asarray(Image.fromarray(field).resize((896, 672))), mpp=0.4)
    assert set(finer.tiles["width"]) == {224}
    assert len(finer.tiles) == 12


def test_heatmap_holds_each_tile_where_it_is_and_nothing_on_glass(demo, field):
    found = predict_field(demo, field, mpp=0.8)
    map_ = found.heatmap("positive")
    assert map_.shape == (336, 448)
    assert map_.dtype == np.float32
    assert np.isnan(map_[:, 336:]).all()
    for tile in found.tiles.itertuples():
        piece = map_[tile.y : tile.y + 112, tile.x : tile.x + 112]
        assert np.allclose(piece, tile.probability_positive) if tile.counts else np.isnan(piece).all()
    assert found.heatmap("positive", longest=112).shape == (84, 112)
    with pytest.raises(ConfigError):
        found.heatmap("absent")


def test_the_overlay_colours_counted_tiles_only(demo, field):
    found = predict_field(demo, field, mpp=0.8)
    picture = field_overlay(found, field, "positive", opacity=1.0)
    assert picture.shape == field.shape
    assert np.array_equal(field_overlay(found, field, "positive", opacity=0.0), field)
    for tile in found.tiles.itertuples():
        box = np.s_[tile.y : tile.y + 112, tile.x : tile.x + 112]
        if tile.counts:
            colour = np.array(colormaps["viridis"](tile.probability_positive)[:3]) * 255
            assert np.abs(picture[box].astype(float) - colour).max() < 2
        else:
            assert np.array_equal(picture[box], field[box])


def test_the_command_writes_heatmap_and_tiles_of_a_field_when_asked(her2, demo, field):
    for name in ("field.png", "patch.png"):
        Image.fromarray(field if name == "field.png" else field[:112, :112]).save(name)
    run = ROOT / "models" / "demo"
    code, out, err = her2("predict", run, "field.png", "patch.png", "--mpp", "0.8", "--heatmaps", "maps")
    assert code == 0, err
    most_probable = predict_field(demo, field, mpp=0.8).most_probable
    named = {f"field-{most_probable}.png", "field-tiles.csv"}
    assert {p.name for p in Path("maps").iterdir()} == named, "of the field alone"
    with Image.open(Path("maps", f"field-{most_probable}.png")) as picture:
        assert picture.width == 448
    tiles = pd.read_csv(Path("maps", "field-tiles.csv"))
    assert len(tiles) == 12
    assert set(tiles["notice"]) == {"Research use only."}
    assert all(f"written: maps/{name}" in out for name in named)
    code, out, _ = her2("predict", run, "patch.png", "--mpp", "0.8", "--heatmaps", "none")
    assert code == 0
    assert "no heatmap" in out
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("height", "width", "mpp", "said"),
    [(10, 2000, 0.8, "75 x 75 px"), (2000, 10, 0.8, "75 x 75 px"), (200, 200, 9.0, "microns per pixel")],
)
def test_strips_and_coarse_fields_are_refused(demo, height, width, mpp, said):
    with pytest.raises(ImageError, match=said):
        predict_field(demo, np.full((height, width, 3), 200, np.uint8), mpp=mpp)


def test_a_field_without_tissue_or_unlike_training_names_no_class(demo):
    glass = predict_field(demo, np.full((224, 224, 3), 245, np.uint8), mpp=0.8)
    assert glass.label is None
    assert glass.answer == "No reliable answer"
    assert glass.probabilities == ()
    assert glass.as_dict()["label"] is None
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert predict_field(demo, noise, mpp=0.8).label is None


def test_a_field_and_a_slide_of_one_patch_again_and_again_answer_as_the_patch_does(demo, field):
    """The mean of tiles that leave several classes open names none by itself."""
    answers = []
    for row, column in np.ndindex(3, 3):
        patch = np.ascontiguousarray(field[112 * row : 112 * (row + 1), 112 * column : 112 * (column + 1)])
        alone, found = demo.predict(patch), predict_field(demo, np.tile(patch, (2, 2, 1)), mpp=0.8)
        if not alone.reliable:
            continue
        answers.append(alone.answer)
        assert found.answer == alone.answer
        assert found.as_dict()["named"] == list(alone.prediction_set)
        tiles = found.tiles.assign(slide_id="S", x_um=0.8 * found.tiles["x"], y_um=0.8 * found.tiles["y"])
        unit = predict_unit(tiles, demo.classes, unit="slide", name="S", rule=("mean", ""), model="m", run=demo.run)
        assert unit.answer == alone.answer
        assert from_dict(unit.as_dict()) == unit
    assert any(" or " in answer for answer in answers)


def test_what_is_a_field(demo):
    assert is_field(demo, 112, 112, 0.8) is False
    assert is_field(demo, 336, 336, 0.8) is True
    assert is_field(demo, 10, 2000, 0.8) is True
    assert is_field(demo, 2000, 2000, None) is None


def tiff(**options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((20, 30, 3), np.uint8), photometric="rgb", **options)
    return stream.getvalue()


def pillow(kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "mpp"),
    [
        (tiff(resolution=(20_000, 20_000), resolutionunit="CENTIMETER", metadata=None), 0.5),
        (tiff(resolution=(101_600, 101_600), resolutionunit="INCH", metadata=None), 0.25),
        (tiff(resolution=(72, 72), resolutionunit="INCH", metadata=None), None),
        (tiff(resolution=(300, 300), resolutionunit="INCH", metadata=None), None),
        (tiff(resolution=(20_000, 20_000), resolutionunit="NONE", metadata=None), None),
        (tiff(description="Aperio Image|AppMag = 40|MPP = 0.2520", metadata=None), 0.252),
        (tiff(description="mpp=0.5", metadata=None), 0.5),
        (tiff(imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"}), 0.5),
        (tiff(ome=True, metadata={"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}), 0.25),
        (tiff(ome=True, metadata={"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}), 0.25),
        (pillow("PNG", dpi=(50_800, 50_800)), 0.5),
        (pillow("PNG", dpi=(96, 96)), None),
        (pillow("PNG"), None),
        (pillow("JPEG", dpi=(25_400, 25_400)), 1.0),
        (pillow("JPEG", dpi=(72, 72)), None),
        (pillow("BMP"), None),
    ],
)
def test_the_scale_is_read_from_the_file(data, mpp):
    found = image_scale(data)
    assert (found.width, found.height) == (30, 20)
    assert found.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-3))
    assert bool(found.source) == (mpp is not None)


@pytest.mark.parametrize("dpi", [25_400 / 0.1, 25_400 / 3])
def test_the_scale_that_a_file_states_holds_whoever_reads_it(demo, field, dpi, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(field[:112, :112]).save(path, dpi=(dpi, dpi))
    assert demo.predict(read_image(path)).label is not None  # by its pixels alone, without a scale
    with Image.open(path) as opened:
        answers = [*map(demo.predict, (path, path.read_bytes(), opened)), demo.analyse(path).prediction]
    for found in answers:
        assert "field_of_view" in found.flags
        assert found.label is None
    assert demo.predict(path, mpp=0.8).flags == ()
    incoming = read_folder(tmp_path, roots=[tmp_path])
    [[rows, _, _]] = batch_steps(demo, lambda **_: incoming)(lambda: False)
    assert rows[0]["answer"] == NO_ANSWER
    assert (FIELD in rows[0]["notes"]) == (dpi < 25_400)


@pytest.mark.parametrize(("text", "mpp"), [("0.25", 0.25), ("20x", 0.5), ("40X", 0.25), ("10×", 1.0)])
def test_presets_of_the_scale(text, mpp):
    assert parse_mpp(text) == mpp


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "63x", "a"])
def test_no_scale(text):
    with pytest.raises(ConfigError, match="microns per pixel"):
        parse_mpp(text)
