"""Does this patch look like the training data? Prepared patches in; a score, larger for stranger, and a verdict out.

`fit_ood` learns from a run's training patches how they look and from its validation patches how far new ones
of the same kind stray; `describe` and `OODDetector` ask the same of a patch at serving time.
"""

from her2core.ood.descriptor import describe
from her2core.ood.fitting import fit_ood
from her2core.ood.score import OODDetector, learn, read_ood_detector

#: The file's name in a run folder.
FILE = "ood.safetensors"

__all__ = ["FILE", "OODDetector", "describe", "fit_ood", "learn", "read_ood_detector"]
