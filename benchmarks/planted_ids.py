"""Planted faults of ids and of splits, for benchmarks/planted_faults.py."""

from __future__ import annotations

import numpy as np
import pandas as pd

ID_CODES = ("patient-spellings", "file-name-ids", "slide-of-two-patients", "shared-patient-id")
SPLIT_FAULTS = (
    "test part absent",
    "blank part",
    "patch in two parts",
    "class absent from training",
    "three test patients",
    "patient with 60 % of the patches",
    "image with two labels",
)
#: Spellings of one patient's id. Ids of a clean cohort are three letters and three digits: neg007.
_SPELLINGS = {
    "patient in other case": str.upper,
    "patient with leading zeros": lambda p: p[:3] + "0" + p[3:],
    "patient with other separators": lambda p: p[:3] + "-" + p[3:],
    "patient in another Unicode form": lambda p: "".join(chr(ord(c) + 0xFEE0) for c in p),
}


def with_wrong_ids(fault: str, rng: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a clean cohort with one fault of their ids."""
    frame = frame.copy()
    counts = frame["patient_id"].value_counts()
    patient = str(rng.choice(np.sort(counts.index[counts > 1])))
    mine = frame.index[frame["patient_id"] == patient]
    if fault in _SPELLINGS:
        frame.loc[mine[-1], "patient_id"] = _SPELLINGS[fault](patient)
    elif fault == "patient with decimals":
        frame["patient_id"] = (pd.factorize(frame["patient_id"])[0] + 100).astype(str).astype(object)
        frame.loc[mine[-1], "patient_id"] += ".0"
    elif fault == "sample and slide barcodes":
        numbers = pd.Series(pd.factorize(frame["patient_id"])[0], index=frame.index)
        frame["patient_id"] = numbers.map(lambda n: f"TCGA-A{n % 9}-A{n:03d}")
        frame.loc[mine[-1], "patient_id"] += "-01Z-00-DX1"
    elif fault == "id equal to the file name":
        frame = frame.drop(columns=[c for c in ("x", "y", "width", "height") if c in frame])
        frame["path"] = "slides/" + frame["patch_id"].astype(str) + ".png"
        frame["patient_id"] = frame["patch_id"]
    elif fault == "slide of two patients":
        other = frame.loc[(frame["label"] == frame.loc[mine[0], "label"]) & (frame["patient_id"] != patient)].index[0]
        frame.loc[mine[-1], "slide_id"] = frame.loc[other, "slide_id"]
    elif fault == "id of two people":
        codes, names = pd.factorize(frame["patient_id"])
        frame["age"] = rng.integers(35, 80, len(names))[codes]
        frame.loc[mine[-1], "age"] = 95
    else:
        frame.loc[mine[-1], "site"] = "another site"
    return frame


def with_wrong_split(
    fault: str, rng: np.random.Generator, frame: pd.DataFrame, split: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A clean cohort with one fault of its split, or of how its patches are spread over patients."""
    part = split["split"].copy()
    if fault == "test part absent":
        part = part.where(part != "test", "train")
    elif fault == "blank part":
        part[part.index[rng.integers(len(part))]] = ""
    elif fault == "patch in two parts":
        row = int(rng.integers(len(split)))
        other = next(p for p in ("train", "test") if p != part.iloc[row])
        return frame, pd.concat([split, split.iloc[[row]].assign(split=other)], ignore_index=True)
    elif fault == "class absent from training":
        label = str(rng.choice(sorted(frame["label"].unique())))
        of_class = split["patch_id"].map(frame.set_index("patch_id")["label"]) == label
        part = part.mask(of_class & (part == "train"), "val")
    elif fault == "three test patients":
        patients = split["patch_id"].map(frame.set_index("patch_id")["patient_id"])
        kept = rng.choice(np.sort(patients[part == "test"].unique()), 3, replace=False)
        part = part.mask((part == "test") & ~patients.isin(kept), "train")
    elif fault == "patient with 60 % of the patches":
        row = frame.index[int(rng.integers(len(frame)))]
        again = frame.loc[[row] * int(1.5 * len(frame) + 5)].copy()
        again["patch_id"] = [f"{again['patch_id'].iloc[0]}+{i}" for i in range(len(again))]
        more = again[["patch_id"]].assign(split=part[split["patch_id"] == frame.loc[row, "patch_id"]].iloc[0])
        together = pd.concat([frame, again], ignore_index=True)
        if "x" in together:
            together = together.drop(columns=["x", "y", "width", "height"])
        return together, pd.concat([split, more], ignore_index=True)
    else:
        row = frame.index[int(rng.integers(len(frame)))]
        other = next(label for label in ("negative", "positive") if label != frame.loc[row, "label"])
        again = frame.loc[[row]].assign(patch_id="again", label=other, her2_ihc=None)
        more = split[split["patch_id"] == frame.loc[row, "patch_id"]].assign(patch_id="again")
        return pd.concat([frame, again], ignore_index=True), pd.concat([split, more], ignore_index=True)
    return frame, split.assign(split=part)
