"""Writing of the synthetic cohort as PNG files, in parallel and atomically."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from her2core.data.synthetic.cohort import CohortSpec, plan_cohort
from her2core.data.synthetic.render import render_patch
from her2core.errors import ConfigError

# Patches per task: small enough for a progress bar, large enough that starting a task costs nothing.
_CHUNK = 25
_Task = tuple[CohortSpec, str, int, list[tuple[str, str]]]


def write_cohort(
    spec: CohortSpec, out: Path, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Render every patch of a cohort to ``<out>/patches`` and ``<out>/masks``, one folder per patient.

    Parameters
    ----------
    spec : CohortSpec
    out : Path
        Folder; files of the same name are replaced.
    workers : int
        Number of processes, from 1 (in this process). The files do not depend on it.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    DataFrame
        The plan with two further columns, ``path`` and ``mask_path``: POSIX paths relative to ``out``.

    Raises
    ------
    ConfigError
        For fewer than one worker, or an ``out`` that is a file.

    Examples
    --------
    >>> import tempfile
    >>> spec = CohortSpec(patients=6, patches_per_patient=1, px=64)
    >>> write_cohort(spec, Path(tempfile.mkdtemp()), workers=1)["path"][0]
    'patches/SYN-0001/SYN-0001-S1-P001.png'
    """
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise ConfigError(
            "argument `workers` to be an integer of at least 1", got=repr(workers), fix="Use 1 to run in this process."
        )
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError("argument `out` to be a folder", got=f"the file {out}", fix="Choose another folder.")
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


def _run(tasks: list[_Task], workers: int) -> Iterator[int]:
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


def _write_chunk(task: _Task) -> int:
    spec, out, start, names = task
    for index, (path, mask_path) in enumerate(names, start):
        patch = render_patch(spec, index)
        _save_png(patch.image, Path(out, path))
        _save_png(patch.mask, Path(out, mask_path))
    return len(names)


def _save_png(array: np.ndarray, path: Path) -> None:
    """Write under a temporary name, then rename, so that no partial file is left."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        Image.fromarray(array).save(partial, format="PNG")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
