"""Distillation: what the student is taught, what is left out, resumption, and its weights as first weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

from her2core.cli import cli
from her2core.data.manifest import read_manifest
from her2core.errors import ConfigError, ManifestError, NetworkError, RunError, WeightsError
from her2core.networks.registry import build_network
from her2core.networks.weights import save_weights, start_from
from her2core.runs.checkpoints import CheckpointStore
from her2core.runs.listing import list_runs
from her2core.runs.writer import RunWriter
from her2core.training.config import InputConfig, OptimisationConfig
from her2core.training.distil_config import load_distillation, make_distillation
from her2core.training.distil_module import StudentModule, ViewDataset, embed_views
from her2core.training.distil_patches import read_patches
from her2core.training.distillation import distill
from her2core.training.earlier_run import start_warnings
from her2core.training.interrupts import Interrupted

ROOT = Path(__file__).resolve().parents[1]
SMALL = "timm:resnet10t"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """Weights of a small network, drawn once; its embedding differs from patch to patch."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_weights(build_network(SMALL, 2), path)
    return path


@pytest.fixture(scope="module")
def settings(tiny_manifest, tiny_run, teacher, tmp_path_factory) -> dict:
    """Two epochs in two views at 32 px, on the tiny cohort without the tiny run's validation and test parts."""
    return {
        "name": "taught",
        "patches": [{"manifest": str(tiny_manifest), "leave_out": [str(tiny_run.path)]}],
        "teacher": {"network": {"name": SMALL, "init": f"file:{teacher}"}, "input": {"px": 48}},
        "student": {"name": "timm:test_resnet"},
        "input": {"px": 32},
        "views": 2,
        "held_out": 0.2,
        "train": {"epochs": 3, "batch_size": 4, "lr": 0.003, "warmup_epochs": 0.5},
        "hardware": {"accelerator": "cpu", "features": str(tmp_path_factory.mktemp("features"))},
    }


@pytest.fixture(scope="module")
def taught(settings, tmp_path_factory) -> Path:
    return distill(make_distillation(settings), root=tmp_path_factory.mktemp("weights"), progress=False)


def test_the_student_comes_closer_to_the_teacher(taught):
    history = pd.read_csv(taught / "history.csv")
    assert len(history) == 3
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["val_loss"].min() < history["val_loss"].iloc[0]


def test_the_card_and_the_table_say_what_was_used(taught, settings, tiny_run, teacher):
    card = json.loads((taught / "model.card.json").read_text())
    table = pd.read_parquet(taught / "patches.parquet")
    assert card["labels"].startswith("none")
    assert "label" not in table
    parts = tiny_run.splits.set_index("patch_id")["split"]
    used = table[table["part"].isin(["train", "val"])]
    assert set(used["patch_id"]) == set(parts[parts == "train"].index)
    assert set(table.loc[table["part"] == "left out", "patch_id"]) == set(parts[parts != "train"].index)
    assert (used["part"] == "val").sum() == round(0.2 * len(used))
    assert card["data"]["patches"] == {
        "train": int((table["part"] == "train").sum()),
        "val": int((table["part"] == "val").sum()),
        "left out": int((parts != "train").sum()),
    }
    assert card["weights_sha256"] == hashlib.sha256((taught / "model.safetensors").read_bytes()).hexdigest()
    assert card["teacher"]["name"] == SMALL
    assert any(str(teacher) in limit for limit in card["limits"]), (
        "a teacher that was trained here may have seen labels"
    )
    assert not any(name.startswith("model.fc.") for name in load_file(taught / "model.safetensors"))
    assert json.loads((taught / "distilled.json").read_text())["data_hashes"] == card["data"]["hashes"]
    assert list((taught.parent / ".work").iterdir()) == []
    assert list_runs(taught.parent) == ([], []), "weights are no run, and no broken one"


def test_teacher_and_student_see_the_same_view_and_the_teacher_stays_as_it_is(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 40, 40, 3), np.uint8)
    torch.manual_seed(0)
    network = build_network(SMALL, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scaling = InputConfig(px=40, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    from her2core.data.augment import Augment

    train = ViewDataset(images, student=scaling, augment=Augment(), seed=3, views=2)
    held_out = ViewDataset(images[:2], student=scaling, augment=None, seed=3, views=1)
    embed_views(network, [train, held_out], built="x", scaling=scaling, cache=tmp_path, device=torch.device("cpu"))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    # Oracle: the teacher on the very tensors that the student is given, standardised by hand.
    with torch.no_grad():
        keys = [(i, epoch) for epoch in (0, 1) for i in range(5)]
        raw = network.embed(network.features(torch.stack([train[key][0] for key in keys]))).double().numpy()
        own = network.embed(network.features(torch.stack([held_out[i][0] for i in range(2)]))).double().numpy()
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    varying = std > 1e-3 * std.max()
    given = np.stack([train[key][1].numpy() for key in keys])
    np.testing.assert_allclose(given[:, varying], (raw - mean)[:, varying] / std[varying], atol=5e-3)
    expected = (own - mean)[:, varying] / std[varying]
    np.testing.assert_allclose(held_out.embeddings[0][:, varying], expected, rtol=1e-2, atol=1e-2)
    assert not np.array_equal(train.view(0, 0, 40), train.view(0, 1, 40)), "two views of a patch differ"
    assert torch.equal(train[(0, 0)][0], train[(0, 2)][0]), "the third epoch sees the first view again"


@pytest.mark.parametrize("loss", ["squared", "cosine"])
def test_the_losses_are_what_they_are_called(loss):
    module = StudentModule(
        build_network("timm:test_resnet", 3), OptimisationConfig(), steps_per_epoch=1, seed=0, loss=loss
    )
    predicted, target = torch.tensor([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 0.0], [0, 2.0, 0]])
    expected = {"squared": (16 + 1 + 4) / 6, "cosine": 1 - (0.6 + 0.0) / 2}[loss]
    assert float(module.distance(predicted, target)) == pytest.approx(expected)


def test_an_interrupted_distillation_has_the_weights_of_an_unbroken_one(settings, taught, tmp_path, monkeypatch):
    commit, done = CheckpointStore.commit, []

    def then_end(self):
        commit(self)
        done.append(1)
        raise Interrupted(143)

    monkeypatch.setattr(CheckpointStore, "commit", then_end)
    with pytest.raises(SystemExit):
        distill(make_distillation(settings), root=tmp_path, progress=False)
    monkeypatch.setattr(CheckpointStore, "commit", commit)
    (draft,) = (p for p in (tmp_path / ".work").iterdir() if p.suffix != ".checkpoints" and not p.name.startswith("."))
    again = distill(make_distillation(settings), root=tmp_path, progress=False)
    assert done == [1]
    assert not draft.exists()
    events = [json.loads(line)["event"] for line in (again / "events.jsonl").read_text().splitlines()]
    assert events == ["started", "epoch", "resumed", "epoch", "epoch", "finished"]
    assert (again / "model.safetensors").read_bytes() == (taught / "model.safetensors").read_bytes()


def test_another_seed_gives_other_weights_in_a_folder_of_its_own(settings, taught, tmp_path):
    assert make_distillation(settings).content_hash() != make_distillation({**settings, "seed": 1}).content_hash()
    one = distill(make_distillation({**settings, "seed": 1, "train": {"epochs": 1}}), root=tmp_path, progress=False)
    two = distill(make_distillation({**settings, "seed": 1, "train": {"epochs": 1}}), root=tmp_path, progress=False)
    assert [one.name, two.name] == ["taught", "taught-2"]
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert (one / "model.safetensors").read_bytes() != (taught / "model.safetensors").read_bytes()


def test_labels_play_no_part(settings, taught, tiny_manifest, tmp_path):
    manifest = read_manifest(tiny_manifest)
    frame = manifest.frame.copy()
    frame["label"] = np.roll(frame["label"].to_numpy(), 7)
    frame["her2_ihc"] = None
    changed = type(manifest)(frame, manifest.scheme, manifest.root, manifest.facts).write(tmp_path / "m.parquet")
    entry = {**settings["patches"][0], "manifest": str(changed)}
    other = distill(make_distillation({**settings, "patches": [entry]}), root=tmp_path / "w", progress=False)
    assert (other / "model.safetensors").read_bytes() == (taught / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["her2_resnet50", "resnet50"])
@pytest.mark.parametrize("kind", ["run:{}", "file:{}/model.safetensors"])
def test_weights_of_a_resnet50_start_every_network_with_its_trunk(tmp_path, name, kind):
    torch.manual_seed(0)
    student = build_network("resnet50", 40, output_stride=32)
    sha256 = save_weights(student, tmp_path / "model.safetensors", last=False)
    (tmp_path / "model.card.json").write_text(json.dumps({"weights_sha256": sha256}))
    torch.manual_seed(5)
    network = build_network(name, 3)
    start_from(network, kind.format(tmp_path), name=name)
    own, given = network.state_dict(), student.state_dict()
    trunk = [n for n in given if not n.startswith("classifier.")]
    assert len(trunk) > 300
    assert all(
        torch.equal(own[n], given[n].half().float() if given[n].is_floating_point() else given[n]) for n in trunk
    )


def test_a_run_that_starts_from_them_says_which_test_patches_they_have_seen(taught, tiny_manifest, tiny_run, tmp_path):
    manifest, init = read_manifest(tiny_manifest), f"run:{taught}"
    assert start_warnings(init, manifest, tiny_run.splits) == [], "its test part was left out"
    swapped = tiny_run.splits.replace({"split": {"train": "test", "test": "train"}})
    (said,) = start_warnings(init, manifest, swapped)
    patients = manifest.frame.merge(swapped, on="patch_id").query("split == 'test'")["patient_id"].nunique()
    assert said.startswith(
        f"{patients} of the {patients} patient ids of this test part are ids of (unlabelled) training"
    )
    assert start_warnings(f"file:{taught}/model.safetensors", manifest, swapped)[0].startswith(f"{patients} of the")
    broken = Path(shutil.copytree(taught, tmp_path / "broken"))
    (broken / "patches.parquet").unlink()
    assert "cannot be checked" in start_warnings(f"run:{broken}", manifest, tiny_run.splits)[0]


def test_images_of_a_folder_are_cut_into_windows_and_none_is_left_out(tmp_path, settings):
    for name in ("a.png", "b.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (60, 100, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    folders = [{"folder": str(tmp_path), "source": "own", "window": 50}]
    patches = read_patches(make_distillation({**settings, "patches": [], "folders": folders}))
    (manifest,) = patches.sources
    assert sorted(zip(manifest.frame["x"], manifest.frame["y"], strict=True)) == sorted(
        [(0, 0), (50, 0), (0, 10), (50, 10)] * 2
    )
    assert patches.table["part"].value_counts().to_dict() == {"train": 6, "val": 2}
    assert set(patches.table["source"]) == {"own"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"patches": []}, ConfigError, "at least one source of patches"),
        ({"teacher": {"network": {"name": SMALL, "init": "none"}}}, ConfigError, "pretrained weights"),
        ({"teacher": {"network": {"name": "timm:resnet10x", "init": "imagenet"}}}, NetworkError, "a known network"),
        ({"teacher": {"network": {"name": SMALL, "init": "file:no.safetensors"}}}, WeightsError, "no such file"),
        ({"input": {"px": 32, "size": 3}}, ConfigError, "unknown `input.size`"),
        ({"student": {"name": "timm:vit_tiny_patch16_224"}}, NetworkError, "input.px = 32"),
        ({"patches": [], "folders": [{"folder": "no", "source": "x", "window": 50}]}, ManifestError, "no such folder"),
        ({"held_out": 0.001}, ConfigError, "at least one to hold out"),
        ({"hardware": {"accelerator": "cpu", "cache_gb": 0}}, ConfigError, "cache_gb"),
        ({"loss": "l1"}, ConfigError, "`loss` to be one of 'squared', 'cosine'"),
    ],
)
def test_what_cannot_be_taught_is_refused_with_the_reason(settings, tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        distill(make_distillation({**settings, **change}), root=tmp_path / "w", progress=False)


def test_a_run_of_other_patches_cannot_be_left_out(settings, tmp_path, tiny_manifest):
    entry = {"manifest": str(tiny_manifest), "leave_out": [str(ROOT / "models" / "tissue12")]}
    with pytest.raises(RunError, match="one that has none of them"):
        read_patches(make_distillation({**settings, "patches": [entry]}))


def test_all_patches_left_out_leave_nothing_to_teach(settings):
    entry = {**settings["patches"][0], "leave_out_parts": ["train", "val", "test"]}
    with pytest.raises(ConfigError, match="0 patches"):
        read_patches(make_distillation({**settings, "patches": [entry]}))


def test_a_killed_process_that_had_published_is_not_repeated(settings, taught, tmp_path):
    shutil.copytree(taught, tmp_path / "taught")
    key = json.loads((taught / "distilled.json").read_text())["draft"]
    writer = RunWriter(tmp_path, key, name="taught")
    writer.checkpoints.folder.mkdir(parents=True)
    (writer.checkpoints.folder / "published.json").write_text(json.dumps({"run": "taught"}))
    assert distill(make_distillation(settings), root=tmp_path, progress=False) == tmp_path / "taught"
    assert not (tmp_path / "taught-2").exists()


def test_the_command_teaches_and_says_what_the_weights_are(settings, tmp_path, monkeypatch):
    path = tmp_path / "distil.yaml"
    path.write_text(json.dumps({**settings, "train": {**settings["train"], "epochs": 1}}))
    told = CliRunner().invoke(
        cli, ["distill", str(path), "--weights", str(tmp_path / "w"), "--name", "x", "--quiet", "--json"]
    )
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)
    assert said["weights"] == str(tmp_path / "w" / "x")
    assert said["labels"].startswith("none")
    assert said["notice"] == "Research use only."
    assert (tmp_path / "w" / "x" / "distilled.json").is_file()
    plain = CliRunner().invoke(cli, ["distill", str(path), "--set", "views=0"])
    assert isinstance(plain.exception, ConfigError)
    assert "views" in str(plain.exception)


def test_the_example_leaves_out_what_the_released_evidence_rests_on():
    config = load_distillation(ROOT / "configs" / "distil-resnet50.yaml")
    assert {str(folder) for entry in config.patches for folder in entry.leave_out} == {
        "models/tissue12",
        "models/her2st-erbb2",
    }
    assert all(set(entry.leave_out_parts) == {"val", "test"} for entry in config.patches)
    named = [str(entry.manifest) for entry in config.patches] + [str(entry.folder) for entry in config.folders]
    assert not any("tcga" in name for name in named)
