"""Borders that are no tissue, and the part of an uploaded picture that is looked at."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from app_steps import errors, said, upload, visit
from PIL import Image

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ImageError
from her2core.io.frame import SMALLEST_PICTURE, Box, without_border
from her2core.io.images import encode_png, read_image

FIELDS = Path(__file__).resolve().parents[2] / "shared" / "data" / "tcga_brca"


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    return render_patch(CohortSpec(px=448), 3).image


def window(tissue: np.ndarray, grey: int) -> np.ndarray:
    """The window of a viewer with a title, a tool bar with text, and panels on all sides."""
    shown = np.full((700, 900, 3), grey, np.uint8)
    shown[:30] = 70
    shown[60:508, 200:648] = tissue
    cv2.putText(shown, "File  Edit  View", (10, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0))
    cv2.putText(shown, "40x", (20, 300), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0))
    return shown


def through_an_eyepiece(tissue: np.ndarray, radius: int = 200) -> np.ndarray:
    y, x = np.mgrid[: len(tissue), : len(tissue)] - len(tissue) // 2
    noise = np.random.default_rng(0).integers(0, 25, tissue.shape).astype(np.uint8)
    return np.where((y**2 + x**2 > radius**2)[..., None], noise, tissue)


@pytest.mark.parametrize("grey", [32, 128, 240, 255])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bars_of_a_viewer_are_left_out(tissue, grey, kind):
    file = io.BytesIO()
    Image.fromarray(window(tissue, grey)).save(file, kind, quality=90)
    found = without_border(read_image(file.getvalue()))
    edges = np.abs(np.subtract((found.top, found.bottom, found.left, found.right), (60, 508, 200, 648)))
    assert edges.max() <= (0 if kind == "PNG" else 16)  # JPEG blurs an edge within a block
    assert np.array_equal(found.crop(window(tissue, grey)).shape[:2], found.size)


def test_a_dark_rim_is_left_out_and_no_tissue_with_it(tissue):
    found = without_border(through_an_eyepiece(tissue))
    corners = [(y - 224, x - 224) for y in (found.top, found.bottom - 1) for x in (found.left, found.right - 1)]
    assert max(np.hypot(*corner) for corner in corners) <= 200 + 4
    assert np.prod(found.size) >= 0.93 * (2 * 200**2)  # the largest square in the circle


def test_a_large_picture_is_looked_at_in_steps(tissue):
    large = cv2.resize(window(tissue, 240), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    found = without_border(large)
    edges = np.abs(np.subtract((found.top, found.bottom, found.left, found.right), (300, 2540, 1000, 3240)))
    assert edges.max() <= 3


def test_tissue_and_glass_have_no_border(tissue):
    whole = Box(0, 448, 0, 448)
    assert without_border(tissue) == whole
    assert without_border(np.full((448, 448, 3), 243, np.uint8)) == whole
    assert without_border(np.zeros((448, 448, 3), np.uint8)) == whole
    edge_of_tissue = tissue.copy()
    y, x = np.mgrid[:448, :448]
    edge_of_tissue[y < 200 + 60 * np.sin(x / 40)] = 243  # saturated glass above a wavy edge
    assert without_border(edge_of_tissue) == whole
    assert without_border(window(tissue, 240)[: SMALLEST_PICTURE - 1, : SMALLEST_PICTURE - 1]).size == (399, 399)
    with pytest.raises(ImageError):
        without_border(np.zeros((500, 500), np.uint8))


def test_real_fields_have_no_border():
    files = sorted(FIELDS.rglob("*.png"))[::6]
    if not files:
        pytest.skip("no real fields at ../shared/data/tcga_brca")
    for file in files:
        image = read_image(file)
        assert without_border(image).size == image.shape[:2], file.name


def test_the_page_offers_the_part_without_border_and_predicts_it(demo, tiny_predictor, tissue):
    at = upload(visit(), ("screen.png", encode_png(window(tissue, 240))))
    assert errors(at) == []
    assert "68% of this picture is a border" in said(at.main.warning)
    right = tiny_predictor.predict(tissue)
    [button] = [b for b in at.main.button if b.label == "Leave out the border"]
    button.click().run()
    assert errors(at) == []
    table = at.dataframe[0].value if len(at.dataframe) else None
    assert table is None or list(table["patch"]) == ["screen.png (cropped)"]
    assert "border" not in said(at.main.warning)
    assert at.main.header[0].value == right.answer
    rows, columns = (s for s in at.main.slider if s.label.endswith("(px)"))
    assert (rows.value, columns.value) == ((60, 508), (200, 648))
    rows.set_value((60, 70)).run()  # too few rows
    assert errors(at) == []
    assert next(s for s in at.main.slider if s.label == "Rows (px)").value == (60, 124)
    next(b for b in at.main.button if b.label == "Show the whole picture").click().run()
    assert "68% of this picture is a border" in said(at.main.warning)
