"""Can this data set carry the claim? A manifest (and a split) in; coded findings out, with the rows and the way out.

Every check has a code, a severity and a plain explanation. Errors stop training; warnings travel with the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from her2core.data.files import sha256_file
from her2core.data.manifest import UNKNOWN, WINDOW, Manifest

MIN_PATIENTS = 10


@dataclass(frozen=True)
class Finding:
    """One thing found. ``rows`` are patch ids (the first 20 of them), ``count`` how many there are in all."""

    code: str
    severity: Literal["error", "warning", "info"]
    expected: str
    got: str
    fix: str
    rows: tuple[str, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        return f"{self.code} ({self.severity}): expected {self.expected}, got {self.got}. {self.fix}"

    def as_dict(self) -> dict:
        return asdict(self)


def check_manifest(manifest: Manifest, split: pd.DataFrame | None = None, *, contents: bool = False) -> list[Finding]:
    """All findings, errors first. ``split`` has patch_id and split; ``contents`` compares every file's bytes."""
    checks: list[Callable[[Manifest], Finding | None]] = [
        _missing_files, _one_class, _few_patients, _unknown_patients, _label_conflict, _patient_with_two_labels,
        _missing_mpp, _site_confounded,
    ]  # fmt: skip
    found = [check(manifest) for check in checks]
    if split is not None:
        found.append(_crosses(manifest, split, "patient_id", "patient-leak"))
        found.append(_crosses(manifest, split, "slide_id", "slide-leak"))
    if contents:
        found.append(_identical_files(manifest, split))
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted((f for f in found if f is not None), key=lambda f: order[f.severity])


def _finding(code: str, severity, frame: pd.DataFrame, expected: str, got: str, fix: str) -> Finding:
    return Finding(code, severity, expected, got, fix, tuple(frame["patch_id"].head(20)), len(frame))


def _missing_files(manifest: Manifest) -> Finding | None:
    missing = set(manifest.missing_files())
    if not missing:
        return None
    rows = manifest.frame[manifest.frame["path"].isin(missing)]
    return _finding("missing-files", "error", rows, "every file that the manifest names",
                    f"{len(missing)} missing, the first: {manifest.file(rows['path'].iloc[0])}",
                    "Put the files back, or drop these rows.")  # fmt: skip


def _one_class(manifest: Manifest) -> Finding | None:
    present = [c for c in manifest.classes if (manifest.frame["label"] == c).any()]
    if len(present) == len(manifest.classes):
        return None
    absent = [c for c in manifest.classes if c not in present]
    severity = "error" if len(present) < 2 else "warning"
    return _finding("empty-class", severity, manifest.frame.head(0), "patches of every declared class",
                    f"none of {', '.join(absent)}", "Add them, or declare fewer classes.")  # fmt: skip


def _few_patients(manifest: Manifest) -> Finding | None:
    if not manifest.patients_known:
        return None
    counts = manifest.frame.groupby("label")["patient_id"].nunique()
    few = counts[counts < MIN_PATIENTS]
    if few.empty:
        return None
    rows = manifest.frame[manifest.frame["label"].isin(few.index)]
    return _finding("few-patients", "warning", rows, f"at least {MIN_PATIENTS} patients of each class",
                    ", ".join(f"{n} of {c}" for c, n in few.items()),
                    "Intervals over so few patients are wide or cannot be given; add patients.")  # fmt: skip


def _unknown_patients(manifest: Manifest) -> Finding | None:
    rows = manifest.frame[manifest.frame["patient_id"] == UNKNOWN]
    if rows.empty:
        return None
    return _finding("unknown-patients", "warning", rows, "a patient id in every row", f"{len(rows)} rows without one",
                    "Add the ids; until then no patient-level claim can be made.")  # fmt: skip


def _label_conflict(manifest: Manifest) -> Finding | None:
    frame, scheme = manifest.frame, manifest.scheme
    derived = [scheme.derive(i, s) for i, s in zip(frame["her2_ihc"], frame["ish"], strict=True)]
    against_ish = ((frame["her2_ihc"] == "3+") & (frame["ish"] == "negative")) | (
        frame["her2_ihc"].isin(("0", "1+")) & (frame["ish"] == "positive")
    )
    against_label = pd.Series([d is not None and d != label for d, label in zip(derived, frame["label"], strict=True)])
    rows = frame[against_ish | against_label.to_numpy()]
    if rows.empty:
        return None
    return _finding("label-conflict", "warning", rows, "IHC, ISH and label that agree",
                    f"{len(rows)} rows where they do not",
                    "Look these cases up; the project never resolves them silently.")  # fmt: skip


def _patient_with_two_labels(manifest: Manifest) -> Finding | None:
    if not manifest.patients_known:
        return None
    labels = manifest.frame.groupby("patient_id")["label"].nunique()
    several = labels.index[labels > 1]
    if several.empty:
        return None
    rows = manifest.frame[manifest.frame["patient_id"].isin(several)]
    return _finding(
        "patient-with-two-labels",
        "warning",
        rows,
        "one label a patient",
        f"{len(several)} patients with several, the first: {several[0]}",
        "If labels belong to regions, patient-level figures are switched off; otherwise correct them.",
    )


def _missing_mpp(manifest: Manifest) -> Finding | None:
    rows = manifest.frame[manifest.frame["mpp"].isna()]
    if rows.empty:
        return None
    return _finding(
        "missing-mpp",
        "info",
        rows,
        "microns per pixel in every row",
        f"{len(rows)} rows without",
        "Add it: without it nobody can tell whether a new patch shows the same piece of tissue.",
    )


def _site_confounded(manifest: Manifest) -> Finding | None:
    """A class that comes (almost) from one site alone, while the sites differ in their classes."""
    frame = manifest.frame[manifest.frame["site"] != UNKNOWN]
    if frame["site"].nunique() < 2:
        return None
    table = pd.crosstab(frame["label"], frame["site"])
    share = table.div(table.sum(axis=1), axis=0)
    overall = table.sum() / table.to_numpy().sum()
    bound = [c for c in share.index if share.loc[c].max() > 0.95 and overall[share.loc[c].idxmax()] < 0.8]
    if not bound:
        return None
    rows = frame[frame["label"].isin(bound)]
    return _finding("site-confounded", "warning", rows, "every class from several sites",
                    f"{', '.join(bound)} from one site only",
                    "A network can tell the site from the stain; add the class from other sites.")  # fmt: skip


def _crosses(manifest: Manifest, split: pd.DataFrame, column: str, code: str) -> Finding | None:
    joined = manifest.frame.merge(split[["patch_id", "split"]], on="patch_id", suffixes=("_manifest", ""))
    joined = joined[joined[column] != UNKNOWN]
    parts = joined.groupby(column)["split"].nunique()
    several = parts.index[parts > 1]
    if several.empty:
        return None
    rows = joined[joined[column].isin(several)]
    return _finding(code, "warning", rows, f"each {column.removesuffix('_id')} in one part of the split",
                    f"{len(several)} in several, the first: {several[0]}",
                    "Split by patient; under this split figures make no claim about new patients.")  # fmt: skip


def _identical_files(manifest: Manifest, split: pd.DataFrame | None) -> Finding | None:
    """Files with the same bytes under two names; with a split, only those that stand in two of its parts."""
    frame = manifest.frame
    if all(c in frame for c in WINDOW):
        return None
    digest = {p: sha256_file(manifest.file(p)) for p in frame["path"].unique() if manifest.file(p).is_file()}
    frame = frame.assign(_sha=frame["path"].map(digest))
    frame = frame[frame["_sha"].notna()]
    if split is not None:
        frame = frame.merge(split[["patch_id", "split"]], on="patch_id", suffixes=("_manifest", ""))
        counts = frame.groupby("_sha")["split"].nunique()
    else:
        counts = frame.groupby("_sha")["patch_id"].nunique()
    rows = frame[frame["_sha"].isin(counts.index[counts > 1])]
    if rows.empty:
        return None
    place = "in one part only" if split is not None else "once"
    return _finding("identical-images", "warning", rows, f"each image {place}",
                    f"{int(np.sum(counts > 1))} images under several names",
                    "Drop the copies; a copy in the test part is an answer given away.")  # fmt: skip
