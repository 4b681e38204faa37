"""Quality flags: raised where they should be, absent on clean H&E, and based on numbers that can be recomputed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from her2core.data import prepare, quality
from her2core.data.prepare import Prepare
from her2core.data.quality import FLAGS, measure, quality_flags
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ImageError
from her2core.io.images import read_image, resize_rgb
from her2core.stain.macenko import StainNormalizer

SPEC = CohortSpec(patients=12, patches_per_patient=1, px=160)
CLEAN = [render_patch(SPEC, i).image for i in range(12)]
#: Colours of a marker on bare glass, transmitted light.
PENS = {"blue": (30, 60, 180), "green": (20, 140, 70), "yellow": (215, 170, 10), "black": (25, 25, 28)}


def flags(image: np.ndarray, px: int = 112) -> tuple[str, ...]:
    return quality_flags(image, resize_rgb(image, px))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian; ``sigma`` in pixels of a 112-px view."""
    spread = sigma * image.shape[0] / 112
    return np.rint(gaussian_filter(image.astype(np.float32), (spread, spread, 0))).astype(np.uint8)


def ink(image: np.ndarray, colour: tuple[int, int, int], share: float) -> np.ndarray:
    """A band over ``share`` of the patch through which the tissue shows, as ink filters light."""
    rows = round(share * image.shape[0])
    out = image.copy()
    out[10 : 10 + rows] = np.rint(out[10 : 10 + rows] * (np.array(colour) / 255))
    return out


# clean


@pytest.mark.parametrize("px", [64, 112, 224])
@pytest.mark.parametrize("index", range(12))
def test_clean_synthetic_tissue_has_no_flag(index, px):
    assert flags(CLEAN[index], px) == ()


@pytest.mark.parametrize("level", [0, 3, 150, 250, 255])
def test_a_patch_without_structure_is_left_to_the_stain_flags(level):
    image = np.full((120, 120, 3), level, np.uint8)
    assert measure(image, resize_rgb(image, 112)) is None
    assert flags(image) == ()


def test_glass_under_uneven_light_is_neither_blurred_nor_foreign():
    slope = np.linspace(205, 240, 150)[:, None, None] * np.ones((1, 150, 3))
    image = np.clip(slope + np.random.default_rng(0).normal(0, 1.5, slope.shape), 0, 255).astype(np.uint8)
    assert measure(image, resize_rgb(image, 112)) is not None
    assert flags(image) == ()


# blurred


@pytest.mark.parametrize("sigma", [1.5, 2, 3])
@pytest.mark.parametrize("index", range(0, 12, 3))
def test_blur_is_flagged_and_nothing_else(index, sigma):
    assert flags(blur(CLEAN[index], sigma)) == ("blurred",)


@pytest.mark.parametrize("index", range(0, 12, 3))
def test_camera_noise_and_jpeg_do_not_hide_blur(index):
    soft = blur(CLEAN[index], 2) + np.random.default_rng(index).normal(0, 2.5, CLEAN[index].shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(np.rint(soft), 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=80)
    assert "blurred" in flags(read_image(stream))


def test_more_blur_is_less_sharp_and_a_paler_stain_is_not():
    sharp = [measure(blur(CLEAN[1], s), resize_rgb(blur(CLEAN[1], s), 112)).sharpness for s in (0, 0.7, 1, 1.5, 2)]
    assert sharp == sorted(sharp, reverse=True)
    assert len(set(sharp)) == 5
    pale = np.rint(255 - (255 - CLEAN[1].astype(float)) / 3).astype(np.uint8)
    assert measure(pale, resize_rgb(pale, 112)).sharpness == pytest.approx(sharp[0], rel=0.03)


@pytest.mark.parametrize("side", [48, 64, 96])
def test_a_small_picture_made_larger_is_not_called_blurred(side):
    small = resize_rgb(CLEAN[2], side)
    assert flags(small) == ()


def test_under_32_px_there_is_no_word_on_focus():
    tiny = resize_rgb(blur(CLEAN[2], 3), 40)
    measured = measure(tiny, resize_rgb(tiny, 112))
    assert np.isnan(measured.sharpness)
    assert "blurred" not in measured.flags()


def test_sharpness_is_the_ratio_of_scikit_image_s_differences_of_gaussians():
    dog = pytest.importorskip("skimage.filters").difference_of_gaussians
    view = resize_rgb(CLEAN[4], 112)
    green = view[..., 1].astype(float)
    fine, coarser = dog(green, 0, 1, mode="reflect", truncate=3), dog(green, 1, 2, mode="reflect", truncate=3)
    top = np.argsort(np.abs(coarser), axis=None)[-(coarser.size // 10) :]
    fine, coarser = (np.sqrt((band.ravel()[top] ** 2).mean()) for band in (fine, coarser))
    measured = measure(CLEAN[4], view)
    assert measured.edges == pytest.approx(coarser, rel=1e-4)
    assert measured.sharpness == pytest.approx(fine / coarser, rel=1e-4)


# ink


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("index", [0, 5, 8])
def test_pen_marks_are_flagged_and_the_rest_still_counts_as_h_and_e(index, pen, share):
    assert flags(ink(CLEAN[index], PENS[pen], share)) == ("ink",)


def test_red_is_not_told_from_blood():
    assert flags(ink(CLEAN[8], (200, 30, 40), 0.1)) == ()


def test_a_speck_is_not_worth_a_word():
    assert flags(ink(CLEAN[8], PENS["green"], 1 / 160)) == ()


# not H&E


def test_grey_and_inverted_pictures_are_not_h_and_e():
    for image in CLEAN[:4]:
        grey = np.repeat(np.rint(image.mean(axis=2)).astype(np.uint8)[..., None], 3, axis=2)
        assert flags(grey) == ("not_he",)
        assert "not_he" in flags(255 - image)


def test_light_on_black_is_not_h_and_e_whatever_its_dyes():
    for image in CLEAN[:4]:
        light = np.clip(1.5 * (255.0 - image) - 150, 0, 255).astype(np.uint8)
        for channels in ([1, 2], [0, 2], [0, 1]):  # magenta absorbs green alone, as eosin does
            two = np.zeros_like(light)
            two[..., channels] = light[..., :2]
            assert "not_he" in flags(two)


@pytest.mark.parametrize("name", ["immunohistochemistry", "astronaut", "coffee", "chelsea", "rocket"])
def test_dab_and_photographs_are_not_h_and_e(name):
    picture = getattr(pytest.importorskip("skimage.data"), name)()
    side = min(picture.shape[:2])
    assert "not_he" in flags(picture[:side, :side])
    top, left = (length // 2 - 75 for length in picture.shape[:2])
    assert "not_he" in flags(picture[top : top + 150, left : left + 150])


@pytest.mark.parametrize("share", [1.0, 0.6, 0.5])
def test_immunohistochemistry_with_little_brown_is_not_h_and_e(share):
    colour = pytest.importorskip("skimage.color")
    dyes = colour.rgb2hed(pytest.importorskip("skimage.data").immunohistochemistry())
    weak = np.rint(255 * colour.hed2rgb(dyes * (1, 1, share))).clip(0, 255).astype(np.uint8)
    for top, left in ((0, 0), (150, 150), (300, 100)):
        assert "not_he" in Prepare(112)(np.ascontiguousarray(weak[top : top + 200, left : left + 200])).flags


@pytest.mark.parametrize("eosin", [(0.2, 0.8, 0.55), (0.07, 0.67, 0.58), (0.05, 0.6, 0.75)])
def test_orange_eosin_is_eosin(eosin):
    """The nuclei of a synthetic patch with the second stain in other hues, up to that of saffron."""
    found = StainNormalizer().estimate(CLEAN[0])
    density = np.maximum(-np.log((CLEAN[0].reshape(-1, 3) + 1.0) / 240), 0)
    amounts = np.maximum(density @ np.linalg.pinv(found.vectors), 0)
    stains = np.stack([found.vectors[0], np.divide(eosin, np.linalg.norm(eosin))])
    image = np.rint(240 * np.exp(-amounts @ stains) - 1).clip(0, 255).astype(np.uint8).reshape(CLEAN[0].shape)
    assert Prepare(112)(image).flags == ()


def test_colour_parts_are_those_of_the_density():
    view = resize_rgb(CLEAN[4], 112)
    density = np.maximum(-np.log((view.reshape(-1, 3) + 1.0) / 240), 0)
    density = density[density.mean(axis=1) > 0.25]
    measured = measure(CLEAN[4], view)
    assert (measured.pen, measured.black) == (0, 0)
    assert measured.tissue == pytest.approx(len(density) / view[..., 0].size)
    assert measured.green == pytest.approx(3 * density[:, 1].sum() / density.sum(), rel=1e-5)
    assert measured.blue == pytest.approx(3 * density[:, 2].sum() / density.sum(), rel=1e-5)


# contract


@given(seed=st.integers(0, 10**6), side=st.integers(1, 70), px=st.integers(1, 130), low=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_any_picture_gets_known_flags_once_and_the_same_turned(seed, side, px, low):
    image = np.random.default_rng(seed).integers(low, 256, (side, side, 3), dtype=np.uint8)
    before = image.copy()
    found = flags(image, px)
    assert list(found) == [name for name in FLAGS if name in found]
    assert flags(image, px) == found
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_patch_measures_the_same(turn):
    view = resize_rgb(CLEAN[6], 112)
    one, two = (vars(measure(v, v)) for v in (view, np.rot90(view, turn)))
    assert two == pytest.approx(one, rel=0.02)


def test_a_huge_original_costs_nothing_as_its_pixels_are_not_read():
    native = np.broadcast_to(np.uint8(0), (10_000, 10_000, 3))
    assert quality_flags(native, resize_rgb(CLEAN[3], 112)) == ()


@pytest.mark.parametrize(
    "wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 0, 3), np.uint8), None]
)
def test_what_is_not_a_picture_is_refused_by_name(wrong):
    right = CLEAN[0]
    with pytest.raises(ImageError, match="Expected a uint8"):
        quality_flags(wrong, right)
    with pytest.raises(ImageError, match="Expected a uint8"):
        quality_flags(right, wrong)


def test_prepare_reports_them_in_plain_words():
    assert "blurred" in Prepare(112)(blur(CLEAN[0], 2)).flags
    assert "ink" in Prepare(112, stain=None)(ink(CLEAN[8], PENS["green"], 0.1)).flags
    assert Prepare(112)(CLEAN[0]).flags == ()
    for name, sentence in FLAGS.items():
        assert prepare.FLAGS[name] == sentence
        assert name not in prepare.UNUSABLE


def test_the_published_figures_belong_to_these_thresholds():
    path = Path(__file__).parents[1] / "benchmarks" / "results" / "quality.json"
    published = json.loads(path.read_text())
    assert published["thresholds"] == {name: getattr(quality, name) for name in published["thresholds"]}
    assert len(published["thresholds"]) == 8
    real = published["false_alarms"]["all real tissue"]
    assert all(real[name] <= 0.01 for name in FLAGS)


def test_real_tissue_is_rarely_flagged_and_blur_in_it_is_found(real_data):
    paths = sorted((real_data / "tissue_tiles").glob("*/*.jpg"))[::40]
    tiles = [read_image(path) for path in paths]
    found = [flags(tile) for tile in tiles]
    for name in FLAGS:
        assert np.mean([name in f for f in found]) <= 0.03, name  # 1 % and what chance may add on 132 tiles
    assert np.mean(["blurred" in flags(blur(tile, 2)) for tile in tiles]) >= 0.9
    assert np.mean(["ink" in flags(ink(tile, PENS["green"], 0.1)) for tile in tiles]) >= 0.9
