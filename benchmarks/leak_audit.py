"""Sensitivity, false findings and cost of the data checks, on real tissue and on cohorts with planted faults.

Near-duplicates: some patches are altered, and the search runs over all patches and the altered ones as two parts of a
split. ``found`` is the proportion of altered patches paired with their own original; ``sparse`` the same among patches
of which less than 30 % has fine structure (mostly fat). ``others`` are pairs of an altered patch with another one:
among synthetic patches, or tiles of different classes, these are false; tiles of one class may be neighbours.
Thresholds were chosen on these tiles (a sample of 1,100 and all pairs found), so their rates are optimistic; the
synthetic patches and the seeds of the cohorts were not used for that.

    OMP_NUM_THREADS=2 python -m benchmarks.leak_audit [../shared/data]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.planted_faults import ALONG, OF_CONTENTS, PLANTED, cropped, encoded, plant, restained
from her2core.data.checks.contents import read_contents
from her2core.data.checks.duplicates import SPARSE, near_pairs
from her2core.data.checks.fingerprint import structured_fraction, thumbnail
from her2core.data.importers import import_dataset
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.io.files import write_json
from her2core.io.images import read_image
from her2core.stain.macenko import StainNormalizer

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
TILES, SEEDS = 400, range(1000, 1009)
CLEAN, CLEAN_WITH_IMAGES = range(1000, 1100), range(1000, 1040)


def _turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    orientation = int(rng.integers(1, 8))
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if orientation & 4 else image, orientation & 3))


def _resized(share: float) -> Change:
    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = (round(image.shape[1] * share), round(image.shape[0] * share))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))

    return change


def _stain(by: float) -> Change:
    """Both stains by ``by``, each up or down at random."""
    return lambda image, rng: restained(image, *(1 + by * rng.choice([-1, 1], 2)))


def _crop(share: float) -> Change:
    return lambda image, rng: cropped(image, share, rng)


def _then(*changes: Change) -> Change:
    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for each in changes:
            image = each(image, rng)
        return image

    return change


def _jpeg(quality: int) -> Change:
    return lambda image, rng: encoded(image, quality)


CHANGES: dict[str, Change] = {
    "JPEG 90": _jpeg(90),
    "JPEG 75": _jpeg(75),
    "JPEG 50": _jpeg(50),
    "half the size": _resized(0.5),
    "1.5 times the size": _resized(1.5),
    "5 % cropped off each axis": _crop(0.05),
    "10 % cropped off each axis": _crop(0.10),
    "15 % cropped off each axis": _crop(0.15),
    "25 % cropped off each axis": _crop(0.25),
    "one of the seven turns and flips": _turned,
    "stains by 15 %": _stain(0.15),
    "stains by 30 %": _stain(0.30),
    "brightness 0.85": lambda image, rng: np.uint8(image * 0.85),
    "Macenko-normalised": lambda image, rng: StainNormalizer().apply(image).image,
    "turned, 5 % off, JPEG 75": _then(_turned, _crop(0.05), _jpeg(75)),
    "turned, 10 % off, stains by 30 %, JPEG 50": _then(_turned, _crop(0.10), _stain(0.30), _jpeg(50)),
}


def main(root: str = "../shared/data") -> None:
    began, result = time.perf_counter(), {"command": "OMP_NUM_THREADS=2 python -m benchmarks.leak_audit"}
    tiles, thumbnails, labels, result["tiles_as_they_are"] = _tiles(Path(root) / "tissue_tiles")
    rng = np.random.default_rng(0)
    picked = np.sort(rng.choice(len(thumbnails), TILES, replace=False))
    print(json.dumps(result), file=sys.stderr)
    result["tiles"] = _recall({int(i): read_image(tiles[i]) for i in picked}, thumbnails, labels, rng)
    print(json.dumps(result["tiles"]), file=sys.stderr)
    spec = CohortSpec(patients=60, patches_per_patient=10, seed=7)
    images = [render_patch(spec, i).image for i in range(spec.patches)]
    small, patients = np.stack([thumbnail(i) for i in images]), plan_cohort(spec)["patient_id"].to_numpy()
    result["synthetic"] = {"patches": len(images), "px": spec.px, "pairs_as_they_are": len(near_pairs(small)[0])}
    result["synthetic"] |= _recall({i: images[i] for i in range(0, len(images), 2)}, small, patients, rng)
    result["cohorts"] = _cohorts()
    result["scale"] = _scale(tiles)
    result["seconds"] = round(time.perf_counter() - began)
    write_json(Path(__file__).parent / "results" / "leak_audit.json", result)
    print(json.dumps(result, indent=2))


def _tiles(folder: Path) -> tuple[list[Path], np.ndarray, np.ndarray, dict]:
    """Paths, thumbnails and classes of all tiles, and what is found among the unaltered tiles."""
    manifest = import_dataset("folder", folder)
    began = time.perf_counter()
    contents = read_contents(manifest)
    read = time.perf_counter()
    first, second, scores = near_pairs(contents.thumbnails)
    done = time.perf_counter()
    names, labels = manifest.frame["path"].to_numpy(), manifest.frame["label"].to_numpy()
    found = {
        "tiles": len(names),
        "pairs_compared": len(names) * (len(names) - 1) // 2,
        "copies": len(names) - len(set(contents.digests)),
        "pairs_found": len(first),
        "of_one_class": int((labels[first] == labels[second]).sum()),
        "pairs": [
            {"first": names[i], "second": names[j], "fit": round(float(s[0]), 3), "detail": round(float(s[1]), 3)}
            for i, j, s in zip(first, second, scores, strict=True)
        ],
        "sparse_share": round(float((structured_fraction(contents.thumbnails.astype(np.float32)) < SPARSE).mean()), 3),
        "seconds_reading": round(read - began, 1),
        "seconds_searching": round(done - read, 1),
    }
    return [manifest.file(p) for p in names], contents.thumbnails, labels, found


def _recall(some: dict[int, np.ndarray], thumbnails: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> dict:
    """Sensitivity to each change over the patches ``some`` (by index); other pairs by group."""
    numbers = np.array(list(some))
    sparse = structured_fraction(thumbnails[numbers].astype(np.float32)) < SPARSE
    changed = np.stack([thumbnail(change(image, rng)) for change in CHANGES.values() for image in some.values()])
    together = np.concatenate([thumbnails.astype(np.float32), changed])
    part = np.arange(len(together)) >= len(thumbnails)
    first, second, _ = near_pairs(together, part=part.astype(int))
    which, place = np.divmod(second - len(thumbnails), len(numbers))
    original = numbers[place]
    own, one_group = first == original, groups[first] == groups[original]
    table = {}
    for number, name in enumerate(CHANGES):
        found = np.isin(numbers, original[own & (which == number)])
        table[name] = {
            "found": round(float(found.mean()), 4),
            "sparse": round(float(found[sparse].mean()), 4) if sparse.any() else None,
            "rest": round(float(found[~sparse].mean()), 4),
            "others_of_one_group": int((one_group & ~own & (which == number)).sum()),
            "others_of_two_groups": int((~one_group & ~own & (which == number)).sum()),
        }
    pairs = len(CHANGES) * len(numbers) * (len(thumbnails) - 1)
    return {"disturbed": len(numbers), "sparse": int(sparse.sum()), "other_pairs_compared": pairs, "changes": table}


def _cohorts() -> dict:
    """Planted faults found, and findings in cohorts without one."""
    table, unexpected = {}, []
    for fault, code in PLANTED.items():
        codes = [_codes(fault, seed) for seed in SEEDS]
        table[fault] = {"code": code, "cohorts": len(codes), "found": sum(code in c for c in codes)}
        unexpected += [sorted(c - {code} - ALONG.get(fault, set())) for c in codes]
    clean = [_codes(None, seed) for seed in CLEAN]
    with_images = [_codes(None, seed, contents=True) for seed in CLEAN_WITH_IMAGES]
    return {
        "planted": sum(row["cohorts"] for row in table.values()),
        "found": sum(row["found"] for row in table.values()),
        "planted_with_a_further_finding": sum(map(bool, unexpected)),
        "clean": len(clean),
        "clean_with_alarm": sum(map(bool, clean)),
        "clean_with_images": len(with_images),
        "clean_with_images_with_alarm": sum(map(bool, with_images)),
        "read_from_images": len(OF_CONTENTS),
        "faults": table,
    }


def _codes(fault: str | None, seed: int, *, contents: bool | None = None) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        return {f.code for f in plant(fault, seed, Path(folder), contents=contents).check()}


def _scale(tiles: list[Path]) -> dict:
    """Time of the search alone over two quarters of every tile, most of them different tissue."""
    quarters = [
        thumbnail(np.ascontiguousarray(image[y : y + 75, x : x + 75]))
        for image in (read_image(path) for path in tiles)
        for y, x in ((0, 0), (75, 75))
    ]
    images = np.stack(quarters).astype(np.float16)
    began = time.perf_counter()
    found = near_pairs(images)[0]
    return {
        "patches": len(images),
        "seconds_searching": round(time.perf_counter() - began, 1),
        "pairs_found": len(found),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
