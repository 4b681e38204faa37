"""Run folders under construction: written below ``<root>/.work``, published by one rename.

<root>/.work/<network>_<name>_<hash>/               the unfinished run, which no listing of finished runs shows
<root>/.work/<network>_<name>_<hash>.checkpoints/   what only resuming needs; never opened by the app
<root>/<name>/                                      the finished run; <name>-2 where there is one already
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import Her2Error, RunError
from her2core.io.files import write_csv, write_json, write_parquet, write_text
from her2core.runs.checkpoints import CheckpointStore
from her2core.runs.files import read_run_json
from her2core.runs.folder import REQUIRED, SCHEMA_VERSION
from her2core.runs.lock import LOCK, Claim, exclusively

LOG = logging.getLogger("her2core")

#: Beside the tables of an unfinished run: how far it is, and a request that it stop.
PROGRESS, STOP = "progress.json", "stop.request"
#: Beside the checkpoints, from just before the run is published: the name under which it is.
PUBLISHED = "published.json"


class RunWriter:
    """Writer of one run folder.

    Parameters
    ----------
    root : Path
        The folder for finished runs.
    key : str
        ``<network>_<name>_<hash>``: the same configuration and data give the same key, so that the same command
        resumes.
    name : str, optional
        Folder name of the finished run; the key when left out. Where it is taken, a number is added.
    record : str, optional
        The file that is written last and makes the folder a finished one.
    required : sequence of str, optional
        Files without which it is not finished.

    Attributes
    ----------
    path : Path
        The unfinished run.
    checkpoints : CheckpointStore
        Its checkpoints.
    published : Path or None
        After ``open``: the finished folder, where the process was killed between publishing it and tidying up.

    Examples
    --------
    >>> RunWriter(Path("runs"), "resnet50_own_1a2b3c4d").path.as_posix()
    'runs/.work/resnet50_own_1a2b3c4d'
    """

    def __init__(
        self, root: Path, key: str, *, name: str = "", record: str = REQUIRED[0], required: Sequence[str] = REQUIRED
    ) -> None:
        self.root, self.key, self.name = Path(root), key, name or key
        self.path = self.root / ".work" / key
        self.checkpoints = CheckpointStore(self.root / ".work" / f"{key}.checkpoints")
        self.published: Path | None = None
        self._record, self._required = record, required
        self._guard = self.root / ".work" / f".{key}.claim"
        self._claim: Claim | None = None

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()

    def open(self, *, fresh: bool) -> bool:
        """Claim the unfinished run for this process, making its folder where there is none.

        Parameters
        ----------
        fresh : bool
            Delete what an earlier process left instead of resuming.

        Returns
        -------
        bool
            Whether there is a checkpoint to resume from.

        Raises
        ------
        RunError
            When another process is training it, or none of its checkpoints is whole.
        """
        self._claim = Claim(self.path / LOCK, guard=self._guard)
        new = self._claim.new
        if self._claim.expired:
            LOG.warning(
                "the unfinished run was claimed by %s, whose last sign of life was %.0f minutes ago: taken over",
                self._claim.expired,
                self._claim.expired.age / 60,
            )
        self.published = None if fresh or not new else self._published()
        if fresh:
            _empty(self.path, but=LOCK)
        if new or fresh:  # checkpoints alone are left over from a finished run
            shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
        if self.published is not None:
            self._tidy()
            return False
        self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        self._remove_parts()
        (self.path / STOP).unlink(missing_ok=True)  # an old request
        try:
            return self._resumable()
        except RunError:
            self.release()
            raise

    def has_checkpoint(self) -> bool:
        """Whether there is a whole checkpoint to resume from."""
        return self.checkpoints.newest() is not None

    @property
    def lost(self) -> bool:
        """Whether another host has taken the run over meanwhile."""
        return self._claim is not None and self._claim.lost

    def _resumable(self) -> bool:
        damaged, whole = self.checkpoints.damaged(), self.checkpoints.newest()
        if damaged and whole is None:
            raise RunError(
                "a checkpoint with the SHA-256 that was written beside it",
                got=f"{' and '.join(damaged)} damaged",
                where=self.checkpoints.folder,
                fix="Start over: the same command with --fresh.",
            )
        if damaged and whole is not None:
            LOG.warning(
                "%s is damaged: the training resumes from the checkpoint before it (--fresh starts over)", damaged[0]
            )
        return whole is not None

    def _published(self) -> Path | None:
        try:
            name = json.loads((self.checkpoints.folder / PUBLISHED).read_text(encoding="utf-8"))["run"]
            path = self.root / Path(name).name
            key = read_run_json(path, self._record)["draft"]
        except (OSError, ValueError, KeyError, TypeError, Her2Error):
            return None
        return path if key == self.key else None

    def _remove_parts(self) -> None:
        """Delete temporary files of a killed process, in ``evaluation/`` too."""
        for stale in self.path.rglob(".*.part"):
            stale.unlink(missing_ok=True)

    def _tidy(self) -> None:
        shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
        self.release()
        with contextlib.suppress(OSError):
            _empty(self.path)
            self.path.rmdir()

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to events.jsonl.

        Parameters
        ----------
        kind : str
            What happened: started, resumed, epoch, fitted, stopped, finished.
        **facts
            JSON values; others become text.
        """
        line = json.dumps({"time": _now(), "event": kind, **facts}, default=str)
        with (self.path / "events.jsonl").open("a+b") as handle:
            whole = handle.tell() == 0
            if not whole:
                handle.seek(-1, os.SEEK_END)
                whole = handle.read(1) == b"\n"  # a killed process may have written half a line
            handle.write((("" if whole else "\n") + line + "\n").encode())

    def release(self) -> None:
        """Give the claim back; the same command resumes the run."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def write_progress(self, facts: dict[str, Any]) -> None:
        """Replace progress.json; ``updated`` (UTC) is added.

        Parameters
        ----------
        facts : dict
            As ``training.callbacks.ProgressCallback`` documents.
        """
        write_json(self.path / PROGRESS, {**facts, "updated": _now()})

    def write_history(self, frame: pd.DataFrame) -> None:
        """Replace history.csv.

        Parameters
        ----------
        frame : DataFrame
            One row an epoch, or a candidate of a last layer.
        """
        write_csv(self.path / "history.csv", frame)

    def write_splits(self, frame: pd.DataFrame) -> None:
        """Replace splits.parquet.

        Parameters
        ----------
        frame : DataFrame
            Columns patch_id and split.
        """
        write_parquet(self.path / "splits.parquet", frame)

    def write_config(self, text: str) -> None:
        """Replace config.yaml.

        Parameters
        ----------
        text : str
            YAML.
        """
        write_text(self.path / "config.yaml", text)

    def finish(self, info: dict[str, Any]) -> Path:
        """Write run.json (or another ``record``), with the status last, and rename the folder to its final name.

        Parameters
        ----------
        info : dict
            The record's content without schema version and status.

        Returns
        -------
        Path
            The finished folder.

        Raises
        ------
        RunError
            When a required file is missing.
        """
        missing = [n for n in self._required if n != self._record and not (self.path / n).is_file()]
        if missing:
            raise RunError("a complete run", got=f"no {missing[0]}", where=self.path, fix="Train it again.")
        for done in (PROGRESS, STOP):
            (self.path / done).unlink(missing_ok=True)
        self._remove_parts()
        self.event("finished", run=self._free().name)
        write_json(
            self.path / self._record,
            {"schema_version": SCHEMA_VERSION, **info, "draft": self.key, "status": "finished"},
        )
        with exclusively(self._guard):
            (self.path / LOCK).unlink(missing_ok=True)  # whoever wants to claim the run waits at the guard meanwhile
            while True:
                target = self._free()
                if self.checkpoints.folder.is_dir():
                    write_json(self.checkpoints.folder / PUBLISHED, {"run": target.name})
                try:
                    os.rename(self.path, target)
                    break
                except OSError:
                    if not os.path.lexists(target):
                        raise
            shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
        self.release()
        return target

    def _free(self) -> Path:
        """The run's name, or the first of <name>-2, <name>-3, ... that is not taken."""
        names = itertools.chain([self.name], (f"{self.name}-{n}" for n in itertools.count(2)))
        return next(self.root / name for name in names if not os.path.lexists(self.root / name))


def _empty(folder: Path, *, but: str = "") -> None:
    for entry in folder.iterdir():
        if entry.name == but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
