"""Trainings killed at random moments: weights compared with those of an unbroken one, and what is left over.

OMP_NUM_THREADS=1 python benchmarks/killed_training.py

Each trial starts a training, sends SIGKILL at a random moment of its duration (every third trial, SIGTERM), gives the
same command again until a run is finished, and compares it with the unbroken run. Twenty trials without worker
processes and twenty with two. Trainings are forked from one process that has imported everything, which saves the
seconds of starting Python; Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from her2core import cli, import_dataset, open_run
from her2core.io.files import write_json
from her2core.runs.listing import list_runs
from her2core.training import fit  # noqa: F401 (imported before the first fork)

TRIALS = 20
#: Seconds within which a killed trainer's workers have to be gone.
GONE = 1.0


def settings(manifest: Path, *, workers: int) -> dict[str, Any]:
    """A training of three short epochs with augmentation and dropout.

    Parameters
    ----------
    manifest : Path
        The patches.
    workers : int
        Processes that prepare batches.

    Returns
    -------
    dict
        Fields of ``RunConfig``.
    """
    return {
        "name": "killed",
        "manifest": str(manifest),
        "input": {"px": 32},
        "network": {"name": "timm:resnet10t", "options": {"drop_rate": 0.3}},
        "serving": False,
        "train": {"epochs": 3, "batch_size": 6, "warmup_epochs": 0.5},
        "hardware": {"accelerator": "cpu", "workers": workers, "cache_gb": 0},
    }


def start(config: Path, root: Path) -> int:
    """Start ``her2 train`` in a fork of this process.

    Parameters
    ----------
    config, root : Path
        Configuration and folder of runs.

    Returns
    -------
    int
        Its process id.
    """
    if pid := os.fork():
        return pid
    code = 2
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.argv = ["her2", "train", str(config), "--runs", str(root), "--quiet"]
        cli.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        os._exit(code)


def trial(config: Path, root: Path, *, after: float, number: int) -> dict[str, Any]:
    """Train, interrupt, train until there is a run, and look at what is left.

    Parameters
    ----------
    config, root : Path
        Configuration and folder of runs.
    after : float
        Seconds until the signal.
    number : int
        The signal.

    Returns
    -------
    dict
        ``weights_sha256``, ``exit_code`` of the interrupted training (negative: by that signal), ``workers_left``,
        ``left_over`` (names of files that should not be there), ``runs`` and ``after`` in seconds.
    """
    pid = start(config, root)
    time.sleep(after)
    workers = _children(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    deadline = time.monotonic() + GONE
    while (alive := [w for w in workers if _alive(w)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for _ in range(3):
        if not os.waitstatus_to_exitcode(os.waitpid(start(config, root), 0)[1]):
            break
    runs, problems = list_runs(root)
    left = [str(p.relative_to(root)) for p in (root / ".work").iterdir()]
    left += [str(p.relative_to(root)) for p in root.rglob("*.part")] + problems
    return {
        "after": round(after, 2),
        "signal": signal.Signals(number).name,
        "exit_code": code,
        "weights_sha256": runs[0].card["weights_sha256"] if runs else None,
        "runs": len(runs),
        "workers_left": len(alive),
        "left_over": left,
    }


def measure(manifest: Path, folder: Path, *, workers: int, trials: int, seed: int = 0) -> dict[str, Any]:
    """Run the trials for one number of workers.

    Parameters
    ----------
    manifest : Path
        The patches.
    folder : Path
        An empty folder for configuration and runs.
    workers : int
        Processes that prepare batches.
    trials : int
        How many.
    seed : int, optional
        Of the moments.

    Returns
    -------
    dict
        Counts over the trials, and each trial that was not as it should be.
    """
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings(manifest, workers=workers)))
    began = time.monotonic()
    os.waitpid(start(config, folder / "unbroken"), 0)
    seconds = time.monotonic() - began
    whole = open_run(folder / "unbroken" / "killed").card["weights_sha256"]
    rng, done = random.Random(seed), []
    for n in range(trials):
        number = signal.SIGTERM if n % 3 == 2 else signal.SIGKILL
        done.append(trial(config, folder / f"trial-{n}", after=rng.uniform(0.05, seconds), number=number))
        shutil.rmtree(folder / f"trial-{n}")
    for t in done:
        t["as_it_should_be"] = (
            t["weights_sha256"] == whole
            and t["runs"] == 1
            and not t["left_over"]
            and not t["workers_left"]
            # A run that was finished before the signal came, 128 + 15 after SIGTERM, or the signal itself.
            and t["exit_code"] in ((0, 143, -15) if t["signal"] == "SIGTERM" else (0, -9))
        )
    return {
        "workers": workers,
        "trials": trials,
        "seconds_unbroken": round(seconds, 1),
        "interrupted_before_the_end": sum(t["exit_code"] != 0 for t in done),
        "same_weights": sum(t["weights_sha256"] == whole for t in done),
        "nothing_left_over": sum(not t["left_over"] and t["runs"] == 1 for t in done),
        "workers_gone_within_a_second": sum(not t["workers_left"] for t in done),
        "not_as_they_should_be": [t for t in done if not t["as_it_should_be"]],
    }


def _children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def main() -> None:
    """Measure, print and keep the result."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cohort = import_dataset("demo", folder / "cohort", patients=18, patches_per_patient=2, px=64, seed=3, workers=1)
        manifest = cohort.write(folder / "cohort" / "manifest.parquet")
        found = []
        for workers in (0, 2):
            (folder / str(workers)).mkdir()
            found.append(measure(manifest, folder / str(workers), workers=workers, trials=TRIALS))
    result = {"command": "OMP_NUM_THREADS=1 python benchmarks/killed_training.py", "found": found}
    write_json(Path(__file__).parent / "results" / "killed_training.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
