"""Time, memory, disk and cost of 1,000, 10,000 and 100,000 slides, from measured rates and stated assumptions.

    python -m benchmarks.scale_estimates [--tiles 5000] [--price 0.04] [--out benchmarks/results/scale_estimates.json]

Rates are those of results/engine.json (processor milliseconds a patch of 224 px, ResNet50 with SE and DSC),
results/slide_pyramid.json (reading of the slowest slide, on a busy machine; memory of a process). Tiles a slide and the
price of a core for an hour are assumptions; sizes of a slide's files are measured here on a table of that many tiles.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ratios import RESULTS
from her2core.io.files import write_json, write_parquet
from her2core.slide.geojson import write_geojson
from her2core.slide.heatmap import make_heatmap, tile_state, write_ome_tiff
from her2core.slide.units import Microns

CLASSES = ("negative", "equivocal", "positive")
#: Slides, and processors at work.
SLIDES, CORES = (1000, 10_000, 100_000), (16, 256)
FIELD_UM = 112.0


def read(name: str) -> dict[str, Any]:
    """A results file."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def files_of_a_slide(tiles: int) -> dict[str, int]:
    """Bytes of what ``her2 slide`` writes for a slide, without the picture."""
    across = int(np.ceil(np.sqrt(tiles)))
    column, row = np.arange(tiles) % across, np.arange(tiles) // across
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"slide_id": "S1", "patient_id": "P1", "column": column, "row": row})
    frame = frame.assign(x_um=column * FIELD_UM, y_um=row * FIELD_UM, side_um=FIELD_UM)
    frame = frame.assign(x=frame["x_um"] * 4, y=frame["y_um"] * 4, side=FIELD_UM * 4, tissue_share=rng.random(tiles))
    frame = frame.assign(ink=0.0, fold=0.0, flags="", tissue=True, counts=True, ood_score=rng.random(tiles))
    probs = rng.dirichlet(np.ones(3), tiles)
    frame = frame.assign(**{f"probability_{c}": probs[:, i] for i, c in enumerate(CLASSES)})
    frame["state"] = tile_state(frame)
    side = Microns(across * FIELD_UM)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_parquet(folder / "tiles.parquet", frame)
        write_geojson(folder / "tiles.geojson", frame, CLASSES, name="S1/model")
        heatmap = make_heatmap(frame, CLASSES, tile=Microns(FIELD_UM), width=side, height=side)
        write_ome_tiff(folder / "heatmap.ome.tif", heatmap)
        return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def main() -> None:
    """Compute and write the estimates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=5000)
    parser.add_argument("--price", type=float, default=0.04)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    milliseconds = read("engine")["processor_milliseconds_a_patch"]
    pyramid = read("slide_pyramid")
    reading = 1000 / min(pyramid["read_tiles_per_s"], *(s["read_tiles_per_s"] for s in pyramid["real_slides"].values()))
    memory = pyramid["peak_memory_gb"]
    sizes = files_of_a_slide(chosen.tiles)
    found: dict[str, Any] = {}
    for engine in ("torch", "openvino", "openvino-bf16"):
        each = reading + milliseconds[f"predict, {engine}, 224 px"]
        rows = {}
        for count in SLIDES:
            hours = count * chosen.tiles * each / 3.6e6
            wall = {f"hours_on_{cores}_cores": float(f"{hours / cores:.3g}") for cores in CORES}
            rows[f"{count:,}"] = {
                "core_hours": float(f"{hours:.3g}"),
                **wall,
                "cost": float(f"{hours * chosen.price:.3g}"),
            }
        found[engine] = {"processor_ms_a_tile": round(each, 1), "slides": rows}
    result = {
        "command": f"python -m benchmarks.scale_estimates --tiles {chosen.tiles} --price {chosen.price:g}",
        "assumptions": {
            "tiles_a_slide": chosen.tiles,
            "price_of_a_core_hour": chosen.price,
            "reading_ms_a_tile": f"{reading:.1f}: the slowest slide of slide_pyramid.json",
        },
        "engines": found,
        "memory_gb_a_process": memory,
        "bytes_a_slide": sizes,
        "disk_gb": {f"{count:,}": float(f"{count * sum(sizes.values()) / 1e9:.3g}") for count in SLIDES},
    }
    print(json.dumps(result, indent=2))
    if chosen.out:
        write_json(chosen.out, result)


if __name__ == "__main__":
    main()
