"""Synthetic H&E-like breast patches with known ground truth, for demonstration, tests and benchmarks.

Everything is invented: no patient, slide or diagnosis is behind it, and results on it say nothing about tissue.
`plan_cohort` lists the cohort, `render_patch` renders one patch with its coded mask, `write_cohort` writes all of them.
"""

from her2core.data.synthetic.cohort import PLAN_COLUMNS, SOURCE, CohortSpec, plan_cohort
from her2core.data.synthetic.render import SyntheticPatch, render_patch
from her2core.data.synthetic.tissue import MASK_CODES
from her2core.data.synthetic.write import write_cohort

__all__ = [
    "MASK_CODES",
    "PLAN_COLUMNS",
    "SOURCE",
    "CohortSpec",
    "SyntheticPatch",
    "plan_cohort",
    "render_patch",
    "write_cohort",
]
