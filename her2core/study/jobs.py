"""How do many trainings become one study? Jobs with a configuration each in; one finished run folder a job out.

    <root>/<job>/           a finished run, under the job's name
    <root>/.training/       drafts, and failed/<job>.txt with the reason of a job that failed; it is tried again

The runs are made one after another in this process. Killed at any moment, the same call goes on: finished jobs are not
trained again, and the one under way resumes. On a cluster, the same jobs can run apart (``only``), as each has a folder
of its own.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2core.data.manifest import read_manifest
from her2core.errors import ConfigError, StudyError
from her2core.io.files import write_text
from her2core.runs.export import export_run
from her2core.runs.folder import Run, open_run
from her2core.training.callbacks import Stopped
from her2core.training.config import RunConfig
from her2core.training.fit import train
from her2core.training.hardware import first_process, several_devices

TRAINING, FAILED = ".training", "failed"
#: Told of a job while it is trained, so that it stays told of one whose process was killed from outside.
UNDER_WAY = "under way, or its process was ended while it was: stopped, or killed, perhaps for want of memory"


@dataclass(frozen=True)
class Job:
    """``name``: its folder; ``group``: what is compared; ``seed``; ``config``: the whole training; ``weights``: whether
    the run keeps what serving needs."""

    name: str
    group: str
    seed: int
    config: RunConfig
    weights: bool = False


def run_jobs(
    jobs: Sequence[Job],
    root: str | os.PathLike,
    *,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> dict[str, str]:
    """Train what is not trained yet, in this order; failures by job name, empty when all went well.

    A job that fails (a network that cannot be built, too little memory, weights that are not there) is recorded with
    its reason and the next one is begun. One whose process was killed is tried again after the others, so that it
    cannot keep them from being trained. ``only`` names the jobs to look at; ``tell`` is called with a line before and
    after each. Raises ConfigError for a job that does not exist, StudyError for a folder that holds another job's run,
    and ``training.callbacks.Stopped`` when somebody asked the training under way to stop.
    """
    root, names = Path(root), [job.name for job in jobs]
    if unknown := sorted(set(only) - set(names)):
        raise ConfigError(
            f"jobs out of {', '.join(names)}", got=", ".join(unknown), where="only", fix="Correct the names."
        )
    failures: dict[str, str] = {}
    asked = [job for job in jobs if not only or job.name in only]
    asked.sort(key=lambda job: (root / TRAINING / FAILED / f"{job.name}.txt").exists())
    for number, job in enumerate(asked):
        told = root / TRAINING / FAILED / f"{job.name}.txt"
        if finished(job, root) is not None:
            told.unlink(missing_ok=True)
            continue
        if len(asked) > 1 and several_devices(job.config.hardware):
            raise StudyError(
                "one run a command, where it is trained on several devices",
                got=f"{len(asked)}",
                where=job.name,
                fix="Name it: --only; or set hardware.devices to 1.",
            )
        tell(f"{job.name}: {number + 1} of {len(asked)}")
        if first_process():
            write_text(told, UNDER_WAY)
        try:
            _train(job, root, progress=progress)
            told.unlink(missing_ok=True)
        except (Stopped, StudyError):
            told.unlink(missing_ok=True)
            raise
        except Exception as failed:  # whatever a network that somebody named does: the others go on
            failures[job.name] = reason_of(failed)
            write_text(told, failures[job.name])
            tell(f"{job.name}: failed. {failures[job.name]}")
        gc.collect()  # the next network may need the memory of this one
    return failures


def reason_of(failed: BaseException) -> str:
    """One line of at most 400 characters."""
    return f"{type(failed).__name__}: {failed}".splitlines()[0][:400]


def failed_jobs(root: str | os.PathLike) -> dict[str, str]:
    """Job name -> why it failed when it was tried last, or UNDER_WAY; of jobs not finished since, by any process."""
    told = sorted((Path(root) / TRAINING / FAILED).glob("*.txt"))
    return {path.stem: path.read_text(encoding="utf-8") for path in told}


def finished(job: Job, root: str | os.PathLike) -> Run | None:
    """The job's run, or None where it is not trained yet.

    Raises StudyError when its folder holds a run of another configuration, and RunError when it holds no whole run.
    """
    path = Path(root) / job.name
    if not path.exists():
        return None
    run = open_run(path)
    if job.weights and not run.has_weights:
        raise StudyError(
            "a run with its weights",
            got="one that was kept for review only",
            where=str(path),
            fix="Delete it to have it trained again, or take `weights` back.",
        )
    if run.info.get("config_hash") != job.config.content_hash():
        raise StudyError(
            "the run of this job's configuration",
            got="that of another one",
            where=str(path),
            fix="Name another folder for the changed study, or put the configuration back.",
        )
    return run


def refuse_other_data(runs: Sequence[Run]) -> None:
    """Raises StudyError when the runs were not made from one data set: they must not stand in one table."""
    hashes = {run.info.get("manifest_hash") for run in runs}
    if len(hashes) > 1:
        where = str(runs[0].path.parent)
        raise StudyError(
            "runs of one data set",
            got=f"{len(hashes)} data sets",
            where=where,
            fix="Train the study anew on one manifest.",
        )


def _train(job: Job, root: Path, *, progress: bool) -> None:
    read_manifest(job.config.manifest)  # the plainest of failures first: no data, no folder
    run = train(job.config, root=root / TRAINING, progress=progress)
    if run is None:  # a helper process of a training over several devices
        return
    export_run(run.path, root / job.name, weights=job.weights)
    shutil.rmtree(run.path)
