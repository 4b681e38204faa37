"""Random number generators keyed by patient, slide, patch and site.

Every patient, slide and patch has a generator of its own, keyed by (seed, kind, number), so that a patch depends on the
spec and its index alone, never on the order of rendering or on the number of workers.
"""

from __future__ import annotations

import numpy as np

COHORT, PATIENT, SLIDE, PATCH, SITE = 1, 2, 3, 4, 5


def generator(seed: int, kind: int, *numbers: int) -> np.random.Generator:
    """The generator of one patient, slide, patch or site, or of the cohort.

    Parameters
    ----------
    seed : int
        Of the cohort.
    kind : int
        COHORT, PATIENT, SLIDE, PATCH or SITE.
    *numbers : int
        Indices from 0 that identify it.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> bool(generator(0, PATCH, 7).random() == generator(0, PATCH, 7).random())
    True
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(seed), kind, *numbers])))
