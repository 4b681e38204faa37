"""Run folders under construction: written below ``<root>/.work``, published by one rename.

<root>/.work/<network>_<data>_<hash>/               the unfinished run, which no listing of finished runs shows
<root>/.work/<network>_<data>_<hash>.checkpoints/   what only resuming needs; never opened by the app
<root>/<time>_<network>_<data>_<hash>/              the finished run
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import RunError
from her2core.io.files import write_csv, write_json, write_parquet, write_text
from her2core.runs.folder import REQUIRED, SCHEMA_VERSION, Run, open_run
from her2core.runs.lock import LOCK, lock_holder, write_lock

#: Beside the tables of an unfinished run: how far it is, and a request that it stop.
PROGRESS, STOP = "progress.json", "stop.request"
#: The checkpoint from which a training resumes.
LAST = "last.ckpt"


class RunWriter:
    """Writer of one run folder.

    Parameters
    ----------
    root : Path
        The folder for finished runs.
    key : str
        ``<network>_<data>_<hash>``: the same configuration and data give the same key, so that the same command
        resumes.

    Attributes
    ----------
    path : Path
        The unfinished run.
    checkpoints : Path
        Its checkpoints.

    Examples
    --------
    >>> RunWriter(Path("runs"), "resnet50_own_1a2b3c4d").path.as_posix()
    'runs/.work/resnet50_own_1a2b3c4d'
    """

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key = Path(root), key
        self.path = self.root / ".work" / key
        self.checkpoints = self.root / ".work" / f"{key}.checkpoints"

    def open(self, *, fresh: bool) -> bool:
        """Lock the unfinished run for this process, making its folder where there is none.

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
            When another process is training it.
        """
        if other := lock_holder(self.path / LOCK):
            raise RunError(
                "a run that no other process is training",
                got=f"process {other} at work on it",
                where=self.path,
                fix="Wait for it, or stop it first.",
            )
        if fresh:
            shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():  # checkpoints alone are left over from a finished run
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for stale in (self.path / STOP, *self.path.glob(".*.part")):  # an old request; a killed process's temporaries
            stale.unlink(missing_ok=True)
        write_lock(self.path / LOCK)
        return self.has_checkpoint()

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return (self.checkpoints / LAST).is_file()

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
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def release(self) -> None:
        """Remove the lock; the same command resumes the run."""
        (self.path / LOCK).unlink(missing_ok=True)

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

    def finish(self, info: dict[str, Any]) -> Run:
        """Write run.json, with the status last, and rename the folder to its final name.

        Parameters
        ----------
        info : dict
            The content of run.json without schema version and status.

        Returns
        -------
        Run

        Raises
        ------
        RunError
            When a required file is missing.
        """
        missing = [n for n in REQUIRED if n != "run.json" and not (self.path / n).is_file()]
        if missing:
            raise RunError("a complete run", got=f"no {missing[0]}", where=self.path, fix="Train it again.")
        target = self.root / f"{datetime.now(UTC):%Y%m%d-%H%M%S}_{self.key}"
        for done in (LOCK, PROGRESS, STOP):
            (self.path / done).unlink(missing_ok=True)
        self.event("finished", run=target.name)
        write_json(self.path / "run.json", {"schema_version": SCHEMA_VERSION, **info, "status": "finished"})
        os.replace(self.path, target)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        return open_run(target)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
