"""Frozen features and last layers fitted to them. Oracle: scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from her2core import load_predictor, train
from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.errors import ConfigError, Her2Error, NetworkError
from her2core.features.extract import frozen_features
from her2core.features.store import FeatureStore, patch_keys
from her2core.networks.heads import FLOOR, NearestNeighbours, last_layer, replace_last_layer, with_last_layer
from her2core.networks.registry import build_network
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import save_weights
from her2core.runs.folder import open_run
from her2core.training.callbacks import Stopped
from her2core.training.config import TRIED, make_config
from her2core.training.frozen import fit_last_layer

SCALING = {"built": "small", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
#: A small network whose embeddings differ from patch to patch with random weights, too.
SMALL = "timm:convnext_atto"


def small(name: str = SMALL, classes: int = 3, seed: int = 0):
    torch.manual_seed(seed)
    return build_network(name, classes)


@pytest.fixture(scope="module")
def blobs():
    """Features of three overlapping classes in eight dimensions, uneven: training, validation."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [60, 40, 20])
    x = (rng.normal(size=(120, 8)) * np.linspace(0.1, 30, 8) + labels[:, None] * np.linspace(0.1, 30, 8)).astype("f4")
    order = rng.permutation(120)
    x, labels = x[order], labels[order]
    return {"train": x[:80], "train_labels": labels[:80], "val": x[80:], "val_labels": labels[80:]}


def config(head: str, *, tried=(), **extra):
    return make_config({"name": "x", "manifest": "x", "frozen": {"head": head, "tried": tried}, **extra})


class Ends(torch.nn.Module):
    """A network of nothing but a last layer."""

    last_layer = "classifier"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(channels, classes)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_layer_is_logistic_regression(blobs, classes):
    data = {k: v.copy() for k, v in blobs.items()}
    for part in ("train_labels", "val_labels"):
        data[part] = np.minimum(data[part], classes - 1)
    network = Ends(8, classes)
    fit = fit_last_layer(network, config("linear", tried=[0.05]), **data, classes=classes)
    scaler = StandardScaler().fit(data["train"])
    oracle = LogisticRegression(C=0.05, max_iter=2000, class_weight="balanced")
    oracle.fit(scaler.transform(data["train"]), data["train_labels"])
    ours = torch.softmax(network.classifier(torch.from_numpy(data["val"])), dim=1).detach().numpy()
    np.testing.assert_allclose(ours, oracle.predict_proba(scaler.transform(data["val"])), atol=1e-3)
    assert fit.layer is None
    assert fit.history["val_accuracy"][0] == pytest.approx(
        oracle.score(scaler.transform(data["val"]), data["val_labels"])
    )


def test_neighbours_vote_as_scikit_learns_do(blobs):
    network = Ends(8, 3)
    settings = config("knn", tried=[7], train={"class_weights": "none"})
    fit = fit_last_layer(network, settings, **blobs, classes=3)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    oracle = KNeighborsClassifier(7, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07))
    oracle.fit(unit(blobs["train"]), blobs["train_labels"])
    expected = oracle.predict_proba(unit(blobs["val"])) + FLOOR
    ours = torch.softmax(network.classifier(torch.from_numpy(blobs["val"])), dim=1).numpy()
    np.testing.assert_allclose(ours, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert fit.layer == {"kind": "knn", "references": 80, "channels": 8, "neighbours": 7, "temperature": 0.07}


def test_votes_are_divided_by_how_frequent_a_class_is():
    layer = NearestNeighbours(4, 2, 2, neighbours=4)
    layer.set_references(torch.ones(4, 2), torch.tensor([0, 0, 0, 1]))
    torch.testing.assert_close(torch.softmax(layer(torch.ones(1, 2)), 1), torch.full((1, 2), 0.5))


def test_validation_alone_selects(blobs):
    tried = [1e-6, 1e-2, 1.0]
    fit = fit_last_layer(Ends(8, 3), config("linear", tried=tried, train={"monitor": "val_loss"}), **blobs, classes=3)
    assert list(fit.history["tried"]) == tried
    pd.testing.assert_series_equal(fit.history["tried"], pd.Series(tried, name="tried"))
    assert fit.best == fit.history["val_loss"].idxmin() != 0
    with pytest.raises(NetworkError, match="all 4 classes"):
        fit_last_layer(Ends(8, 4), config("linear"), **blobs, classes=4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("her2_resnet50", {}),
        ("timm:densenet121", {}),
        ("timm:mobilenetv3_small_050", {}),
        ("timm:convnext_atto", {}),
        ("timm:vit_tiny_patch16_224", {"img_size": 64, "patch_size": 8}),
        ("timm:tf_efficientnet_lite0", {}),
    ],
)
def test_every_kind_of_network_divides_into_features_embedding_and_last_layer(name, options):
    network = build_network(name, 3, **options).eval()
    with torch.no_grad():
        features = network.features(torch.rand(2, 3, 64, 64))
        embedded = network.embed(features)
        torch.testing.assert_close(last_layer(network)(embedded), network.head(features))
        layer = NearestNeighbours(5, embedded.shape[1], 3)
        layer.set_references(torch.rand(5, embedded.shape[1]), torch.tensor([0, 1, 2, 0, 1]))
        replace_last_layer(network, layer)
        torch.testing.assert_close(layer(embedded), network.head(features))
        again = with_last_layer(build_network(name, 3, **options), layer.options(), 3)
    assert {n: v.shape for n, v in again.state_dict().items()} == {n: v.shape for n, v in network.state_dict().items()}
    assert network.feature_map(features).ndim == 4


def test_a_last_layer_of_another_version_is_refused():
    whole = NearestNeighbours(2, 320, 3).options()
    for change in (
        {"kind": "forest"},
        {"neighbours": 0},
        {"neighbours": "x"},
        {"neighbours": True},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"references": -1},
        {"channels": 10**12},
        {"more": 1},
    ):
        with pytest.raises(NetworkError, match="kind knn"):
            with_last_layer(small(), {**whole, **change}, 3)
    for other in ("knn", [whole], {}):
        with pytest.raises(NetworkError, match="kind knn"):
            with_last_layer(small(), other, 3)
    with pytest.raises(NetworkError, match="ends in one linear layer"):
        last_layer(with_last_layer(small(), NearestNeighbours(2, 320, 3).options(), 3))


def test_a_network_that_changes_its_embedding_before_the_last_layer_is_refused(tmp_path):
    """EfficientViT normalises in between: what is found on its embedding would be served on something else."""
    images = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)
    network = small("timm:efficientvit_m0")
    for module in network.get_submodule("model.head").modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.fill_(3.0)
    with pytest.raises(NetworkError, match="takes its embedding as it is"):
        frozen_features(network, images, **SCALING, cache=tmp_path)


def test_the_scale_of_features_does_not_matter(blobs, tmp_path):
    """Weights for tiny features are beyond float16, in which all but the last layer is released."""
    tiny = {**blobs, "train": blobs["train"] * np.float32(1e-9), "val": blobs["val"] * np.float32(1e-9)}
    network = Ends(8, 3)
    fit = fit_last_layer(network, config("linear"), **tiny, classes=3)
    assert not torch.isfinite(network.classifier.weight.half()).all()
    save_weights(network, tmp_path / "w.safetensors")
    released = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(released["classifier.weight"], network.classifier.weight)
    usual = fit_last_layer(Ends(8, 3), config("linear"), **blobs, classes=3)
    np.testing.assert_allclose(fit.history["val_loss"], usual.history["val_loss"], rtol=1e-3)
    nothing = {**blobs, "train": blobs["train"] * np.float32(np.inf)}
    with pytest.raises(NetworkError, match="finite numbers"):
        fit_last_layer(Ends(8, 3), config("linear"), **nothing, classes=3)


@pytest.fixture
def patches():
    return np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), np.uint8)


def counted(network, monkeypatch) -> list[int]:
    """How many patches pass through its features, batch by batch."""
    seen, features = [], network.features
    monkeypatch.setattr(network, "features", lambda x: (seen.append(len(x)), features(x))[1])
    return seen


def test_stored_embeddings_are_not_computed_again(patches, tmp_path, monkeypatch):
    first = frozen_features(small(), patches[:6], **SCALING, cache=tmp_path, batch=4)
    network = small()
    seen = counted(network, monkeypatch)
    again = frozen_features(network, np.concatenate([patches[4:], patches[4:6]]), **SCALING, cache=tmp_path, batch=4)
    assert seen == [2, 3], (
        "two to check the embedding; three patches are new; the others, and the double ones, are known"
    )
    np.testing.assert_array_equal(again[:2], first[4:6])
    np.testing.assert_array_equal(again[5:], first[4:6])
    with torch.no_grad():
        x = torch.from_numpy(patches[:6]).float().permute(0, 3, 1, 2) / 255 * 2 - 1
        expected = small().eval().model.forward_head(small().eval().model.forward_features(x), pre_logits=True)
    assert expected.std(dim=0).max() > 0.01
    np.testing.assert_allclose(first, expected.numpy(), rtol=1e-3, atol=1e-5)


def test_anything_that_changes_an_embedding_changes_its_key(patches, tmp_path, monkeypatch):
    frozen_features(small(), patches, **SCALING, cache=tmp_path)

    def computes(network, images=patches, **scaling) -> bool:
        seen = counted(network, monkeypatch)
        frozen_features(network, images, **{**SCALING, **scaling}, cache=tmp_path)
        return bool(seen)

    assert not computes(small())
    other_end = small()
    torch.nn.init.ones_(last_layer(other_end).weight)
    assert not computes(other_end), "the last layer plays no part"
    more_classes = small()
    replace_last_layer(more_classes, torch.nn.Linear(320, 7))
    assert not computes(more_classes)
    assert computes(small(seed=1)), "other weights"
    assert computes(small(), built="a pooling that no module's text tells"), "another way with the same weights"
    assert computes(small(), mean=(0.4, 0.5, 0.5)), "another scaling"
    assert computes(small(), images=patches ^ 1), "other pixels"
    finer = small()
    first = next(m for m in finer.modules() if isinstance(m, torch.nn.Conv2d))
    first.stride = (1, 1)
    assert computes(finer), "another stride with the same weights"


def test_a_stopped_extraction_resumes(patches, tmp_path, monkeypatch):
    monkeypatch.setattr("her2core.features.extract._WRITE_EVERY", 0.0)

    def stop(done: int, of: int) -> None:
        if done >= 4:
            raise Stopped(expected="", got="", where="", fix="")

    with pytest.raises(Stopped):
        frozen_features(small(), patches, **SCALING, cache=tmp_path, batch=2, progress=stop)
    network = small()
    seen = counted(network, monkeypatch)
    frozen_features(network, patches, **SCALING, cache=tmp_path, batch=9)
    assert seen == [2, 5], "two to check the embedding; five were not kept yet"


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "short keys", "not finite", "other numbers"])
def test_a_damaged_file_is_written_again(patches, tmp_path, damage):
    whole = frozen_features(small(), patches, **SCALING, cache=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    content = load_file(file)
    if damage in ("empty", "text", "cut"):
        file.write_bytes({"empty": b"", "text": b"not safetensors", "cut": file.read_bytes()[:-9]}[damage])
    elif damage == "short keys":
        save_file({**content, "keys": content["keys"][:, :15].copy()}, file)
    elif damage == "not finite":
        save_file({**content, "vectors": content["vectors"] * np.float32(np.nan)}, file)
    else:
        save_file({**content, "vectors": content["vectors"].astype(np.float64)}, file)
    np.testing.assert_array_equal(frozen_features(small(), patches, **SCALING, cache=tmp_path), whole)
    assert len(FeatureStore(tmp_path, file.stem).read()) == len(patches)
    assert len({k.tobytes() for k in patch_keys(patches)}) == len(patches)


@pytest.fixture(scope="module", params=["linear", "knn"])
def frozen_run(request, tiny_manifest, tmp_path_factory):
    root = tmp_path_factory.mktemp("frozen")
    content = {
        "name": "tiny",
        "manifest": str(tiny_manifest),
        "input": {"px": 64},
        "network": {"name": SMALL},
        "frozen": {"head": request.param, "tried": [1, 5]},
        "hardware": {"accelerator": "cpu", "features": str(root / "features")},
    }
    return train(make_config(content), root=root / "runs", progress=False), content


def test_a_frozen_run_is_complete_and_serves_the_predictions_that_were_evaluated(frozen_run, tiny_manifest):
    run, content = frozen_run
    assert run.info["frozen"] == run.card["network"]["frozen"] == content["frozen"]["head"]
    assert run.info["chosen"] in run.info["tried"]
    assert list(run.history["tried"]) == run.info["tried"]
    assert run.selection.startswith("Frozen features and ")
    assert run.selection.endswith(f"{run.info['chosen']:g} out of {len(run.info['tried'])} tried")
    assert "best_epoch" not in run.info
    predictor, reader = load_predictor(run), PatchReader(read_manifest(tiny_manifest))
    rows = run.predictions[run.predictions["split"] == "test"].head(3)
    scores = rows.filter(regex="^logit_").to_numpy() / run.card["temperature"]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.01, "identical predictions would test nothing"
    answers = predictor.predict([reader(p) for p in rows["patch_id"]])
    np.testing.assert_allclose([a.probabilities for a in answers], expected, atol=1e-4)
    map_ = predictor.explain(reader(rows["patch_id"].iloc[0]))
    assert np.isfinite(map_.grid).all()


def test_training_again_computes_no_vector(frozen_run, tmp_path, monkeypatch):
    run, content = frozen_run
    calls = []
    monkeypatch.setattr(FeatureStore, "write", lambda *a: calls.append(a))
    again = train(make_config(content), root=tmp_path, progress=False)
    assert not calls
    pd.testing.assert_frame_equal(again.predictions, run.predictions)
    assert open_run(again.path).card["network"] == run.card["network"]


def test_what_is_tried_by_default_is_part_of_the_configuration():
    settings = config("knn").frozen
    assert settings.tried == TRIED["knn"]
    assert settings == config("knn", tried=TRIED["knn"]).frozen


def test_frozen_is_part_of_what_is_hashed_only_where_it_is_set():
    plain = {"name": "x", "manifest": "x"}
    assert make_config({**plain, "frozen": None}).content_hash() == make_config(plain).content_hash()
    assert make_config({**plain, "frozen": {}}).content_hash() != make_config(plain).content_hash()
    assert (
        make_config(plain).content_hash()
        == make_config({**plain, "hardware": {"features": "elsewhere"}}).content_hash()
    )


@pytest.mark.parametrize(
    "frozen",
    [
        {"head": "forest"},
        {"head": ["linear"]},
        {"tried": [-1]},
        {"tried": [0]},
        {"tried": 0},
        {"tried": [float("nan")]},
        {"tried": [float("inf")]},
        {"head": "knn", "tried": [2.5]},
        {"k": 3},
        "linear",
    ],
)
def test_a_broken_setting_is_refused(frozen):
    with pytest.raises(ConfigError, match="frozen"):
        make_config({"name": "x", "manifest": "x", "frozen": frozen})


def test_patches_that_do_not_fit_into_memory_are_refused(frozen_run, tmp_path):
    _, content = frozen_run
    tight = {**content, "hardware": {**content["hardware"], "cache_gb": 0}}
    with pytest.raises(Her2Error, match="cache_gb"):
        train(make_config(tight), root=tmp_path, progress=False)
