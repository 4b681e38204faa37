"""Synthetic sample patches for a run, of patients that it was not trained on where the run is a synthetic one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic, synthetic_cohort


@dataclass(frozen=True)
class Sample:
    """A synthetic patch.

    Attributes
    ----------
    name : str
        What to call it, with its class and patient.
    image : numpy.ndarray
        uint8 (H, W, 3) RGB.
    label : str
        Its true class.
    """

    name: str
    image: np.ndarray
    label: str


def sample_patches(run: Run, *, per_class: int = 2) -> list[Sample]:
    """Draw synthetic patches of each class, each of another patient.

    Parameters
    ----------
    run : Run
        Where it was trained on a synthetic cohort, the patches are of that cohort's test part; otherwise of the
        default cohort.
    per_class : int
        Patches of each class.

    Returns
    -------
    list of Sample
        In the order of the cohort.

    Raises
    ------
    Her2Error
        The run's split cannot be read.
    """
    spec = synthetic_cohort(run) if is_synthetic(run) else CohortSpec()
    plan = plan_cohort(spec)
    if is_synthetic(run):
        splits = run.splits
        test = set(splits.loc[splits["split"] == "test", "patch_id"])
        plan = plan[plan["patch_id"].isin(test)]
    # One patch a patient, so that the samples differ as patients do.
    chosen = plan.groupby("patient_id").head(1).groupby("label", sort=False).head(per_class)
    return [
        Sample(f"synthetic {label} {patient}", render_patch(spec, int(i)).image, label)
        for i, label, patient in zip(chosen.index, chosen["label"], chosen["patient_id"], strict=True)
    ]
