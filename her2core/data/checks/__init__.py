"""Can this data set carry the claim? A manifest (and a split) in; coded findings out, with the rows and the way out.

`check_manifest` in ``audit.py`` lists every check; each stands in a file of its own with what it looks at.
"""

from her2core.data.checks.audit import check_manifest
from her2core.data.checks.finding import EXPLANATIONS, Finding
from her2core.data.checks.patients import MIN_PATIENTS, patients_for_half_width

__all__ = ["EXPLANATIONS", "MIN_PATIENTS", "Finding", "check_manifest", "patients_for_half_width"]
