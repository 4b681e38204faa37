"""List of unfinished runs: their states, and broken, foreign and linked folders."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from draft_facts import FACTS, HISTORY

from her2core.errors import RunError
from her2core.io.files import write_json
from her2core.runs import drafts
from her2core.runs.drafts import list_drafts, request_stop
from her2core.runs.lock import process_start
from her2core.runs.writer import PROGRESS, STOP, RunWriter

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
    assert draft.problem.endswith("history.csv: not a plain file, so it is not read.")
    assert draft.event["event"] == "started"
    assert not draft.running
