"""What thousands of slides cost beside their tiles: listing, one process a command, reports, going on.

OMP_NUM_THREADS=1 python benchmarks/many_slides.py    needs the extra slide

Copies of one synthetic slide of 512 x 512 px at 0.5 microns per pixel, so that next to nothing is read: processor time
a slide and peak memory of ``her2 tile`` and ``her2 slide`` (the run demo), of the same command again, which finds every
slide finished, and how both grow with the number of slides. Each command is a process of its own; the time of starting
Python and loading the network is that of one slide, and is subtracted.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from ratios import write_result

from her2core.data.synthetic import CohortSpec, render_patch

MODEL = Path(__file__).resolve().parents[1] / "models" / "demo"
#: Numbers of slides for each command.
NUMBERS = {"tile": (100, 400, 1600), "slide": (50, 200, 800)}
SIDE, MPP = 512, 0.5


def write_slides(folder: Path, number: int) -> None:
    """Copies of one slide: glass with a piece of tissue in the middle."""
    folder.mkdir()
    pixels = np.full((SIDE, SIDE, 3), (243, 240, 244), np.uint8)
    quarter = SIDE // 4
    pixels[quarter : 3 * quarter, quarter : 3 * quarter] = render_patch(CohortSpec(px=SIDE // 2, mpp=MPP), 3).image
    first = folder / "S00000.tif"
    tifffile.imwrite(
        first, pixels, tile=(256, 256), photometric="rgb", compression="zlib",
        resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER",
    )  # fmt: skip
    for i in range(1, number):
        os.link(first, folder / f"S{i:05d}.tif")


def run(command: str, slides: Path, out: Path) -> tuple[float, float]:
    """Processor seconds and peak memory in MB of one command."""
    words = {"tile": ["tile", slides, "--px", "128", "--tile-mpp", "0.5"], "slide": ["slide", MODEL, slides]}[command]
    code = "import resource, sys\nfrom her2core.cli import main\ntry:\n    main()\nexcept SystemExit as left:\n    " \
           "assert not left.code, left.code\nfinally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, " \
           "file=sys.__stderr__)"  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), "--out", str(out)], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(done.stderr.splitlines()[-1]) / 1024


def main() -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for command, numbers in NUMBERS.items():
            rows = []
            starts: tuple[float, float] = (0.0, 0.0)
            for number in (1, *numbers):
                slides, out = Path(name, f"{command}{number}"), Path(name, f"{command}{number}out")
                write_slides(slides, number)
                times = [run(command, slides, out) for _ in range(2)]
                if number == 1:
                    starts = times[0][0], times[1][0]
                    continue
                first, again = ((t - start) / (number - 1) for (t, _), start in zip(times, starts, strict=True))
                rows.append({
                    "slides": number,
                    "processor_ms_a_slide": round(1e3 * first, 1),
                    "processor_ms_a_finished_slide": round(1e3 * again, 2),
                    "peak_memory_mb": round(times[0][1]),
                })  # fmt: skip
                print(command, rows[-1], flush=True)
            found[f"her2 {command}"] = rows
    write_result("many_slides", {"side_px": SIDE, "commands": found}, packages=("tifffile", "openslide-python"))


if __name__ == "__main__":
    main()
