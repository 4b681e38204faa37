"""Stain normalisation of tensors, fast percentiles and block means: equal to the plain computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ImageError
from her2core.io.images import read_image, resize_rgb
from her2core.stain.density import block_means, nested_block_means
from her2core.stain.macenko import StainNormalizer
from her2core.stain.percentiles import upper_percentile
from her2core.stain.reference import StainReference
from her2core.stain.tensors import normalize_tensors


def as_batch(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def assert_equal_to_arrays(images: list[np.ndarray], reference: StainReference) -> list[str | None]:
    batch = as_batch(images)
    before = batch.clone()
    found = normalize_tensors(batch, reference)
    assert torch.equal(batch, before)
    for image, tensor, flag in zip(images, found.images, found.flags, strict=True):
        right = StainNormalizer(reference).apply(image)
        assert flag == right.flag
        difference = np.abs(tensor.permute(1, 2, 0).numpy().astype(int) - right.image.astype(int))
        assert difference.max() <= (0 if flag else 1)
    return list(found.flags)


@pytest.mark.parametrize("px", [112, 90])
def test_tensors_are_normalised_as_arrays_are(px):
    spec = CohortSpec(patients=12, patches_per_patient=1, px=px)
    images = [render_patch(spec, i).image for i in range(0, 12, 3)]
    noise = np.random.default_rng(0).normal(0, 2, images[0].shape)
    images += [np.full_like(images[0], level) for level in (0, 128, 250)]
    images += [np.clip(np.array((200, 120, 170)) + noise, 0, 255).astype(np.uint8)]
    pale = np.full_like(images[0], 244)
    pale[: px // 3] = images[0][: px // 3]
    other = StainReference(max_concentration=(1.5, 1.2))
    flags = assert_equal_to_arrays([*images, pale], other)
    assert flags == [None] * 4 + ["black", "one_colour", "blank", "one_colour", None]


def test_real_tiles_as_tensors(real_data):
    tiles = [p for kind in ("Tumor", "Stroma") for p in sorted((real_data / "tissue_tiles" / kind).glob("*.jpg"))[:4]]
    flags = assert_equal_to_arrays([resize_rgb(read_image(p), 112) for p in tiles], StainReference())
    assert flags.count(None) >= 6


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 8, 3)])
def test_other_tensors_are_refused(shape):
    with pytest.raises(ImageError, match=r"uint8 \(N, 3, H, W\) RGB tensor"):
        normalize_tensors(torch.zeros(shape, dtype=torch.uint8))


@given(
    length=st.sampled_from([1, 2, 3, 50, 4095, 4096, 20_000]),
    kind=st.sampled_from(["normal", "constant", "sorted", "few values", "with a peak in the sample"]),
    percent=st.sampled_from([50.0, 90.0, 99.0, 99.9, 100.0]),
)
@settings(max_examples=60, deadline=None)
def test_upper_percentiles_are_numpy_s(length, kind, percent):
    values = np.random.default_rng(length).normal(size=length).astype(np.float32)
    if kind == "constant":
        values[:] = 3
    elif kind == "sorted":
        values.sort()
    elif kind == "few values":
        values = np.round(values)
    elif kind.startswith("with"):
        values[::296] += 100  # what is sampled misleads
    before = values.copy()
    assert upper_percentile(values, percent) == pytest.approx(np.percentile(values.astype(float), percent), abs=1e-5)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(("height", "width", "side", "larger"), [(24, 48, 4, 8), (24, 36, 4, 12), (25, 48, 4, 8)])
def test_block_means_are_those_of_pillow(height, width, side, larger):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for found, size in zip(nested_block_means(image, side, larger), (side, larger), strict=True):
        np.testing.assert_array_equal(found, np.asarray(Image.fromarray(image).reduce(size)))
        np.testing.assert_array_equal(block_means(image, size), found)
