"""Bag models: attention, pooling rules, ordinal layer, bags by patient, feature files, and their cross-validation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.special import expit

from her2core.data.manifest import build_manifest, read_manifest
from her2core.errors import ConfigError, ManifestError, TableError
from her2core.evidence.aggregation_rules import RULES
from her2core.evidence.predictions import read_predictions
from her2core.features.h5 import read_h5
from her2core.features.table import FeatureTable, read_features
from her2core.mil.bags import padded, patient_bags
from her2core.mil.fit import MilSettings, fit_mil
from her2core.mil.models import BagModel, GatedAttention, OrdinalLayer
from her2core.study.mil import load_mil, run_mil

# models


def some_bags(sizes=(3, 1, 7), features=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, features)).astype(np.float32) for n in sizes]


def test_gated_attention_equals_torchmil_s():
    pools = pytest.importorskip("torchmil.nn", reason="torchmil is not installed")
    torch.manual_seed(0)
    ours = GatedAttention(6, 4)
    theirs = pools.AttentionPool(in_dim=6, att_dim=4, act="tanh", gated=True)
    pairs = ((ours.value, theirs.fc1.module), (ours.gate, theirs.fc_gated.module), (ours.score, theirs.fc2))
    for own, other in pairs:
        other.load_state_dict(own.state_dict())
    x, mask = padded(some_bags())
    weights = ours(x, mask)
    pooled, before = theirs(x, mask, return_att=True)
    torch.testing.assert_close((weights[..., None] * x).sum(dim=1), pooled)
    torch.testing.assert_close(weights, torch.softmax(before.masked_fill(~mask, -torch.inf), dim=1))
    assert weights[~mask].eq(0).all()


@pytest.mark.parametrize("pool", ["attention", "mean", "top_k", "noisy_or"])
@pytest.mark.parametrize("head", ["nominal", "ordinal"])
def test_padding_and_the_order_of_tiles_change_nothing(pool, head):
    torch.manual_seed(1)
    model = BagModel(6, 3, pool=pool, head=head, hidden=8).eval()
    bags = some_bags()
    together = model(*padded(bags))
    assert together.shape == (3, 3)
    for row, bag in enumerate(bags):
        torch.testing.assert_close(model(*padded([bag]))[0], together[row])
        torch.testing.assert_close(model(*padded([bag[::-1].copy()]))[0], together[row])


@pytest.mark.parametrize("rule", ["top_k", "noisy_or"])
def test_tile_rules_are_those_of_the_evidence(rule):
    torch.manual_seed(2)
    model = BagModel(6, 3, pool=rule, hidden=0).eval()
    bags = some_bags(sizes=(3, 1, 25, 41))
    with torch.no_grad():
        probabilities = torch.softmax(model(*padded(bags)), dim=1).double().numpy()
        tiles = torch.softmax(model.head(torch.from_numpy(np.concatenate(bags))), dim=1).double().numpy()
    codes, counts = np.repeat(range(4), [len(bag) for bag in bags]), np.array([len(bag) for bag in bags])
    expected = RULES[rule](tiles, codes, counts)
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


def test_mean_pooling_is_the_mean_of_the_embeddings():
    model = BagModel(6, 3, pool="mean", hidden=0).eval()
    bags = some_bags()
    expected = torch.stack([model.head(torch.from_numpy(bag).mean(dim=0)) for bag in bags])
    torch.testing.assert_close(model(*padded(bags)), expected)
    assert model.tile_weights(*padded([bags[0]]))[0].tolist() == pytest.approx([1 / 3] * 3)


def test_the_ordinal_layer_is_a_proportional_odds_model_at_any_distance():
    layer = OrdinalLayer(1, 4)
    with torch.no_grad():
        layer.score.weight.fill_(1.0)
        layer.first.fill_(-0.5)
        layer.steps.copy_(torch.tensor([0.3, -30.0]))  # two thresholds almost equal
    at = layer.thresholds().detach().double().numpy()
    assert (np.diff(at) >= 0).all()
    x = torch.tensor([[-40.0], [-1.0], [0.0], [2.0], [60.0]])
    given = layer(x).detach()
    assert torch.isfinite(given).all()
    above = expit(x.double().numpy() - at)
    expected = -np.diff(np.concatenate([np.ones((5, 1)), above, np.zeros((5, 1))], axis=1), axis=1)
    np.testing.assert_allclose(given.exp().numpy(), expected, atol=1e-6)
    assert OrdinalLayer(2, 2)(torch.zeros(1, 2)).shape == (1, 2)


# training


def planted(patients=60, seed=0):
    """Bags of which one tile of twelve shows the class, by a shift that drowns in the mean."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for number in range(patients):
        label = ("negative", "positive")[number % 2]
        for tile in range(12):
            vector = rng.normal(size=8).astype(np.float32)
            if tile == 0:
                vector[0] += 6.0 if label == "positive" else 0.0
                vector[1] += 6.0
            rows.append({"path": f"{number}-{tile}", "patient_id": f"P{number:02d}", "label": label})
            vectors.append(vector)
    manifest = build_manifest(
        pd.DataFrame(rows).assign(site=["AB"[int(r["patient_id"][1:]) // 2 % 2] for r in rows]), root="."
    )
    return manifest, FeatureTable(tuple(manifest.frame["patch_id"]), np.stack(vectors))


def test_attention_finds_the_tile_that_shows_the_class():
    bags = patient_bags(*planted())
    train, val, test = np.arange(30), np.arange(30, 40), np.arange(40, 60)
    settings = MilSettings(pool="attention", hidden=0, attention=16, epochs=60, dropout=0.0, lr=5e-3)
    fitted = fit_mil(bags, settings, train=train, val=val, seed=0)
    predicted = fitted.scores(bags, test).argmax(axis=1)
    assert (predicted == bags.labels[test]).mean() >= 0.9
    positive = [row for row in test if bags.labels[row] == 1]
    assert np.mean([fitted.tile_weights(bags, int(row))[0] for row in positive]) > 0.5
    again = fit_mil(bags, settings, train=train, val=val, seed=0)
    np.testing.assert_array_equal(again.scores(bags, test), fitted.scores(bags, test))
    assert (again.temperature, again.epoch) == (fitted.temperature, fitted.epoch)


def test_training_needs_every_class_and_leaves_the_global_generator_alone():
    bags = patient_bags(*planted(patients=12))
    with pytest.raises(ManifestError, match=r"training bags of every class, .* but got \[0, 3\] and 2"):
        fit_mil(bags, MilSettings(), train=np.array([1, 3, 5]), val=np.array([0, 2]))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit_mil(bags, MilSettings(epochs=1), train=np.arange(8), val=np.arange(8, 12))
    assert torch.equal(torch.rand(3), expected)


# bags


def test_a_patient_s_bag_holds_the_tiles_of_all_their_slides(tmp_path):
    rows = {
        "path": list("abc"),
        "slide_id": ["S1", "S2", "S3"],
        "patient_id": ["P2", "P1", "P2"],
        "label": ["x", "y", "x"],
    }
    h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")
    for slide, number in (("S1", 2), ("S2", 1)):
        with h5py.File(tmp_path / f"{slide}.h5", "w") as held:
            held["features"] = np.full((number, 4), int(slide[1]), np.float16)
            held["coords"] = np.array([[256 * i, 0] for i in range(number)])
    bags = patient_bags(build_manifest(pd.DataFrame(rows), root="."), tmp_path)
    assert bags.frame[["patient_id", "tiles", "slides"]].values.tolist() == [["P1", 1, 1], ["P2", 2, 1]]
    assert bags.patch_ids == ("S2#0,0", "S1#0,0", "S1#256,0")
    assert bags.tiles(1)[:, 0].tolist() == [1.0, 1.0]
    assert bags.notes == ("1 slides without features: S3.",)
    with h5py.File(tmp_path / "S3.h5", "w") as held:
        held["features"] = np.ones((1, 3, 5))
    with pytest.raises(TableError, match="features of one encoder, but got lengths 4, 5"):
        patient_bags(build_manifest(pd.DataFrame(rows), root="."), tmp_path)
    with pytest.raises(ManifestError, match=r"named after the slides .*first S2\.h5"):
        patient_bags(build_manifest(pd.DataFrame(rows), root="."), tmp_path / "nowhere")


def test_h5_files_named_after_the_slides_own_files_are_found_and_never_shared(tmp_path):
    h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")
    for name in ("TCGA-A8-A06N-01Z-00-DX1.0a1b", "12"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as held:  # an axis of length 1 more, coordinates as floats
            held["features"], held["coords"] = np.ones((2, 1, 4)), np.array([[[0.0, 0.0], [256.0, 0.0]]])
    rows = {
        "path": ["TCGA-A8-A06N-01Z-00-DX1.0a1b.svs", "train/12.mrxs", "test/12.mrxs"],
        "slide_id": ["TCGA-A8-A06N-01Z-00-DX1", "train-12", "test-12"],
        "patient_id": ["P1", "P2", "P3"],
        "label": ["x", "y", "x"],
    }
    bags = patient_bags(build_manifest(pd.DataFrame(rows), root="."), tmp_path)
    assert bags.patch_ids == ("TCGA-A8-A06N-01Z-00-DX1#0,0", "TCGA-A8-A06N-01Z-00-DX1#256,0")
    assert bags.notes == ("2 slides without features: train-12, test-12.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"coords": np.zeros((2, 2), int)}, "a dataset `features`, but got coords"),
        ({"features": np.ones(768)}, r"`features` of tiles, floats \(N, D\), but got float64 \(768,\)"),
        (
            {"features": np.ones((2, 4)), "coords": np.zeros((3, 2), int)},
            r"whole numbers \(2, 2\), but got int64 \(3, 2\)",
        ),
        ({"features": np.ones((2, 4)), "coords": np.zeros((2, 2), int)}, "each tile once"),
        ({"features": np.array([[1.0, np.nan]])}, "features that are finite numbers"),
    ],
)
def test_h5_files_of_another_kind_are_refused(tmp_path, content, message):
    h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")
    with h5py.File(tmp_path / "S1.h5", "w") as held:
        for name, values in content.items():
            held[name] = values
    with pytest.raises(TableError, match=message):
        read_h5(tmp_path / "S1.h5")
    (tmp_path / "S2.h5").write_bytes(b"not an HDF5 file")
    with pytest.raises(TableError, match="an HDF5 file of TRIDENT or CLAM"):
        read_h5(tmp_path / "S2.h5")


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_features_are_read_as_they_were_written(tmp_path, suffix):
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    table = FeatureTable(("007", "b/ä 1.png#2,3", "c"), vectors, np.array([[0, 1], [2, 3], [4, 5]]), "resnet50, 224 px")
    read = read_features(table.write(tmp_path / f"f{suffix}"))
    assert (read.patch_ids, read.network) == (table.patch_ids, table.network)
    np.testing.assert_array_equal(read.vectors, vectors)
    np.testing.assert_array_equal(read.coords, table.coords)
    (tmp_path / f"bad{suffix}").write_bytes(b"damaged")
    with pytest.raises(TableError):
        read_features(tmp_path / f"bad{suffix}")
    with pytest.raises(TableError, match="features of every tile of the manifest, but got none of 1, first 'd'"):
        read.of(["c", "d"])


def test_what_cannot_be_bagged_is_refused():
    manifest, features = planted(patients=4)
    frame = manifest.frame.copy()
    frame.loc[0, "label"] = "positive"
    with pytest.raises(ManifestError, match=r"one label a patient, but got several of P00 \(1 such patients\)"):
        patient_bags(build_manifest(frame, root="."), features)
    with pytest.raises(ManifestError, match="a known patient in every row"):
        patient_bags(build_manifest(frame.drop(columns="patient_id"), root="."), features)


# study


@pytest.fixture
def study(tmp_path):
    manifest, features = planted(patients=24)
    manifest.write(tmp_path / "m.parquet")
    features.write(tmp_path / "f.safetensors")
    fields = {
        "title": "planted tiles",
        "run": {"name": "planted", "manifest": str(tmp_path / "m.parquet")},
        "features": {"own": str(tmp_path / "f.safetensors")},
        "models": [{"label": "mean", "epochs": 3}, {"label": "attention", "pool": "attention", "epochs": 3}],
        "designs": [{"unit": "patient", "folds": 2}, {"unit": "site", "folds": "each"}],
        "seeds": [0, 1],
    }
    fields["models"][0]["pool"] = "mean"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "study.yaml"


def test_every_patient_is_predicted_once_by_a_model_that_did_not_see_them(study, her2, monkeypatch):
    out = study.parent / "out"
    seen: list[tuple[set, set]] = []
    from her2core.study import mil

    def watched(bags, settings, *, train, val, seed):
        seen.append((set(train) | set(val), set(train) & set(val)))
        return fit_mil(bags, settings, train=train, val=val, seed=seed)

    monkeypatch.setattr(mil, "fit_mil", watched)
    figures = run_mil(load_mil(study), out)
    assert len(seen) == 2 * 2 * (2 + 2)
    assert not any(both for _, both in seen)
    table = pd.read_parquet(out / "own-attention-patient-seed0.parquet")
    assert sorted(table["patient_id"]) == [f"P{i:02d}" for i in range(24)]
    numbers = table["patient_id"].str[1:].astype(int)
    fitted = [used for used, _ in seen]
    for fold in (0, 1):
        assert any(not used & set(numbers[table["fold"] == fold]) for used in fitted)
    sites = pd.read_parquet(out / "own-mean-each-site-seed0.parquet")
    assert sites.groupby("fold")["site"].nunique().eq(1).all()
    assert set(figures.table["unit"]) == {"patient"}
    assert set(figures.table.loc[figures.table["group"] == "own-mean-each-site", "resampling_unit"]) != {"patch"}
    weights = pd.read_parquet(out / "own-attention-patient-seed0.attention.parquet")
    np.testing.assert_allclose(weights.groupby("patient_id")["weight"].sum(), 1.0, rtol=1e-5)
    assert len(weights) == 24 * 12
    about = json.loads((out / "mil.json").read_text())
    assert "no evidence of what is there" in " ".join(about["notes"])
    # What is finished is not trained again; a table of predictions is evaluated as any other tool's.
    run_mil(load_mil(study), out)
    assert len(seen) == 16
    held = read_predictions(out / "own-mean-patient-seed0.parquet")
    assert (len(held), held.classes, held.patients_known) == (24, ("negative", "positive"), True)
    code, said, err = her2("study", "mil", "--config", study, "--out", out)
    assert code == 0, err
    assert "own-attention-patient minus own-mean-patient, balanced_accuracy by patient" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"designs": [{"unit": "patch_random"}]}, "designs by patient or site"),
        ({"features": {}}, "an encoder in `networks` or `features`"),
        ({"reference": "x"}, "`reference` to be the label of a model"),
        ({"primary": {"unit": "patch"}}, "`primary.unit` to be patient"),
        ({"seeds": [1, 1]}, "seeds that differ"),
        ({"models": [{"label": "a", "pool": "max"}]}, "models"),
    ],
)
def test_a_study_that_cannot_be_is_refused_by_field(study, change, message):
    fields = yaml.safe_load(study.read_text()) | change
    study.write_text(yaml.safe_dump(fields))
    with pytest.raises(ConfigError, match=message):
        load_mil(study)


def test_features_by_command_feed_a_study(tiny_manifest, her2, tmp_path):
    words = ("--network", "timm:test_resnet", "--init", "none", "--set", "input.px=64", "--set", "stain.method=none")
    code, said, err = her2("features", tiny_manifest, *words, "--out", tmp_path / "f.parquet", "--json")
    assert code == 0, err
    table = read_features(tmp_path / "f.parquet")
    assert json.loads(said)["length"] == table.vectors.shape[1]
    bags = patient_bags(read_manifest(tiny_manifest), table)
    assert (len(bags), set(bags.frame["tiles"])) == (18, {2})
    code, _, err = her2("features", tiny_manifest, *words, "--out", tmp_path / "f.npy")
    assert code == 1
    assert "a name ending in .safetensors or .parquet" in err
