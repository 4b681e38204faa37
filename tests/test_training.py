"""Training: one step against plain torch, resumption to the bit, several processes, complete runs, configurations."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.nn import functional as F

from her2core.cli import cli
from her2core.data.dataset import EpochSampler
from her2core.errors import ConfigError, Her2Error, ManifestError, RunError, SplitError
from her2core.networks.registry import build_network
from her2core.runs.folder import open_run
from her2core.runs.listing import list_runs
from her2core.runs.writer import RunWriter
from her2core.training.config import TrainConfig, load_config, make_config
from her2core.training.distil_config import load_distillation
from her2core.training.fit import train
from her2core.training.module import PatchClassifier

CONFIGS = Path(__file__).parents[1] / "configs"


def _config(manifest: Path, **changes) -> dict:
    base = {
        "name": "t",
        "manifest": str(manifest),
        "input": {"px": 32},
        "network": {"name": "timm:resnet10t"},
        "serving": False,
        "train": {"epochs": 3, "batch_size": 6, "warmup_epochs": 0.5},
        "hardware": {"accelerator": "cpu"},
    }
    for key, value in changes.items():
        base[key] = {**base[key], **value} if isinstance(value, dict) else value
    return base


def _command(config: dict, folder: Path, *extra: str) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return [sys.executable, "-m", "her2core", "train", str(path), "--runs", str(folder / "runs"), "--quiet", *extra]


def test_one_step_equals_plain_torch():
    """The oracle: the same batch, loss, weights and AdamW by hand give the same parameters."""
    import pytorch_lightning as pl

    settings = TrainConfig(epochs=2, batch_size=4, lr=0.01, warmup_epochs=0, weight_decay=0.1, label_smoothing=0.1)
    torch.manual_seed(0)
    ours = build_network("timm:resnet10t", 3)
    theirs = build_network("timm:resnet10t", 3)
    theirs.load_state_dict(ours.state_dict())
    # Adam's first step is nearly the gradient's sign: without the same memory layout, rounding would decide it.
    theirs = theirs.to(memory_format=torch.channels_last)
    images, targets = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 1])

    module = PatchClassifier(ours, settings, class_counts=[10, 20, 30], steps_per_epoch=1, seed=0)
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader([(images[i], targets[i]) for i in range(4)], batch_size=4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(many workers|validation_step).*")
        trainer.fit(module, loader)

    decay = [p for p in theirs.parameters() if p.ndim > 1]
    plain = [p for p in theirs.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=0.01
    )
    theirs.train()
    weight = torch.tensor([60 / 30, 60 / 60, 60 / 90])
    F.cross_entropy(
        theirs(images.contiguous(memory_format=torch.channels_last)), targets, weight=weight, label_smoothing=0.1
    ).backward()
    optimizer.step()
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_finished_run_is_whole(tiny_run):
    assert open_run(tiny_run.path).info["status"] == "finished"
    assert {p.name for p in tiny_run.path.iterdir()} == {
        "run.json",
        "config.yaml",
        "splits.parquet",
        "history.csv",
        "events.jsonl",
        "model.safetensors",
        "model.card.json",
        "predictions.parquet",
        "evaluation",
        "dataset.parquet",
        "checks.json",
        "ood.safetensors",
        "image_properties.parquet",
    }
    history = tiny_run.history
    assert history["epoch"].tolist() == [0, 1]
    for column in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy"):
        assert history[column].notna().all()
    assert set(tiny_run.predictions["split"]) == {"val", "test"}
    parts = tiny_run.predictions.merge(tiny_run.splits, on="patch_id", suffixes=("", "_saved"))
    assert (parts["split"] == parts["split_saved"]).all()
    card = tiny_run.card
    assert card["intended_use"].startswith("Research use only")
    assert card["data"]["split_unit"] == "patient"
    assert card["data"]["facts"]["synthetic"]
    assert tiny_run.info["manifest_hash"]
    assert tiny_run.info["packages"]["torch"] == torch.__version__.split("+")[0]
    events = [json.loads(line)["event"] for line in (tiny_run.path / "events.jsonl").read_text().splitlines()]
    assert events == ["started", "epoch", "epoch", "finished"]
    assert [p.name for p in (tiny_run.path.parent / ".work").iterdir()] == []


@pytest.fixture(scope="module")
def one_epoch(tiny_manifest, tmp_path_factory, brief_cost):
    """A configuration of one epoch, and its finished run."""
    config = make_config(_config(tiny_manifest, train={"epochs": 1}))
    return config, train(config, root=tmp_path_factory.mktemp("one"), progress=False)


def test_same_seed_same_weights(one_epoch, tmp_path):
    config, run = one_epoch
    again, other = (
        train(config.model_copy(update={"seed": seed}), root=tmp_path / str(seed), progress=False)
        for seed in (config.seed, 5)
    )
    assert again.card["weights_sha256"] == run.card["weights_sha256"]
    assert other.card["weights_sha256"] != run.card["weights_sha256"]


def test_killed_run_resumes_to_the_same_end(tiny_manifest, tmp_path, brief_cost):
    """Killed for good after its first epoch, then given the same command: equal to the unbroken run, to the bit."""
    config = _config(tiny_manifest, train={"epochs": 4, "freeze_epochs": 1})
    unbroken = train(make_config(config), root=tmp_path / "unbroken", progress=False)

    command = _command(config, tmp_path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = tmp_path / "runs" / ".work"
    deadline = time.monotonic() + 120
    while not list(work.glob("*.checkpoints/last.ckpt")):
        assert process.poll() is None, "finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(RunError, match=f"process {process.pid}"):
        train(make_config(config), root=tmp_path / "runs", progress=False)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list_runs(tmp_path / "runs") == ([], [])

    assert not cli.main(command[3:], standalone_mode=False)  # the same words
    (resumed,), problems = list_runs(tmp_path / "runs")
    assert not problems
    events = [json.loads(line)["event"] for line in (resumed.path / "events.jsonl").read_text().splitlines()]
    assert "resumed" in events
    assert resumed.card["weights_sha256"] == unbroken.card["weights_sha256"]
    drop = ["seconds"]
    pd.testing.assert_frame_equal(resumed.history.drop(columns=drop), unbroken.history.drop(columns=drop))
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions)


def test_two_processes_train_together(tiny_manifest, tmp_path):
    """DDP on two CPU processes, by configuration alone: one run comes out, every patch assigned to one of them."""
    config = _config(
        tiny_manifest,
        train={"epochs": 2, "batch_size": 4, "freeze_epochs": 1},
        hardware={"accelerator": "cpu", "devices": 2, "strategy": "ddp"},
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(_command(config, tmp_path, "--json"), capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    (run,), problems = list_runs(tmp_path / "runs")
    assert not problems
    assert json.loads(done.stdout.strip().splitlines()[-1])["run"] == str(run.path)
    assert run.history["epoch"].tolist() == [0, 1]
    assert run.history["train_loss"].notna().all()
    assert len(run.predictions) == (run.splits["split"] != "train").sum()


def test_sampler_assigns_every_patch_to_one_process():
    shares = [EpochSampler(21, seed=3, batch_size=5, rank=r, world_size=2) for r in range(2)]
    for sampler in shares:
        sampler.set_epoch(4)
    a, b = ([i for i, _ in s] for s in shares)
    assert len(a) == len(b) == 10
    assert not set(a) & set(b)
    assert {e for s in shares for _, e in s} == {4}
    shares[0].set_epoch(5)
    assert [i for i, _ in shares[0]] != a


def test_frozen_trunk_is_unchanged_and_then_trained(tiny_manifest, tmp_path, brief_cost):
    from her2core.networks.weight_files import read_weights
    from her2core.networks.weights import save_weights

    torch.manual_seed(1)
    save_weights(build_network("resnet50", 3), tmp_path / "start.safetensors", half=False)
    init = f"file:{tmp_path / 'start.safetensors'}"
    settings = {"epochs": 2, "freeze_epochs": 1, "patience": 1, "monitor": "val_loss", "batch_size": 8}
    config = make_config(_config(tiny_manifest, train=settings, network={"name": "resnet50", "init": init}))
    import pytorch_lightning as pl

    start = read_weights(tmp_path / "start.safetensors")
    seen = {}

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            state = module.network.state_dict()
            seen[trainer.current_epoch] = {
                n: bool(torch.equal(state[n], start[n]))
                for n in ("stem.0.weight", "stem.1.running_mean", "layer4.0.conv1.weight")
            }

    original = pl.Trainer.__init__

    def with_watch(self, *args, callbacks=(), **kwargs):
        original(self, *args, callbacks=[*callbacks, Watch()], **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pl.Trainer, "__init__", with_watch)
        train(config, root=tmp_path / "runs", progress=False)
    assert all(seen[0].values())
    assert not any(seen[1].values())


def test_a_training_reads_no_table_that_it_has_written(one_epoch, tmp_path, monkeypatch):
    """Predictions and data table go to the evaluation in memory; the figures are those of the files.

    Read again are only the list of what is missing, to which the baselines add theirs, and the image properties, among
    which weak slices are searched.
    """
    from her2core.evidence.evaluation import evaluate
    from her2core.io import tables

    read, content = [], tables._content
    monkeypatch.setattr(tables, "_content", lambda path, where: read.append(path) or content(path, where))
    run = train(one_epoch[0].model_copy(update={"seed": 9}), root=tmp_path, progress=False)
    assert {path.name for path in read if path.is_relative_to(tmp_path)} <= {"missing.csv", "image_properties.parquet"}
    assert read, "the manifest is read"
    fresh = evaluate(open_run(run.path)).metrics
    stored = run.table("metrics")
    np.testing.assert_allclose(stored["value"], fresh["value"].astype(float), atol=1e-6)


@pytest.fixture(scope="module")
def not_published(one_epoch, tmp_path_factory):
    """A root in which all epochs are done and the disk was full when the run was to be published."""
    root = tmp_path_factory.mktemp("not-published")

    def disk_full(self, info):
        raise OSError("disk full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWriter, "finish", disk_full)
        with pytest.raises(OSError, match="disk full"):
            train(one_epoch[0], root=root, progress=False)
    return root


@pytest.mark.parametrize("fresh", [False, True])
def test_interrupted_before_publication_the_same_command_finishes_it_or_starts_over(
    one_epoch, not_published, tmp_path, fresh
):
    config, tmp_path = one_epoch[0], Path(shutil.copytree(not_published, tmp_path / "runs"))
    assert list_runs(tmp_path) == ([], [])
    run = train(config, root=tmp_path, progress=False, fresh=fresh)
    events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert events == (["started", "epoch", "finished"] if fresh else ["started", "epoch", "resumed", "finished"])
    assert run.info["best_epoch"] == 0
    assert run.info["epochs_trained"] == 1
    assert list((tmp_path / ".work").iterdir()) == []


def test_patches_that_do_not_fit_in_memory_are_read_one_by_one(one_epoch, tmp_path):
    """The same run with and without the cache, to the bit."""
    config, cached = one_epoch
    hardware = config.hardware.model_copy(update={"cache_gb": 0.0})
    run = train(config.model_copy(update={"hardware": hardware}), root=tmp_path, progress=False)
    assert run.card["weights_sha256"] == cached.card["weights_sha256"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bogus": 1}, "an unknown `bogus`"),
        ({"train": {"epoch": 3}}, "an unknown `train.epoch`.*Did you mean 'epochs'"),
        ({"train": {"lr": -1}}, "`train.lr` to be a number greater than 0, but got -1"),
        ({"train": {"epochs": 2, "freeze_epochs": 2}}, "`train.freeze_epochs` to be smaller than"),
        ({"train": None}, "`train` to be fields out of epochs"),
        ({"train": {"augment": {"stain": 7}}}, "`train.augment.stain` to be a number of at least 0 and of at most 1"),
        ({"name": "Has Spaces"}, "`name` to be"),
        ({"name": "Has Spaces", "seed": -1}, "and 1 more to correct"),
        ({"manifest": None}, "`manifest` to be a path"),
        ({"split": {"unit": "tile"}}, "`split.unit` to be one of 'patient', 'slide', 'field', 'site', 'patch_random'"),
        ({"split": {"unit": "patients"}}, "Did you mean 'patient'"),
        ({"hardware": {"devices": "all"}}, "`hardware.devices` to be a whole number, or 'auto', but got 'all'"),
        ({"input": {"mean": [0.5]}}, "`input.mean` to be a list of 3 numbers"),
        ({"input": {"std": [0.5, 0.5, 0]}}, "each value of `input.std` to be a number greater than 0, but got 0"),
        ({"network": {"init": "imagenett"}}, "`network.init` to be one of none, random, imagenet"),
        ({"network": {"init": "run:"}}, "`network.init` to be one of"),
        ({"frozen": {"head": "knn", "tried": [0.5]}}, "`frozen.tried` to hold positive numbers, whole ones for knn"),
    ],
)
def test_wrong_configurations_are_named(tiny_manifest, change, says):
    with pytest.raises(ConfigError, match=says):
        make_config({**_config(tiny_manifest), **change})


def test_overrides(tiny_manifest, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(_config(tiny_manifest)))
    config = load_config(path, ["train.lr=0.5", "network.options.drop_rate=0.1", "hardware.devices=2"])
    assert (config.train.lr, config.network.options, config.hardware.devices) == (0.5, {"drop_rate": 0.1}, 2)
    with pytest.raises(ConfigError, match="equals sign"):
        load_config(path, ["train.lr"])
    with pytest.raises(ConfigError, match="--set name.x"):
        load_config(path, ["name.x=1"])
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="valid YAML"):
        load_config(path)


def test_a_missing_field_is_named_with_its_meaning():
    with pytest.raises(ConfigError, match="a value for `manifest`, but got none.*the manifest to train on"):
        make_config({"name": "own"})


def test_random_first_weights_are_none_of_the_other_kinds(tiny_manifest):
    none, random = (make_config(_config(tiny_manifest, network={"init": init})) for init in ("none", "random"))
    assert random == none
    assert random.content_hash() == none.content_hash()


def test_released_configurations_are_valid():
    found = sorted(CONFIGS.glob("*.yaml"))
    assert {p.stem for p in found} >= {"demo", "tissue12", "her2st-erbb2", "own"}
    for path in found:
        (load_distillation if path.stem.startswith("distil") else load_config)(path)


def test_bad_data_stops_before_training(tiny_manifest, tmp_path):
    from her2core.data.manifest import read_manifest

    manifest = read_manifest(tiny_manifest)
    frame = manifest.frame.copy()
    frame.loc[0, "path"] = "patches/gone.png"
    from dataclasses import replace

    replace(manifest, frame=frame).write(tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"gone\.png"):
        train(make_config(_config(tmp_path / "m.parquet")), root=tmp_path / "runs", progress=False)
    few = manifest.subset(manifest.frame.groupby("label").head(2)["patch_id"])
    few.write(tmp_path / "few.parquet")
    with pytest.raises(SplitError, match="at least three patients"):
        train(make_config(_config(tmp_path / "few.parquet")), root=tmp_path / "runs", progress=False)
    with pytest.raises(Her2Error, match="no such file"):
        train(make_config(_config(tmp_path / "none.parquet")), root=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


def test_class_weights_are_balanced():
    module = PatchClassifier(
        build_network("timm:resnet10t", 2), TrainConfig(), class_counts=[30, 10], steps_per_epoch=1, seed=0
    )
    np.testing.assert_allclose(module.class_weight, [40 / 60, 40 / 20])
