"""Work on many slides: one folder a slide, written beside and renamed, so that what is there is complete.

<out>/slides/<slide_id>/      a finished slide; slide.json holds the key of its work
<out>/.work/<slide_id>/       an unfinished one; the same command goes on with it
<out>/failed.csv              slides that could not be worked on, and why
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import ConfigError, Her2Error, RunError
from her2core.io.files import write_csv, write_json
from her2core.io.text import printable_path, safe_file_name
from her2core.runs.lock import LOCK, Claim
from her2core.slide.jobs import SlideJob

#: File that makes a slide's folder complete.
ABOUT = "slide.json"
#: Folder of unfinished slides; one process at a time claims it.
WORK = ".work"
_KEY = "key.json"


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
    """

    job: SlideJob
    about: dict[str, Any]
    reused: bool = False
    error: str = ""


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
    """What the slide.json of a finished slide says, where it was made by the same work.

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
    about = _json(slide_folder(out, job) / ABOUT)
    return about if about.get("key") == key else None


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
    write_json(folder / ABOUT, about)
    (folder / _KEY).unlink()
    final = slide_folder(out, job)
    final.parent.mkdir(parents=True, exist_ok=True)
    former = final.with_name(f".{final.name}.{os.getpid()}.former")
    if final.exists():  # of other settings, or of a slide that has changed
        os.replace(final, former)
    os.replace(folder, final)
    shutil.rmtree(former, ignore_errors=True)


def work_through(
    out: Path, jobs: Sequence[SlideJob], work: Callable[[SlideJob], tuple[dict[str, Any], bool]]
) -> Iterator[Outcome]:
    """Work on one slide after another; one that fails does not stop the rest.

    Parameters
    ----------
    out : Path
        Folder of all; made.
    jobs : sequence of SlideJob
    work : callable
        Returns the content of slide.json, and whether it was finished before.

    Yields
    ------
    Outcome
        One a slide. At the end failed.csv names the failed ones, or is removed where there are none.

    Raises
    ------
    ConfigError
        ``out`` is a file, or another process writes to it.
    OSError
        Such as a full disk, which would fail every further slide too.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError("a folder", got="a file", where=f"--out {printable_path(out)}", fix="Choose another name.")
    claim = _claim(out)
    failed: list[dict[str, str]] = []
    try:
        for job in jobs:
            outcome = _outcome(job, work)
            if outcome.error:
                place = {"slide_id": job.slide_id, "path": printable_path(job.path)}
                failed.append({**place, "reason": outcome.error})
            yield outcome
        if failed:
            write_csv(out / "failed.csv", pd.DataFrame(failed))
        else:
            (out / "failed.csv").unlink(missing_ok=True)
    finally:
        claim.release()
        with contextlib.suppress(OSError):  # not empty: unfinished slides are there
            (out / WORK).rmdir()


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


def _outcome(job: SlideJob, work: Callable[[SlideJob], tuple[dict[str, Any], bool]]) -> Outcome:
    try:
        about, reused = work(job)
    except Her2Error as refused:
        return Outcome(job, {}, error=refused.sentence)
    except FileNotFoundError:
        if job.path.exists():
            raise
        shown = printable_path(job.path)
        return Outcome(job, {}, error=f"{shown}: the slide vanished. Connect its drive and repeat the command.")
    return Outcome(job, about, reused)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
