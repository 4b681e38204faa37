"""Out-of-distribution detection: scores of patches against a run's training data.

`fitting.fit_ood` fits a detector to the descriptors of a run's training patches and takes the threshold from its
validation patches; `patch_descriptors` and `OODDetector` score a patch at serving time.
"""

from her2core.ood.descriptor import descriptors, patch_descriptors
from her2core.ood.score import OODDetector, fit_detector, read_ood_detector

#: The file's name in a run folder.
FILE = "ood.safetensors"

__all__ = ["FILE", "OODDetector", "descriptors", "fit_detector", "patch_descriptors", "read_ood_detector"]
