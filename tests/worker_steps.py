"""Functions that other processes call: one that kills its process, and the command with such a one in it."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def double(number: int) -> int:
    return 2 * number


@dataclass(frozen=True)
class ProcessAndThreads:
    """Says which process it is, once as many as are expected have come to the folder."""

    folder: Path
    expected: int

    def __call__(self, _: int) -> tuple[int, str | None]:
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + 300
        while len(list(self.folder.iterdir())) < self.expected and time.monotonic() < deadline:
            time.sleep(0.02)
        return os.getpid(), os.environ.get("OMP_NUM_THREADS")


class Awkward(Exception):
    """An exception that cannot be built again from its arguments."""

    def __init__(self, *, number: int) -> None:
        super().__init__(f"number {number}")


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    if number == 4:
        raise Awkward(number=4)
    return number


@dataclass(frozen=True)
class KillAtThree:
    """Kills its process at item 3; only once where a marker file is given."""

    marker: Path | None = None

    def __call__(self, number: int) -> int:
        if number == 3 and not (self.marker and self.marker.exists()):
            if self.marker:
                self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number


@dataclass(frozen=True)
class CannotStart:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


@dataclass(frozen=True)
class KilledOnTheWay:
    """``tile_slide`` whose process is killed at one slide, when its first tiles are written; only once."""

    slide_id: str
    marker: Path

    def __call__(self, job: Any, *args: Any, **more: Any) -> Any:
        def progress(done: int, total: int) -> None:
            if job.slide_id == self.slide_id and not self.marker.exists():
                self.marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        from her2core.slide.tiling import tile_slide  # in a worker the function itself

        return tile_slide(job, *args, **{**more, "progress": progress})


@dataclass(frozen=True)
class Slow:
    """``tile_slide`` that waits at each slide but the first until it is ended; says that it is there."""

    seen: Path

    def __call__(self, job: Any, *args: Any, **more: Any) -> Any:
        def progress(done: int, total: int) -> None:
            if job.slide_id != "S1":
                (self.seen / f"{job.slide_id}.{os.getpid()}").touch()
                time.sleep(600)

        from her2core.slide.tiling import tile_slide  # in a worker the function itself

        return tile_slide(job, *args, **{**more, "progress": progress})


def main() -> None:
    """``her2`` whose ``tile_slide`` is one of the above: arguments: its kind, a path, the words of the command."""
    from her2core.cli import main as her2
    from her2core.slide import tiling

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
    kind, place = sys.argv[1], Path(sys.argv[2])
    tiling.tile_slide = KilledOnTheWay("S2", place) if kind == "killed" else Slow(place)  # type: ignore[assignment]
    sys.argv = ["her2", *sys.argv[3:]]
    her2()
