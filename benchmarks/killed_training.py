"""Trainings killed at random moments: weights compared with those of an unbroken one, and what is left over.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/killed_training.py [--folder FOLDER]

Each trial starts a training, sends SIGKILL at a random moment of its duration (every third trial, SIGTERM), gives the
same command again until a run is finished, and compares it with the unbroken run. Twenty trials without worker
processes and twenty with two. Trainings are forked from one process that has imported everything, which saves the
seconds of starting Python; Linux only. With a folder given, each trial is kept there as soon as it is done and the same
command goes on after the last one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from her2core import cli, import_dataset, open_run
from her2core.io.files import write_json
from her2core.networks.cost import network_cost
from her2core.runs.listing import list_runs
from her2core.training import artifacts, fit  # noqa: F401 (imported before the first fork)

TRIALS = 20
#: Seconds within which a killed trainer's workers have to be gone; PyTorch's own look at the parent takes five.
GONE = 2.0


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
        "network": {"name": "timm:test_resnet", "options": {"drop_rate": 0.3}},
        "serving": False,
        "train": {"epochs": 3, "batch_size": 6, "warmup_epochs": 0.5},
        "hardware": {"accelerator": "cpu", "workers": workers, "cache_gb": 0},
    }


def start(config: Path, root: Path, *, said: str | Path = os.devnull) -> int:
    """Start ``her2 train`` in a fork of this process.

    Parameters
    ----------
    config, root : Path
        Configuration and folder of runs.
    said : str or Path, optional
        Where its output goes.

    Returns
    -------
    int
        Its process id.
    """
    if pid := os.fork():
        return pid
    code = 2
    try:
        output = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
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
    workers = children(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    deadline = time.monotonic() + GONE
    while (left := [w for w in workers if alive(w)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for _ in range(3):
        if list_runs(root)[0] and not any((root / ".work").iterdir()):
            break  # it was finished before the signal came: the same command would train another run
        if not os.waitstatus_to_exitcode(os.waitpid(start(config, root), 0)[1]):
            break
    runs, problems = list_runs(root)
    files = [str(p.relative_to(root)) for p in (root / ".work").iterdir()]
    files += [str(p.relative_to(root)) for p in root.rglob("*.part")] + problems
    return {
        "after": round(after, 2),
        "signal": signal.Signals(number).name,
        "exit_code": code,
        "weights_sha256": runs[0].card["weights_sha256"] if runs else None,
        "runs": len(runs),
        "workers_left": len(left),
        "left_over": files,
    }


def measure(manifest: Path, folder: Path, *, workers: int, trials: int, seed: int = 0) -> dict[str, Any]:
    """Run the trials for one number of workers, those that are done left out.

    Parameters
    ----------
    manifest : Path
        The patches.
    folder : Path
        For configuration, runs and the trials done (``trials.jsonl``).
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
    folder.mkdir(exist_ok=True)
    config, kept = folder / "config.yaml", folder / "trials.jsonl"
    if not kept.exists():
        config.write_text(yaml.safe_dump(settings(manifest, workers=workers)))
        shutil.rmtree(folder / "unbroken", ignore_errors=True)
        began = time.monotonic()
        os.waitpid(start(config, folder / "unbroken"), 0)
        _keep(kept, {"seconds": time.monotonic() - began})
    seconds, *done = map(json.loads, kept.read_text().splitlines())
    whole = open_run(folder / "unbroken" / "killed").card["weights_sha256"]
    rng = random.Random(seed)
    moments = [rng.uniform(0.05, seconds["seconds"]) for _ in range(trials)]
    for n in range(len(done), trials):
        shutil.rmtree(folder / f"trial-{n}", ignore_errors=True)
        number = signal.SIGTERM if n % 3 == 2 else signal.SIGKILL
        done.append(trial(config, folder / f"trial-{n}", after=moments[n], number=number))
        _keep(kept, done[-1])
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
        "seconds_unbroken": round(seconds["seconds"], 1),
        "as_they_should_be": sum(t["as_it_should_be"] for t in done),
        "interrupted_before_the_end": sum(t["exit_code"] != 0 for t in done),
        "same_weights": sum(t["weights_sha256"] == whole for t in done),
        "nothing_left_over": sum(not t["left_over"] and t["runs"] == 1 for t in done),
        "workers_gone_within_two_seconds": sum(not t["workers_left"] for t in done),
        "not_as_they_should_be": [t for t in done if not t["as_it_should_be"]],
    }


def _keep(kept: Path, fact: dict[str, Any]) -> None:
    with kept.open("a") as handle:
        handle.write(json.dumps(fact) + "\n")


def children(pid: int) -> list[int]:
    """Processes that a process has started.

    Parameters
    ----------
    pid : int

    Returns
    -------
    list of int
        Empty for a process that has ended.
    """
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not collected does not.

    Parameters
    ----------
    pid : int

    Returns
    -------
    bool
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where trials are kept; a temporary one when left out")
    asked = parser.parse_args()
    # The cost of a network is measured in finished runs, and is not what is tried here.
    artifacts.network_cost = partial(network_cost, rounds=2)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        cohort, manifest = folder / "cohort", folder / "cohort" / "manifest.parquet"
        if not manifest.exists():
            shutil.rmtree(cohort, ignore_errors=True)
            made = import_dataset("demo", cohort, patients=18, patches_per_patient=2, px=64, seed=3, workers=1)
            made.write(manifest)
        found = [measure(manifest, folder / str(workers), workers=workers, trials=TRIALS) for workers in (0, 2)]
    command = "OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/killed_training.py"
    result = {"command": command, "found": found}
    write_json(Path(__file__).parent / "results" / "killed_training.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
