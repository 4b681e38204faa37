"""Tiles of whole slides at an exact scale, read by her2core and by TIAToolbox, as ratios in one run.

HER2_PEERS=/tmp/peers/bin/python OMP_NUM_THREADS=1 python benchmarks/slide_peers.py    as benchmarks/README.md says;
                                                    needs the extra slide, ../shared/data/slides and her2st

All tiles of 224 px at 0.7 microns per pixel, without any tissue mask, read, resampled and handed over as arrays:
``stream_tiles`` of ``her2 tile``, whose grid also has the tiles across the right and lower border, beside TIAToolbox's
SlidingWindowPatchExtractor. Opening is included. Processor time a tile, in turns, on one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from two_sides import in_two_processes, other_version, serve

PX, MPP, ROUNDS = 224, 0.7, 5
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
#: Slides with the scale given by hand where the file states none, and a section that is one large JPEG.
FILES: dict[str, float | None] = {
    "slides/cmu-1-small-region.svs": None,
    "slides/tcga-cr-7395-01a-01-ts1.svs": 0.5,
    "her2st/data/ST-imgs/C/C2/*.jpg": 0.69,
}


def files() -> dict[Path, float | None]:
    """The files that are here with their scale."""
    return {path: mpp for pattern, mpp in FILES.items() for path in sorted(REAL.glob(pattern))[:1]}


def ours() -> dict[str, Callable[[], Any]]:
    """Calls of her2core by name."""
    from her2core.slide.plan import TileGrid, plan_tiles
    from her2core.slide.reader import open_slide
    from her2core.slide.stream import stream_tiles, tile_groups

    with_plan = {}
    for path, mpp in files().items():
        with open_slide(path, mpp=mpp) as slide:
            with_plan[path] = plan_tiles(slide, TileGrid(PX * MPP)).tiles

    def read(path: Path) -> int:
        with open_slide(path, mpp=files()[path]) as slide:
            tiles = with_plan[path]
            groups = tile_groups(slide, tiles, PX)
            return sum(len(group.images) for group in stream_tiles(slide, tiles, groups, PX, threads=1))

    return {f"her2core, {path.name}, {read(path)}": partial(read, path) for path in with_plan}


def theirs() -> dict[str, Callable[[], Any]]:
    """Calls of TIAToolbox by name."""
    from tiatoolbox.tools.patchextraction import SlidingWindowPatchExtractor
    from tiatoolbox.wsicore.wsireader import WSIReader

    def read(path: Path) -> int:
        mpp = files()[path]
        slide = WSIReader.open(path, mpp=(mpp, mpp) if mpp else None)
        tiles = SlidingWindowPatchExtractor(
            slide, patch_size=(PX, PX), stride=(PX, PX), resolution=MPP, units="mpp", within_bound=True
        )
        return sum(1 for _ in tiles)

    return {f"TIAToolbox, {path.name}, {read(path)}": partial(read, path) for path in files()}


def main() -> None:
    import numpy as np
    from ratios import summary, write_result

    spent = in_two_processes(__file__, rounds=ROUNDS)
    a_tile: dict[tuple[str, str], Any] = {}
    counts = {}
    for name, seconds in spent.items():
        library, file, count = name.split(", ")
        a_tile[library, file] = seconds / int(count)
        counts[f"{library}, {file}"] = int(count)
    result = {
        "px": PX,
        "mpp": MPP,
        "rounds": ROUNDS,
        "tiles": counts,
        "processor_milliseconds_a_tile": {
            f"{library}, {file}": round(1e3 * float(np.median(t)), 2) for (library, file), t in a_tile.items()
        },
        "ratios": {
            f"TIAToolbox over her2core, {path.name}": summary(
                a_tile["TIAToolbox", path.name] / a_tile["her2core", path.name]
            )
            for path in files()
        },
        "tiatoolbox": other_version("tiatoolbox"),
        "note": "hs2p publishes rates of its own machines only, which cannot be compared with these.",
    }
    write_result("slide_peers", result, packages=("openslide-python", "numpy", "opencv-python-headless"))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve({"ours": ours, "theirs": theirs}[sys.argv[1]])
    else:
        main()
