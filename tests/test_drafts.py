"""Unfinished runs: progress from outside, stop requests, resumption, and broken files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from her2core.errors import RunError
from her2core.runs import drafts
from her2core.runs.drafts import list_drafts, request_stop
from her2core.runs.listing import list_runs
from her2core.runs.writer import PROGRESS, STOP, RunWriter


def config(manifest: Path, **hardware) -> dict:
    """Epochs of some tenths of a second: long enough to be seen and stopped."""
    return {
        "name": "t",
        "title": "A training to look at",
        "manifest": str(manifest),
        "input": {"px": 64},
        "network": {"name": "timm:resnet10t"},
        "serving": False,
        "train": {"epochs": 4, "batch_size": 2, "warmup_epochs": 0.5},
        "hardware": {"accelerator": "cpu", **hardware},
    }


@contextmanager
def training(content: dict, root: Path) -> Iterator[subprocess.Popen]:
    path = root.parent / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "her2core", "train", str(path), "--runs", str(root), "--quiet"]
    # With other threads than here the last bits of sums may differ; two processes share the cores.
    env = {**os.environ, "OMP_NUM_THREADS": "1"} if "strategy" in content["hardware"] else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def watched_until_second_epoch(process: subprocess.Popen, root: Path) -> list[drafts.Draft]:
    """What the list said while the training ran, each change once."""
    seen: list[drafts.Draft] = []
    deadline = time.monotonic() + 180
    while not seen or not seen[-1].progress or seen[-1].progress["epoch"] < 1:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        for draft in list_drafts(root):
            assert draft.problem == ""
            if not seen or draft.progress != seen[-1].progress or draft.event != seen[-1].event:
                seen.append(draft)
        time.sleep(0.01)
    return seen


def events(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]


def test_a_training_is_watched_stopped_and_resumed_to_the_same_end(tiny_manifest, tmp_path, brief_cost):
    """Equal to the unbroken run to the bit; the stopped one reads its patches one by one, which changes no bit."""
    from her2core.training.config import make_config
    from her2core.training.fit import train

    root = tmp_path / "runs"
    with training(config(tiny_manifest, cache_gb=0), root) as process:
        seen = watched_until_second_epoch(process, root)
        request_stop(seen[-1])
        request_stop(seen[-1])  # asking twice is asking once
        _, said = process.communicate(timeout=120)
    newborn = [d for d in seen if d.host is None]  # the folder is made a moment before its lock
    assert seen[: len(newborn)] == newborn
    training_seen = seen[len(newborn) :]
    assert all(d.running and d.host == socket.gethostname() and not d.stop_requested for d in training_seen)
    told = [d.progress for d in seen if d.progress]
    moments = [(p["epoch"], p["step"]) for p in told if p["phase"] == "training"]
    assert moments == sorted(moments)
    assert len(set(moments)) > 2
    assert {p["epochs"] for p in told} == {4}
    assert told[-1]["steps"] > 5
    assert told[-1]["loss"] > 0
    assert any(p["patches_per_second"] for p in told)
    assert told[0]["started"] <= told[-1]["updated"]
    assert seen[-1].title == "A training to look at"
    assert len(seen[-1].history) >= told[-1]["epoch"] > 0

    assert process.returncode == 1
    (rest,) = list_drafts(root)
    stopped = events(rest.path)[-1]
    assert stopped["event"] == "stopped"
    assert 1 <= stopped["epoch"] < 4
    assert rest.progress["step"] == stopped["step"] <= rest.progress["steps"]
    assert said.startswith("Error: Expected a training of up to 4 epochs, but got one stopped on request in ")
    assert said.strip().endswith(f"The same command resumes from epoch {stopped['epoch'] + 1}.")
    assert "Traceback" not in said
    assert not rest.running
    assert rest.host is None
    assert rest.stop_requested
    assert rest.event == stopped
    assert rest.problem == ""
    assert rest.history["epoch"].tolist() == list(range(stopped["epoch"]))
    assert list_runs(root) == ([], [])
    with pytest.raises(RunError, match="an interrupted one"):
        request_stop(rest)

    settings = make_config(config(tiny_manifest))
    resumed = train(settings, root=root, progress=False)
    unbroken = train(settings, root=tmp_path / "unbroken", progress=False)
    assert [e["event"] for e in events(resumed.path) if e["event"] != "epoch"] == [
        "started",
        "stopped",
        "resumed",
        "finished",
    ]
    assert resumed.card["weights_sha256"] == unbroken.card["weights_sha256"]
    drop = ["seconds"]
    pd.testing.assert_frame_equal(resumed.history.drop(columns=drop), unbroken.history.drop(columns=drop))
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions)
    assert list_drafts(root) == []
    assert not [p.name for p in resumed.path.iterdir() if p.name in (PROGRESS, STOP) or p.name.startswith(".")]
    with pytest.raises(RunError, match="no such folder.*her2 runs list"):
        request_stop(seen[-1])
    assert not seen[-1].path.exists()


def test_two_processes_stop_after_the_same_batch(tiny_manifest, tmp_path):
    """One of them looks, both stop: neither waits for the other's gradients, and one says so."""
    root = tmp_path / "runs"
    with training(config(tiny_manifest, devices=2, strategy="ddp"), root) as process:
        request_stop(watched_until_second_epoch(process, root)[-1])
        _, said = process.communicate(timeout=120)  # the pipe closes once both have ended
    assert process.returncode == 1, said
    assert said.count("stopped on request") == 1
    assert "Traceback" not in said
    (rest,) = list_drafts(root)
    assert not rest.running
    assert rest.event["event"] == "stopped"
    assert [e["event"] for e in events(rest.path)].count("stopped") == 1
    assert list_runs(root) == ([], [])


@pytest.fixture
def opened(tmp_path):
    draft = RunWriter(tmp_path, "net_data_abc")
    draft.open(fresh=False)
    draft.write_config("title: By hand\n")
    draft.event("started")
    yield draft
    draft.release()


def test_progress_is_written_once_a_second_and_its_loss_is_a_number_or_nothing(opened, monkeypatch):
    from her2core.training.callbacks import Diverged, ProgressCallback

    written = []
    monkeypatch.setattr(RunWriter, "write_progress", lambda self, facts: written.append(dict(facts)))
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("her2core.training.callbacks.time.monotonic", lambda: clock.now)
    watch = ProgressCallback(opened, epochs=2, first=True)
    trainer = SimpleNamespace(world_size=1, current_epoch=0, num_training_batches=100)
    watch.on_train_epoch_start(trainer, None)
    for i in range(100):
        clock.now += 0.1
        watch.on_train_batch_end(trainer, None, {"loss": 1.0 / (i + 1)}, (None, [0] * 8), i)
    clock.now += 1.1
    with pytest.raises(Diverged, match="`loss` that is a finite number, but got nan in epoch 1"):
        watch.on_train_batch_end(trainer, None, {"loss": float("nan")}, (None, [0] * 8), 99)
    assert written.pop()["loss"] is None
    start, *batches = written[1:]
    assert (start["phase"], start["step"], start["steps"]) == ("training", 0, 100)
    assert 9 <= len(batches) <= 11
    assert batches[-1]["step"] == 100
    assert batches[0]["loss"] == pytest.approx(0.1, abs=0.02)
    assert batches[-1]["loss"] == pytest.approx(0.01)
    assert [b["patches_per_second"] for b in batches] == pytest.approx([80] * len(batches))


def test_the_first_process_alone_stops_while_patches_are_prepared(opened):
    from her2core.training.callbacks import ProgressCallback, Stopped

    watch, helper = (ProgressCallback(opened, epochs=2, first=first) for first in (True, False))
    watch.preparing(10, 10)
    assert json.loads((opened.path / PROGRESS).read_text())["step"] == 10
    before = (opened.path / PROGRESS).stat().st_mtime_ns
    (opened.path / STOP).touch()
    helper.preparing(10, 10)
    assert (opened.path / PROGRESS).stat().st_mtime_ns == before
    with pytest.raises(Stopped, match="while it prepared its patches.*The same command resumes it") as stopped:
        watch.preparing(1, 5)
    assert isinstance(stopped.value, RunError)
    (rest,) = list_drafts(opened.root)
    assert (rest.host, rest.event["event"], rest.progress["phase"]) == (None, "stopped", "preparing patches")
    (opened.path / ".progress.json.77.part").touch()  # a process was killed while it wrote
    opened.open(fresh=False)
    assert {p.name for p in opened.path.iterdir()} == {"lock.json", "config.yaml", "events.jsonl", PROGRESS}


def test_a_report_that_cannot_be_written_ends_no_training(opened, monkeypatch):
    from her2core.training.callbacks import ProgressCallback

    def full(self, facts):
        raise OSError("disk full")

    monkeypatch.setattr(RunWriter, "write_progress", full)
    ProgressCallback(opened, epochs=2, first=True).preparing(3, 3)
