"""Report of a run over many slides: a row a slide with its state, reason, tiles, seconds by stage and worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.io.files import write_csv
from her2core.io.periodic import PeriodicWrite
from her2core.io.text import printable_path
from her2core.slide.jobs import SlideJob

#: Name of the report in the folder of all slides.
REPORT = "report.csv"
BEFORE, NOT_REACHED = "done before", "not reached before the command ended"


class RunReport:
    """Rows of a report, written under a temporary name and renamed, from time to time and at the end.

    Parameters
    ----------
    path : Path
        CSV file.
    jobs : sequence of SlideJob
        All slides, in the order of the rows.

    Examples
    --------
    >>> import tempfile
    >>> jobs = [SlideJob(Path("a.svs"), "a"), SlideJob(Path("b.svs"), "b")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = RunReport(Path(folder, REPORT), jobs)
    ...     report.add(1, "done", tiles=16, seconds={"read": 0.5}, total=1.0, worker="host:1", attempts=1)
    ...     report.finish()
    ...     frame = pd.read_csv(Path(folder, REPORT))
    >>> frame[["slide_id", "state", "tiles", "seconds_read"]].to_dict("records")[1]
    {'slide_id': 'b', 'state': 'done', 'tiles': 16.0, 'seconds_read': 0.5}
    """

    def __init__(self, path: Path, jobs: Sequence[SlideJob]) -> None:
        self.path, self._jobs = path, jobs
        self._rows: dict[int, dict[str, Any]] = {}
        self._file = PeriodicWrite(self._write)

    def add(
        self,
        index: int,
        state: str,
        *,
        reason: str = "",
        tiles: int | None = None,
        seconds: Mapping[str, float] | None = None,
        total: float = 0.0,
        worker: str = "",
        attempts: int = 1,
    ) -> None:
        """Add a slide.

        Parameters
        ----------
        index : int
            Its position among the jobs.
        state : {'done', 'skipped', 'failed'}
        reason : str, optional
            Why it was skipped or failed, for people.
        tiles : int, optional
        seconds : mapping of str to float, optional
            By stage.
        total : float, optional
            Seconds in all.
        worker : str, optional
            Process that did it.
        attempts : int, optional
            Times it was given to a worker.
        """
        stages = {f"seconds_{name}": round(value, 3) for name, value in (seconds or {}).items()}
        row: dict[str, Any] = {"state": state, "reason": reason, "tiles": tiles, "seconds": round(total, 3)}
        self._rows[index] = {**row, **stages, "worker": worker, "attempts": attempts}
        self._file.changed()

    def finish(self) -> None:
        """Write the report; slides that were not added are skipped ones."""
        self._file.finish()

    def _write(self) -> None:
        absent = {"state": "skipped", "reason": NOT_REACHED}
        rows = [
            {"slide_id": job.slide_id, "path": printable_path(job.path), **self._rows.get(index, absent)}
            for index, job in enumerate(self._jobs)
        ]
        frame = pd.DataFrame(rows)
        stages = [name for name in frame if name.startswith("seconds_")]
        last = [name for name in ("worker", "attempts") if name in frame]
        head = [name for name in frame if name not in (*stages, *last)]
        write_csv(self.path, frame[[*head, *stages, *last]])


def is_report(path: Path) -> bool:
    """Whether a file is the report of an earlier run.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_report(Path("README.md"))
    False
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(1000).startswith("slide_id,path,state")
    except OSError:
        return False
