"""Do the labels say one thing? A manifest in; absent classes, contradictions and patients with several labels out."""

from __future__ import annotations

import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import Manifest


def one_class(manifest: Manifest) -> Finding | None:
    """A declared class without patches; an error where fewer than two classes are left."""
    present = [c for c in manifest.classes if (manifest.frame["label"] == c).any()]
    if len(present) == len(manifest.classes):
        return None
    absent = [c for c in manifest.classes if c not in present]
    severity = "error" if len(present) < 2 else "warning"
    return finding(
        "empty-class",
        severity,
        manifest.frame.head(0),
        "patches of every declared class",
        f"none of {', '.join(absent)}",
        "Add them, or declare fewer classes.",
    )


def label_conflict(manifest: Manifest) -> Finding | None:
    """IHC against ISH (3+ that is ISH negative, 0 or 1+ that is ISH positive), or a label against both."""
    frame, scheme = manifest.frame, manifest.scheme
    derived = [scheme.derive(i, s) for i, s in zip(frame["her2_ihc"], frame["ish"], strict=True)]
    against_ish = ((frame["her2_ihc"] == "3+") & (frame["ish"] == "negative")) | (
        frame["her2_ihc"].isin(("0", "1+")) & (frame["ish"] == "positive")
    )
    against_label = pd.Series([d is not None and d != label for d, label in zip(derived, frame["label"], strict=True)])
    rows = frame[against_ish | against_label.to_numpy()]
    if rows.empty:
        return None
    return finding(
        "label-conflict",
        "warning",
        rows,
        "IHC, ISH and label that agree",
        f"{len(rows)} rows where they do not",
        "Look these cases up; the project never resolves them silently.",
    )


def patient_with_two_labels(manifest: Manifest) -> Finding | None:
    """Patients whose patches bear several labels; not asked where patients are unknown."""
    if not manifest.patients_known:
        return None
    labels = manifest.frame.groupby("patient_id")["label"].nunique()
    several = labels.index[labels > 1]
    if several.empty:
        return None
    rows = manifest.frame[manifest.frame["patient_id"].isin(several)]
    return finding(
        "patient-with-two-labels",
        "warning",
        rows,
        "one label a patient",
        f"{len(several)} patients with several, the first: {several[0]}",
        "If labels belong to regions, patient-level figures are switched off; otherwise correct them.",
    )
