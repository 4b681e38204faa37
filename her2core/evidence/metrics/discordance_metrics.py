"""Registry entry of the discordance of IHC and ISH."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.evidence.metrics.metric import Floats, Metric


def share_of_counts(counts: ArrayLike, totals: ArrayLike) -> Floats:
    """Share of patients with one result.

    Parameters
    ----------
    counts, totals : array_like

    Returns
    -------
    ndarray of float64

    References
    ----------
    Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> float(share_of_counts(71, 483).round(3))
    0.147
    """
    return np.asarray(np.asarray(counts, np.float64) / np.asarray(totals, np.float64))


DISCORDANCE = (
    Metric(
        name="ish_share",
        label="Share with this ISH result",
        help="Proportion of the patients with an IHC score and an ISH result who have this result.",
        range=(0.0, 1.0),
        direction="target",
        function=share_of_counts,
        table="discordance",
        reference="Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404",
    ),
)
