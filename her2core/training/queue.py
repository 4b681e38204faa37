"""Trainings that the dashboard starts: a queue of configurations, trained one after the other by a process of its own.

    <root>/.queue/<time>-<name>/1-<run>.yaml     the configuration; her2 train resumes it from a shell as well
                                1-<run>.json     the answer of her2 train --json: the finished run, or its error
                                1-<run>.log      what it said
                                1-<run>.code     exit code of a training that failed
                                lock.json        claim of the process at work on the queue (queue_runner.py)

Whoever reads the queue reads these files and those that each training writes anyway (``runs.drafts``), so that page,
tab and server may end meanwhile. No word of a command comes from anywhere but the program and the queue's folder, and
no shell is involved.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from her2core.data.manifest import read_manifest
from her2core.data.manifest_files import is_below, refuse_images_outside
from her2core.errors import ConfigError, ManifestError, RunError
from her2core.io.below import open_below
from her2core.io.documents import parse_json
from her2core.io.files import write_text
from her2core.locations import working_folder
from her2core.runs.drafts import MAX_BYTES, Draft, list_drafts
from her2core.runs.lock import LOCK, read_holder
from her2core.runs.writer import STOP
from her2core.training.config import RunConfig, load_config
from her2core.training.queue_runner import ANSWER, CODE, LOG, configurations_of

FOLDER = ".queue"
#: Seconds that a queue's process has to make its claim.
_START = 30.0

State = Literal["waiting", "running", "unfinished", "failed", "finished"]


@dataclass(frozen=True)
class QueuedTraining:
    """One training of a queue, as it was when it was read.

    Attributes
    ----------
    name : str
        Of the run.
    config : Path
        Its YAML file.
    state : State
        ``unfinished``: it was stopped or killed, and resumes with the queue.
    reason : str
        Why it failed, in a sentence; empty otherwise.
    run : Path or None
        The finished run.
    draft : Draft or None
        The unfinished run, from its beginning to its end.
    """

    name: str
    config: Path
    state: State
    reason: str = ""
    run: Path | None = None
    draft: Draft | None = None

    @property
    def log(self) -> Path:
        """What it said on its standard error."""
        return self.config.with_suffix(LOG)


@dataclass(frozen=True)
class TrainingQueue:
    """A queue of trainings, as it was when it was read.

    Attributes
    ----------
    path : Path
        Its folder.
    trainings : tuple of QueuedTraining
        In their order.
    running : bool
        Whether its process is alive.
    stopping : bool
        Whether it was asked to stop and has not ended yet.
    """

    path: Path
    trainings: tuple[QueuedTraining, ...]
    running: bool
    stopping: bool

    @property
    def finished(self) -> bool:
        """Whether every training has finished."""
        return all(training.state == "finished" for training in self.trainings)


def new_queue(configs: Sequence[RunConfig], root: Path) -> Path:
    """Write a queue.

    Parameters
    ----------
    configs : sequence of RunConfig
        The trainings in their order, at least one.
    root : Path
        The folder for finished runs.

    Returns
    -------
    Path
        The queue's folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     path = new_queue([RunConfig(name="own", manifest="m.csv")], Path(root))
    ...     read_queue(path, []).trainings[0].state, sorted(os.listdir(path))
    ('waiting', ['1-own.yaml'])
    """
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}-{configs[0].name}"
    path, number = root / FOLDER / stamp, 1
    while True:
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
            path = root / FOLDER / f"{stamp}-{number}"
    for place, config in enumerate(configs, start=1):
        write_text(path / f"{place:0{len(str(len(configs)))}}-{config.name}.yaml", config.to_yaml())
    return path


def list_queues(root: Path) -> list[TrainingQueue]:
    """List the queues below a folder of runs.

    Parameters
    ----------
    root : Path
        The folder; queues that are links are skipped.

    Returns
    -------
    list of TrainingQueue
        The newest first.

    Examples
    --------
    >>> list_queues(Path("no-such-folder"))
    []
    """
    folder = root / FOLDER
    try:
        paths = sorted((p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()), reverse=True)
    except OSError:
        return []
    drafts = list_drafts(root) if paths else []
    return [queue for queue in (read_queue(path, drafts) for path in paths) if queue.trainings]


def read_queue(path: Path, drafts: Sequence[Draft]) -> TrainingQueue:
    """Read a queue's state from its files.

    Parameters
    ----------
    path : Path
        Its folder.
    drafts : sequence of Draft
        The unfinished runs of its root.

    Returns
    -------
    TrainingQueue
    """
    holder = read_holder(path / LOCK)
    running = holder is not None and holder.alive
    by_config = {_text(draft.path / "config.yaml"): draft for draft in drafts}
    trainings: list[QueuedTraining] = []
    under_way = running  # the first training without an end is the one under way
    for config in configurations_of(path):
        training = _read_training(config, by_config, under_way=under_way)
        under_way = under_way and training.state != "running"
        trainings.append(training)
    return TrainingQueue(path, tuple(trainings), running, running and (path / STOP).exists())


def start(path: Path) -> None:
    """Start or resume a queue: a process of its own trains what has not finished.

    Parameters
    ----------
    path : Path
        The queue's folder, below ``<root>/.queue``.

    Raises
    ------
    RunError
        When this or another queue of the folder is under way, one of its trainings is, or its process does not begin.
    """
    root = path.parents[1]
    for other in list_queues(root):
        busy = [t.name for t in other.trainings if t.draft is not None and t.draft.running]
        if other.running or (other.path == path and busy):
            raise RunError(
                "no other training of this page under way",
                got=", ".join(busy) or "one under way",
                fix="Wait for its end, or stop it first.",
            )
    (path / STOP).unlink(missing_ok=True)
    with (path / "queue.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "her2core.training.queue_runner", str(path.absolute())],
            cwd=working_folder(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the server
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie is left
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        holder = read_holder(path / LOCK)
        if holder is not None and holder.alive:
            return
        time.sleep(0.05)
    if process.poll() != 0:
        raise RunError(
            "a process that trains", got="one that ended at once", where=path / "queue.log", fix="See what it said."
        )


def refuse_outside(queue: TrainingQueue, roots: Sequence[Path]) -> None:
    """Refuse to resume what a form could not have started: the folder may have come from elsewhere.

    Parameters
    ----------
    queue : TrainingQueue
    roots : sequence of Path
        Allowed folders, resolved.

    Raises
    ------
    ConfigError
        For a configuration that reads other files than a manifest and its images.
    ManifestError
        For a manifest, or images of it, outside of the allowed folders.
    """
    for training in queue.trainings:
        if training.state == "finished":
            continue
        config = load_config(training.config)
        manifest = working_folder() / config.manifest
        if config.network.init.startswith(("file:", "run:")) or config.frozen:
            raise ConfigError(
                "a training that this page configured",
                got=f"one with network.init {config.network.init}" if not config.frozen else "a last layer",
                where=training.config.name,
                fix="Resume it by her2 train.",
            )
        if not is_below(manifest, roots):
            raise ManifestError(
                "a manifest below the allowed folders",
                got="one outside of them",
                where=training.config.name,
                fix="Resume it by her2 train.",
            )
        refuse_images_outside(read_manifest(manifest), roots, where=manifest.name)


def stop(path: Path) -> None:
    """Ask a queue to stop by SIGTERM: its training keeps its checkpoints, and ``start`` resumes it.

    Parameters
    ----------
    path : Path
        The queue's folder.

    Raises
    ------
    RunError
        When neither the queue nor a training of it is under way on this machine.

    Examples
    --------
    >>> try:
    ...     stop(Path("no-such-folder/.queue/one"))
    ... except RunError as refused:
    ...     print(refused.got)
    none on this machine
    """
    orphans = [t.draft.path for t in read_queue(path, list_drafts(path.parents[1])).trainings if t.draft is not None]
    for folder in (path, *orphans):  # of a queue whose process was killed the training may live on
        holder = read_holder(folder / LOCK)
        if holder is not None and holder.here and holder.alive and holder.pid != os.getpid():
            with contextlib.suppress(OSError):
                write_text(path / STOP, "")
            os.kill(holder.pid, signal.SIGTERM)
            return
    raise RunError("a training under way", got="none on this machine", where=path.name, fix="There is nothing to stop.")


def remove(path: Path) -> None:
    """Delete a queue that is not under way: its configurations and logs. Runs, finished or not, stay.

    Parameters
    ----------
    path : Path
        The queue's folder.

    Raises
    ------
    RunError
        When it is under way, or the folder is no queue.
    """
    holder = read_holder(path / LOCK)
    if path.parent.name != FOLDER or path.is_symlink() or (holder is not None and holder.alive):
        raise RunError("a queue that is not under way", got="another folder", where=path.name, fix="Stop it first.")
    shutil.rmtree(path, ignore_errors=True)


def log_end(training: QueuedTraining, *, lines: int = 30) -> str:
    """The last lines of what a training said.

    Parameters
    ----------
    training : QueuedTraining
    lines : int, optional
        How many.

    Returns
    -------
    str
        Empty where it said nothing.
    """
    said = _text(training.log).replace("\r", "\n").splitlines()
    return "\n".join([line for line in said if line.strip()][-lines:])


def _read_training(config: Path, by_config: Mapping[str, Draft], *, under_way: bool) -> QueuedTraining:
    """``under_way``: the queue is, and no training before this one is."""
    name, draft, answer = config.stem.partition("-")[2], by_config.get(_text(config)), _answer(config)
    if isinstance(answer.get("run"), str):
        return QueuedTraining(name, config, "finished", run=config.parents[2] / Path(answer["run"]).name)
    code = _text(config.with_suffix(CODE)).strip()
    if code:
        return QueuedTraining(name, config, "failed", _reason(config, code, answer), draft=draft)
    if under_way or (draft is not None and draft.running):
        return QueuedTraining(name, config, "running", draft=draft)
    return QueuedTraining(name, config, "waiting" if draft is None else "unfinished", draft=draft)


def _answer(config: Path) -> dict[str, Any]:
    try:
        answer = parse_json(_text(config.with_suffix(ANSWER)).encode() or b"null")
    except ValueError:  # killed while it wrote it
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(config: Path, code: str, answer: Mapping[str, Any]) -> str:
    if isinstance(answer.get("error"), str):
        return str(answer["error"])
    if code.startswith("-"):
        return f"Its process was ended from outside (signal {code[1:]}), perhaps for lack of memory."
    said = _text(config.with_suffix(LOG)).split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), f"It ended with exit code {code}.")


def _text(path: Path) -> str:
    """The end of a small file, which is no link; empty where there is none."""
    try:
        with open_below(path.parent, path.name) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MAX_BYTES))
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
