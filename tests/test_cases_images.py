"""Every image of ../shared/cases, by the reader, by ``load_predictor(...).predict`` and by ``her2 predict``.

../shared/cases/README.md tells what each should give; the same kinds of input, drawn or written here, are tested in
test_tiff.py and test_stain_hues.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import her2core
from her2core.cli import main
from her2core.data.prepare import UNUSABLE, Prepare
from her2core.io.images import image_size, read_image
from her2core.stain.reference import FLAGS as STAIN_FLAGS

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "cases" / "images"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the images that people bring are not at {CASES}")

PLANAR = ("p16s.tif", "p16t.tif", "p16be.tif", "rgbaplan16.tif", "p16d.tif")
PALE = ("pale_0.png", "pale_1.png", "pale_2.png", "badg_tcga.png")
OTHERS = ("p16.png", "stain.png")


@pytest.fixture(scope="module")
def predictor():
    return her2core.load_predictor(ROOT / "models" / "demo")


@pytest.fixture(scope="module")
def by_api(predictor):
    """File name -> prediction, from paths."""
    names = (*PLANAR, *PALE, *OTHERS)
    return dict(zip(names, predictor.predict([CASES / name for name in names]), strict=True))


def windows(name: str, side: int) -> list[np.ndarray]:
    """The upper row of a contact sheet, cut into squares."""
    sheet = read_image(CASES / name)
    return [np.ascontiguousarray(sheet[:side, x : x + side]) for x in range(0, sheet.shape[1], side)]


def test_no_image_of_the_folder_is_left_out():
    assert {path.name for path in CASES.iterdir()} == {*PLANAR, *PALE, *OTHERS}


# 16-bit RGB in separate planes


@pytest.mark.parametrize("name", PLANAR)
def test_planar_tiffs_have_the_pixels_of_p16_png(name):
    """The left third of p16.png shows them twice as large, resized by Pillow's bicubic filter."""
    pixels = read_image(CASES / name)
    assert image_size(CASES / name) == (pixels.shape[1], pixels.shape[0]) == (128, 128)
    larger = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(larger, read_image(CASES / "p16.png")[:, :256])
    planes = tifffile.imread(CASES / name)[:3]
    np.testing.assert_array_equal(pixels, np.moveaxis(planes >> 8, 0, -1))


def test_planar_tiffs_are_predicted_alike_and_as_their_pixels(predictor, by_api):
    pixels = np.moveaxis(tifffile.imread(CASES / "p16s.tif") >> 8, 0, -1).astype(np.uint8)
    expected = predictor.predict(np.ascontiguousarray(pixels))
    for name in PLANAR:
        assert by_api[name].error is None
        np.testing.assert_allclose(by_api[name].probabilities, expected.probabilities, atol=1e-5)
        from_bytes = predictor.predict((CASES / name).read_bytes())
        np.testing.assert_allclose(from_bytes.probabilities, expected.probabilities, atol=1e-5)


# Pale tissue


@pytest.mark.parametrize("name", PALE)
def test_pale_tissue_is_assessed_with_at_most_a_note_on_its_stain(by_api, name):
    prediction = by_api[name]
    assert prediction.error is None
    assert prediction.usable
    assert prediction.most_probable in prediction.classes
    assert set(prediction.flags) <= {"weak_stain", "unstable_stain", "cropped", "out_of_distribution"}
    assert ("cropped" in prediction.flags) == (name == "badg_tcga.png")


def test_each_tile_of_the_pale_contact_sheet_is_tissue(predictor):
    tiles = windows("badg_tcga.png", 112)
    assert len(tiles) == 8
    for prediction in predictor.predict(tiles):
        assert prediction.usable
        assert not set(prediction.flags) & set(UNUSABLE)


# Magenta eosin


def is_pink(image: np.ndarray) -> np.ndarray:
    """Pixels that absorb green, and red less than half as much (her2core's reference eosin: 0.27)."""
    density = np.maximum(-np.log((image.astype(float) + 1) / 240), 0)
    return (density[..., 1] > 0.25) & (density[..., 0] < 0.5 * density[..., 1])


def test_pink_stays_pink_or_the_patch_is_flagged(predictor):
    panels = windows("stain.png", 224)
    assert len(panels) == 8
    assert sum(is_pink(panel).mean() > 0.5 for panel in panels) >= 4
    for panel, prediction in zip(panels, predictor.predict(panels), strict=True):
        prepared = Prepare(112)(panel)
        kept = is_pink(prepared.image)[is_pink(prepared.raw)]
        assert set(prepared.flags) & set(STAIN_FLAGS) or kept.mean() > 0.9
        assert prediction.usable


def test_the_magenta_panel_with_nuclei_is_not_washed_to_white():
    """The lower row of the sheet shows what became of it: white between the nuclei, without a flag."""
    panel = windows("stain.png", 224)[4]
    washed = read_image(CASES / "stain.png")[224:448, 4 * 224 : 5 * 224]
    assert is_pink(panel).mean() > 0.7
    assert is_pink(washed).mean() < 0.1
    prepared = Prepare(112)(panel)
    assert "unstable_stain" in prepared.flags
    np.testing.assert_array_equal(prepared.image, prepared.raw)


def test_the_whole_sheet_is_flagged(by_api):
    assert set(by_api["stain.png"].flags) - {"cropped"}


# Command line


def test_the_command_line_answers_as_the_api_does(by_api, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = [str(CASES / name) for name in by_api]
    monkeypatch.setattr(sys, "argv", ["her2", "predict", str(ROOT / "models" / "demo"), *files, "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == len(by_api)
    for answer, (name, prediction) in zip(answers, by_api.items(), strict=True):
        assert answer["name"].endswith(name)
        assert answer["error"] is None
        assert answer["usable"] == prediction.usable
        assert answer["label"] == prediction.label
        assert answer["flags"] == list(prediction.flags)
        found = [answer["probabilities"][label] for label in prediction.classes]
        np.testing.assert_allclose(found, prediction.probabilities, atol=1e-5)
