"""All checks of a manifest and its split in one call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from her2core.data.checks.contents import Contents, read_contents
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.patients import patients_for_half_width
from her2core.data.checks.registry import CHECKS
from her2core.data.checks.report import CheckReport
from her2core.data.manifest import Manifest
from her2core.errors import ConfigError


def check_manifest(
    manifest: Manifest,
    split: pd.DataFrame | None = None,
    *,
    contents: bool | Contents = False,
    half_width: float | None = None,
    embeddings: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Check whether a data set supports the claims made from it.

    Parameters
    ----------
    manifest : Manifest
        The data set, one row per patch.
    split : DataFrame, optional
        Columns ``patch_id`` and ``split``; leakage across its parts is then checked too.
    contents : bool or Contents
        Read every image, to find identical images, near-duplicates and classes that colour alone predicts; or what
        was read already (``contents.read_contents``).
    half_width : float, optional
        Half-width wanted of each class's 95 % interval, as a proportion (0.1: ten percentage points to each side).
    embeddings : ndarray, float (N, D), optional
        Of a trained network, row for row with the manifest; NaN for patches without one, such as the training part.
    progress : callable, optional
        Called as ``progress(patches_read, patches_in_total)`` while images are read.

    Returns
    -------
    CheckReport
        A sequence of `Finding`, errors first; ``outcomes`` holds how every check ended (found, not found, not
        applicable, could not be run).

    Raises
    ------
    ConfigError
        For a half-width out of range, or a split without its two columns. Faults of the data are findings, never
        exceptions.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core import check_manifest
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({
    ...     "path": ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png"],
    ...     "label": ["negative", "negative", "negative", "positive", "positive", "positive", "positive"],
    ...     "patient_id": ["P1", "P2", "P3", "P4", "P5", "P6", "P6"],
    ...     "mpp": 0.5,
    ... })
    >>> manifest = build_manifest(table, root="images")
    >>> parts = ["train", "train", "test", "train", "train", "train", "test"]
    >>> report = check_manifest(manifest, pd.DataFrame({"patch_id": table["path"], "split": parts}))
    >>> [finding.code for finding in report]
    ['missing-files', 'few-patients', 'few-test-patients', 'patient-leak', 'incomplete-split']
    >>> report.outcome("patient-leak").finding.got
    '1 patient in several parts, the first: P6'
    >>> print(report.outcome("site-confounded"))
    site-confounded: could not be run (the site is unknown in every row)
    """
    if half_width is not None:
        patients_for_half_width(half_width)
    if split is not None and not {"patch_id", "split"} <= set(split.columns):
        raise ConfigError(
            "argument `split` to have columns patch_id and split",
            got=", ".join(map(str, split.columns)),
            fix="split_manifest, or her2 data split, makes such a table.",
        )
    read = contents if isinstance(contents, Contents) else None
    if contents is True:
        read = read_contents(manifest, progress=progress)
    inputs = CheckInputs(manifest, split, read, half_width, embeddings)
    return CheckReport(tuple(check.run(inputs) for check in CHECKS.values()))
