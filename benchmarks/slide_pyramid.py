"""A synthetic whole slide of 40,000 x 40,000 px with known truth, from tissue mask to heatmap: memory, stages, errors.

    python -m benchmarks.slide_pyramid [--side 40000] [--out benchmarks/results/slide_pyramid.json]

The slide is glass with two pieces of synthetic H&E, one drawn from a negative and one from a positive patient, at 0.25
microns per pixel in a tiled TIFF pyramid (levels 1, 4, 16). Its tissue and each tile's piece are known exactly. The run
is the released one on synthetic patches. Stages are timed one by one in one process: reading and resampling alone, the
predictor alone on tiles in memory (its preparation and its network apart), and both as `her2 slide` streams them. The
JPEG tiles are written with imagecodecs where it can be imported, and as deflate otherwise; the result says which.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from PIL import Image

from her2core import load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.files import write_json
from her2core.slide.jobs import SlideJob
from her2core.slide.plan import TileGrid, plan_tiles
from her2core.slide.predict import SlideSettings, predict_slide, slide_grid
from her2core.slide.reader import exact_tile, open_slide
from her2core.slide.stream import stream_tiles, tile_groups

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data"
MPP, TILE, FACTORS = 0.25, 512, (1, 4, 16)
GLASS = (243, 240, 244)
#: Side of a piece of tissue as a share of the slide's side, and the upper left corners, in the same shares.
PIECE = 0.1
PIECES = {"negative": (0.15, 0.2), "positive": (0.6, 0.55)}
#: Tiles timed stage by stage.
TIMED = 96


def bank(label: str, count: int = 6) -> list[np.ndarray]:
    """Pieces of tissue, uint8 (TILE, TILE, 3), of patients of one class, at MPP."""
    spec = CohortSpec(patients=60, patches_per_patient=1, px=160, seed=5)
    found: list[np.ndarray] = []
    for number in range(60):
        patch = render_patch(spec, number)
        if patch.row["label"] == label:
            found.append(np.asarray(Image.fromarray(patch.image).resize((TILE, TILE), Image.Resampling.BICUBIC)))
        if len(found) == count:
            return found
    raise ValueError(label)


def pieces(side: int) -> dict[str, tuple[int, int, int]]:
    """x, y, side of each piece of tissue in pixels, on the TIFF's tiles."""
    size = round(PIECE * side / TILE) * TILE
    return {k: (round(x * side / TILE) * TILE, round(y * side / TILE) * TILE, size) for k, (x, y) in PIECES.items()}


def write_slide(path: Path, side: int) -> str:
    """Write the pyramid tile by tile; every tile is one of a few that are encoded once."""
    jpeg = find_spec("imagecodecs") is not None
    options = {"photometric": "ycbcr", "subsampling": (1, 1)} if jpeg else {"photometric": "rgb"}
    tissue = {label: bank(label) for label in PIECES}

    def encoded(image: np.ndarray) -> bytes:
        if not jpeg:
            return zlib.compress(np.ascontiguousarray(image).tobytes(), 1)
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=85, subsampling=0)
        return stream.getvalue()

    def cell(column: int, row: int) -> np.ndarray | None:
        for label, (x, y, size) in pieces(side).items():
            if x <= column * TILE < x + size and y <= row * TILE < y + size:
                return tissue[label][(column * 7 + row * 13) % len(tissue[label])]
        return None

    empty = np.full((TILE, TILE, 3), GLASS, np.uint8)
    known = {id(image): encoded(image) for image in (empty, *(i for images in tissue.values() for i in images))}

    def tiles(factor: int):
        across = -(-side // factor // TILE)
        for row in range(across):
            for column in range(across):
                if factor == 1:
                    found = cell(column, row)
                    yield known[id(empty if found is None else found)]
                    continue
                small, canvas = TILE // factor, empty.copy()
                for i in range(factor):
                    for j in range(factor):
                        part = cell(column * factor + j, row * factor + i)
                        if part is not None:
                            reduced = np.asarray(Image.fromarray(part).reduce(factor))
                            canvas[i * small : (i + 1) * small, j * small : (j + 1) * small] = reduced
                yield known[id(empty)] if np.array_equal(canvas, empty) else encoded(canvas)

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for factor in FACTORS:
            size = side // factor
            writer.write(
                tiles(factor),
                shape=(size, size, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                compression="jpeg" if jpeg else "zlib",
                resolution=(1e4 / MPP / factor, 1e4 / MPP / factor),
                resolutionunit="CENTIMETER",
                metadata=None,
                subfiletype=0 if factor == 1 else 1,
                **options,
            )
    return "JPEG" if jpeg else "deflate"


def truth(tiles: pd.DataFrame, side: int) -> pd.Series:
    """Of each tile the piece that it lies in wholly; "glass" outside of all, "border" across an edge."""
    found = pd.Series("glass", index=tiles.index)
    for label, (x, y, size) in pieces(side).items():
        across = np.minimum(tiles["x"] + tiles["side"], x + size) - np.maximum(tiles["x"], x)
        down = np.minimum(tiles["y"] + tiles["side"], y + size) - np.maximum(tiles["y"], y)
        share = across.clip(lower=0) * down.clip(lower=0) / tiles["side"] ** 2
        found[share > 0] = "border"
        found[share > 1 - 1e-9] = label
    return found


def stages(path: Path, predictor) -> dict[str, float]:
    """Tiles a second: read and resampled; predicted, whole and in its two steps; streamed, as ``her2 slide`` does."""
    grid = slide_grid(predictor)
    with open_slide(path) as slide:
        px = exact_tile(slide, grid.tile, predictor.px)
        tiles = plan_tiles(slide, grid).kept.iloc[:TIMED]
        groups = tile_groups(slide, tiles, px)
        mpp = grid.tile_um / px
        began = time.perf_counter()
        images = [image for group in stream_tiles(slide, tiles, groups, px, threads=1) for image in group.images]
        read = time.perf_counter() - began
        predictor.predict(images[:16], mpp=mpp)
        began = time.perf_counter()
        found = predictor.predict(images, mpp=mpp)
        whole = time.perf_counter() - began
        began = time.perf_counter()
        for group in stream_tiles(slide, tiles, groups, px, threads=2):
            predictor.predict(group.images, mpp=mpp)
        streamed = time.perf_counter() - began
    prepare, network = (sum(p.milliseconds[k] for p in found) / 1e3 for k in ("prepare", "network"))
    count = len(tiles)
    rates = {"read": read, "prepare": prepare, "network": network, "predict": whole, "streamed": streamed}
    return {f"{name}_tiles_per_s": round(count / seconds, 1) for name, seconds in rates.items()}


def real_rates() -> dict[str, dict[str, float]]:
    """Tiles of 224 px at 0.7 microns per pixel a second, by one thread, and seconds for opening and planning."""
    found = {}
    for path, mpp in real_files():
        began = time.perf_counter()
        with open_slide(path, mpp=mpp) as slide:
            tiles = plan_tiles(slide, TileGrid(224 * 0.7)).kept
            planned = time.perf_counter() - began
            began = time.perf_counter()
            count = 0
            for group in stream_tiles(slide, tiles, tile_groups(slide, tiles, 224), 224, threads=1):
                count += len(group.images)
            rate = count / (time.perf_counter() - began)
        found[path.name] = {"tiles": count, "open_and_plan_s": round(planned, 2), "read_tiles_per_s": round(rate, 1)}
    return found


def real_files() -> list[tuple[Path, float | None]]:
    """Real slides and one section, with the scale of those that state none; those that are here."""
    section = next(iter(sorted(REAL.glob("her2st/data/ST-imgs/*/*/*.jpg"))), None)
    files: list[tuple[Path, float | None]] = [
        (REAL / "slides" / "cmu-1-small-region.svs", None),
        (REAL / "slides" / "tcga-cr-7395-01a-01-ts1.svs", 0.5),
        *([(section, 0.69)] if section else []),
    ]
    return [(path, mpp) for path, mpp in files if path.is_file()]


def measured(path: Path, side: int, out: Path) -> dict[str, object]:
    """What this process measures on a slide that was written by another."""
    predictor = load_predictor(ROOT / "models" / "demo")
    rates = stages(path, predictor)
    began = time.perf_counter()
    about, _ = predict_slide(predictor, SlideJob(path, "synthetic"), out, SlideSettings(slide_grid(predictor)))
    seconds = time.perf_counter() - began
    tiles = pd.read_parquet(out / "slides" / "synthetic" / "tiles.parquet")
    with open_slide(path) as slide:
        every = plan_tiles(slide, slide_grid(predictor)).tiles
    real = truth(every, side)
    kept = every["stage"] == ""
    names = np.array([c for c in predictor.classes])
    where = truth(tiles, side)
    right = {}
    for label in PIECES:
        rows = tiles[(where == label) & tiles["counts"]]
        best = names[rows[[f"probability_{c}" for c in names]].to_numpy(float).argmax(axis=1)]
        right[label] = {"counted": len(rows), "predicted": {c: int((best == c).sum()) for c in names}}
    return {
        "tiles_in_grid": len(every),
        "tiles_predicted": len(tiles),
        "tissue_tiles_missed": int((~kept & real.isin(list(PIECES))).sum()),
        "glass_tiles_kept": int((kept & (real == "glass")).sum()),
        "tiles_wholly_in_tissue": int(real.isin(list(PIECES)).sum()),
        "tiles_by_truth": right,
        "states": about["states"],
        "answer_of_the_slide": about["prediction"]["answer"],
        "from_slide_to_heatmap_s": round(seconds, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        **rates,
        "network_share_of_the_serial_time": round(
            (1 / rates["network_tiles_per_s"])
            / sum(1 / rates[f"{k}_tiles_per_s"] for k in ("read", "prepare", "network")),
            3,
        ),
        "streamed_over_predict": round(rates["streamed_tiles_per_s"] / rates["predict_tiles_per_s"], 3),
    }


def main() -> None:
    """Write the slide, measure it in a fresh process, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    side = -(-chosen.side // (TILE * FACTORS[-1])) * TILE * FACTORS[-1]  # whole tiles at every level
    if chosen.measure:
        print(json.dumps(measured(chosen.measure[0], side, chosen.measure[1])))
        return
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "synthetic.tif")
        began = time.perf_counter()
        compression = write_slide(path, side)
        written = round(time.perf_counter() - began, 1)
        # A process of its own, so that the memory measured is that of prediction alone.
        command = [sys.executable, "-m", "benchmarks.slide_pyramid", "--side", str(side), "--measure", path, folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        size = path.stat().st_size
    result = {
        "command": f"python -m benchmarks.slide_pyramid --side {chosen.side}",
        "slide": f"synthetic, {side:,} x {side:,} px at {MPP} microns per pixel, levels {FACTORS}, {compression}",
        "file_gb": round(size / 1e9, 2),
        "written_s": written,
        "cores": os.cpu_count(),
        "load_average_before": load,
        "machine": f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread of torch",
        **json.loads(done.stdout.splitlines()[-1]),
        "real_slides": real_rates(),
    }
    print(json.dumps(result, indent=2))
    if chosen.out:
        write_json(chosen.out, result)


if __name__ == "__main__":
    main()
