"""Which trainings are under way or lie unfinished? Run roots in; one Draft each out, and a way to ask one to stop.

Only the small tables and notes of a draft are read, never its checkpoints; links are not followed. A draft may be
half-written, broken or foreign: that is a sentence in ``problem``, never an exception.
"""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from her2core.errors import RunError
from her2core.runs.folder import PROGRESS, STOP, _claimant

#: What is read of one file at most; of events.jsonl it is the end. A year of epochs stays far below.
MAX_BYTES = 4_000_000
#: YAML is read slowly, and pages ask every other second.
MAX_YAML = 100_000
_COUNTS = ("epoch", "epochs", "step", "steps")
#: What every history holds and its figure needs.
_HISTORY = ("epoch", "train_loss", "val_loss", "val_balanced_accuracy")
_NUMBERS = ("loss", "patches_per_second")
#: Seconds after which a draft should hold its configuration: a training makes the folder first.
_BORN = 30.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FILES = ("claim.json", "config.yaml", "events.jsonl", "history.csv", PROGRESS)


@dataclass(frozen=True)
class Draft:
    """One training that has not come to its end, as it was when it was looked at.

    key : the draft's name, <network>_<data>_<hash>.
    path : its folder.
    title : the configuration's line for people; empty where there is none.
    running : claimed by a process that is alive on this machine. False for a claim of another machine: whether that
        process lives cannot be seen from here, and ``problem`` says so.
    host : the machine of the claim; None when nobody claims it.
    progress : progress.json (see ``training.callbacks.Watch``), phase, counts and numbers checked; None without.
    history : one row an epoch, numeric columns (``epoch`` from 0, losses, accuracies); empty before the first ends.
    event : the last line of events.jsonl; None without.
    stop_requested : somebody asked it to stop. The next start forgets that.
    updated : when it last changed, UTC.
    problem : what of it could not be read, or be known, in sentences; empty when all is well.
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


def list_drafts(*roots: str | os.PathLike) -> list[Draft]:
    """Every draft below the folders' ``.work``, the last changed first.

    A ``.work`` or a draft that is a link is passed over; a root may be one, for whoever named it meant it.
    """
    drafts = []
    for root in dict.fromkeys(map(Path, roots)):
        work = root / ".work"
        for path in _folders(work) if _is_folder(work) else []:
            if path.suffix != ".checkpoints" and not path.name.startswith("."):
                drafts.append(_look(path))
    # A draft that came to its end while it was looked at is a run now, and no draft.
    return sorted((d for d in drafts if _is_folder(d.path)), key=lambda d: (d.updated, d.key), reverse=True)


def request_stop(draft: Draft) -> None:
    """Ask the process that trains this draft to stop after its batch; the same command resumes it.

    The draft is looked at anew, so an old ``Draft`` does no harm; asking twice is asking once. A training that is
    already past its last batch finishes all the same.

    Raises RunError when the draft is gone, when nobody trains it, when all its epochs are done, when it cannot be
    written to, and when its claim is another machine's: nobody here can tell whether that process lives, and a request
    that nobody hears would look like one that is about to be met. The message says how to ask on that machine.
    """
    where = str(draft.path)
    if not _is_folder(draft.path):
        raise _gone(where)
    now = _look(draft.path)
    if now.host is not None and now.host != socket.gethostname():
        raise RunError(
            "a training of this machine",
            got=f"one claimed on {now.host}",
            where=where,
            fix=f"Stop it there; or, if you know that it is running, create the empty file {STOP} in this folder.",
        )
    if not now.running:
        raise RunError(
            "a draft that a process trains",
            got="one that nobody trains",
            where=where,
            fix="There is nothing to stop; the same her2 train command resumes it.",
        )
    if now.progress and now.progress["phase"] == "evaluating":
        raise RunError(
            "a training with epochs to go",
            got="one that evaluates its best epoch",
            where=where,
            fix="Wait for it: it finishes by itself.",
        )
    try:  # never through a link, and never making a folder anew that was just renamed into sight
        os.close(os.open(draft.path / STOP, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return
    except FileNotFoundError:
        raise _gone(where) from None
    except OSError as refused:
        raise RunError(
            "a draft that can be written to",
            got=str(refused.strerror),
            where=where,
            fix="Ask as the user who trains it.",
        ) from None


def _gone(where: str) -> RunError:
    return RunError(
        "an unfinished training",
        got="no such folder",
        where=where,
        fix="It has finished or was deleted; her2 runs list shows what is finished.",
    )


def _look(path: Path) -> Draft:
    problems: list[str] = []
    claim = _json(path / "claim.json", problems)
    host = claim.get("host") if claim is not None else None
    if claim is not None and not isinstance(host, str):
        problems.append("claim.json: it names no machine.")
        host = None
    running = host is not None and _alive(path / "claim.json")
    if host not in (None, socket.gethostname()):
        problems.append(f"It is claimed on {host}; whether it still runs cannot be seen from here.")
    updated = _updated(path)
    young = time.time() - updated.timestamp() < _BORN
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


def _alive(claim: Path) -> bool:
    try:
        return _claimant(claim) is not None
    except OverflowError:  # no system counts its processes that far
        return False


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
        frame = pd.read_csv(io.BytesIO(content))
    except (ValueError, OverflowError):  # pandas's own errors and wrong bytes are ValueErrors
        frame = pd.DataFrame()
    numeric = all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)
    whole = numeric and set(_HISTORY) <= set(frame) and pd.api.types.is_integer_dtype(frame["epoch"])
    if not whole or not isinstance(frame.index, pd.RangeIndex):
        problems.append(f"{path.name}: expected a table of numbers with the columns {', '.join(_HISTORY)}.")
        return pd.DataFrame()
    return frame


def _last_event(path: Path, problems: list[str]) -> dict[str, Any] | None:
    content = _read(path, problems, end=True)
    lines = (content or b"").split(b"\n")[:-1]  # what follows the last line end is being written
    if not lines:
        return None
    event = _parsed(lines[-1])
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        problems.append(f"{path.name}: its last line is no event.")
        return None
    return event


def _title(path: Path, problems: list[str], *, expected: bool) -> str:
    content = _read(path, problems, most=MAX_YAML)
    if content is None:
        if expected and not _exists(path):
            problems.append(f"{path.name}: there is none, so this may not be a draft of her2 train.")
        return ""
    try:  # the plainest loader: text, lists and mappings, and no tag that could be malformed
        config = yaml.load(content, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
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
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read(path: Path, problems: list[str], *, most: int = MAX_BYTES, end: bool = False) -> bytes | None:
    """The file's bytes, or its last ``most``; None when there is none, and with a problem when it is not to be read.

    A link, or a pipe that would keep a page waiting, is not opened.
    """
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            problems.append(f"{path.name}: not a plain file, so it is not read.")
            return None
        if facts.st_size > most and not end:
            problems.append(f"{path.name}: {facts.st_size:,} bytes are more than such a file holds.")
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
    except (ValueError, OverflowError, OSError):  # a date that no calendar holds
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
