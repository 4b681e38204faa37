"""Where does each random number come from? Integers that name a thing in; its own numpy Generator out.

Every patient, slide and patch has a generator keyed by (seed, kind of thing, its number), so that a patch depends on
the spec and its index alone, never on what was drawn before it or on the number of workers.
"""

from __future__ import annotations

import numpy as np

COHORT, PATIENT, SLIDE, PATCH, SITE = 1, 2, 3, 4, 5


def generator(seed: int, kind: int, *numbers: int) -> np.random.Generator:
    """The generator of one thing: ``kind`` is COHORT, PATIENT, SLIDE, PATCH or SITE; keys are integers from 0."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(seed), kind, *numbers])))
