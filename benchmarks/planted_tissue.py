"""Faults planted in cohorts of real tissue, by kind, and false alarms in cohorts without one.

A cohort has three classes of 20 patients at three hospitals. Its patches are tiles of real tissue, drawn whatever they
show, so that nothing tells the classes; each hospital has a stain of its own, and sites are balanced over the classes.
Each fault is planted in one cohort and found where the finding with its code is there; every patch is read. Clean
cohorts are the same without a fault, and any finding in them counts as an alarm. Some tiles of the data set overlap (a
number beside its neighbour's is often the next tile of the same place): in clean cohorts and in those with a planted
copy, tiles that overlap by phase correlation (``tile_overlap``) are left out, or a right finding would count as an
alarm, or as the copy found.

    OMP_NUM_THREADS=1 python -m benchmarks.planted_tissue [../shared/data]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.copies import CHANGES
from benchmarks.planted_faults import CLASSES, IHC, PLANTED, encoded, restained
from benchmarks.planted_ids import ID_CODES, SPLIT_FAULTS, with_wrong_ids, with_wrong_split
from benchmarks.tile_overlap import overlapping_pairs
from her2core.data.checks import check_manifest
from her2core.data.importers import import_dataset
from her2core.data.manifest import build_manifest
from her2core.data.splits import split_manifest
from her2core.io.files import write_json
from her2core.io.images import read_image
from her2core.labels import SCHEMES

PATIENTS, PATCHES, CLEAN = 20, 2, 20
#: Tiles drawn beyond those needed, in place of tiles that overlap.
SPARE = 20
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Cells = Callable[[np.ndarray, np.random.Generator], np.ndarray]
COPIES: dict[str, Change] = {
    "JPEG 75": lambda image, rng: encoded(image, 75),
    "JPEG 50": lambda image, rng: encoded(image, 50),
    "flipped": lambda image, rng: image[:, ::-1],
    "quarter turn": lambda image, rng: np.rot90(image),
    "restained": lambda image, rng: restained(image, 1.25, 0.8),
    "darker": lambda image, rng: np.uint8(image * 0.85),
    **CHANGES,
}


def _ink(colour: tuple[int, int, int]) -> Change:
    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = image.copy()
        image[-22:, -22:] = colour
        return image

    return change


def _border(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.copyMakeBorder(image[5:-5, 5:-5], 5, 5, 5, 5, cv2.BORDER_CONSTANT, value=(90, 90, 90))


#: Changes of every patch of one class, and the code of the finding.
OF_CLASS: dict[str, tuple[str, Change]] = {
    "larger images": ("file-shortcut", lambda image, rng: cv2.resize(image, None, fx=1.1, fy=1.1)),
    "blurred": ("file-shortcut", lambda image, rng: cv2.GaussianBlur(image, (0, 0), 1.5)),
    "brighter": ("file-shortcut", lambda image, rng: np.uint8(255 - (255 - image) * 0.7)),
    "smoothed before compression": ("file-shortcut", lambda image, rng: cv2.medianBlur(image, 3)),
    "green ink in a corner": ("corner-marks", _ink((30, 150, 80))),
    "blue ink in a corner": ("corner-marks", _ink((25, 40, 150))),
    "black mark in a corner": ("corner-marks", _ink((10, 10, 10))),
    "grey border": ("corner-marks", _border),
    "stain": ("colour-confounded", lambda image, rng: restained(image, 1.6, 0.7)),
}
#: Ways to save every patch of one class.
SAVED: dict[str, dict[str, object]] = {
    "PNG among JPEG": {"format": "PNG"},
    "JPEG quality 75 among 90": {"format": "JPEG", "quality": 75},
    "JPEG quality 88 among 90": {"format": "JPEG", "quality": 88},
}
#: Columns that go with the class.
COLUMNS: dict[str, tuple[str, str, Cells]] = {
    "batch": ("column-shortcut", "batch", lambda mine, rng: np.where(mine, "b1", "b2")),
    "date": ("column-shortcut", "scan_date", lambda mine, rng: np.where(mine, "2021-05-03", "2019-02-11")),
    "scale": ("column-shortcut", "mpp", lambda mine, rng: np.where(mine, 0.25, 0.23)),
    "source": ("column-shortcut", "source", lambda mine, rng: np.where(mine, "one", "two")),
    "site": ("site-confounded", "site", lambda mine, rng: np.where(mine, "A", rng.choice(list("BC"), len(mine)))),
    "scanner": ("scanner-confounded", "scanner", lambda mine, rng: np.where(mine, "A", "B")),
}
WHOLE = ("half of a class stained", "more patches in a class", "prefix of the file name")
TABLE = ("ids from a spreadsheet", "label against IHC", "patient in two parts", "tiles with coordinates of the slide")


def faults() -> dict[str, tuple[str, str]]:
    """Every fault with its kind and the code that must be found."""
    found = {name: ("ids", code) for name, code in PLANTED.items() if code in ID_CODES}
    found |= {name: ("splits", PLANTED[name]) for name in SPLIT_FAULTS}
    found |= {f"copy: {name}": ("copies", "near-duplicates") for name in COPIES}
    found |= {"copy: same pixels": ("copies", "identical-images")}
    found |= {"copy: same pixels, another label": ("labels", "image-with-two-labels")}
    found |= {f"of a class: {name}": ("shortcuts", code) for name, (code, _) in OF_CLASS.items()}
    found |= {f"of a class: {name}": ("shortcuts", "file-shortcut") for name in SAVED}
    found |= {f"of a class: {name}": ("shortcuts", code) for name, (code, _, _) in COLUMNS.items()}
    found |= dict(zip(WHOLE, (("shortcuts", c) for c in ("partial-stain", *["column-shortcut"] * 2)), strict=True))
    codes = ("rounded-ids", "label-conflict", "patient-leak", "neighbouring-tiles")
    return found | dict(zip(TABLE, zip(("ids", "labels", "splits", "splits"), codes, strict=True), strict=True))


def codes_of(fault: str | None, seed: int, tiles: list[Path], folder: Path) -> dict[str, list[str]]:
    """Codes of the findings in one cohort, in which every patch is read, with the tiles of the pairs of each."""
    rng = np.random.default_rng(seed)
    frame = _rows(rng, 2 * PATIENTS if fault == WHOLE[0] else PATIENTS)
    mine = (frame["label"] == str(rng.choice(CLASSES))).to_numpy()
    if fault == WHOLE[1]:
        frame = frame[mine | (frame.groupby("patient_id").cumcount() == 0)].reset_index(drop=True)
        mine = (frame["label"] == frame.loc[frame.groupby("patient_id").cumcount() == 1, "label"].iloc[0]).to_numpy()
    stains = {f"site{i}": rng.uniform(0.8, 1.25, 2) for i in range(3)}
    half = frame["patient_id"].str[-1].isin(list("13579")).to_numpy()
    chosen = rng.choice(len(tiles), len(frame) + SPARE, replace=False)
    if fault is None or fault.startswith("copy: "):
        twice = {second for _, second in overlapping_pairs([read_image(tiles[c]) for c in chosen])}
        chosen = np.delete(chosen, sorted(twice))
    ids, name = frame["patch_id"].tolist(), (fault or "").removeprefix("of a class: ")
    for number, row in enumerate(frame.itertuples()):
        image = restained(read_image(tiles[chosen[number]]), *stains[row.site])
        options: dict[str, object] = {"format": "JPEG", "quality": 90}
        if mine[number] and name in OF_CLASS:
            image = OF_CLASS[name][1](image, rng)
        if mine[number] and name in SAVED:
            options = SAVED[name]
        if mine[number] and half[number] and fault == WHOLE[0]:
            image = restained(image, 0.6, 1.5)
        Image.fromarray(np.ascontiguousarray(image)).save(folder / row.path, **options)
    if name in COLUMNS:
        _, column, cells = COLUMNS[name]
        frame[column] = cells(mine, rng)
    if fault == WHOLE[2]:
        for number, path in enumerate(frame["path"]):
            other = f"{'scan' if mine[number] else 'img'}{number}.jpg"
            (folder / path).rename(folder / other)
            frame.loc[number, "path"] = other
    split = split_manifest(build_manifest(frame, root=folder, scheme=SCHEMES["paper3"]), "patient", seed=seed)
    frame, split = _of_table(fault, rng, frame, split, folder)
    manifest = build_manifest(frame, root=folder, scheme=SCHEMES["paper3"])
    tile_of = dict(zip(ids, (tiles[c].name for c in chosen[: len(ids)]), strict=True))
    report = check_manifest(manifest, split, contents=True)
    return {f.code: [f"{tile_of.get(a, a)} and {tile_of.get(b, b)}" for a, b in f.pairs] for f in report}


def _rows(rng: np.random.Generator, patients: int) -> pd.DataFrame:
    rows = []
    for label in CLASSES:
        sites = rng.permutation(np.arange(patients) % 3)
        for patient in range(patients):
            name, ihc = f"{label[:3]}{patient:03d}", str(rng.choice(IHC[label]))
            for patch in range(PATCHES):
                rows.append(
                    {
                        "patch_id": f"{name}-{patch}",
                        "path": f"patch{len(rows)}.jpg",
                        "patient_id": name,
                        "slide_id": f"{name}-S",
                        "site": f"site{sites[patient]}",
                        "scanner": f"scanner{sites[patient] % 2}",
                        "mpp": 0.25,
                        "her2_ihc": ihc,
                        "label": label,
                    }
                )
    return pd.DataFrame(rows).astype({"patient_id": object, "label": object, "patch_id": object, "path": object})


def _of_table(
    fault: str | None, rng: np.random.Generator, frame: pd.DataFrame, split: pd.DataFrame, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Faults of ids, splits and labels, and copies of a training patch in the place of a test patch."""
    if fault in SPLIT_FAULTS:
        frame, split = with_wrong_split(fault, rng, frame, split)
    elif fault in PLANTED and PLANTED[fault] in ID_CODES:
        if fault == "id equal to the file name":
            return frame.assign(patient_id=frame["path"].str.removesuffix(".jpg")), split
        frame = with_wrong_ids(fault, rng, frame)
    elif fault == TABLE[0]:
        frame["patient_id"] = frame["patient_id"].where(frame.index > 5, "1.23457E+15")
    elif fault == TABLE[1]:
        frame.loc[0, "her2_ihc"] = "3+"
    elif fault == TABLE[2]:
        row = int(np.flatnonzero(split["split"] == "train")[0])
        split.loc[row, "split"] = "test"
    elif fault == TABLE[3]:
        number = frame.groupby("slide_id").cumcount()
        frame = frame.assign(x=9000 + 150 * number, y=4000, width=150, height=150)
        split.loc[int(np.flatnonzero(split["split"] == "train")[0]), "split"] = "test"
    elif fault is not None and fault.startswith("copy: "):
        part = frame["patch_id"].map(split.set_index("patch_id")["split"])
        source = str(rng.choice(frame.loc[part == "train", "path"]))
        label = frame.loc[frame["path"] == source, "label"].iloc[0]
        other = frame["label"] != label if fault.endswith("another label") else frame["label"] == label
        target = str(rng.choice(frame.loc[(part == "test") & other, "path"]))
        image = read_image(folder / source)
        change = COPIES.get(fault.removeprefix("copy: "))
        if change is None:
            Image.fromarray(image).save(folder / target, "PNG")
        else:
            Image.fromarray(np.ascontiguousarray(change(image, rng))).save(folder / target, "JPEG", quality=90)
    return frame, split


def main(root: str = "../shared/data") -> None:
    began = time.perf_counter()
    manifest = import_dataset("folder", Path(root) / "tissue_tiles")
    tiles = [manifest.file(p) for p in manifest.frame["path"]]
    table: dict[str, dict[str, object]] = {}
    for number, (fault, (kind, code)) in enumerate(faults().items()):
        codes = _in_folder(fault, 3000 + number, tiles)
        table[fault] = {"kind": kind, "code": code, "found": code in codes, "others": sorted(set(codes) - {code})}
        print(fault, table[fault], file=sys.stderr, flush=True)
    unreadable = "unreadable-images" in table[TABLE[3]]["others"]
    alarms = {seed: _in_folder(None, seed, tiles) for seed in range(5000, 5000 + CLEAN)}
    kinds = sorted({row["kind"] for row in table.values()})
    result = {
        "command": "OMP_NUM_THREADS=1 python -m benchmarks.planted_tissue",
        "planted": len(table),
        "found": sum(bool(row["found"]) for row in table.values()),
        "by_kind": {
            kind: {
                "planted": sum(row["kind"] == kind for row in table.values()),
                "found": sum(row["kind"] == kind and bool(row["found"]) for row in table.values()),
            }
            for kind in kinds
        },
        "tiles_with_slide_coordinates_unreadable": unreadable,
        "clean": CLEAN,
        "clean_with_alarm": sum(map(bool, alarms.values())),
        "alarms": {seed: codes for seed, codes in alarms.items() if codes},
        "faults": table,
        "seconds": round(time.perf_counter() - began),
    }
    write_json(Path(__file__).parent / "results" / "planted_tissue.json", result)
    print(json.dumps({k: v for k, v in result.items() if k != "faults"}, indent=2))


def _in_folder(fault: str | None, seed: int, tiles: list[Path]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        return codes_of(fault, seed, tiles, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
