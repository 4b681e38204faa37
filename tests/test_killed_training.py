"""Trainings ended by signals at fixed points: exit codes, the same weights when resumed, and nothing left over.

``benchmarks/killed_training.py`` does the same at random moments, forty times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.killed_training import settings

ROOT = Path(__file__).resolve().parents[1]
#: What is ended, at which call of which step of the training, and how.
POINTS = [
    ("a worker", "step", 2, "SIGKILL"),
    ("the training", "step", 3, "SIGKILL"),
    ("the training", "checkpoint", 1, "SIGTERM"),
    ("the training", "step", 6, "SIGINT"),
    ("nothing", "step", 0, "SIGKILL"),
]
#: One interpreter imports everything and forks each training.
SCRIPT = """
import json, os, signal, sys, time
from functools import partial, wraps
from pathlib import Path
from benchmarks.killed_training import alive, children, start
from her2core.networks.cost import network_cost
from her2core.runs.checkpoints import CheckpointStore
from her2core.training import artifacts
from her2core.training.module import PatchClassifier

artifacts.network_cost = partial(network_cost, rounds=2)
STEPS = {"step": (PatchClassifier, "training_step"), "checkpoint": (CheckpointStore, "commit")}
folder, points = Path(sys.argv[1]), json.loads(sys.argv[2])
config, said = folder / "config.yaml", folder / "said"

def train(root, what, step, number, name):
    owner, method = STEPS[step]
    real, calls = getattr(owner, method), []
    @wraps(real)
    def counted(self, *args):
        calls.append(1)
        if len(calls) == number:
            workers = children(os.getpid())
            (folder / "workers").write_text(json.dumps(workers))
            os.kill(workers[0] if what == "a worker" else os.getpid(), signal.Signals[name])
        return real(self, *args)
    setattr(owner, method, counted)
    said.unlink(missing_ok=True)
    pid = start(config, root, said=said)
    setattr(owner, method, real)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    file = folder / "workers"
    workers = json.loads(file.read_text()) if file.exists() else []
    file.unlink(missing_ok=True)
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"code": code, "said": said.read_text(), "workers": len(workers), "left": sum(map(alive, workers))}

os.waitpid(start(config, folder / "unbroken"), 0)
print(json.dumps([train(folder / "runs", *point) for point in points]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc, which is Linux's")
def test_signals_end_a_training_cleanly_and_it_resumes_to_the_same_weights(tiny_manifest, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings(tiny_manifest, workers=2)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(POINTS)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    worker, killed, terminated, stopped, finished = json.loads(done.stdout)
    assert worker["code"] == 1, worker["said"][-2500:]
    assert "lack of memory (hardware.workers)" in " ".join(worker["said"].split())
    # Killed while it hands over a batch, a worker leaves a line of Python's own sharing thread behind: not ours.
    assert worker["said"].count("Traceback") == worker["said"].count("resource_sharer.py")
    assert [killed["code"], terminated["code"], stopped["code"], finished["code"]] == [-9, 143, 130, 0]
    for ended in (worker, killed, stopped):
        assert ended["workers"] >= 2
        assert ended["left"] == 0
    for ended in (terminated, stopped):
        assert "Traceback" not in ended["said"]
        assert "Stopped" in ended["said"]
    cards = [json.loads((tmp_path / name / "killed" / "model.card.json").read_text()) for name in ("unbroken", "runs")]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {".work", "killed"}
    assert list((tmp_path / "runs" / ".work").iterdir()) == []
    assert not list(tmp_path.rglob("*.part"))
