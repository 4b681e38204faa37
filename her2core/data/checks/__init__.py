"""Checks of a data set and its split: leakage, confounding, contradictory labels, too few patients.

`check_manifest` runs every check of the registry (``registry.py``); each check is a function in its subject's file.
"""

from her2core.data.checks.audit import check_manifest
from her2core.data.checks.check import Check
from her2core.data.checks.outcome import Finding, Outcome
from her2core.data.checks.patients import MIN_PATIENTS, patients_for_half_width
from her2core.data.checks.registry import CHECKS
from her2core.data.checks.report import CheckReport

__all__ = [
    "CHECKS",
    "MIN_PATIENTS",
    "Check",
    "CheckReport",
    "Finding",
    "Outcome",
    "check_manifest",
    "patients_for_half_width",
]
