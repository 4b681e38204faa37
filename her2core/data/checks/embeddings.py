"""Check whether the embedding of a trained network tells the site better than the class.

Embeddings of patches that were not trained on are averaged over each patient. A ridge regression on their first
principal components predicts each patient's site, and class, from all others (`colour.colour_association`). A network
whose embedding tells sites apart is not wrong by that; where it tells them better than the classes, its figures may
rest on the site, and need patients of a further site.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.colour import colour_association
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.checks.permutation import MIN_PER_CLASS, label_units
from her2core.data.manifest import UNKNOWN

#: Largest p-value and smallest AUROC of the site for a finding.
MAX_P, MIN_AUROC = 1e-3, 0.75
#: Principal components at most, and patients for each.
_COMPONENTS, _PATIENTS_EACH = 20, 4


def embedding_site(inputs: CheckInputs) -> Result:
    """Find a network whose embedding tells the site of a patient better than the class.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> sites = ["A", "A", "B", "B"] * 10
    >>> shifted = np.random.default_rng(0).normal(size=(40, 8)) + 3 * (np.array(sites) == "A")[:, None]
    >>> inputs = example_inputs(embeddings=shifted, site=sites, patient_id=[f"P{i}" for i in range(40)])
    >>> embedding_site(inputs).got[:48]
    'an AUROC of 1.00 for site A (p = 0.0005) against'
    """
    if inputs.embeddings is None:
        return NotApplicable("no trained network was given")
    known = np.isfinite(inputs.embeddings).all(axis=1) & (inputs.frame["site"] != UNKNOWN).to_numpy()
    frame = inputs.frame[known]
    if frame.empty:
        return CouldNotRun("the site is unknown in every row with an embedding")
    if frame["site"].nunique() < 2:
        return NotApplicable("only one site is known")
    units = label_units(inputs, frame)
    if isinstance(units, CouldNotRun):
        return units
    means = pd.DataFrame(inputs.embeddings[known]).groupby(frame[units.column].to_numpy()).mean()
    values = means.loc[units.labels.index].to_numpy(float)
    sites = frame.groupby(units.column)["site"].agg(lambda s: s.mode().iloc[0]).loc[units.labels.index]
    counts = sites.value_counts()
    tested = sorted(counts.index[counts >= MIN_PER_CLASS])
    if len(tested) < 2:
        return CouldNotRun(f"fewer than two sites have {MIN_PER_CLASS} {units.name} with an embedding")
    components = _components(values)
    by_class = colour_association(components, labels=units.codes)
    kept = sites.isin(tested).to_numpy()
    by_site = colour_association(components[kept], labels=sites[kept].map(tested.index).to_numpy())
    if by_site.p_value > MAX_P or by_site.auroc < MIN_AUROC or by_site.auroc <= by_class.auroc:
        return None
    return Found(
        "an embedding that tells the class better than the site",
        f"an AUROC of {by_site.auroc:.2f} for site {tested[by_site.label]} (p = {by_site.p_value:.4f}) against "
        f"{by_class.auroc:.2f} for class {units.classes[by_class.label]}, over {len(values)} {units.name}",
        patch_ids(frame),
    )


def _components(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    count = max(1, min(_COMPONENTS, len(values) // _PATIENTS_EACH, int((size > 1e-9 * size[0]).sum())))
    return np.asarray(left[:, :count] * size[:count])
