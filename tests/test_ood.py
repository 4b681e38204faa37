"""Out-of-distribution detectors: score, threshold, file, and detection of real tissue. Oracle: scikit-learn."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from her2core import load_predictor
from her2core.data.manifest import read_manifest
from her2core.data.prepare import Prepare, Prepared
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.data.tensors import IMAGENET_MEAN, IMAGENET_STD, to_tensor
from her2core.errors import SplitError, WeightsError
from her2core.io.files import sha256_file
from her2core.io.images import read_image
from her2core.networks.registry import NETWORKS, build_network
from her2core.ood import OODDetector, fit_detector, patch_descriptors, read_ood_detector
from her2core.ood.descriptor import FILTERS, first_filters, stain_statistics
from her2core.ood.fitting import fit_ood

HOME = Path(__file__).resolve().parents[1]


def _numbers(n: int, seed: int = 0, width: int = 12) -> np.ndarray:
    """Correlated, of unlike scales."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).standard_normal((width, width)) * np.logspace(-2, 2, width)
    return (rng.standard_normal((n, width)) @ mix).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> OODDetector:
    return fit_detector(_numbers(400), _numbers(300, 1))


@pytest.fixture(scope="module")
def prepared() -> list[Prepared]:
    spec, prepare = CohortSpec(patients=6, patches_per_patient=1, px=64, seed=5), Prepare(64)
    return [prepare(render_patch(spec, i).image) for i in range(6)]


def _batch(prepared: list[Prepared]) -> torch.Tensor:
    return to_tensor(np.stack([p.image for p in prepared]))


def test_score_is_the_ratio_of_distances_that_scikit_learn_finds(fitted):
    train, asked = _numbers(400).astype(float), _numbers(50, 2).astype(float) * np.linspace(0.5, 6, 50)[:, None]
    mean, spread = train.mean(0), train.std(0)
    space = PCA(n_components=fitted.basis.shape[1], whiten=True).fit((train - mean) / spread)
    reference, place = space.transform((train - mean) / spread), space.transform((asked - mean) / spread)
    neighbours = NearestNeighbors(n_neighbors=10).fit(reference)
    distance, nearest = neighbours.kneighbors(place)
    own = neighbours.kneighbors()[0].mean(axis=1)
    np.testing.assert_allclose(fitted.score(asked), distance.mean(1) / own[nearest].mean(1), rtol=1e-3)
    share = np.cumsum(PCA().fit((train - mean) / spread).explained_variance_ratio_)
    assert share[fitted.basis.shape[1] - 1] >= 0.998 > share[fitted.basis.shape[1] - 2]


def test_threshold_is_the_99th_percentile_of_validation_and_not_of_training(fitted):
    scores = fitted.score(_numbers(300, 1))
    assert (scores > fitted.threshold).sum() <= 3
    assert (scores > fitted.threshold * 0.999).sum() > (scores > fitted.threshold).sum()
    wider = fit_detector(_numbers(400), 3 * _numbers(300, 1))
    assert wider.threshold > 2 * fitted.threshold
    assert (fitted.patches, fitted.validation_patches) == (400, 300)


def test_new_patches_of_the_same_kind_pass_and_distant_ones_do_not(fitted):
    assert fitted.is_out_of_distribution(_numbers(1000, 3)).mean() < 0.03
    assert fitted.is_out_of_distribution(_numbers(200, 3) + 8 * _numbers(400).std(0)).all()


def test_a_loose_group_in_training_does_not_hide_outliers_next_to_a_tight_one():
    rng = np.random.default_rng(0)

    def mixed(n):
        return np.concatenate([0.1 * rng.standard_normal((n, 2)), 20 + 5 * rng.standard_normal((n, 2))])

    found = fit_detector(mixed(200), mixed(100))
    beside = np.array([[2.5, -2.5], [-2.5, 2.5], [3.0, 0.0]])
    assert found.is_out_of_distribution(beside).all()
    assert not found.is_out_of_distribution(np.array([[0.05, 0.0], [20.0, 21.0]])).any()


def test_descriptors_that_are_not_finite_are_out_of_distribution_and_another_width_is_refused(fitted):
    bad = _numbers(3, 1)
    bad[0, 2], bad[2, 0] = np.nan, np.inf
    assert fitted.is_out_of_distribution(bad).tolist() == [True, False, True]
    assert fitted.is_out_of_distribution(np.full((1, 12), 1e30)).all()
    assert fitted.score(np.empty((0, 12))).shape == (0,)
    for wrong in (_numbers(3, width=11), _numbers(1)[0]):
        with pytest.raises(WeightsError, match="12 numbers"):
            fitted.is_out_of_distribution(wrong)


def test_copies_in_training_count_once():
    train = np.repeat(_numbers(20), 15, axis=0)
    found = fit_detector(np.concatenate([train, _numbers(100, 4)]), _numbers(50, 1))
    assert found.patches == 120
    once = fit_detector(np.concatenate([_numbers(20), _numbers(100, 4)]), _numbers(50, 1))
    np.testing.assert_array_equal(found.score(_numbers(50, 2)), once.score(_numbers(50, 2)))
    close = np.repeat(_numbers(8), 15, axis=0) * (1 + 1e-6 * np.arange(120)[:, None])
    near = fit_detector(np.concatenate([close, _numbers(300, 4)]), _numbers(50, 1))
    assert near.patches == 420
    assert near.threshold < 20


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (_numbers(2), _numbers(5)),
        (_numbers(50), _numbers(0)),
        (np.empty((0, 0)), np.empty((0, 0))),
        (np.ones((30, 12)),) * 2,
    ],
    ids=["two", "no validation", "none", "copies"],
)
def test_too_few_patches_are_refused(train, val):
    with pytest.raises(SplitError, match="at least three different training patches"):
        fit_detector(train, val)


def test_it_is_read_back_as_it_was_written(fitted, tmp_path):
    path = tmp_path / "ood.safetensors"
    sha256 = fitted.save(path)
    back = read_ood_detector(path, sha256=sha256)
    assert sha256 == sha256_file(path)
    assert back.facts() == fitted.facts() == json.loads(json.dumps(fitted.facts()))
    np.testing.assert_array_equal(back.score(_numbers(50, 2)), fitted.score(_numbers(50, 2)))


def test_a_file_that_is_something_else_is_refused(fitted, tmp_path):
    path = tmp_path / "ood.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        read_ood_detector(path)
    path.write_bytes(pickle.dumps({"threshold": 1}))
    with pytest.raises(WeightsError, match="pickled"):
        read_ood_detector(path)
    sha256 = fitted.save(path)
    whole, fresh = load_file(path), path.read_bytes()
    path.write_bytes(fresh[:-8])
    with pytest.raises(WeightsError, match="bytes of tensors where its header states"):
        read_ood_detector(path, sha256=sha256)
    path.write_bytes(fresh[:-1] + bytes([fresh[-1] ^ 1]))
    with pytest.raises(WeightsError, match="other bytes"):
        read_ood_detector(path, sha256=sha256)
    path.write_bytes(fresh[:-8])
    with pytest.raises(WeightsError, match="whole safetensors file"):
        read_ood_detector(path)
    changes = {
        "tensors named": {k: v for k, v in whole.items() if k != "spacing"},
        "spacing of shape": whole | {"spacing": whole["spacing"][:-1]},
        "basis of shape": whole | {"basis": whole["basis"][:-1]},
        "wrong shape": whole | {"threshold": np.ones(2, np.float32)},
        "finite numbers": whole | {"threshold": np.array([np.nan], np.float32)},
        "not positive": whole | {"spacing": 0 * whole["spacing"]},
    }
    for message, tensors in changes.items():
        save_file(tensors, path)
        with pytest.raises(WeightsError, match=message):
            read_ood_detector(path)


def test_stain_statistics_are_numpys():
    raw = render_patch(CohortSpec(px=64), 7).image
    found = stain_statistics(raw)
    density = -np.log((raw.astype(float) + 1) / 240)
    flat = density.reshape(-1, 3)
    np.testing.assert_allclose(found[:3], flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found[3:6], flat.std(0), rtol=1e-4)
    percentiles = np.percentile(flat, (5, 25, 50, 75, 95), axis=0, method="inverted_cdf")
    np.testing.assert_allclose(found[6:21], percentiles.ravel(), atol=1e-6)
    np.testing.assert_allclose(found[21:24], np.corrcoef(flat.T)[(0, 0, 1), (1, 2, 2)], atol=0.02)
    coarse = np.kron(density.reshape(32, 2, 32, 2, 3).mean((1, 3)), np.ones((2, 2, 1)))
    np.testing.assert_allclose(found[24:27], np.log(np.square(density - coarse).mean((0, 1)) + 1e-6), atol=1e-3)
    for flat_colour in (0, 255):
        assert np.isfinite(stain_statistics(np.full((17, 17, 3), flat_colour, np.uint8))).all()


@pytest.mark.parametrize(
    "name", [*NETWORKS, "timm:test_resnet", "timm:test_vit", "timm:test_convnext", "timm:tresnet_m"]
)
def test_every_network_has_descriptors(name, prepared):
    options = {"img_size": 64} if name == "timm:test_vit" else {}
    network = build_network(name, 3, **options).eval()
    batch = _batch(prepared)
    filters = first_filters(network)
    with torch.no_grad():
        features = network.features(batch)
        found = patch_descriptors(network, features, prepared, batch)
        alone = patch_descriptors(network, features[2:3], prepared[2:3], batch[2:3])
    channels = filters.out_channels if filters is not None else features.shape[1]
    assert (filters is None) == (name == "timm:tresnet_m")
    assert found.shape == (6, 4 * min(channels, FILTERS) + 48)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[2:3], alone, atol=1e-4)
    assert len(np.unique(found.round(4), axis=0)) == 6


def test_threads_share_a_network(prepared):
    network = build_network("her2_resnet50", 3).eval()
    batch = _batch(prepared)
    once = patch_descriptors(network, None, prepared, batch)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: patch_descriptors(network, None, prepared, batch), range(12)):
            np.testing.assert_array_equal(found, once)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_fit_reads_the_manifest_and_leaves_the_network_as_it_was(tiny_manifest):
    manifest = read_manifest(tiny_manifest)
    ids = list(manifest.frame["patch_id"])
    network = build_network("her2_resnet50", 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    settings = {"prepare": Prepare(64), "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    train, val = manifest.subset(ids[:24]), manifest.subset(ids[24:])
    found = fit_ood(network, train=train, val=val, **settings)
    again = fit_ood(network, train=train, val=val, **settings)
    assert (found.patches, found.validation_patches) == (24, 12)
    assert found.threshold == again.threshold
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    few = [fit_ood(network, train=train, val=val, limit=10, seed=s, **settings) for s in (1, 1, 2)]
    assert few[0].patches == few[0].validation_patches == 10
    assert few[0].threshold == few[1].threshold != few[2].threshold


def test_blank_patches_are_left_out(tiny_manifest, tmp_path):
    manifest = read_manifest(tiny_manifest)
    from PIL import Image

    blank = tmp_path / "blank.png"
    Image.new("RGB", (64, 64), "white").save(blank)
    frame = manifest.frame.copy()
    frame.loc[:3, "path"] = str(blank)
    mixed = type(manifest)(frame, manifest.scheme, manifest.root, manifest.facts)
    ids = list(frame["patch_id"])
    found = fit_ood(
        build_network("her2_resnet50", 3),
        train=mixed.subset(ids[:24]),
        val=mixed.subset(ids[24:]),
        prepare=Prepare(64),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    assert found.patches == 20


def _real(real_data) -> list[np.ndarray]:
    tiles = sorted((real_data / "tissue_tiles").glob("*/*.jpg"))[::60]
    return [read_image(path) for path in tiles]


def test_the_synthetic_run_flags_real_tissue_and_ihc(real_data):
    """A small cohort in place of the run's own; benchmarks/ood.py measures the run's own on everything."""
    from skimage.data import immunohistochemistry

    predictor = load_predictor(HOME / "models" / "demo")
    network, prepare = build_network("her2_resnet50", 3).eval(), predictor.prepare
    network.load_state_dict(predictor.network.state_dict())

    def descriptors(images):
        prepared = [prepare(image) for image in images]
        return patch_descriptors(network, None, prepared, _batch(prepared))

    def cohort(seed, patients, each):
        spec = CohortSpec(patients=patients, patches_per_patient=each, seed=seed)
        return [render_patch(spec, i).image for i in range(len(plan_cohort(spec)))]

    found = fit_detector(descriptors(cohort(11, 30, 3)), descriptors(cohort(12, 20, 2)))
    ihc = immunohistochemistry()
    windows = [ihc[y : y + 128, x : x + 128].copy() for y in range(0, 385, 128) for x in range(0, 385, 128)]
    assert found.is_out_of_distribution(descriptors(_real(real_data))).mean() >= 0.95
    assert found.is_out_of_distribution(descriptors(windows)).mean() >= 0.95
    assert found.is_out_of_distribution(descriptors(cohort(13, 30, 1))).mean() <= 0.07
