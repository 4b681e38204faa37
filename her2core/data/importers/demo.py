"""Importer of the synthetic cohort, which is drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from her2core.data.manifest import Manifest, build_manifest
from her2core.data.synthetic import CohortSpec, write_cohort
from her2core.labels import SCHEMES


def to_manifest(
    root: Path, *, workers: int = 2, progress: Callable[[int, int], None] | None = None, **spec: Any
) -> Manifest:
    """Draw the synthetic cohort and return its manifest.

    Parameters
    ----------
    root : Path
        Folder to write the patches to.
    workers : int
        Processes that draw.
    progress : callable, optional
        Called with the patches drawn and their number in all.
    **spec
        Fields of ``CohortSpec``: patients, patches_per_patient, px, seed and others. The same values give the same
        bytes.

    Returns
    -------
    Manifest
        Its facts say that the patches are synthetic.

    Raises
    ------
    ConfigError
        For a value out of range.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = to_manifest(folder, workers=1, patients=6, patches_per_patient=1, px=64)
    >>> len(manifest), manifest.facts["synthetic"]
    (6, True)
    """
    cohort = CohortSpec(**spec)
    frame = write_cohort(cohort, Path(root), workers=workers, progress=progress)
    facts = {
        "synthetic": True,
        "spec": {name: getattr(cohort, name) for name in cohort.__dataclass_fields__},
        "claim": "synthetic patches: figures on them say how the program works, nothing about tissue",
        "licence": "Apache-2.0",
        "citation": "her2core, synthetic cohort",
    }
    return build_manifest(frame, root=Path(root), scheme=SCHEMES["paper3"], facts=facts, where=str(root))
