"""Checks of the labels: absent classes, contradictions to IHC or ISH, patients and images with several labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.fingerprint import has_structure
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.names import of_another_class
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, Severity, patch_ids
from her2core.data.manifest import UNKNOWN, WINDOW
from her2core.data.split_units import PART_NAMES, PARTS

#: Share of the rows that share file and window with another, above which these name no pictures (our choice).
_MAX_SHARED = 0.5


def empty_class(inputs: CheckInputs) -> Result:
    """Find declared classes without patches; an error where fewer than two classes are left.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> empty_class(example_inputs(label=["negative", "equivocal"])).got
    'no patch of positive'
    """
    present = set(inputs.frame["label"])
    absent = [c for c in inputs.manifest.classes if c not in present]
    if not absent:
        return None
    severity: Severity | None = "error" if len(inputs.manifest.classes) - len(absent) < 2 else None
    return Found("patches of every declared class", f"no patch of {', '.join(absent)}", severity=severity)


def split_part_without_class(inputs: CheckInputs) -> Result:
    """Find parts that lack a class of the manifest; an error where it is the training or the validation part.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> split_part_without_class(example_inputs(split=["train", "train", "val", "test", "val", "test"])).got
    'no patch of positive in the validation part; no patch of negative in the test part'
    """
    rows = inputs.split_rows()
    classes = [c for c in inputs.manifest.classes if (inputs.frame["label"] == c).any()]
    lacking = {}
    for part in PARTS:
        present = set(rows.loc[rows["split"] == part, "label"])
        if present and (absent := [c for c in classes if c not in present]):
            lacking[part] = absent
    if not lacking:
        return None
    return Found(
        "patches of every class in every part",
        "; ".join(
            f"no patch of {', '.join(absent)} in the {PART_NAMES[part]} part" for part, absent in lacking.items()
        ),
        patch_ids(rows[rows["label"].isin({c for absent in lacking.values() for c in absent})]),
        severity="error" if {"train", "val"} & set(lacking) else None,
    )


def label_conflict(inputs: CheckInputs) -> Result:
    """Find IHC against ISH (3+ and ISH negative, 0 or 1+ and ISH positive), and labels against what both imply.

    Where files lie in folders of classes, labels that are not their folder's are found too.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> inputs = example_inputs(label=["negative", "equivocal", "positive"], her2_ihc=["0", "2+", "1+"])
    >>> label_conflict(inputs).rows
    ['2.png']
    """
    frame, scheme = inputs.frame, inputs.manifest.scheme
    folder = of_another_class(frame["path"], frame["label"], scheme.classes)
    by_folder = folder != ""
    if frame["her2_ihc"].isna().all() and (frame["ish"] == UNKNOWN).all() and not by_folder.any():
        return NotApplicable("the manifest holds neither IHC scores nor ISH results")
    implied = [scheme.derive(i, s) for i, s in zip(frame["her2_ihc"], frame["ish"], strict=True)]
    against_ish = ((frame["her2_ihc"] == "3+") & (frame["ish"] == "negative")) | (
        frame["her2_ihc"].isin(("0", "1+")) & (frame["ish"] == "positive")
    )
    against_label = pd.Series([d is not None and d != label for d, label in zip(implied, frame["label"], strict=True)])
    conflicts = against_ish | against_label.to_numpy()
    said = [f"{_rows(int(conflicts.sum()))} in which they contradict each other"] if conflicts.any() else []
    if by_folder.any():
        first = frame[by_folder].iloc[0]
        where = f"the first: {first['path']} ({first['label']})"
        said.append(f"{_rows(int(by_folder.sum()))} in the folder of another class, {where}")
    if not said:
        return None
    return Found(
        "an IHC score, an ISH result and a label that agree" + (", also with the folder" if by_folder.any() else ""),
        "; ".join(said),
        patch_ids(frame[conflicts | by_folder]),
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def patient_with_two_labels(inputs: CheckInputs) -> Result:
    """Find patients whose patches have several labels.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> patient_with_two_labels(example_inputs(patient_id=["P1", "P1"])).got
    '1 patient with several labels, the first: P1'
    """
    if not inputs.manifest.patients_known:
        return CouldNotRun("patient ids are unknown")
    labels = inputs.frame.groupby("patient_id")["label"].nunique()
    several = labels.index[labels > 1]
    if several.empty:
        return None
    patients = "1 patient" if len(several) == 1 else f"{len(several)} patients"
    return Found(
        "one label per patient",
        f"{patients} with several labels, the first: {several[0]}",
        patch_ids(inputs.frame[inputs.frame["patient_id"].isin(several)]),
    )


def image_with_two_labels(inputs: CheckInputs) -> Result:
    """Find pictures with several labels: the same file and window, or, where images were read, the same pixels.

    Pictures without structure (blank, black) are left out: a blank tile has the label of its slide. So are file names
    where most rows share theirs, as in a table that names slides instead of patches.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> image_with_two_labels(example_inputs(path=["a", "a", "b", "c"], patch_id=["1", "2", "3", "4"])).got
    '1 picture with several labels, the first: 1 (negative) and 2 (positive)'
    """
    frame = inputs.frame
    if frame["label"].nunique() < 2:
        return NotApplicable("all patches are of one class")
    place = frame["path"].astype(str)
    for column in WINDOW:
        if column in frame:
            place = place + "," + frame[column].astype(str)
    if place.duplicated(keep=False).mean() > _MAX_SHARED:
        place = frame["patch_id"].astype(str)
    pictures = [place]
    if inputs.contents is not None:
        structured = has_structure(inputs.contents.thumbnails.astype(np.float32)) & inputs.contents.readable
        digests = pd.Series(inputs.contents.digests, index=frame.index, dtype=object)
        pictures = [place.where(structured), digests.where(structured)]
    several = [frame.groupby(by)["label"].transform("nunique").fillna(1) > 1 for by in pictures]
    rows = frame[np.logical_or.reduce(several)]
    if rows.empty:
        return None
    by = pictures[int(np.argmax([s.sum() for s in several]))]
    pairs = []
    for _, group in rows.groupby(by, sort=False):
        first = group.iloc[0]
        other = group[group["label"] != first["label"]]
        if len(other):
            pairs.append((first, other.iloc[0]))
    number = "1 picture" if len(pairs) == 1 else f"{len(pairs)} pictures"
    (one, two), *_ = pairs
    return Found(
        "one label for each picture",
        f"{number} with several labels, the first: {one['patch_id']} ({one['label']}) and "
        f"{two['patch_id']} ({two['label']})",
        patch_ids(rows),
        [(a["patch_id"], b["patch_id"]) for a, b in pairs],
    )
