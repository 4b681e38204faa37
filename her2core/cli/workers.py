"""``--workers`` and ``--cluster``: one slide's work done here, by a pool of processes, or on a Ray cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from her2core.slide.jobs import SlideJob
    from her2core.slide.work import Outcome

#: Does a slide's work and reports (tiles done, tiles in all).
WithProgress = Callable[["SlideJob", Callable[[int, int], Any]], tuple[dict[str, Any], bool]]


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that share slides among processes.

    Parameters
    ----------
    command : callable

    Returns
    -------
    callable
    """
    for option in (
        click.option(
            "--cluster",
            metavar="ADDRESS",
            help="Share the slides among the machines of a Ray cluster (extra cluster), or `local`.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 256),
            help="Share the slides among this many processes; one slide after another when left out.",
        ),
    ):
        command = option(command)
    return command


def work_on(
    out: Path,
    jobs: Sequence[SlideJob],
    work: Callable[[Any], tuple[dict[str, Any], bool]],
    *,
    workers: int | None,
    cluster: str | None,
    alone: WithProgress | None = None,
    line: Callable[[Outcome], str],
    each: Callable[[Outcome], Any] | None = None,
) -> tuple[list[SlideJob], dict[str, Any], int]:
    """Work on every slide, say what became of each, and sum up.

    Parameters
    ----------
    out : Path
        Folder of all slides.
    jobs : sequence of SlideJob
    work : callable
        As ``slide.work.work_through`` takes it; pickles.
    workers : int or None
        Value of ``--workers``.
    cluster : str or None
        Value of ``--cluster``.
    alone : callable, optional
        The same work with a progress bar, for this process.
    line : callable
        What to print of an outcome.
    each : callable, optional
        Called with each outcome.

    Returns
    -------
    done : list of SlideJob
        Finished ones, in the order of the jobs.
    counts : dict
        ``failed``, ``tiles``, ``seconds``, ``report`` and ``summary``, a sentence.
    code : int
        Exit code: 0 where all are done, 1 where a slide failed, 2 where one failed by a fault of the program.

    Raises
    ------
    Her2Error
        As ``work_through`` and ``choose_backend``.
    """
    from her2core.parallel.tasks import choose_backend, in_this_process
    from her2core.slide.run_report import REPORT
    from her2core.slide.work import work_through

    backend = choose_backend(workers, cluster)
    if alone is not None and backend is in_this_process:
        work = _with_bars(alone)
    began = time.monotonic()
    found: dict[str, bool] = {}
    counts = {"done": 0, "skipped": 0, "failed": 0}
    tiles = faults = 0
    processes: set[str] = set()
    with redirect_stdout(sys.stderr):  # Ray prints messages about lost workers to stdout, which is the answer's alone
        for outcome in work_through(out, jobs, work, backend=backend):
            found[outcome.job.slide_id] = not outcome.error
            counts["failed" if outcome.error else "skipped" if outcome.reused else "done"] += 1
            tiles += outcome.about.get("tiles", 0)
            faults += outcome.fault
            processes.add(outcome.worker)
            number = f"[{len(found):,}/{len(jobs):,}] " if len(jobs) > 1 else ""
            click.echo(number + line(outcome), err=True)
            if each:
                each(outcome)
    seconds = time.monotonic() - began
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    by = "" if backend is in_this_process else f" by {len(processes):,} processes"
    summary = f"{len(jobs):,} slides: {states}; {tiles:,} tiles in {seconds:,.0f} s{by} ({out / REPORT})"
    said = {**counts, "tiles": tiles, "seconds": round(seconds, 1), "report": str(out / REPORT), "summary": summary}
    return [job for job in jobs if found.get(job.slide_id)], said, 2 if faults else 1 if counts["failed"] else 0


def _with_bars(alone: WithProgress) -> Callable[[SlideJob], tuple[dict[str, Any], bool]]:
    """A slide's work with a progress bar, which starts with the first report."""

    def work(job: SlideJob) -> tuple[dict[str, Any], bool]:
        bar = click.progressbar(length=1, label=job.slide_id[:40], file=sys.stderr)
        began = False

        def report(done: int, total: int) -> None:
            nonlocal began
            if not began:
                bar.length, began = total, True
                bar.__enter__()
            bar.update(done - bar.pos)

        try:
            return alone(job, report)
        finally:
            if began:
                bar.__exit__(None, None, None)

    return work
