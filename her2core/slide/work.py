"""Work on many slides: one folder a slide, written beside and renamed, so that what is there is complete.

<out>/slides/<slide_id>/      a finished slide; slide.json holds the key of its work
<out>/.work/<slide_id>/       an unfinished one; the same command goes on with it
<out>/failed.csv              slides that could not be worked on, and why
<out>/report.csv              every slide: state, reason, tiles, seconds by stage, worker

Slides are independent of each other, so that any backend of ``parallel`` may do them: each is the same function call
with the same files as a result.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import ConfigError, Her2Error, RunError
from her2core.io.files import write_csv, write_json
from her2core.io.listing import RESULT
from her2core.io.text import clean_text, printable_path, safe_file_name
from her2core.parallel.stages import measured
from her2core.parallel.tasks import Backend, in_this_process
from her2core.runs.lock import LOCK, Claim
from her2core.slide.jobs import SlideJob
from her2core.slide.run_report import BEFORE, REPORT, RunReport, is_report

#: File that makes a slide's folder complete.
ABOUT = RESULT
#: Folder of unfinished slides; one process at a time claims it.
WORK = ".work"
_KEY = "key.json"
#: Tables beside the slides' folders that the commands write, besides the report.
TABLES = ("manifest.parquet", "tiles.parquet", "slides.csv", "patients.csv", "failed.csv")


@dataclass(frozen=True)
class Outcome:
    """What became of one slide.

    Parameters
    ----------
    job : SlideJob
    about : dict
        Content of its slide.json; empty where it failed.
    reused : bool
        Whether it was finished before.
    error : str
        Why it failed; empty where it did not.
    fault : bool
        Whether it failed by a fault of the program.
    seconds : mapping of str to float
        By stage.
    total : float
        Seconds in all.
    worker : str
        Process that did it.
    attempts : int
        Times it was given to a worker.
    """

    job: SlideJob
    about: dict[str, Any]
    reused: bool = False
    error: str = ""
    fault: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    total: float = 0.0
    worker: str = ""
    attempts: int = 1


def slide_folder(out: Path, job: SlideJob) -> Path:
    """Where a slide's finished work is.

    Parameters
    ----------
    out : Path
        Folder of all.
    job : SlideJob

    Returns
    -------
    Path

    Examples
    --------
    >>> slide_folder(Path("out"), SlideJob(Path("a/S 1.svs"), "S 1")).as_posix()
    'out/slides/S 1'
    """
    return out / "slides" / safe_file_name(job.slide_id, 120)


def finished(out: Path, job: SlideJob, key: str) -> dict[str, Any] | None:
    """What the slide.json of a finished slide says, where it was made by the same work and its files are still there.

    Parameters
    ----------
    out : Path
    job : SlideJob
    key : str
        From ``plan.work_key``.

    Returns
    -------
    dict or None
    """
    folder = slide_folder(out, job)
    about = read_about(folder)
    if about.get("key") != key:
        return None
    held = _sizes(folder)
    return about if all(held.get(name) == size for name, size in about.get("files", {}).items()) else None


def unfinished(out: Path, job: SlideJob, key: str) -> Path:
    """The folder of a slide's unfinished work; emptied where it is that of other work.

    Parameters
    ----------
    out : Path
    job : SlideJob
    key : str

    Returns
    -------
    Path
        It exists and has the key in it.
    """
    folder = out / WORK / slide_folder(out, job).name
    if _json(folder / _KEY).get("key") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / _KEY, {"key": key})
    return folder


def finish(out: Path, job: SlideJob, folder: Path, about: dict[str, Any]) -> None:
    """Complete a slide: its slide.json is written last, then the folder gets its name.

    Parameters
    ----------
    out : Path
    job : SlideJob
    folder : Path
        From ``unfinished``, with all files in it.
    about : dict
        JSON-ready, with ``key``.
    """
    for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote a file
        part.unlink()
    files = {name: size for name, size in _sizes(folder).items() if name != _KEY}
    write_json(folder / ABOUT, about | {"files": files})
    (folder / _KEY).unlink()
    final = slide_folder(out, job)
    final.parent.mkdir(parents=True, exist_ok=True)
    former = final.with_name(f".{final.name}.{os.getpid()}.former")
    _refuse_other_files(final)
    if final.exists():  # of other settings, or of a slide that has changed
        os.replace(final, former)
    os.replace(folder, final)
    shutil.rmtree(former, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file of a slide's folder, and the number of files in each folder of it."""
    with os.scandir(folder) as entries:
        return {e.name: sum(1 for _ in os.scandir(e)) if e.is_dir() else e.stat().st_size for e in entries}


def read_about(folder: Path) -> dict[str, Any]:
    """What the slide.json of a slide's folder says.

    Parameters
    ----------
    folder : Path
        From ``slide_folder``.

    Returns
    -------
    dict
        Empty where there is none that can be read.

    Examples
    --------
    >>> read_about(Path("no-such-folder"))
    {}
    """
    return _json(folder / ABOUT)


def work_through(
    out: Path,
    jobs: Sequence[SlideJob],
    work: Callable[[Any], tuple[dict[str, Any], bool]],
    *,
    backend: Backend = in_this_process,
) -> Iterator[Outcome]:
    """Work on every slide; one that fails does not stop the rest.

    Parameters
    ----------
    out : Path
        Folder of all; made.
    jobs : sequence of SlideJob
    work : callable
        Returns the content of slide.json, and whether it was finished before. Pickles, where another process does it.
    backend : Backend, optional
        What calls it; this process when left out.

    Yields
    ------
    Outcome
        One a slide, as they are finished. At the end failed.csv names the failed ones, or is removed where there are
        none, and report.csv has all, in the order of the jobs.

    Raises
    ------
    ConfigError
        ``out`` is a file, another process writes to it, or a slide's folder there holds something else.
    OSError
        Such as a full disk, which would fail every further slide too.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError("a folder", got="a file", where=f"--out {printable_path(out)}", fix="Choose another name.")
    _refuse_one_folder(out, jobs)
    for job in jobs:
        _refuse_other_files(slide_folder(out, job))
    _refuse_other_tables(out)
    claim = _claim(out)
    report = RunReport(out / REPORT, jobs)
    failed: dict[int, str] = {}
    try:
        _clear_former(out)
        for done in backend(partial(_outcome, work), jobs):
            job = jobs[done.index]
            found = Outcome(job, {}, error=_lost(job, done.lost)) if done.lost else done.value
            outcome = replace(found, job=job, worker=done.worker, attempts=done.attempts)
            if outcome.error:
                failed[done.index] = outcome.error
            state = "failed" if outcome.error else "skipped" if outcome.reused else "done"
            report.add(
                done.index,
                state,
                reason=outcome.error or (BEFORE if outcome.reused else ""),
                tiles=outcome.about.get("tiles"),
                seconds=outcome.seconds,
                total=outcome.total,
                worker=outcome.worker,
                attempts=outcome.attempts,
            )
            yield outcome
        if failed:
            rows = [(jobs[i].slide_id, printable_path(jobs[i].path), failed[i]) for i in sorted(failed)]
            write_csv(out / "failed.csv", pd.DataFrame(rows, columns=["slide_id", "path", "reason"]))
        else:
            (out / "failed.csv").unlink(missing_ok=True)
        report.finish()
    finally:
        with contextlib.suppress(OSError):  # the disk that is full must not hide why the work ended
            report.finish()
        claim.release()
        with contextlib.suppress(OSError):  # not empty: unfinished slides are there
            (out / WORK).rmdir()


def _refuse_one_folder(out: Path, jobs: Sequence[SlideJob]) -> None:
    """Refuse two slides whose folders would have one name, also where the disk ignores case."""
    first: dict[str, str] = {}
    for job in jobs:
        name = slide_folder(out, job).name.casefold()
        if first.setdefault(name, job.slide_id) != job.slide_id:
            raise ConfigError(
                "slides whose folders have different names",
                got=f"{first[name]!r} and {job.slide_id!r}, both to be written to {slide_folder(out, job).name!r}",
                where="slide_id",
                fix="Rename one: of a name with slashes its last part alone becomes the folder.",
            )


def _refuse_other_files(folder: Path) -> None:
    """Refuse to replace a folder that is no slide's results: slides may lie in folders of their own below it."""
    if not folder.exists() or (folder / ABOUT).is_file() or (folder.is_dir() and not any(folder.iterdir())):
        return
    raise ConfigError(
        "a folder for the results that holds none but results of her2core",
        got=f"other files in {folder.name!r}",
        where=f"--out {printable_path(folder.parents[1])}",
        fix="Choose another folder: nothing was written or removed.",
    )


def _refuse_other_tables(out: Path) -> None:
    """Refuse to replace tables of a folder without earlier results: they are somebody's own."""
    if is_report(out / REPORT) or any((out / "slides").glob(f"*/{ABOUT}")):
        return
    if other := [name for name in (*TABLES, REPORT) if (out / name).exists()]:
        raise ConfigError(
            "a new folder, or one of earlier results",
            got=f"one with other files of the same names: {', '.join(other)}",
            where=f"--out {printable_path(out)}",
            fix="Choose another folder: nothing was written or removed.",
        )


def _claim(out: Path) -> Claim:
    try:
        return Claim(out / WORK / LOCK, guard=out / WORK / "guard")
    except RunError as held:
        raise ConfigError(
            "a folder that no other process is writing to",
            got=held.got,
            where=f"--out {printable_path(out)}",
            fix="Wait for it, or choose another folder.",
        ) from None


def _outcome(work: Callable[[SlideJob], tuple[dict[str, Any], bool]], job: SlideJob) -> Outcome:
    began = time.perf_counter()
    with measured() as seconds:
        found = _tried(work, job)
    return replace(found, seconds=seconds, total=time.perf_counter() - began)


def _tried(work: Callable[[SlideJob], tuple[dict[str, Any], bool]], job: SlideJob) -> Outcome:
    shown = printable_path(job.path)
    try:
        about, reused = work(job)
    except Her2Error as refused:
        return Outcome(job, {}, error=refused.sentence)
    except OSError as refused:
        if not job.path.exists():
            return Outcome(job, {}, error=f"{shown}: the slide vanished. Connect its drive and repeat the command.")
        if refused.filename is None or not _same(refused.filename, job.path):
            raise  # of the folder that all slides are written to
        said = f"{shown}: the slide cannot be read ({clean_text(refused.strerror or refused, 80)}). Check the file."
        return Outcome(job, {}, error=said)
    except Exception as broken:
        traceback.print_exc()
        said = f"{shown}: a fault of her2core: {type(broken).__name__}: {clean_text(broken, 200)}. Report it."
        return Outcome(job, {}, error=said, fault=True)
    return Outcome(job, about, reused)


def _lost(job: SlideJob, reason: str) -> str:
    return f"{printable_path(job.path)}: {reason}. Give the same command again, with fewer workers if memory ran out."


def _same(name: str | bytes | int, path: Path) -> bool:
    return isinstance(name, (str, bytes)) and os.path.abspath(os.fsdecode(name)) == os.path.abspath(path)


def _clear_former(out: Path) -> None:
    """Remove what a process left that was killed while it replaced a slide's folder; nobody else writes here now."""
    for former in (out / "slides").glob(".*.former"):
        shutil.rmtree(former, ignore_errors=True)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
