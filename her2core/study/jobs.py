"""Execution of a study's trainings, one finished run folder a job.

    <root>/<job>/           a finished run, under the job's name
    <root>/.training/       unfinished runs, and failed/<job>.txt with the reason of a job that failed

Jobs are trained one after another in this process. After an interruption the same call continues: finished jobs are
skipped, the one under way resumes, failed ones are tried again. On a cluster the jobs can run apart (``only``), as
each has a folder of its own.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from her2core.data.manifest import read_manifest
from her2core.data.prepared import PreparedCohort
from her2core.errors import ConfigError, StudyError
from her2core.io.files import write_text
from her2core.runs.export import export_run
from her2core.runs.folder import Run, open_run
from her2core.training.callbacks import Stopped
from her2core.training.config import RunConfig
from her2core.training.fit import train
from her2core.training.hardware import first_process, several_devices

TRAINING, FAILED = ".training", "failed"
#: Recorded for a job while it is trained; it is what remains of a job whose process was killed from outside.
UNDER_WAY = "under way, or its process was ended meanwhile: stopped, or killed, perhaps for lack of memory"


@dataclass(frozen=True)
class Job:
    """One training of a study.

    Attributes
    ----------
    name : str
        The run's folder.
    group : str
        What is compared: a split unit, or a network's label.
    seed : int
        The seed within the group.
    config : RunConfig
        The whole training.
    weights : bool
        Whether the run keeps what serving needs.
    """

    name: str
    group: str
    seed: int
    config: RunConfig
    weights: bool = False


def run_jobs(
    jobs: Sequence[Job],
    root: str | os.PathLike[str],
    *,
    only: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> dict[str, str]:
    """Train the jobs that are not finished, in the given order.

    A job that fails (a network that cannot be built, too little memory, missing weights) is recorded with its reason
    and the next one begins. One whose process was killed is tried again after the others, so that it cannot block
    them.

    Parameters
    ----------
    jobs : sequence of Job
        All jobs of the study.
    root : str or path
        The study's folder.
    only : sequence of str, optional
        Names of the jobs to train; all where empty.
    report : callable, optional
        Called with a line before each job, and when one fails.
    progress : bool, optional
        Show Lightning's progress bar.

    Returns
    -------
    dict
        Reasons of failure by job name; empty when none failed.

    Raises
    ------
    ConfigError
        For a job name that does not exist.
    StudyError
        For a folder that contains another job's run.
    Stopped
        When the training under way was asked to stop.
    """
    root, names = Path(root), [job.name for job in jobs]
    if unknown := sorted(set(only) - set(names)):
        raise ConfigError(
            f"jobs out of {', '.join(names)}", got=", ".join(unknown), where="--only", fix="Correct the names."
        )
    failures: dict[str, str] = {}
    asked = [job for job in jobs if not only or job.name in only]
    asked.sort(key=lambda job: (root / TRAINING / FAILED / f"{job.name}.txt").exists())
    prepared = PreparedCohort()
    for number, job in enumerate(asked):
        record = root / TRAINING / FAILED / f"{job.name}.txt"
        if finished(job, root) is not None:
            record.unlink(missing_ok=True)
            continue
        if len(asked) > 1 and several_devices(job.config.hardware):
            raise StudyError(
                "one run a command, where it is trained on several devices",
                got=f"{len(asked)}",
                where=job.name,
                fix="Name it: --only; or set hardware.devices to 1.",
            )
        report(f"{job.name}: {number + 1} of {len(asked)}")
        if first_process():
            write_text(record, UNDER_WAY)
        try:
            _train(job, root, prepared, progress=progress)
            record.unlink(missing_ok=True)
        except (Stopped, StudyError):
            record.unlink(missing_ok=True)
            raise
        except Exception as failed:  # whatever a named network does, the others go on
            failures[job.name] = reason_of(failed)
            write_text(record, failures[job.name])
            report(f"{job.name}: failed. {failures[job.name]}")
        gc.collect()  # the next network may need this one's memory
    return failures


def reason_of(failed: BaseException) -> str:
    """Describe an exception in one line of at most 400 characters.

    Parameters
    ----------
    failed : BaseException

    Returns
    -------
    str

    Examples
    --------
    >>> reason_of(MemoryError("out of memory"))
    'MemoryError: out of memory'
    """
    return f"{type(failed).__name__}: {failed}".splitlines()[0][:400]


def failed_jobs(root: str | os.PathLike[str]) -> dict[str, str]:
    """Read why jobs failed when they were tried last, by any process.

    Parameters
    ----------
    root : str or path
        The study's folder.

    Returns
    -------
    dict
        Reason by job name, or ``UNDER_WAY``; jobs that finished since are not in it.

    Examples
    --------
    >>> failed_jobs("no-such-folder")
    {}
    """
    records = sorted((Path(root) / TRAINING / FAILED).glob("*.txt"))
    return {path.stem: path.read_text(encoding="utf-8") for path in records}


def finished(job: Job, root: str | os.PathLike[str]) -> Run | None:
    """Find the job's finished run.

    Parameters
    ----------
    job : Job
    root : str or path
        The study's folder.

    Returns
    -------
    Run or None
        None where it is not trained yet.

    Raises
    ------
    StudyError
        When its folder contains a run of another configuration, or one without the weights that the job keeps.
    RunError
        When it contains no complete run.
    """
    path = Path(root) / job.name
    if not path.exists():
        return None
    run = open_run(path)
    if job.weights and not run.has_weights:
        raise StudyError(
            "a run with its weights",
            got="one that was kept for review only",
            where=path,
            fix="Delete it to have it trained again, or remove `weights` from the study.",
        )
    if run.info.get("config_hash") != job.config.content_hash():
        raise StudyError(
            "the run of this job's configuration",
            got="that of another one",
            where=path,
            fix="Name another folder for the changed study, or restore the configuration.",
        )
    return run


def require_one_dataset(runs: Sequence[Run]) -> None:
    """Refuse runs that were not made from one data set: they cannot be compared in one table.

    Parameters
    ----------
    runs : sequence of Run
        At least one.

    Raises
    ------
    StudyError
        For several data sets.
    """
    hashes = {run.info.get("manifest_hash") for run in runs}
    if len(hashes) > 1:
        raise StudyError(
            "runs of one data set",
            got=f"{len(hashes)} data sets",
            where=runs[0].path.parent,
            fix="Train the study anew on one manifest.",
        )


def _train(job: Job, root: Path, prepared: PreparedCohort, *, progress: bool) -> None:
    read_manifest(job.config.manifest)  # without data no folder is made
    run = train(job.config, root=root / TRAINING, progress=progress, prepared=prepared)
    if run is None:  # a helper process of a training over several devices
        return
    export_run(run.path, root / job.name, weights=job.weights)
    shutil.rmtree(run.path)
