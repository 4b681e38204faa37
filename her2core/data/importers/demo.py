"""Where do patches come from when there are none? A seed in, a synthetic cohort on disk and its manifest out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from her2core.data.manifest import Manifest, build_manifest
from her2core.data.synthetic import CohortSpec, write_cohort
from her2core.labels import SCHEMES


def to_manifest(
    root: Path, *, workers: int = 2, progress: Callable[[int, int], None] | None = None, **spec
) -> Manifest:
    """Write the synthetic cohort below ``root`` and return its manifest; ``spec`` holds fields of CohortSpec.

    The patches are drawn by a program and are called synthetic wherever they appear. The same spec gives the same
    bytes. Raises ConfigError for a spec out of range.
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
