"""Share of patches that the released runs' out-of-distribution detectors flag, by kind of patch.

Fits each released run's OODDetector to its own training and validation patches and gives the share of other patches
that it flags: for the demo run nearly all real tissue and IHC should be, and nearly no new synthetic patch. The new
cohorts have seeds and patients that no run and no choice of ours has used; patches of a patient belong together, so
several seeds are shown. For comparison, plain distances in the same space, and for demo the last features.

    OMP_NUM_THREADS=1 python benchmarks/ood.py ../shared/data
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import immunohistochemistry

from her2core import open_run
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.data.tensors import to_tensor
from her2core.io.files import write_json
from her2core.io.images import read_image
from her2core.networks.from_card import network_from_card
from her2core.ood import OODDetector, fit_detector, patch_descriptors, read_ood_detector
from her2core.ood.fitting import fit_ood
from her2core.runs.folder import WEIGHTS
from her2core.stain.reference import StainReference

HOME = Path(__file__).resolve().parents[1]
MANIFESTS = {
    "demo": "data/demo/manifest.parquet",
    "tissue12": "data/tissue12.parquet",
    "her2st-erbb2": "data/her2st.parquet",
}
SEEDS = range(2001, 2007)
PATIENTS, PATCHES = 30, 8


class Released:
    """A released run's network, preparation, and parts of the split."""

    def __init__(self, name: str) -> None:
        run = open_run(HOME / "models" / name)
        card = run.card
        self.mean, self.std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])
        reference = card["stain"]["reference"]
        stain = StainReference(
            tuple(map(tuple, reference["vectors"])), tuple(reference["max_concentration"]), reference["white"]
        )
        self.prepare = Prepare(card["input"]["px"], stain)
        self.network = network_from_card(card, run.path / WEIGHTS)
        manifest = read_manifest(HOME / MANIFESTS[name])
        self.parts = {
            p: manifest.subset(run.splits.loc[run.splits["split"] == p, "patch_id"]) for p in ("train", "val", "test")
        }

    def fit(self) -> OODDetector:
        train, val = self.parts["train"], self.parts["val"]
        return fit_ood(self.network, train=train, val=val, prepare=self.prepare, mean=self.mean, std=self.std)

    @torch.no_grad()
    def descriptors(self, images: Iterable[np.ndarray], *, last: bool = False) -> np.ndarray:
        """Of all images with assessable tissue; ``last``: the mean of the last features instead."""
        found, waiting = [], []

        def flush() -> None:
            batch = to_tensor(np.stack([p.image for p in waiting]), self.mean, self.std)
            mean_of_last = self.network.features(batch).mean(dim=(2, 3)).numpy() if last else None
            found.append(mean_of_last if last else patch_descriptors(self.network, None, waiting, batch))
            waiting.clear()

        for image in images:
            prepared = self.prepare(image)
            if prepared.usable:
                waiting.append(prepared)
            if len(waiting) == 32:
                flush()
        if waiting:
            flush()
        return np.concatenate(found)


def patches(manifest: Manifest) -> Iterator[np.ndarray]:
    reader = PatchReader(manifest)
    return (reader(p) for p in manifest.frame.sort_values("path", kind="stable")["patch_id"])


def fresh(seed: int) -> Iterator[np.ndarray]:
    spec = CohortSpec(patients=PATIENTS, patches_per_patient=PATCHES, seed=seed)
    return (render_patch(spec, i).image for i in range(spec.patches))


def jpeg(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=90)
        yield np.asarray(Image.open(stream))


def windows(images: Iterable[np.ndarray], side: int, step: int) -> Iterator[np.ndarray]:
    for image in images:
        for y in range(0, image.shape[0] - side + 1, step):
            for x in range(0, image.shape[1] - side + 1, step):
                yield np.ascontiguousarray(image[y : y + side, x : x + side])


def sets(name: str, released: Released, data: Path) -> Iterator[tuple[str, str, Iterable[np.ndarray]]]:
    """(group, part of it, images) of everything that a run is evaluated on."""
    yield "own test split", "all", patches(released.parts["test"])
    for seed in SEEDS if name == "demo" else SEEDS[:2]:
        yield "fresh synthetic", f"seed {seed}", fresh(seed)
    yield "fresh synthetic as JPEG 90", f"seed {SEEDS[0]}", jpeg(fresh(SEEDS[0]))
    fields = sorted((data / "brecahad").glob("*.jpg"))
    for side in (150, 360):
        yield "BreCaHAD windows", f"{side} px", windows((read_image(f) for f in fields), side, side)
    for side in (128, 256):
        yield "IHC windows", f"{side} px", windows([immunohistochemistry()], side, side // 2)
    if name != "tissue12":
        for folder in sorted(p for p in (data / "tissue_tiles").iterdir() if p.is_dir()):
            yield "tissue tiles", folder.name, (read_image(f) for f in sorted(folder.iterdir()))
    if name != "her2st-erbb2":
        yield "her2st windows", "all", patches(read_manifest(HOME / MANIFESTS["her2st-erbb2"]))


def distances(space: OODDetector, found: np.ndarray) -> dict[str, np.ndarray]:
    """Mahalanobis and tenth-neighbour distances in the same whitened space."""
    place = (found.astype(np.float64) - space.mean) @ space.basis
    reference = space.reference.astype(np.float64)
    squares = np.square(place).sum(1)[:, None] + np.square(reference).sum(1) - 2 * place @ reference.T
    return {
        "mahalanobis": np.linalg.norm(place, axis=1),
        "tenth neighbour": np.sqrt(np.maximum(np.partition(squares, 9, axis=1)[:, 9], 0)),
    }


def shares(flagged: dict[tuple[str, str], np.ndarray]) -> dict:
    table: dict[str, dict] = {}
    for group in dict.fromkeys(g for g, _ in flagged):
        parts = {part: found for (g, part), found in flagged.items() if g == group}
        every = np.concatenate(list(parts.values()))
        table[group] = {
            "patches": len(every),
            "flagged_percent": round(100 * float(every.mean()), 2),
            "parts": {part: round(100 * float(found.mean()), 2) for part, found in parts.items()},
        }
    return table


def measure(name: str, data: Path) -> dict:
    released = Released(name)
    began = time.perf_counter()
    fitted = released.fit()
    seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ood.safetensors"
        fitted = read_ood_detector(path, sha256=fitted.save(path))
        size = path.stat().st_size
    found = {(group, part): released.descriptors(images) for group, part, images in sets(name, released, data)}
    val = distances(fitted, released.descriptors(patches(released.parts["val"])))
    plain: dict[str, dict[str, float]] = {}
    for method, scores in val.items():
        threshold = np.quantile(scores, 0.99, method="higher")
        rest = shares({key: distances(fitted, d)[method] > threshold for key, d in found.items()})
        plain[method] = {group: row["flagged_percent"] for group, row in rest.items()}
    result = {
        **fitted.facts(),
        "directions": int(fitted.basis.shape[1]),
        "file_bytes": size,
        "fit_seconds": round(seconds, 1),
        "flagged": shares({key: fitted.is_out_of_distribution(d) for key, d in found.items()}),
        "flagged_percent_by_plain_distance": plain,
    }
    if name == "demo":
        result["flagged_percent_by_last_features"] = last_features(released, data)
        result["milliseconds_a_patch"] = cost(released)
    return result


def last_features(released: Released, data: Path) -> dict[str, float]:
    """The same score over the means of the last features, on every 15th tile."""
    fitted = fit_detector(*(released.descriptors(patches(released.parts[p]), last=True) for p in ("train", "val")))
    tiles = sorted((data / "tissue_tiles").glob("*/*.jpg"))[::15]
    asked = {
        "tissue tiles": (read_image(f) for f in tiles),
        "IHC windows": windows([immunohistochemistry()], 128, 64),
        "fresh synthetic": fresh(SEEDS[0]),
    }
    return {
        group: round(100 * float(fitted.is_out_of_distribution(released.descriptors(images, last=True)).mean()), 2)
        for group, images in asked.items()
    }


def cost(released: Released) -> dict[str, float]:
    """Median over rounds of 16 patches, in turns, so that other load slows both."""
    prepared = [released.prepare(image) for image in list(fresh(SEEDS[0]))[:16]]
    batch = to_tensor(np.stack([p.image for p in prepared]), released.mean, released.std)
    spent: dict[str, list[float]] = {"forward pass": [], "descriptors": []}
    for _ in range(9):
        with torch.no_grad():
            began = time.perf_counter()
            features = released.network.features(batch)
            between = time.perf_counter()
        patch_descriptors(released.network, features, prepared, batch)
        spent["forward pass"].append(between - began)
        spent["descriptors"].append(time.perf_counter() - between)
    return {what: round(1e3 * float(np.median(times)) / len(prepared), 2) for what, times in spent.items()}


def main(data: Path) -> None:
    torch.set_num_threads(1)
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/ood.py {data}",
        "meaning": "percent of patches flagged as unlike the training data; blank patches are left out",
        "fresh_cohort": f"{PATIENTS} patients with {PATCHES} patches each a seed",
        "runs": {},
    }
    for name in MANIFESTS:
        result["runs"][name] = measure(name, data)
        print(name, json.dumps(result["runs"][name], indent=1), flush=True)
    write_json(Path(__file__).parent / "results" / "ood.json", result)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
