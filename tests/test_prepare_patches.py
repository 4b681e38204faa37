"""From a manifest row to a tensor: the same pixels every time, flags, broken files named, worker processes."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from her2core.data.augment import Augment
from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.data.manifest import build_manifest
from her2core.data.patches import PatchReader, prepare_all, readable
from her2core.data.prepare import FLAGS, UNUSABLE, Prepare
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.data.tensors import IMAGENET_MEAN, IMAGENET_STD, to_tensor
from her2core.errors import ImageError, ManifestError
from her2core.io.images import resize_rgb
from her2core.stain.macenko import StainNormalizer, StainReference

few = settings(max_examples=25, deadline=None)
TISSUE = render_patch(CohortSpec(patients=6, patches_per_patient=1, px=96), 1).image


# prepare


def test_a_square_patch_is_resized_then_normalised():
    made = Prepare(64)(TISSUE)
    raw = resize_rgb(TISSUE, 64)
    np.testing.assert_array_equal(made.raw, raw)
    np.testing.assert_array_equal(made.image, StainNormalizer().apply(raw).image)
    assert made.flags == ()
    assert made.image.shape == (64, 64, 3)
    assert made.image.dtype == np.uint8


def test_without_stain_the_pixels_stay():
    made = Prepare(96, stain=None)(TISSUE)
    np.testing.assert_array_equal(made.image, TISSUE)
    assert made.flags == ()


def test_another_reference_gives_another_image():
    other = StainReference(((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), (1.5, 1.2))
    assert not np.array_equal(Prepare(64)(TISSUE).image, Prepare(64, stain=other)(TISSUE).image)


@pytest.mark.parametrize("shape", [(96, 60), (60, 96), (96, 61)])
def test_of_an_oblong_patch_the_centre_square_is_used_and_that_is_said(shape):
    height, width = shape
    image = TISSUE[:height, :width]
    side = min(shape)
    top, left = (height - side) // 2, (width - side) // 2
    made = Prepare(48, stain=None)(image)
    np.testing.assert_array_equal(made.image, resize_rgb(image[top : top + side, left : left + side], 48))
    assert made.flags == ("cropped",)


def test_one_row_too_many_is_not_worth_a_word():
    assert Prepare(48, stain=None)(TISSUE[:95]).flags == ()


@pytest.mark.parametrize(
    ("mpp", "flagged"), [(0.5, False), (0.7, False), (0.76, True), (0.34, False), (0.32, True), (None, False)]
)
def test_a_field_of_view_beyond_a_factor_of_one_and_a_half_is_flagged(mpp, flagged):
    made = Prepare(48, field_um=48.0)(TISSUE, mpp=mpp)
    assert ("field_of_view" in made.flags) == flagged
    assert Prepare(48)(TISSUE, mpp=50.0).flags == ()


@pytest.mark.parametrize(("level", "flag"), [(250, "blank"), (3, "black"), (150, "one_colour")])
def test_a_patch_with_nothing_to_see_is_flagged_unusable_and_unchanged(level, flag):
    image = np.full((80, 80, 3), level, np.uint8)
    made = Prepare(64)(image)
    assert made.flags == (flag,)
    assert flag in UNUSABLE
    assert flag in FLAGS
    np.testing.assert_array_equal(made.image, made.raw)
    assert abs(int(made.image.mean()) - level) <= 1


# patches


@pytest.fixture
def folder(tmp_path):
    """Three files, one of them cut into two windows; labels a and b."""
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for name in ("big.png", "one.png", "two.png")}
    for name, image in pixels.items():
        Image.fromarray(image).save(tmp_path / name)
    frame = pd.DataFrame(
        {
            "path": ["two.png", "big.png", "one.png", "big.png"],
            "patch_id": ["t", "w1", "o", "w2"],
            "label": ["a", "b", "a", "b"],
            "x": [None, 0, None, 18],
            "y": [None, 5, None, 8],
            "width": [None, 32, None, 32],
            "height": [None, 32, None, 32],
        }
    )
    return build_manifest(frame, root=tmp_path), pixels, frame


def test_rows_are_whole_images_or_exact_windows(folder):
    manifest, pixels, _ = folder
    read = PatchReader(manifest)
    np.testing.assert_array_equal(read("o"), pixels["one.png"])
    np.testing.assert_array_equal(read("w1"), pixels["big.png"][5:37, 0:32])
    np.testing.assert_array_equal(read("w2"), pixels["big.png"][8:40, 18:50])
    assert read("w2").flags["C_CONTIGUOUS"]


def test_a_window_that_leaves_the_image_is_refused_with_both_sizes(folder):
    manifest, _, frame = folder
    frame = frame.assign(x=[None, 0, None, 19])
    read = PatchReader(build_manifest(frame, root=manifest.root))
    with pytest.raises(
        ManifestError, match=r"Expected a window inside the image \(50 x 40 px\), but got 32 x 32 px at 19, 8"
    ):
        read("w2")
    assert read("w1").shape == (32, 32, 3)


def test_an_unknown_patch_and_a_missing_file_are_refused_by_name(folder):
    manifest, _, _ = folder
    read = PatchReader(manifest)
    with pytest.raises(ManifestError, match="a patch id of this manifest.*'nobody'"):
        read("nobody")
    (manifest.root / "one.png").unlink()
    with pytest.raises(ImageError, match=r"one\.png"):
        read("o")


def test_threads_share_a_reader_and_few_images_stay_open(tmp_path):
    rng = np.random.default_rng(1)
    rows, images = [], {}
    for i in range(5):
        images[f"{i}.png"] = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(images[f"{i}.png"]).save(tmp_path / f"{i}.png")
        rows += [{"path": f"{i}.png", "label": "ab"[i % 2], "x": x, "y": 8, "width": 16, "height": 16} for x in (0, 16)]
    manifest = build_manifest(pd.DataFrame(rows), root=tmp_path)
    read = PatchReader(manifest)
    ids = list(manifest.frame["patch_id"]) * 6
    np.random.default_rng(2).shuffle(ids)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(read, ids))
    where = manifest.frame.set_index("patch_id")
    for patch_id, image in zip(ids, found, strict=True):
        row = where.loc[patch_id]
        np.testing.assert_array_equal(image, images[row["path"]][8:24, row["x"] : row["x"] + 16])
    assert len(read._kept) <= 2


@pytest.mark.parametrize("threads", [1, 3])
def test_prepare_all_keeps_the_manifest_s_order(folder, threads):
    manifest, _, _ = folder
    prepare, seen = Prepare(24), []
    images, flags = prepare_all(manifest, prepare, threads=threads, progress=lambda *step: seen.append(step))
    assert images.shape == (4, 24, 24, 3)
    assert images.dtype == np.uint8
    read = PatchReader(manifest)
    for patch_id, image, flag in zip(manifest.frame["patch_id"], images, flags, strict=True):
        alone = prepare(read(patch_id))
        np.testing.assert_array_equal(image, alone.image)
        assert flag == alone.flags
    assert ["cropped" in f for f in flags] == [True, False, True, False]
    assert seen == [(i, 4) for i in range(1, 5)]


def test_prepare_all_counts_every_broken_file_and_names_the_first(folder):
    manifest, _, _ = folder
    (manifest.root / "one.png").write_text("not a picture")
    (manifest.root / "two.png").write_bytes(b"")
    with pytest.raises(ManifestError, match=r"readable images, but got 2 unreadable, .*one\.png.*drop their rows"):
        prepare_all(manifest, Prepare(24))


def test_pages_get_the_pictures_there_are(folder):
    manifest, _, _ = folder
    (manifest.root / "one.png").unlink()
    assert list(readable(PatchReader(manifest), ["t", "o", "w1", "nobody"])) == ["t", "w1"]


# augment


@given(
    seed=st.integers(0, 10**6),
    flips=st.booleans(),
    crop=st.floats(0.3, 1),
    stain=st.floats(0, 0.6),
    side=st.integers(8, 40),
)
@few
def test_augmentation_keeps_shape_and_input_and_follows_its_seed(seed, flips, crop, stain, side):
    image = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    before = image.copy()
    change = Augment(flips=flips, min_crop=crop, stain=stain)
    one, two = (change(image, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(image, before)
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    assert one.flags["C_CONTIGUOUS"]


def test_all_switched_off_changes_nothing():
    out = Augment(flips=False, min_crop=1, stain=0)(TISSUE, np.random.default_rng(0))
    np.testing.assert_array_equal(out, TISSUE)


def test_flips_are_the_eight_orientations_and_nothing_else():
    image = TISSUE[:32, :32]
    turn = Augment(flips=True, min_crop=1, stain=0)
    rng = np.random.default_rng(0)
    seen = {turn(image, rng).tobytes() for _ in range(200)}
    allowed = {
        np.ascontiguousarray(np.rot90(side, k)).tobytes()
        for side in (image, image[:, ::-1], image[::-1])
        for k in range(4)
    }
    assert seen == allowed
    assert len(seen) == 8


def test_stain_augmentation_moves_tissue_more_than_glass_and_both_ways():
    image = TISSUE.copy()
    image[:20] = 240
    change = Augment(flips=False, min_crop=1, stain=0.2)
    shifts = []
    for seed in range(40):
        out = change(image, np.random.default_rng(seed)).astype(float) - image
        shifts.append((out[:20].mean(), out[20:].mean()))
    glass, tissue = np.abs(shifts).mean(axis=0)
    assert tissue > 1.5 * glass
    assert min(t for _, t in shifts) < -3
    assert max(t for _, t in shifts) > 3


def test_a_crop_shows_a_part_of_the_patch_enlarged():
    gradient = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 64, axis=0).repeat(3, axis=2)
    out = Augment(flips=False, min_crop=0.5, stain=0)(gradient, np.random.default_rng(3))
    assert out.shape == gradient.shape
    assert int(out.max()) - int(out.min()) < int(gradient.max()) - int(gradient.min())


# dataset


def test_to_tensor_scales_normalises_and_moves_channels_first():
    images = np.stack([TISSUE, TISSUE[::-1]])
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 96, 96)
    assert tensor.dtype == torch.float32
    for channel in range(3):
        expected = (images[..., channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        np.testing.assert_allclose(tensor[:, channel].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(to_tensor(TISSUE), tensor[0])
    assert to_tensor(TISSUE, (0, 0, 0), (1, 1, 1)).max() <= 1


def test_the_dataset_gives_the_same_from_memory_and_from_files(folder):
    manifest, _, _ = folder
    prepare = Prepare(24)
    images, _ = prepare_all(manifest, prepare)
    memory = PatchDataset(manifest, prepare, images=images)
    files = PatchDataset(manifest, prepare)
    assert len(memory) == len(files) == 4
    for i in range(4):
        torch.testing.assert_close(memory[i][0], files[i][0])
        assert memory[i][1] == files[i][1] == manifest.classes.index(manifest.frame["label"].iloc[i])


def test_augmentation_depends_on_seed_epoch_and_index_alone(folder):
    manifest, _, _ = folder
    images = np.stack([TISSUE[:32, :32]] * 4)
    dataset = PatchDataset(manifest, Prepare(32), images=images, augment=Augment(), seed=5)
    other = PatchDataset(manifest, Prepare(32), images=images, augment=Augment(), seed=6)
    torch.testing.assert_close(dataset[0, 1][0], dataset[0, 1][0])
    for key in ((0, 2), (1, 1)):
        assert not torch.equal(dataset[0, 1][0], dataset[key][0])
    assert not torch.equal(dataset[0, 1][0], other[0, 1][0])
    torch.testing.assert_close(dataset[2][0], dataset[2, 0][0])


def test_a_dataset_that_reads_files_can_be_sent_to_worker_processes(folder):
    manifest, _, _ = folder
    dataset = PatchDataset(manifest, Prepare(24))
    expected = dataset[1][0]
    copy = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copy[1][0], expected)
    torch.testing.assert_close(dataset[1][0], expected)


@given(
    length=st.integers(4, 60),
    batch=st.integers(1, 9),
    world=st.integers(1, 4),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
@few
def test_every_process_gets_its_own_equal_whole_batches(length, batch, world, seed, epoch):
    samplers = [EpochSampler(length, seed=seed, batch_size=batch, rank=r, world_size=world) for r in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    lists = [list(s) for s in samplers]
    assert len({len(s) for s in lists}) == 1
    assert [len(s) for s in samplers] == [len(s) for s in lists]
    seen = [i for part in lists for i, _ in part]
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(range(length))
    assert {e for part in lists for _, e in part} <= {epoch}
    share = length // world
    assert len(lists[0]) == (share // batch * batch if share >= batch else share)
    again = EpochSampler(length, seed=seed, batch_size=batch, world_size=world)
    again.set_epoch(epoch)
    assert list(again) == lists[0]


def test_another_epoch_has_another_order():
    sampler = EpochSampler(50, seed=1, batch_size=1)
    first = [i for i, _ in sampler]
    sampler.set_epoch(1)
    assert sorted(first) == list(range(50))
    assert first != [i for i, _ in sampler]
