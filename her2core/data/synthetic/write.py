"""How does the cohort reach the disk? A spec and a folder in; PNG patches and masks, and the plan with paths, out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from numbers import Integral
from pathlib import Path

import pandas as pd
from PIL import Image

from her2core.data.synthetic.cohort import CohortSpec, plan_cohort
from her2core.data.synthetic.render import render_patch
from her2core.errors import ConfigError

# Small enough for a lively progress bar, large enough that starting a task costs nothing.
_CHUNK = 25


def write_cohort(
    spec: CohortSpec, out: Path, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Render every patch of the cohort to ``<out>/patches`` and ``<out>/masks`` (PNG, one folder a patient).

    Returns the plan with two more columns, ``path`` and ``mask_path``: posix paths relative to ``out``. The files do
    not depend on ``workers``; with 1 everything runs in this process. ``progress`` is called as (done, total).
    Files of the same name are replaced. Raises ConfigError for fewer than one worker or an ``out`` that is a file.
    """
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise ConfigError(
            "`workers` to be an integer of at least 1",
            got=repr(workers),
            where="write_cohort",
            fix="Use 1 to run in this process.",
        )
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError("a folder", got=f"the file {out}", where="write_cohort", fix="Give another `out`.")
    plan = plan_cohort(spec)
    plan["path"] = "patches/" + plan["patient_id"] + "/" + plan["patch_id"] + ".png"
    plan["mask_path"] = "masks/" + plan["patient_id"] + "/" + plan["patch_id"] + ".png"
    for folder in sorted({str(Path(p).parent) for column in ("path", "mask_path") for p in plan[column]}):
        (out / folder).mkdir(parents=True, exist_ok=True)

    names = list(zip(plan["path"], plan["mask_path"], strict=True))
    chunks = [range(start, min(start + _CHUNK, len(names))) for start in range(0, len(names), _CHUNK)]
    tasks = [(spec, str(out), chunk.start, names[chunk.start : chunk.stop]) for chunk in chunks]
    done = 0
    for finished in _run(tasks, min(int(workers), len(tasks))):
        done += finished
        if progress is not None:
            progress(done, len(names))
    return plan


def _run(tasks: list[tuple], workers: int):
    """Yield the number of patches of each task as it ends."""
    if workers == 1:
        yield from map(_write_chunk, tasks)
        return
    # Spawned, not forked: the caller may be a Streamlit or torch process full of threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_write_chunk, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_chunk(task: tuple[CohortSpec, str, int, list[tuple[str, str]]]) -> int:
    spec, out, start, names = task
    for index, (path, mask_path) in enumerate(names, start):
        patch = render_patch(spec, index)
        _save_png(patch.image, Path(out, path))
        _save_png(patch.mask, Path(out, mask_path))
    return len(names)


def _save_png(array, path: Path) -> None:
    """Whole or not at all: written beside its place and then renamed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        Image.fromarray(array).save(partial, format="PNG")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
