"""Unfinished runs on disk: claims, checkpoints, publication under a name, and what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from test_runs import fill

from her2core.errors import RunError
from her2core.io.files import write_json
from her2core.runs import lock
from her2core.runs.folder import REQUIRED, SCHEMA_VERSION, open_run
from her2core.runs.listing import list_runs
from her2core.runs.lock import process_start
from her2core.runs.writer import RunWriter


def checkpoint(draft: RunWriter, content: bytes = b"x") -> None:
    draft.checkpoints.part.write_bytes(content)
    draft.checkpoints.commit()


def test_an_unfinished_run_is_not_listed_until_one_rename_finishes_it(tmp_path):
    draft = RunWriter(tmp_path, "net_data_abc")
    assert draft.open(fresh=False) is False
    fill(draft.path)
    draft.event("epoch", number=1, loss=0.5)
    checkpoint(draft)
    assert list_runs(tmp_path) == ([], [])
    finished = open_run(draft.finish({"seed": 3, "status": "whatever", "warnings": []}))
    assert finished.info["status"] == "finished"
    assert finished.info["schema_version"] == SCHEMA_VERSION
    assert [r.name for r in list_runs(tmp_path)[0]] == [finished.name]
    assert finished.name == "net_data_abc"
    assert not draft.path.exists()
    assert not list((tmp_path / ".work").iterdir())
    names = {p.name for p in finished.path.iterdir()}
    assert "checkpoints" not in names
    assert "lock.json" not in names
    events = [json.loads(line) for line in (finished.path / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["epoch", "finished"]
    assert events[0]["loss"] == 0.5


@pytest.mark.parametrize("name", [n for n in REQUIRED if n != "run.json"])
def test_a_run_that_lacks_a_file_is_not_finished_and_loses_nothing(tmp_path, name):
    draft = RunWriter(tmp_path, "key")
    draft.open(fresh=False)
    fill(draft.path)
    checkpoint(draft)
    (draft.path / name).unlink()
    with pytest.raises(RunError, match=f"a complete run, but got no {name}.*Train it again"):
        draft.finish({})
    assert draft.checkpoints.last.is_file()
    assert list_runs(tmp_path) == ([], [])


def test_an_unfinished_run_resumes_from_its_checkpoint_unless_fresh(tmp_path):
    draft = RunWriter(tmp_path, "key")
    draft.open(fresh=False)
    checkpoint(draft)
    draft.release()
    with RunWriter(tmp_path, "key") as again:
        assert again.open(fresh=False) is True
    with RunWriter(tmp_path, "other") as other:
        assert other.open(fresh=False) is False
    with RunWriter(tmp_path, "key") as fresh:
        assert fresh.open(fresh=True) is False
    assert not draft.checkpoints.last.exists()


@pytest.fixture
def sleeper():
    """Another process, alive until the test ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def locked(root: Path, **changes) -> RunWriter:
    draft = RunWriter(root, "key")
    draft.checkpoints.folder.mkdir(parents=True)
    checkpoint(draft)
    write_json(draft.path / "lock.json", {"host": socket.gethostname(), **changes})
    return draft


@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_that_a_living_process_trains_is_refused(tmp_path, sleeper, fresh):
    draft = locked(tmp_path, pid=sleeper.pid, started=process_start(sleeper.pid))
    with pytest.raises(
        RunError, match=f"no other process is training, but got process {sleeper.pid} at work on it.*Wait for it"
    ):
        draft.open(fresh=fresh)
    assert draft.checkpoints.last.is_file(), "an unfinished run in use was deleted"


def test_a_lock_is_stale_once_its_process_was_killed_even_before_it_is_collected(tmp_path, sleeper):
    draft = locked(tmp_path, pid=sleeper.pid, started=process_start(sleeper.pid))
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, but a zombie still
    assert draft.open(fresh=False) is True
    draft.release()
    sleeper.wait()
    assert draft.open(fresh=False) is True
    draft.release()


def test_a_process_with_a_reused_number_holds_no_lock(tmp_path, sleeper):
    assert locked(tmp_path, pid=sleeper.pid, started="1").open(fresh=False) is True


def test_without_proc_a_living_process_still_holds_its_lock_and_a_dead_one_does_not(tmp_path, sleeper, monkeypatch):
    monkeypatch.setattr(lock, "process_start", lambda pid: None)
    draft = locked(tmp_path, pid=sleeper.pid, started=None)
    with pytest.raises(RunError, match="at work on it"):
        draft.open(fresh=False)
    sleeper.kill()
    sleeper.wait()
    assert draft.open(fresh=False) is True


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"pid": "x"}', '{"pid": null}'])
def test_a_broken_lock_is_no_lock(tmp_path, content):
    draft = locked(tmp_path, pid=1)
    (draft.path / "lock.json").write_text(content)
    assert draft.open(fresh=False) is True


def test_a_lock_of_this_process_s_number_from_before_a_restart_does_not_block(tmp_path):
    draft = locked(tmp_path, pid=os.getpid(), started=process_start(os.getpid()))
    assert draft.open(fresh=False) is True
    draft.release()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_claim_of_another_host_holds_until_its_heartbeat_has_expired(tmp_path, fresh, caplog):
    draft = locked(tmp_path, pid=1, host="elsewhere", started="1", heartbeat=time.time() - lock.EXPIRY + 60)
    with pytest.raises(RunError, match="process 1 on elsewhere at work on it.*after 10 minutes"):
        draft.open(fresh=fresh)
    assert draft.checkpoints.last.is_file()
    write_json(draft.path / "lock.json", {"pid": 1, "host": "elsewhere", "heartbeat": time.time() - lock.EXPIRY - 1})
    with draft:
        assert draft.open(fresh=fresh) is not fresh
        assert "elsewhere" in caplog.text
        assert "taken over" in caplog.text
        held = json.loads((draft.path / "lock.json").read_text())
    assert (held["pid"], held["host"]) == (os.getpid(), socket.gethostname())
    assert time.time() - held["heartbeat"] < 60


CLAIMER = """
import sys, threading
from pathlib import Path
from her2core.errors import RunError
from her2core.runs.writer import RunWriter
mine, fresh = [], sys.argv[2] == "fresh"
def claim(number):
    writer = RunWriter(Path(sys.argv[1]), "key")
    try:
        writer.open(fresh=fresh)
        mine.append(writer)
    except RunError as refused:
        assert "at work on it" in str(refused), refused
sys.stdin.readline()
threads = [threading.Thread(target=claim, args=(n,)) for n in range(100)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(mine), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("left", ["nothing", "an expired lock, fresh"])
def test_of_two_hundred_simultaneous_openings_one_holds_the_claim(tmp_path, left):
    """Two processes of a hundred threads each; both live until the last thread has tried."""
    if left != "nothing":
        locked(tmp_path, pid=10**7, host="elsewhere", started="1", heartbeat=1.0)
    command = [sys.executable, "-c", CLAIMER, str(tmp_path), "fresh" if "fresh" in left else "resume"]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    claimed = [int(process.stdout.readline()) for process in processes]
    lock_file = json.loads((tmp_path / ".work" / "key" / "lock.json").read_text())
    for process in processes:
        process.communicate("\n")
    assert sorted(claimed) == [0, 1]
    assert lock_file["pid"] == processes[claimed.index(1)].pid
    assert {p.name for p in (tmp_path / ".work").iterdir()} == {"key", "key.checkpoints"}


def test_a_claim_gives_signs_of_life_and_notices_that_it_was_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with RunWriter(tmp_path, "key") as draft:
        draft.open(fresh=False)
        path = draft.path / "lock.json"
        write_json(path, json.loads(path.read_text()) | {"heartbeat": 1.0})
        until(lambda: json.loads(path.read_text())["heartbeat"] > 1.0)
        assert not draft.lost
        write_json(path, {"pid": 1, "host": "elsewhere", "token": "other", "heartbeat": time.time()})
        until(lambda: draft.lost)
    assert json.loads(path.read_text())["host"] == "elsewhere", "another's claim was given back"


def until(holds) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("locks", [True, False])
def test_one_at_a_time_with_file_locks_and_without(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(lock, "fcntl", None)
    inside, seen = [], []

    def enter():
        for _ in range(5):
            with lock.exclusively(tmp_path / "guard"):
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 40
    assert list(tmp_path.iterdir()) == []


# checkpoints and what a kill leaves


@pytest.mark.parametrize("damage", [b"", b"cut", "flip"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(tmp_path, damage, caplog):
    with RunWriter(tmp_path, "key") as draft:
        draft.open(fresh=False)
        for content in (b"epoch 1", b"epoch 2", b"epoch 3"):
            checkpoint(draft, content)
        last, previous = draft.checkpoints.last, draft.checkpoints.previous
        flipped = bytes([last.read_bytes()[0] ^ 1]) + last.read_bytes()[1:]
        last.write_bytes(flipped if damage == "flip" else damage)
    with draft:
        assert draft.open(fresh=False) is True
        assert draft.checkpoints.newest().read_bytes() == b"epoch 2"
        assert "last.ckpt is damaged" in caplog.text
        assert "--fresh" in caplog.text
        checkpoint(draft, b"epoch 3 again")
        assert (last.read_bytes(), previous.read_bytes()) == (b"epoch 3 again", b"epoch 2")
        for path in (last, previous):
            path.write_bytes(b"")
    with pytest.raises(RunError, match=r"got last.ckpt and previous.ckpt damaged.*--fresh"):
        draft.open(fresh=False)
    with draft:
        assert draft.open(fresh=True) is False


@pytest.mark.parametrize("steps", range(5))
def test_a_kill_between_any_two_steps_of_a_checkpoint_leaves_a_whole_one(tmp_path, monkeypatch, steps):
    from her2core.runs import checkpoints

    store = checkpoints.CheckpointStore(tmp_path)
    for content in (b"1", b"2"):
        store.part.write_bytes(content)
        store.commit()
    left = [steps]

    def counted(original):
        def step(*args):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return original(*args)

        return step

    monkeypatch.setattr(checkpoints, "write_text", counted(checkpoints.write_text))
    monkeypatch.setattr(checkpoints.os, "replace", counted(os.replace))
    store.part.write_bytes(b"3")
    with contextlib.suppress(KeyboardInterrupt):
        store.commit()
    monkeypatch.undo()
    assert checkpoints.CheckpointStore(tmp_path).newest().read_bytes() in (b"2", b"3")


def test_a_process_killed_after_publication_is_tidied_up_by_the_same_command(tmp_path, monkeypatch):
    draft = RunWriter(tmp_path, "key", name="mine")
    draft.open(fresh=False)
    fill(draft.path)
    (draft.path / "evaluation").mkdir(exist_ok=True)
    (draft.path / "evaluation" / ".metrics.csv.77.part").touch()
    checkpoint(draft)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("her2core.runs.writer.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        draft.finish({})
    monkeypatch.undo()
    draft.release()
    assert draft.checkpoints.folder.is_dir()
    with RunWriter(tmp_path, "key", name="mine") as again:
        assert again.open(fresh=False) is False
        assert again.published == tmp_path / "mine"
    assert list((tmp_path / ".work").iterdir()) == []
    assert not list((tmp_path / "mine").rglob("*.part"))


def test_a_finished_run_has_the_chosen_name_or_the_next_free_one(tmp_path):
    names = []
    for key in ("a", "b", "c"):
        with RunWriter(tmp_path, key, name="mine") as draft:
            draft.open(fresh=False)
            fill(draft.path)
            names.append(draft.finish({}).name)
    assert names == ["mine", "mine-2", "mine-3"]


def test_an_event_after_half_a_line_stands_on_its_own(tmp_path):
    with RunWriter(tmp_path, "key") as draft:
        draft.open(fresh=False)
        draft.event("started")
        with (draft.path / "events.jsonl").open("a") as handle:
            handle.write('{"event": "epo')
        draft.event("resumed")
        lines = (draft.path / "events.jsonl").read_text().splitlines()
    assert [json.loads(lines[i])["event"] for i in (0, 2)] == ["started", "resumed"]
