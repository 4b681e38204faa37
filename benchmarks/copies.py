"""Sensitivity of the search for copies to crops, rotations, shifts, magnification and borders, and its cost.

Tiles of real tissue are altered, and the search runs over all tiles and the altered ones as two parts of a split.
``found`` is the proportion paired with their own original by key points (``local_features``), ``framed`` by the
fingerprint of the whole (``duplicates.near_pairs``), ``either`` by one of the two. ``others_of_two_classes`` are pairs
of an altered tile with a tile of another class, which are false. Cost is measured on synthetic patches of noise.

    OMP_NUM_THREADS=2 python -m benchmarks.copies [../shared/data] [--patches 30000]
    OMP_NUM_THREADS=2 python -m benchmarks.copies --fingerprints 100000

The second measures the search by fingerprints alone, as the check does beyond ``contents.MOST_WITH_KEY_POINTS``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.planted_faults import cropped, texture
from her2core.data.checks.duplicates import near_pairs
from her2core.data.checks.fingerprint import SIDE, thumbnail
from her2core.data.checks.local_features import LocalFeatures, shared_tissue
from her2core.data.importers import import_dataset
from her2core.io.files import write_json
from her2core.io.images import read_image

RESULTS = Path(__file__).parent / "results"
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
TILES, ALTERED = 1000, 100
GLASS = (240, 240, 240)


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """uint8 RGB at another magnification."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def crop_of(share: float) -> Change:
    """Crop that leaves out ``share`` of each axis, enlarged to the old size."""
    return lambda image, rng: cv2.resize(
        np.ascontiguousarray(cropped(image, share, rng)), image.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )


def turned(degrees: float) -> Change:
    """Rotation about the centre; what was outside is glass."""

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * rng.choice([-1, 1]), 1)
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=GLASS)

    return change


def shifted(share: float) -> Change:
    """Shift along one axis; what was outside is glass."""

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = np.rot90(image, int(rng.integers(4)))
        rows = round(image.shape[0] * share)
        moved = np.full_like(image, GLASS)
        moved[: len(image) - rows] = image[rows:]
        return np.ascontiguousarray(moved)

    return change


def bordered(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A black border of 8 % of the side."""
    width = round(0.08 * len(image))
    return cv2.copyMakeBorder(image[width:-width, width:-width], *[width] * 4, cv2.BORDER_CONSTANT)


CHANGES: dict[str, Change] = {
    "20 % cropped off each axis": crop_of(0.2),
    "35 % cropped off each axis": crop_of(0.35),
    "50 % cropped off each axis": crop_of(0.5),
    "turned by 2 degrees": turned(2),
    "turned by 7 degrees": turned(7),
    "turned by 15 degrees": turned(15),
    "shifted by a quarter": shifted(0.25),
    "shifted by half": shifted(0.5),
    "half magnification": lambda image, rng: resized(image, 0.5),
    "double magnification": lambda image, rng: resized(image, 2),
    "double magnification of a quarter": lambda image, rng: resized(cropped(image, 0.5, rng), 2),
    "border": bordered,
}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("root", nargs="?", default="../shared/data")
    arguments.add_argument("--patches", type=int, default=30_000)
    arguments.add_argument("--fingerprints", type=int, help="patches of the search by fingerprints alone")
    given = arguments.parse_args()
    if given.fingerprints:
        result = json.loads((RESULTS / "copies.json").read_text(encoding="utf-8"))
        result["fingerprints_alone"] = cost(given.fingerprints, key_points=False)
        write_json(RESULTS / "copies.json", result)
        print(json.dumps(result["fingerprints_alone"], indent=2))
        return
    result = {"command": "OMP_NUM_THREADS=2 python -m benchmarks.copies", "opencv": cv2.__version__}
    result["tiles"] = sensitivity(Path(given.root) / "tissue_tiles")
    print(json.dumps(result, indent=2), flush=True)
    write_json(RESULTS / "copies.json", result)
    result["cost"] = cost(given.patches)
    write_json(RESULTS / "copies.json", result)
    print(json.dumps(result["cost"], indent=2))


def sensitivity(folder: Path) -> dict:
    """Altered tiles found, by change, and pairs of tiles of different classes."""
    manifest, rng = import_dataset("folder", folder), np.random.default_rng(1)
    frame = manifest.frame.iloc[np.sort(rng.choice(len(manifest), TILES, replace=False))]
    images = [read_image(manifest.file(p)) for p in frame["path"]]
    labels, some = frame["label"].to_numpy(), np.sort(rng.choice(TILES, ALTERED, replace=False))
    total = TILES + len(CHANGES) * ALTERED
    local, small = LocalFeatures.empty(total), np.zeros((total, SIDE, SIDE), np.float16)
    began = time.perf_counter()
    for i, image in enumerate(images):
        local.add(i, image)
    per_tile = (time.perf_counter() - began) / TILES
    altered = [np.ascontiguousarray(change(images[i], rng)) for change in CHANGES.values() for i in some]
    for row, image in enumerate(images + altered):
        small[row] = thumbnail(image)
        if row >= TILES:
            local.add(row, image)
    original = np.r_[np.arange(TILES), np.tile(some, len(CHANGES))]
    change = np.r_[np.full(TILES, -1), np.repeat(np.arange(len(CHANGES)), ALTERED)]
    part = (change >= 0).astype(int)
    began = time.perf_counter()
    by_points = shared_tissue(local, np.arange(total), part=part)[:2]
    searching = time.perf_counter() - began
    framed = near_pairs(small, part=part)[:2]
    table = {}
    for number, name in enumerate(CHANGES):
        hits = []
        for first, second in (by_points, framed):
            mine = (change[second] == number) & (original[second] == first)
            hits.append(np.isin(some, first[mine]))
        false = (change[by_points[1]] == number) & (labels[by_points[0]] != labels[original[by_points[1]]])
        table[name] = {
            "found": round(float(hits[0].mean()), 3),
            "framed": round(float(hits[1].mean()), 3),
            "either": round(float((hits[0] | hits[1]).mean()), 3),
            "others_of_two_classes": int(false.sum()),
        }
    as_they_are = shared_tissue(local, np.arange(TILES))[:2]
    return {
        "tiles": TILES,
        "altered": ALTERED,
        "milliseconds_for_key_points_of_a_tile": round(1000 * per_tile, 1),
        "seconds_searching": round(searching, 1),
        "pairs_as_they_are": len(as_they_are[0]),
        "pairs_as_they_are_of_two_classes": int((labels[as_they_are[0]] != labels[as_they_are[1]]).sum()),
        "changes": table,
    }


def cost(patches: int, planted: int = 200, *, key_points: bool = True) -> dict:
    """Seconds for synthetic patches cut from fields, of which some are planted again, cropped or turned."""
    rng, load = np.random.default_rng(2), os.getloadavg()[2]
    local, small = LocalFeatures.empty(patches if key_points else 1), np.zeros((patches, SIDE, SIDE), np.float16)
    kept: dict[int, np.ndarray] = {}
    made = points = thumbs = 0.0
    for start in range(0, patches - planted, 100):
        began = time.perf_counter()
        field = texture(rng, px=1120)
        tiles = [field[y : y + 112, x : x + 112] for y in range(0, 1120, 112) for x in range(0, 1120, 112)]
        made += time.perf_counter() - began
        for i, tile in enumerate(tiles[: patches - planted - start]):
            tile = np.ascontiguousarray(tile)
            spent = time.perf_counter()
            if key_points:
                local.add(start + i, tile)
            between = time.perf_counter()
            small[start + i] = thumbnail(tile)
            points, thumbs = points + between - spent, thumbs + time.perf_counter() - between
            if i == 0 and len(kept) < planted:
                kept[start] = tile
    pairs = set()
    changes = (crop_of(0.05), crop_of(0.3), turned(7), shifted(0.4))
    for number, (origin, tile) in enumerate(kept.items()):
        row = patches - planted + number
        copy = np.ascontiguousarray(changes[number % len(changes)](tile, rng))
        if key_points:
            local.add(row, copy)
        small[row] = thumbnail(copy)
        pairs.add((origin, row))
    began = time.perf_counter()
    first, second, _ = near_pairs(small)
    framed = time.perf_counter()
    one, other, _ = shared_tissue(local, np.arange(patches if key_points else 1))
    done = time.perf_counter()
    by = {"framed": set(zip(first.tolist(), second.tolist(), strict=True))}
    by |= {"key_points": set(zip(one.tolist(), other.tolist(), strict=True))} if key_points else {}
    found = {
        name: {
            f"found_of_change_{i}": round(
                len([p for n, p in enumerate(sorted(pairs, key=lambda p: p[1])) if n % 4 == i and p in there])
                / max(1, len([n for n in range(len(pairs)) if n % 4 == i])),
                3,
            )
            for i in range(4)
        }
        | {"pairs_not_planted": len(there - pairs)}
        for name, there in by.items()
    }
    return {
        "patches": patches,
        "px": 112,
        "planted": len(pairs),
        "changes": ["5 % cropped", "30 % cropped", "turned by 7 degrees", "shifted by 0.4"],
        "programs_waiting_for_the_two_cores": [round(load, 1), round(os.getloadavg()[2], 1)],
        "seconds_drawing": round(made),
        **({"seconds_for_key_points": round(points)} if key_points else {}),
        "seconds_for_thumbnails": round(thumbs),
        "seconds_search_of_fingerprints": round(framed - began),
        **({"seconds_search_of_key_points": round(done - framed)} if key_points else {}),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        **found,
    }


if __name__ == "__main__":
    main()
