"""What grows faster than the number of slides in our own code: listing, report, restart, aggregation, files, memory.

    OMP_NUM_THREADS=1 python -m benchmarks.scale [--tiny 2000] [--out benchmarks/results/scale.json]

All figures are processor seconds of this process, on which other work on the machine has little influence; growth is
the time per slide at the largest number of slides over that at the smallest, within one run: 1 is linear. Slides are
tiny (one tile of synthetic H&E), so that what is measured is the handling of slides and not their pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.io.files import write_csv, write_json, write_parquet
from her2core.io.images import encode_png
from her2core.io.periodic import PeriodicWrite
from her2core.slide.jobs import SlideJob, slide_jobs
from her2core.slide.plan import TileGrid
from her2core.slide.result import predict_unit
from her2core.slide.tiling import TileSettings, collect_tiles, tile_slide
from her2core.slide.work import slide_folder, work_through

SIDE = 128
CLASSES = ("negative", "equivocal", "positive")


def cpu(call: Callable[[], Any]) -> float:
    """Processor seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def growth(per_slide: dict[int, float]) -> dict[str, Any]:
    """Milliseconds a slide by number of slides, and the last over the first."""
    counts = sorted(per_slide)
    return {
        "ms_per_slide": {str(n): float(f"{1000 * per_slide[n]:.3g}") for n in counts},
        "growth": float(f"{per_slide[counts[-1]] / per_slide[counts[0]]:.3g}"),
    }


def handles() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def listing(folder: Path, counts: tuple[int, ...]) -> dict[str, Any]:
    """Find slides below a folder with a table of patients."""
    found = {}
    for count in counts:
        root = folder / f"listing{count}"
        root.mkdir()
        for number in range(count):
            (root / f"S{number:06d}.svs").touch()
        table = root.with_suffix(".csv")
        write_csv(table, pd.DataFrame({"slide": [f"S{n:06d}.svs" for n in range(count)], "patient_id": "P1"}))
        found[count] = cpu(lambda root=root, table=table: slide_jobs([root], table=table)) / count
    return growth(found)


def reports(folder: Path, counts: tuple[int, ...]) -> dict[str, Any]:
    """Take in outcomes, with report and table of answers, as ``her2 slide`` does; beside a table written each time."""
    tiles = pd.DataFrame({"slide_id": "S", "x_um": np.arange(10) * 1000.0, "y_um": 0.0, "flags": ""})
    tiles = tiles.assign(tissue=True, counts=True, **{f"probability_{c}": 1 / 3 for c in CLASSES})
    row = predict_unit(tiles, CLASSES, unit="slide", name="S", rule=(DEFAULT_RULE, ""), model="m").row()

    def take_in(count: int, *, each_time: bool) -> None:
        out = folder / f"report{count}{each_time}"
        jobs = [SlideJob(Path(f"S{n}.svs"), f"S{n}") for n in range(count)]
        rows: list[dict[str, Any]] = []
        table = PeriodicWrite(lambda: write_csv(out / "slides.csv", pd.DataFrame(rows)))
        for _ in work_through(out, jobs, lambda job: ({"tiles": 1, "audit": [], "notes": []}, False)):
            rows.append(row)
            if each_time:
                write_csv(out / "slides.csv", pd.DataFrame(rows))
            else:
                table.changed()
        table.finish()

    now = {count: cpu(lambda count=count: take_in(count, each_time=False)) / count for count in counts}
    few = counts[: max(2, len(counts) - 1)]
    before = {count: cpu(lambda count=count: take_in(count, each_time=True)) / count for count in few}
    return {"now": growth(now), "table_of_answers_written_after_each_slide": growth(before)}


def tiny_slides(folder: Path, count: int) -> list[SlideJob]:
    """Slides of one tile of synthetic tissue."""
    folder.mkdir()
    spec = CohortSpec(patients=8, patches_per_patient=1, px=SIDE)
    known = [encode_png(render_patch(spec, n).image) for n in range(8)]
    for number in range(count):
        (folder / f"S{number:06d}.png").write_bytes(known[number % 8])
    return slide_jobs([folder], mpp=0.5)[0]


def tiling(folder: Path, count: int) -> dict[str, Any]:
    """Tile tiny slides in blocks, give the command again, and collect the tables."""
    jobs = tiny_slides(folder / "tiny", count)
    out = folder / "tiles"
    settings = TileSettings(SIDE, 0.5, TileGrid(SIDE * 0.5, min_tissue=0.0), screen=False)
    work = partial(tile_slide, settings=settings, out=out, threads=1)
    blocks = [count // 4 * (n + 1) for n in range(4)]
    first, began = {}, 0
    opened, memory = handles(), {}
    for end in blocks:
        part = jobs[began:end]
        first[end] = cpu(lambda part=part: list(work_through(out, part, work))) / len(part)
        memory[str(end)] = round(peak_mb(), 1)
        began = end
    again, gathered = {}, {}
    for end in blocks:
        part = jobs[:end]
        again[end] = cpu(lambda part=part: list(work_through(out, part, work))) / end
        gathered[end] = cpu(lambda part=part: collect_tiles(out, [slide_folder(out, job) for job in part])) / end
    files = [path for path in out.rglob("*") if path.is_file()]
    return {
        "tile_each": growth(first),
        "restart_with_all_done": growth(again),
        "collect_tiles": growth(gathered),
        "files_per_slide": round(len(files) / count, 2),
        "bytes_per_slide": round(sum(path.stat().st_size for path in files) / count),
        "open_files_before_and_after": [opened, handles()],
        "peak_memory_mb_by_slides": memory,
    }


def tables(folder: Path) -> dict[str, Any]:
    """The tile tables of slides of 5,000 tiles: their size, the memory of one and of ten in pandas, with a label."""
    found = {}
    for slides in (1, 10):
        rows = 5000 * slides
        frame = pd.DataFrame({"patch_id": [f"S{n // 5000}/{n}" for n in range(rows)]})
        frame["path"] = "slides/" + frame["patch_id"] + ".png"
        frame = frame.assign(slide_id="S", patient_id="P", label="negative", site="unknown")
        for name in ("mpp", "x", "y", "width", "height", "level0_x", "level0_y", "level0_side", "tissue"):
            frame[name] = np.arange(rows, dtype=float)
        file = write_parquet(folder / f"t{slides}.parquet", frame)
        found[str(rows)] = {
            "file_mb": round(file.stat().st_size / 1e6, 2),
            "memory_mb": round(frame.memory_usage(deep=True).sum() / 1e6, 1),
        }
    return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "command": f"OMP_NUM_THREADS=1 python -m benchmarks.scale --tiny {chosen.tiny}",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            "unit": "processor milliseconds a slide by number of slides; growth: the last over the first",
            "listing_with_a_table": listing(folder, (1000, 10_000, 100_000)),
            "report_and_table_of_answers": reports(folder, (250, 500, 1000, 4000)),
            "tiny_slides": tiling(folder, chosen.tiny),
            "tile_tables_by_tiles": tables(folder),
        }
    print(json.dumps(result, indent=2))
    if chosen.out:
        write_json(chosen.out, result)


if __name__ == "__main__":
    main()
