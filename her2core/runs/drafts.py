"""Unfinished runs: trainings under way or interrupted, and requests that one stop.

Only the small tables and notes of an unfinished run are read, never its checkpoints, and links are not followed. Such
a folder may be incomplete, broken or foreign: that is a sentence in ``problem``, never an exception.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import RunError, TableError
from her2core.io.documents import parse_json, parse_yaml
from her2core.io.tables import read_table
from her2core.runs.lock import LOCK, read_holder
from her2core.runs.schema.info import check_event
from her2core.runs.writer import PROGRESS, STOP

#: At most this many bytes of one file are read, of events.jsonl the last ones: more than years of epochs.
MAX_BYTES = 4_000_000
#: YAML is slow to read, and pages ask every other second.
MAX_YAML = 100_000
_COUNTS = ("epoch", "epochs", "step", "steps")
#: Columns that every history has and its figure needs.
_HISTORY = ("epoch", "train_loss", "val_loss", "val_balanced_accuracy")
_NUMBERS = ("loss", "patches_per_second")
#: Seconds after which the configuration should be there: a training makes the folder first.
_YOUNG = 30.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FILES = (LOCK, "config.yaml", "events.jsonl", "history.csv", PROGRESS)


@dataclass(frozen=True)
class Draft:
    """One unfinished run, as it was when it was read.

    Attributes
    ----------
    key : str
        ``<network>_<data>_<hash>``.
    path : Path
        Its folder.
    title : str
        The configuration's title; empty where there is none.
    running : bool
        Whether a process holds its lock: one alive on this machine, or one of another machine that gave a sign of life
        within ``lock.EXPIRY`` seconds.
    host : str or None
        The machine of the lock; None without a lock.
    progress : dict or None
        progress.json (see ``training.callbacks.ProgressCallback``) with phase, counts and numbers checked.
    history : DataFrame
        One row an epoch, numeric columns (``epoch`` from 0, losses, accuracies); empty before the first epoch ends.
    event : dict or None
        The last line of events.jsonl.
    stop_requested : bool
        Whether it was asked to stop; the next start removes the request.
    updated : datetime
        When it last changed, UTC.
    problem : str
        What could not be read or determined, in sentences; empty otherwise.
    """

    key: str
    path: Path
    title: str = ""
    running: bool = False
    host: str | None = None
    progress: dict[str, Any] | None = None
    history: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)
    event: dict[str, Any] | None = None
    stop_requested: bool = False
    updated: datetime = _NEVER
    problem: str = ""


def list_drafts(*roots: str | os.PathLike[str]) -> list[Draft]:
    """List the unfinished runs below the folders' ``.work``.

    Parameters
    ----------
    *roots : str or path
        Folders of runs, possibly links; a ``.work`` or an unfinished run that is a link is skipped.

    Returns
    -------
    list of Draft
        The last changed first.

    Examples
    --------
    >>> list_drafts("no-such-folder")
    []
    """
    drafts = []
    for root in dict.fromkeys(map(Path, roots)):
        work = root / ".work"
        for path in _folders(work) if _is_folder(work) else []:
            if path.suffix != ".checkpoints" and not path.name.startswith("."):
                drafts.append(_read_draft(path))
    # One that finished while it was read is a run now.
    return sorted((d for d in drafts if _is_folder(d.path)), key=lambda d: (d.updated, d.key), reverse=True)


def request_stop(draft: Draft) -> None:
    """Ask the process that trains this run to stop after its batch; the same command resumes it.

    The folder is read again, so an old ``Draft`` does no harm, and a second request changes nothing. A training past
    its last batch finishes all the same.

    Parameters
    ----------
    draft : Draft
        One of ``list_drafts``.

    Raises
    ------
    RunError
        When the folder is gone or cannot be written to, when no process is training it, or when all epochs are done.

    Examples
    --------
    >>> try:
    ...     request_stop(Draft("key", Path("no-such-folder")))
    ... except RunError as error:
    ...     print(error.got)
    no such folder
    """
    where = draft.path
    if not _is_folder(draft.path):
        raise _gone(where)
    now = _read_draft(draft.path)
    if not now.running:
        raise RunError(
            "a training under way",
            got="an interrupted one",
            where=where,
            fix="There is nothing to stop; the same her2 train command resumes it.",
        )
    if now.progress and now.progress["phase"] == "evaluating":
        raise RunError(
            "a training with epochs to go",
            got="one that is evaluating its best epoch",
            where=where,
            fix="Wait until it has finished.",
        )
    try:  # never through a link, and never in a folder that was renamed a moment ago
        os.close(os.open(draft.path / STOP, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return
    except FileNotFoundError:
        raise _gone(where) from None
    except OSError as refused:
        raise RunError(
            "a folder that can be written to",
            got=str(refused.strerror),
            where=where,
            fix="Ask as the user who is training it.",
        ) from None


def _gone(where: Path) -> RunError:
    return RunError(
        "an unfinished training",
        got="no such folder",
        where=where,
        fix="It has finished or was deleted; her2 runs list shows the finished runs.",
    )


def _read_draft(path: Path) -> Draft:
    problems: list[str] = []
    lock = _json(path / LOCK, problems)
    host = lock.get("host") if lock is not None else None
    if lock is not None and not isinstance(host, str):
        problems.append(f"{LOCK}: it names no machine.")
        host = None
    holder = None if host is None else read_holder(path / LOCK)
    running = holder is not None and holder.alive
    if holder is not None and not holder.here and not running:
        problems.append(
            f"It was being trained on {host}, whose last sign of life was {holder.age / 60:.0f} minutes ago; "
            "the same her2 train command takes it over."
        )
    updated = _updated(path)
    young = time.time() - updated.timestamp() < _YOUNG
    return Draft(
        key=path.name,
        path=path,
        title=_title(path / "config.yaml", problems, expected=not running and not young),
        running=running,
        host=host,
        progress=_progress(path / PROGRESS, problems),
        history=_history(path / "history.csv", problems),
        event=_last_event(path / "events.jsonl", problems),
        stop_requested=_exists(path / STOP),
        updated=updated,
        problem=" ".join(problems),
    )


def _progress(path: Path, problems: list[str]) -> dict[str, Any] | None:
    facts = _json(path, problems)
    if facts is None:
        return None
    counts = all(type(facts.get(c)) is int and 0 <= facts[c] < 2**53 for c in _COUNTS)
    numbers = all(type(facts.get(n)) in (int, float, type(None)) for n in _NUMBERS)
    if not counts or not numbers or not isinstance(facts.get("phase"), str):
        problems.append(f"{path.name}: expected a phase, and numbers for {', '.join(_COUNTS + _NUMBERS)}.")
        return None
    return facts


def _history(path: Path, problems: list[str]) -> pd.DataFrame:
    content = _read(path, problems)
    if content is None:
        return pd.DataFrame()
    try:
        frame = read_table(content, name=path.name, own=True).frame
    except TableError:
        frame = pd.DataFrame()
    numeric = all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)
    whole = numeric and set(_HISTORY) <= set(frame) and pd.api.types.is_integer_dtype(frame["epoch"])
    if not whole:
        problems.append(f"{path.name}: expected a table of numbers with the columns {', '.join(_HISTORY)}.")
        return pd.DataFrame()
    return frame


def _last_event(path: Path, problems: list[str]) -> dict[str, Any] | None:
    content = _read(path, problems, end=True)
    lines = (content or b"").split(b"\n")[:-1]  # what follows the last line end is being written
    if not lines:
        return None
    event = _parsed(lines[-1])
    try:
        check_event(event if isinstance(event, dict) else {}, where=path)
    except RunError as refused:
        problems.append(f"{path.name}: its last line is no event, but {refused.got}.")
        return None
    return event


def _title(path: Path, problems: list[str], *, expected: bool) -> str:
    content = _read(path, problems, most=MAX_YAML)
    if content is None:
        if expected and not _exists(path):
            problems.append(f"{path.name}: there is none, so this may not be a run of her2 train.")
        return ""
    try:
        config = parse_yaml(content)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        problems.append(f"{path.name}: expected fields and values.")
        return ""
    title = config.get("title", "")
    return title if isinstance(title, str) else ""


def _json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    content = _read(path, problems)
    if content is None:
        return None
    value = _parsed(content)
    if not isinstance(value, dict):
        problems.append(f"{path.name}: expected a JSON object.")
        return None
    return value


def _parsed(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError:
        return None


def _read(path: Path, problems: list[str], *, most: int = MAX_BYTES, end: bool = False) -> bytes | None:
    """The file's bytes, or its last ``most``; None when there is none, and with a problem when it is not read.

    A link is not opened, nor a pipe, which would keep a page waiting.
    """
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            problems.append(f"{path.name}: not a plain file, so it is not read.")
            return None
        if facts.st_size > most and not end:
            problems.append(f"{path.name}: {facts.st_size:,} bytes, more than such a file has.")
            return None
        with path.open("rb") as handle:
            handle.seek(max(0, facts.st_size - most))
            return handle.read(most)
    except FileNotFoundError:
        return None
    except OSError as refused:
        problems.append(f"{path.name}: {refused.strerror}.")
        return None


def _updated(path: Path) -> datetime:
    times = [0.0]
    for changed in (path, *(path / name for name in _FILES)):
        try:
            times.append(changed.lstat().st_mtime)
        except OSError:
            continue
    try:
        return datetime.fromtimestamp(max(times), UTC)
    except (ValueError, OverflowError, OSError):  # a date outside the calendar
        return _NEVER


def _exists(path: Path) -> bool:
    """Whether there is such a name, be it a link to nowhere."""
    return os.path.lexists(path)


def _folders(work: Path) -> list[Path]:
    try:
        return sorted(p for p in work.iterdir() if _is_folder(p))
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    """A folder itself, not a link to one."""
    return os.path.isdir(path) and not os.path.islink(path)
