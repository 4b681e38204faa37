"""Generated cohorts with one planted fault, to measure sensitivity and specificity of the data checks.

Cohorts differ at random in size, classes, sites, scanners, patches, slides and tiling; sites and scanners are balanced
over each class, so that a cohort without a planted fault has none. Faults of the table need no images: their rows name
one file. Faults of the contents come with small H&E-like images: blurred noise as amounts of two stains. ``PLANTED``
maps each fault to the code that must be found; codes that it necessarily brings along are in ``ALONG``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.planted_ids import ID_CODES, SPLIT_FAULTS, with_wrong_ids, with_wrong_split
from benchmarks.planted_shortcuts import SHORTCUTS_OF_IMAGES, save_with_shortcut
from her2core.data.checks import CHECKS, CheckReport, check_manifest
from her2core.data.manifest import Manifest
from her2core.data.splits import split_manifest
from her2core.labels import SCHEMES

CLASSES = ("negative", "equivocal", "positive")
IHC = {"negative": ("0", "1+"), "equivocal": ("2+",), "positive": ("3+",)}
#: Each fault and the code of the finding it must cause. New ones go last: the position is part of the seed.
PLANTED = {
    "missing file": "missing-files",
    "absent class": "empty-class",
    "few patients": "few-patients",
    "too few for the interval": "few-patients-for-interval",
    "unknown patient id": "unknown-patients",
    "IHC against ISH": "label-conflict",
    "label against IHC": "label-conflict",
    "patient with two labels": "patient-with-two-labels",
    "unknown resolution": "missing-mpp",
    "class from one site": "site-confounded",
    "site predicts class": "site-confounded",
    "class from one scanner": "scanner-confounded",
    "class from one patient": "patient-confounded",
    "patient in two parts": "patient-leak",
    "slide in two parts": "slide-leak",
    "neighbours in two parts": "neighbouring-tiles",
    "unreadable image": "unreadable-images",
    "copied file": "identical-images",
    "copied pixels": "identical-images",
    "recompressed": "near-duplicates",
    "flipped and cropped": "near-duplicates",
    "restained": "near-duplicates",
    "stain differs by class": "colour-confounded",
    "ids from a spreadsheet": "rounded-ids",
    "class absent from validation": "split-part-without-class",
    "patient in other case": "patient-spellings",
    "patient with leading zeros": "patient-spellings",
    "patient with other separators": "patient-spellings",
    "patient with decimals": "patient-spellings",
    "patient in another Unicode form": "patient-spellings",
    "sample and slide barcodes": "patient-spellings",
    "id equal to the file name": "file-name-ids",
    "slide of two patients": "slide-of-two-patients",
    "id of two people": "shared-patient-id",
    "id of two sites": "shared-patient-id",
    "test part absent": "incomplete-split",
    "blank part": "incomplete-split",
    "patch in two parts": "incomplete-split",
    "class absent from training": "split-part-without-class",
    "three test patients": "few-test-patients",
    "patient with 60 % of the patches": "dominant-patient",
    "image with two labels": "image-with-two-labels",
    "batch goes with class": "column-shortcut",
    "date goes with class": "column-shortcut",
    "stain of half a class": "partial-stain",
    "compression of a class": "file-shortcut",
    "size of a class": "file-shortcut",
    "ink in corners of a class": "corner-marks",
    "border of a class": "corner-marks",
    "embedding of the site": "embedding-site",
    "red stamp of a class": "corner-marks",
    "blank patch": "image-quality",
}
#: Findings that a fault necessarily brings along: a slide in two parts is a patient in two parts.
ALONG = {
    "slide in two parts": {"patient-leak", "neighbouring-tiles"},
    "patient in two parts": {"slide-leak", "neighbouring-tiles"},
    "neighbours in two parts": {"patient-leak", "slide-leak"},
    "IHC against ISH": {"patient-with-two-labels"},
    "label against IHC": {"patient-with-two-labels"},
    "few patients": {"patient-confounded", "split-part-without-class"},
    "class from one patient": {"few-patients", "dominant-patient"},
    "stain differs by class": {"partial-stain"},
    "stain of half a class": {"colour-confounded", "image-quality"},
    "ink in corners of a class": {"colour-confounded", "file-shortcut", "partial-stain", "image-quality"},
    "border of a class": {"colour-confounded", "file-shortcut", "partial-stain"},
    "red stamp of a class": {"colour-confounded", "file-shortcut", "partial-stain"},
    "compression of a class": {"colour-confounded", "partial-stain"},
    "site predicts class": {"shared-patient-id"},
    "copied file": {"image-with-two-labels"},
    "copied pixels": {"image-with-two-labels"},
    "slide of two patients": {"slide-leak"},
    "id equal to the file name": {"missing-files", "patient-leak", "slide-leak", "slide-of-two-patients"},
    "test part absent": {"few-test-patients"},
    "blank part": {"split-part-without-class"},
    "patch in two parts": {"patient-leak", "slide-leak", "neighbouring-tiles"},
    "three test patients": {"split-part-without-class"},
    "patient with 60 % of the patches": {"patient-confounded", "neighbouring-tiles", "few-patients"},
    "image with two labels": {"patient-with-two-labels"},
    "patient with decimals": {"patient-leak"},
}
OF_CONTENTS = tuple(fault for fault, code in PLANTED.items() if "contents" in CHECKS[code].requires)
_STAINS = np.array([(0.65, 0.70, 0.29), (0.17, 0.88, 0.44)])
_PX = 64


@dataclass(frozen=True)
class Cohort:
    """A manifest with its split, and the arguments with which it is checked."""

    manifest: Manifest
    split: pd.DataFrame
    contents: bool
    half_width: float | None
    embeddings: np.ndarray | None = None

    def check(self) -> CheckReport:
        """Run `check_manifest` on the cohort."""
        return check_manifest(
            self.manifest, self.split, contents=self.contents, half_width=self.half_width, embeddings=self.embeddings
        )


def plant(fault: str | None, seed: int, folder: Path, *, contents: bool | None = None) -> Cohort:
    """Generate a cohort with one planted fault.

    Parameters
    ----------
    fault : str or None
        A key of PLANTED; None for a clean cohort.
    seed : int
    folder : Path
        Where the image files are written.
    contents : bool, optional
        Whether images are drawn and read; by default where the fault is one of OF_CONTENTS.

    Returns
    -------
    Cohort
    """
    rng = np.random.default_rng([seed, 0 if fault is None else 1 + list(PLANTED).index(fault)])
    contents = fault in OF_CONTENTS if contents is None else contents
    frame = _rows(
        rng,
        small=contents,
        many=fault == "stain of half a class",
        tiled=fault in ("neighbours in two parts", "image with two labels"),
    )
    half_width = 0.1 if fault == "too few for the interval" else None
    if contents:
        _draw(rng, frame, folder, fault)
    else:
        (folder / "slides").mkdir(exist_ok=True)
        for path in frame["path"].unique():
            (folder / path).touch()
    manifest = Manifest(frame, SCHEMES["paper3"], folder)
    split = split_manifest(manifest, seed=seed)
    if fault is None or fault == "embedding of the site":
        embeddings = np.random.default_rng(seed).normal(size=(len(frame), 8))
        if fault:
            sites = np.random.default_rng(seed).permutation(frame["patient_id"].unique())
            first = frame["patient_id"].isin(sites[: len(sites) // 2]).to_numpy()
            frame = frame.assign(site=np.where(first, "one", "two"))
            embeddings += 2.0 * first[:, None]
        return Cohort(
            Manifest(frame, manifest.scheme, folder), split, contents, 0.45 if fault is None else None, embeddings
        )
    frame, split = _with_fault(fault, rng, frame, split, folder)
    return Cohort(Manifest(frame, SCHEMES["paper3"], folder), split, contents, half_width)


def _rows(rng: np.random.Generator, *, small: bool, many: bool, tiled: bool) -> pd.DataFrame:
    """A clean cohort: tiles on a grid of every slide, each a window of the slide's coordinates or a file of its own."""
    sites, scanners = rng.integers(1, 5, 2)
    tiled = tiled or (not small and rng.random() < 0.6)
    rows = []
    for label in CLASSES:
        patients = int(rng.integers(26, 32) if many else rng.integers(12, 16) if small else rng.integers(12, 45))
        at, by = (rng.permutation(np.arange(patients) % n) for n in (sites, scanners))
        for patient in range(patients):
            name, ihc = f"{label[:3]}{patient:03d}", str(rng.choice(IHC[label]))
            for slide in range(int(rng.integers(1, 3))):
                for tile in range(1 if small else int(rng.integers(2, 7))):
                    slide_id = f"{name}-{slide}"
                    rows.append(
                        {
                            "patch_id": f"{slide_id}-{tile}",
                            "path": "tile.png",
                            "patient_id": name,
                            "slide_id": slide_id,
                            "site": f"site{at[patient]}",
                            "scanner": f"scanner{by[patient]}",
                            "mpp": 0.5,
                            "her2_ihc": ihc,
                            "ish": "unknown",
                            "label": label,
                            "source": "planted",
                            "x": 256.0 * (tile % 3),
                            "y": 256.0 * (tile // 3),
                        }
                    )
    frame = pd.DataFrame(rows).astype({"her2_ihc": object, "label": object, "path": object, "patch_id": object})
    if tiled:
        frame["path"] = "slides/" + frame["slide_id"] + ".png"
        return frame.assign(width=256.0, height=256.0)
    return frame.drop(columns=["x", "y"])


def texture(rng: np.random.Generator, stains: np.ndarray = _STAINS, px: int = _PX) -> np.ndarray:
    """A cheap H&E-like image, uint8 (px, px, 3): dark spots of one dye on clouds of the other."""
    amounts = [gaussian_filter(rng.standard_normal((px, px)), sigma, mode="wrap") for sigma in (1.6, 4.0)]
    spots, clouds = ((a - a.mean()) / a.std() for a in amounts)
    density = np.stack([0.9 * np.clip(spots - 0.6, 0, 2), 0.35 + 0.15 * clouds], axis=-1).clip(0) @ stains
    return np.clip(np.rint(245 * np.exp(-density) + rng.normal(0, 1.5, density.shape)), 0, 255).astype(np.uint8)


def restained(image: np.ndarray, haematoxylin: float, eosin: float) -> np.ndarray:
    """uint8 RGB with the amounts of its two stains (and what is left of the density) scaled, uint8 RGB."""
    full = np.vstack([_STAINS, np.cross(*_STAINS)])
    amounts = -np.log((image.astype(float) + 1) / 256) @ np.linalg.inv(full)
    density = (amounts * (haematoxylin, eosin, 1)) @ full
    return np.clip(np.rint(256 * np.exp(-density) - 1), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 RGB after a JPEG of this quality."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def cropped(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 RGB without ``share`` of its height and of its width, cut off anywhere."""
    height, width = (round(side * (1 - share)) for side in image.shape[:2])
    top, left = (rng.integers(0, whole - part + 1) for whole, part in zip(image.shape, (height, width), strict=False))
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _draw(rng: np.random.Generator, frame: pd.DataFrame, folder: Path, fault: str | None) -> None:
    """Every patient has a stain of their own; with a fault, those of one class differ systematically."""
    frame["path"] = frame["patch_id"] + ".png"
    shifted = str(rng.choice(CLASSES))
    for number, (_, rows) in enumerate(frame.groupby("patient_id", sort=False)):
        stains = _STAINS * rng.lognormal(0, 0.12, (2, 1)) + rng.normal(0, 0.03, (2, 3))
        mine = rows["label"].iloc[0] == shifted
        if mine and fault == "stain differs by class":
            stains = stains + np.array([(0.0, 0.10, 0.0), (0.12, 0.0, -0.12)])
        for path in rows["path"]:
            image = texture(rng, np.clip(stains, 0.02, None))
            if mine and fault in SHORTCUTS_OF_IMAGES:
                save_with_shortcut(fault, image, folder / path, number)
            else:
                Image.fromarray(image).save(folder / path, compress_level=1)


def _with_fault(
    fault: str, rng: np.random.Generator, frame: pd.DataFrame, split: pd.DataFrame, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    label = str(rng.choice(CLASSES))
    mine = frame["label"] == label
    patients = frame.loc[mine, "patient_id"].unique()
    one = frame["patient_id"] == rng.choice(patients)
    row = frame.index[int(rng.integers(len(frame)))]
    if fault in OF_CONTENTS:
        return _with_images(fault, rng, frame, split, folder)
    if fault == "missing file":
        frame.loc[row, "path"] = "gone.png"
    elif fault == "absent class":
        frame = frame[~mine].reset_index(drop=True)
    elif fault == "few patients":
        kept = set(rng.choice(patients, int(rng.integers(3, 10)), replace=False))
        frame = frame[~mine | frame["patient_id"].isin(kept)].reset_index(drop=True)
    elif fault == "unknown patient id":
        frame.loc[row, "patient_id"] = "unknown"
    elif fault == "IHC against ISH":
        scores = {"negative": ("1+", "positive"), "equivocal": ("3+", "negative"), "positive": ("3+", "negative")}
        frame.loc[one, ["her2_ihc", "ish"]] = scores[label]
    elif fault == "label against IHC":
        frame.loc[one, "her2_ihc"] = {"negative": "3+", "equivocal": "1+", "positive": "0"}[label]
    elif fault == "patient with two labels":
        frame = _with_second_label(rng, frame)
    elif fault == "unknown resolution":
        frame.loc[row, "mpp"] = np.nan
    elif fault in ("class from one site", "class from one scanner"):
        column = fault.rsplit(" ", 1)[1]
        others = np.arange(frame["patient_id"].nunique()) % 3
        by = dict(zip(rng.permutation(frame["patient_id"].unique()), others, strict=True))
        frame[column] = np.where(mine, f"{column}0", f"{column}" + frame["patient_id"].map(by).astype(str))
    elif fault == "site predicts class":
        usual = frame["label"].map({c: i for i, c in enumerate(CLASSES)})
        exceptions = set(rng.choice(frame["patient_id"].unique(), frame["patient_id"].nunique() // 8, replace=False))
        exception = frame["patient_id"].isin(exceptions)
        frame["site"] = "site" + ((usual + exception * rng.integers(1, 3, len(frame))) % 3).astype(str)
    elif fault == "class from one patient":
        again = frame[one].loc[np.repeat(frame.index[one], 12 * len(patients))]
        again["patch_id"] += "+" + pd.Series(np.arange(len(again)), index=again.index).astype(str)
        frame = pd.concat([frame, again], ignore_index=True)
        if "x" in frame:
            frame = frame.drop(columns=["x", "y", "width", "height"])
        split = frame[["patch_id"]].assign(split=frame["patient_id"].map(_part_of(frame, split)))
    elif fault == "ids from a spreadsheet":
        frame.loc[one, "patient_id"] = "1.23457E+15"
    elif fault == "class absent from validation":
        split = split.assign(split=split["split"].mask(mine.to_numpy() & (split["split"] == "val"), "train"))
    elif fault in ("patient in two parts", "slide in two parts", "neighbours in two parts"):
        frame, split = _with_leak(fault, rng, frame, split)
    elif PLANTED[fault] in ID_CODES:
        frame = with_wrong_ids(fault, rng, frame)
    elif fault in ("batch goes with class", "date goes with class"):
        usual = (frame["label"].map({c: i for i, c in enumerate(CLASSES)}) * 30).to_numpy()
        day = usual + pd.factorize(frame["patient_id"])[0] % 20
        batch, date = (
            pd.Series(usual // 30).map("batch{}".format),
            pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D"),
        )
        column = {"batch": batch.to_numpy()} if "batch" in fault else {"scan_date": date.strftime("%Y-%m-%d")}
        frame = frame.assign(**column)
    elif fault in SPLIT_FAULTS:
        frame, split = with_wrong_split(fault, rng, frame, split)
    return frame, split


def _part_of(frame: pd.DataFrame, split: pd.DataFrame) -> dict[str, str]:
    joined = frame.merge(split, on="patch_id")
    return dict(zip(joined["patient_id"], joined["split"], strict=True))


def _with_second_label(rng: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    counts = frame["patient_id"].value_counts()
    patient = rng.choice(np.sort(counts.index[counts > 1]))
    first = frame.index[frame["patient_id"] == patient][0]
    other = str(rng.choice([c for c in CLASSES if c != frame.loc[first, "label"]]))
    frame.loc[first, ["label", "her2_ihc"]] = [other, IHC[other][0]]
    return frame


def _with_leak(
    fault: str, rng: np.random.Generator, frame: pd.DataFrame, split: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move a slide of a patient with several, or a patch of a slide with several, into another part."""
    by, of = ("patient_id", "slide_id") if fault == "patient in two parts" else ("slide_id", "patch_id")
    several = frame.groupby(by)[of].nunique()
    group = frame[frame[by] == rng.choice(several.index[several > 1])]
    moved = set(group.loc[group[of] == group[of].iloc[-1], "patch_id"])
    there = split["patch_id"].isin(moved)
    others = [p for p in ("train", "val", "test") if p != split.loc[there, "split"].iloc[0]]
    return frame, split.assign(split=split["split"].mask(there, rng.choice(others)))


def _with_images(
    fault: str, rng: np.random.Generator, frame: pd.DataFrame, split: pd.DataFrame, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Change or replace the image of one test patch; a copy takes the place of the image that was there."""
    parts = frame["patch_id"].map(split.set_index("patch_id")["split"])
    test, train = (folder / str(rng.choice(frame.loc[parts == p, "path"])) for p in ("test", "train"))
    if fault == "stain differs by class" or fault in SHORTCUTS_OF_IMAGES:
        return frame, split
    image = np.asarray(Image.open(train))
    if fault == "unreadable image":
        test.write_bytes(test.read_bytes()[:200])
    elif fault == "blank patch":
        Image.fromarray(np.full_like(image, 240)).save(test)
    elif fault == "copied file":
        test.write_bytes(train.read_bytes())
    elif fault == "copied pixels":
        Image.fromarray(image).save(test, compress_level=9)
    else:
        if fault == "recompressed":
            image = encoded(image, int(rng.integers(50, 91)))
        elif fault == "flipped and cropped":
            turns = int(rng.integers(1, 4))
            image = cropped(np.rot90(image, turns), float(rng.uniform(0.02, 0.1)), rng)
            image = image[:, ::-1] if rng.random() < 0.5 else image
        else:
            image = restained(image, *rng.choice([0.7, 0.85, 1.15, 1.3], 2, replace=False))
        Image.fromarray(np.ascontiguousarray(image)).save(test)
    return frame, split
