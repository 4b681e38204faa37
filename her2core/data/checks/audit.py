"""Which checks are made, and in what order do their findings come? A manifest and a split in; findings out."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from her2core.data.checks.colour import colour_confounded
from her2core.data.checks.confounding import patient_confounded, scanner_confounded, site_confounded
from her2core.data.checks.contents import read_contents, unreadable_images
from her2core.data.checks.duplicates import identical_images, near_duplicates
from her2core.data.checks.finding import Finding
from her2core.data.checks.labels import label_conflict, one_class, patient_with_two_labels
from her2core.data.checks.leaks import patient_leak, slide_leak
from her2core.data.checks.neighbours import neighbouring_tiles
from her2core.data.checks.patients import few_patients, few_patients_for_interval, unknown_patients
from her2core.data.checks.rows import missing_files, missing_mpp
from her2core.data.manifest import Manifest

_OF_MANIFEST = (
    missing_files,
    one_class,
    few_patients,
    unknown_patients,
    label_conflict,
    patient_with_two_labels,
    missing_mpp,
    site_confounded,
    scanner_confounded,
    patient_confounded,
)
_OF_SPLIT = (patient_leak, slide_leak, neighbouring_tiles)
_OF_CONTENTS = (unreadable_images, identical_images, near_duplicates, colour_confounded)
_ORDER = {"error": 0, "warning": 1, "info": 2}


def check_manifest(
    manifest: Manifest,
    split: pd.DataFrame | None = None,
    *,
    contents: bool = False,
    half_width: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """All findings, errors first.

    Parameters
    ----------
    split : patch_id and split; leaks across its parts are looked for.
    contents : read every patch, to find the same tissue under two names and classes that colour alone gives away.
    half_width : the half-width wanted of each class's 95 % interval, as a share (0.1: within ten points of it).
    progress : called as (patches read, patches in all) while contents are read.

    Raises ConfigError for a half-width out of range. What is wrong with the data is a finding, never an exception.
    """
    found = [check(manifest) for check in _OF_MANIFEST]
    if half_width is not None:
        found.append(few_patients_for_interval(manifest, split, half_width))
    if split is not None:
        found += [check(manifest, split) for check in _OF_SPLIT]
    if contents:
        seen = read_contents(manifest, progress=progress)
        found += [check(manifest, split, seen) for check in _OF_CONTENTS]
    return sorted((f for f in found if f is not None), key=lambda f: _ORDER[f.severity])
