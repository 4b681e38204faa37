"""Reading tiles from one tar file a slide beside reading a file a tile.

OMP_NUM_THREADS=1 python benchmarks/tile_shards.py

5,000 synthetic tiles of 224 px as PNG files and in one shard: bytes on disk, and processor time
of reading them (bytes alone, and decoded) in the same random order; the shard's table of contents is read anew.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ratios import in_turns, summary, write_result

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png, read_image
from her2core.io.shards import ShardWriter
from her2core.io.sources import file_bytes

TILES, DECODED = 5_000, 500


def write_tiles(folder: Path) -> list[str]:
    """The same tiles both ways; their names."""
    spec = CohortSpec(px=224, mpp=0.5)
    rendered = [encode_png(render_patch(spec, i).image) for i in range(20)]
    names = [f"{i % 70}_{i // 70}.png" for i in range(TILES)]
    (folder / "tiles").mkdir()
    with ShardWriter(folder / "tiles.tar") as shard:
        for i, name in enumerate(names):
            shard.add(name, rendered[i % 20])
            (folder / "tiles" / name).write_bytes(rendered[i % 20])
    return names


def reads(read: Callable[[Path], Any], place: Path, names: list[str]) -> Callable[[], None]:
    """Reads these tiles one after the other; the table of contents of a shard is read anew."""

    def call() -> None:
        if place.is_file():
            place.touch()
        for name in names:
            read(place / name)

    return call


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = write_tiles(folder)
        shard, files = folder / "tiles.tar", folder / "tiles"
        found: dict[str, Any] = {
            "tiles": TILES,
            "disk_MB": {
                "files": round(sum(p.stat().st_blocks for p in files.iterdir()) * 512 / 1e6, 1),
                "shard": round(shard.stat().st_blocks * 512 / 1e6, 1),
            },
        }
        for what, count, read in (
            ("bytes", TILES, lambda path: file_bytes(path, "tile")),
            ("decoded", DECODED, read_image),
        ):
            order = random.Random(0).sample(names, count)
            spent = in_turns({p.suffix or "files": reads(read, p, order) for p in (files, shard)}, rounds=5)
            found[what] = {
                "read": count,
                "files_ms_a_tile": round(1e3 * float(np.median(spent["files"])) / count, 4),
                "shard_over_files": summary(spent[".tar"] / spent["files"]),
            }
    write_result("tile_shards", found, packages=("numpy", "pillow"))


if __name__ == "__main__":
    main()
