"""Check whether colour alone predicts the class of patients not seen before.

Colour statistics are averaged over each patient's patches, and a ridge regression predicts each patient from all others
(leave-one-out predictions of ridge regression have a closed form: Allen 1974, Technometrics 16:125,
doi 10.1080/00401706.1974.10489157). The AUROC of the best-predicted class is compared with what random permutations of
the labels over patients reach (Ojala and Garriga 2010, J Mach Learn Res 11:1833), so that neither few patients nor many
patches of one patient can cause a finding by themselves.

A finding says that colour is associated with the class, not why: a difference of stain or scanner is an artefact, but
more or larger nuclei are bluer too; where the classes are no HER2 status (kinds of tissue), it is information.
Non-linear associations, and associations in few patches, are not detected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, Result, patch_ids
from her2core.data.checks.permutation import OF_TISSUE, label_units

#: A finding needs both: a p-value of at most one in a thousand, and an AUROC that matters (our choice).
MAX_P, MIN_AUROC = 1e-3, 0.75
PERMUTATIONS = 1999
#: Permutations at least as good as the observed labels after which the test stops.
_STOP_AFTER = 20
#: Penalty of the ridge regression per patient.
_RIDGE = 0.3


@dataclass(frozen=True)
class ColourAssociation:
    """How well colour predicts the class.

    Parameters
    ----------
    auroc : float
        Of the best-predicted class against the rest, from leave-one-out predictions.
    label : int
        Index of that class.
    p_value : float
        Proportion of label permutations whose best-predicted class is predicted as well, with 1 added to both counts.
    """

    auroc: float
    label: int
    p_value: float


def colour_confounded(inputs: CheckInputs) -> Result:
    """Find classes that colour alone predicts across patients.

    Slides take the place of patients where patients are unknown and slides are not; the finding says so.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> colours = np.random.default_rng(0).normal(size=(40, 14)) + 3 * np.tile([[0], [1]], (20, 1))
    >>> contents = Contents(np.array(["9f"] * 40, object), np.zeros((40, 48, 48)), colours, {})
    >>> inputs = example_inputs(contents=contents, patient_id=[f"P{i}" for i in range(40)])
    >>> colour_confounded(inputs).got
    'an AUROC of 1.00 for negative against the rest, over 40 patients left out one by one (p = 0.0005)'
    """
    contents = inputs.images
    frame = inputs.frame[contents.readable]
    if frame.empty:
        return CouldNotRun("no image could be read")
    units = label_units(inputs, frame)
    if isinstance(units, CouldNotRun):
        return units
    values = pd.DataFrame(contents.colours[contents.readable])
    means = values.groupby(frame[units.column].to_numpy()).mean().loc[units.labels.index]
    association = colour_association(means.to_numpy(), labels=units.codes)
    if association.p_value > MAX_P or association.auroc < MIN_AUROC:
        return None
    note = (
        ""
        if units.column == "patient_id"
        else "Slides of one patient share a stain: patient ids may explain this finding."
    )
    return Found(
        f"classes that colour alone does not predict across {units.name}",
        f"an AUROC of {association.auroc:.2f} for {units.classes[association.label]} against the rest, over "
        f"{len(units.labels)} {units.name} left out one by one (p = {association.p_value:.4f})",
        patch_ids(frame[frame["label"].isin(units.classes)]),
        severity="info" if inputs.of_tissue else None,
        note=f"{note} {OF_TISSUE if inputs.of_tissue else ''}".strip(),
    )


def colour_association(
    features: np.ndarray, *, labels: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> ColourAssociation:
    """Test whether a linear classifier predicts the class from ``features``.

    Parameters
    ----------
    features : ndarray, float (N, F)
        One row per patient.
    labels : ndarray, int (N,)
        Classes 0 to K - 1, each present at least twice.
    permutations : int
        Most permutations of the labels. The test stops once 20 of them reached the observed value, when no more could
        make it significant (Besag and Clifford 1991).
    seed : int
        Of the permutations.

    Returns
    -------
    ColourAssociation

    References
    ----------
    Besag and Clifford (1991), Biometrika 78:301, doi 10.1093/biomet/78.2.301.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 10)
    >>> features = np.random.default_rng(0).normal(size=(20, 3)) + 3 * labels[:, None]
    >>> association = colour_association(features, labels=labels)
    >>> association.auroc, association.p_value
    (1.0, 0.0015)
    """
    spread = features.std(axis=0)
    x = ((features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)).astype(np.float64)
    x = np.column_stack([np.ones(len(x)), x])
    penalty = _RIDGE * len(x) * np.eye(x.shape[1])
    penalty[0, 0] = 0
    solve = np.linalg.solve(x.T @ x + penalty, x.T)
    leverage = (x * solve.T).sum(axis=1)[:, None]
    classes = np.arange(labels.max() + 1)
    rng = np.random.default_rng(seed)

    def aurocs(permuted: np.ndarray) -> np.ndarray:
        truth = (permuted[:, :, None] == classes).reshape(len(x), -1)
        predicted = (x @ (solve @ truth) - leverage * truth) / (1 - leverage)
        return _auroc(predicted, truth).reshape(permuted.shape[1], -1)

    observed = aurocs(labels[:, None])[0]
    batch = max(1, min(100, 1_000_000 // (len(x) * len(classes))))
    reached, done = 0, 0
    while done < permutations and reached < _STOP_AFTER:
        some = min(batch, permutations - done)
        permuted = rng.permuted(np.tile(labels, (some, 1)), axis=1).T
        reached += int((aurocs(permuted).max(axis=1) >= observed.max() - 1e-12).sum())
        done += some
    return ColourAssociation(float(observed.max()), int(observed.argmax()), (1 + reached) / (1 + done))


def _auroc(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each column, from ranks (Mann-Whitney); ties occur in constant columns only."""
    ranks = predicted.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") + 1
    positive = truth.sum(axis=0)
    return ((ranks * truth).sum(axis=0) - positive * (positive + 1) / 2) / (positive * (len(predicted) - positive))
