"""Unfinished runs: progress from outside, stop requests, resumption, and broken files."""

from __future__ import annotations

import json
import os
import signal
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
from her2core.io.files import write_json
from her2core.runs import drafts
from her2core.runs.drafts import list_drafts, request_stop
from her2core.runs.listing import list_runs
from her2core.runs.lock import process_start
from her2core.runs.writer import PROGRESS, STOP, RunWriter

FACTS = {
    "phase": "training",
    "epoch": 1,
    "epochs": 3,
    "step": 4,
    "steps": 9,
    "loss": 0.5,
    "patches_per_second": 31.5,
    "started": "2026-01-01T00:00:00+00:00",
}
HISTORY = {"epoch": [0, 1], "train_loss": [1.5, 1.0], "val_loss": [1.5, 1.25], "val_balanced_accuracy": [0.5, 0.75]}


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


# the list, without a network


@pytest.fixture
def sleeper():
    """Another process, alive until the test ends."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def locked(root: Path, sleeper, key: str = "net_data_abc", **lock) -> Path:
    draft = RunWriter(root, key)
    draft.path.mkdir(parents=True)
    draft.checkpoints.folder.mkdir()
    draft.write_config("name: t\ntitle: By hand\n")
    draft.event("started")
    draft.write_progress(FACTS)
    draft.write_history(pd.DataFrame(HISTORY))
    held = {"pid": sleeper.pid, "host": socket.gethostname(), "started": process_start(sleeper.pid)}
    write_json(draft.path / "lock.json", held | lock)
    return draft.path


def test_an_unfinished_run_in_each_of_its_states(tmp_path, sleeper):
    path = locked(tmp_path, sleeper)
    (draft,) = list_drafts(tmp_path, tmp_path, tmp_path / "nowhere")
    assert (draft.key, draft.path, draft.title, draft.running) == ("net_data_abc", path, "By hand", True)
    assert {k: v for k, v in draft.progress.items() if k != "updated"} == FACTS
    assert draft.history.to_dict("list") == HISTORY
    assert draft.event["event"] == "started"
    assert abs(draft.updated.timestamp() - time.time()) < 60
    assert (draft.stop_requested, draft.problem) == (False, "")

    request_stop(draft)
    assert list_drafts(tmp_path)[0].stop_requested
    (path / STOP).unlink()
    write_json(path / PROGRESS, FACTS | {"phase": "evaluating"})
    with pytest.raises(RunError, match="evaluating its best epoch.*Wait until"):
        request_stop(draft)

    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()
    (draft,) = list_drafts(tmp_path)
    assert (draft.running, draft.host, draft.problem) == (False, socket.gethostname(), "")
    with pytest.raises(RunError, match="an interrupted one.*resumes it"):
        request_stop(draft)
    assert not (path / STOP).exists()
    os.rename(path, tmp_path / "20260101-000000_net_data_abc")
    assert list_drafts(tmp_path) == []
    with pytest.raises(RunError, match="no such folder"):
        request_stop(draft)
    assert not path.exists()


def test_a_training_on_another_machine_is_told_by_its_signs_of_life_and_can_be_stopped(tmp_path, sleeper):
    path = locked(tmp_path, sleeper, host="elsewhere", heartbeat=time.time())
    (draft,) = list_drafts(tmp_path)
    assert (draft.running, draft.host, draft.problem) == (True, "elsewhere", "")
    request_stop(draft)
    assert (path / STOP).is_file()
    (path / STOP).unlink()
    write_json(path / "lock.json", {"pid": sleeper.pid, "host": "elsewhere", "heartbeat": time.time() - 1200})
    (draft,) = list_drafts(tmp_path)
    assert (draft.running, draft.host) == (False, "elsewhere")
    assert draft.problem.startswith("It was being trained on elsewhere, whose last sign of life was 20 minutes ago; ")
    with pytest.raises(RunError, match="an interrupted one"):
        request_stop(draft)
    assert not (path / STOP).exists()


def test_the_last_changed_comes_first_and_only_unfinished_runs_are_listed(tmp_path, sleeper):
    for age, key in ((300, "old"), (0, "new"), (100, "middle")):
        path = locked(tmp_path, sleeper, key)
        for changed in (path, *path.iterdir()):
            os.utime(changed, (time.time() - age,) * 2)
    (tmp_path / ".work" / "notes.txt").touch()
    (tmp_path / ".work" / ".hidden").mkdir()
    assert [d.key for d in list_drafts(tmp_path)] == ["new", "middle", "old"]


def test_links_are_not_followed(tmp_path, sleeper):
    secret = locked(tmp_path / "secret", sleeper)
    root = tmp_path / "root"
    (root / ".work").mkdir(parents=True)
    (root / ".work" / "linked").symlink_to(secret)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".work").symlink_to(secret.parent)
    assert list_drafts(root, tmp_path / "other") == []
    with pytest.raises(RunError, match="no such folder"):
        request_stop(drafts.Draft("linked", root / ".work" / "linked"))

    path = locked(root, sleeper)
    for name in ("config.yaml", "history.csv", "events.jsonl", PROGRESS):
        (path / name).unlink()
        (path / name).symlink_to(secret / name)
    (draft,) = list_drafts(root)
    assert (draft.title, draft.progress, draft.event, draft.history.empty) == ("", None, None, True)
    assert draft.problem.count("not a plain file") == 4
    (path / STOP).symlink_to(secret / "made")
    request_stop(draft)
    assert not (secret / "made").exists()


@pytest.mark.parametrize("name", ["lock.json", "config.yaml", "history.csv", "events.jsonl", PROGRESS])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00\n",
        b"[" * 100_000 + b"\n",
        b'{"pid": 1e999, "a": "\n',
        b"!!bool x\n",
        b"\0" * 50 + b"\n",
        b"[1]\n",
        b"epoch\nmany\n",
        b'"unclosed\n',
        b"a: &a [*a]\n",
        b"9" * 5000 + b"\n",
        b"x" * 4_000_001 + b"\n",
    ],
    ids=range(12),
)
def test_a_broken_file_is_a_sentence(tmp_path, sleeper, name, content):
    path = locked(tmp_path, sleeper)
    (path / name).write_bytes(content)
    (draft,) = list_drafts(tmp_path)
    assert (name == "events.jsonl" and not content) or draft.problem.startswith(f"{name}: ")
    assert draft.running == (name != "lock.json")


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"},
        {"steps": None},
        {"step": -1},
        {"epochs": 10**400},
        {"phase": 3},
        {"loss": "low"},
        {"patches_per_second": []},
    ],
)
def test_progress_with_other_values_is_not_returned(tmp_path, sleeper, change):
    write_json(locked(tmp_path, sleeper) / PROGRESS, FACTS | change)
    (draft,) = list_drafts(tmp_path)
    assert draft.progress is None
    assert draft.problem.startswith(f"{PROGRESS}: expected ")


@pytest.mark.parametrize("change", [{"epoch": [0.0, None]}, {"val_loss": ["low", "high"]}, {"train_loss": None}])
def test_a_history_with_other_values_is_not_returned(tmp_path, sleeper, change):
    columns = {k: v for k, v in (HISTORY | change).items() if v is not None}
    pd.DataFrame(columns).to_csv(locked(tmp_path, sleeper) / "history.csv", index=False)
    (draft,) = list_drafts(tmp_path)
    assert draft.history.empty
    assert draft.problem.startswith("history.csv: expected a table of numbers with the columns epoch, ")


def test_a_foreign_folder_and_odd_files_are_reported(tmp_path, sleeper):
    (tmp_path / ".work" / "foreign").mkdir(parents=True)
    assert list_drafts(tmp_path)[0].problem == "", "a training makes the folder first"
    os.utime(tmp_path / ".work" / "foreign", (time.time() - 60,) * 2)
    assert "may not be a run of her2 train" in list_drafts(tmp_path)[0].problem
    path = locked(tmp_path, sleeper, pid=10**30, started=None)
    os.mkfifo(path / "pipe")
    os.replace(path / "pipe", path / "history.csv")  # a pipe nobody writes to would keep the page waiting
    os.utime(path, (2**60, 2**60))
    with (path / "events.jsonl").open("a") as handle:
        handle.write('{"event": "epo')
    draft = next(d for d in list_drafts(tmp_path) if d.key == path.name)
    assert draft.problem == "history.csv: not a plain file, so it is not read."
    assert draft.event["event"] == "started"
    assert not draft.running
