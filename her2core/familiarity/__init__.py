"""Does this patch look like the training data? Prepared patches in; a score, larger for stranger, and a verdict out.

`fit_familiarity` learns from a run's training patches how they look and from its validation patches how far new ones
of the same kind stray; `describe` and `Familiarity` ask the same of a patch at serving time.
"""

from her2core.familiarity.descriptor import describe
from her2core.familiarity.fitting import fit_familiarity
from her2core.familiarity.score import Familiarity, learn, read_familiarity

#: The file's name in a run folder.
FILE = "familiarity.safetensors"

__all__ = ["FILE", "Familiarity", "describe", "fit_familiarity", "learn", "read_familiarity"]
