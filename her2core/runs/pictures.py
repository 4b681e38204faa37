"""What did the patches of this run look like? A run in; a reader from patch id to pixels out, or the reason why not.

A run folder holds no picture. Those of a synthetic cohort are drawn again from its specification, which gives the very
same pixels; all others are read through the manifest named in the run's configuration, if it is on this machine and
still the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.errors import Her2Error, RunError
from her2core.runs.folder import Run


@dataclass(frozen=True)
class Pictures:
    """``read`` gives uint8 (H, W, 3) RGB for a patch id and raises a Her2Error for one it does not have. ``read`` is
    None where no picture is at hand, and ``why_not`` says the reason."""

    read: Callable[[str], np.ndarray] | None
    why_not: str = ""


def is_synthetic(run: Run) -> bool:
    """Whether the patches of this run were drawn by her2core.data.synthetic."""
    return bool(run.card["data"].get("facts", {}).get("synthetic"))


def pictures_of(run: Run, *, base: Path) -> Pictures:
    """The pictures of a run's patches; a manifest's relative path is looked up below ``base``."""
    try:
        return Pictures(_drawn_again(run) if is_synthetic(run) else _from_manifest(run, base))
    except Her2Error as reason:
        return Pictures(None, str(reason))


def _drawn_again(run: Run) -> Callable[[str], np.ndarray]:
    facts = run.card["data"]["facts"]
    try:
        spec = CohortSpec(**facts["spec"])
    except (KeyError, TypeError) as broken:
        raise RunError(
            "the specification of the synthetic cohort",
            got=f"none that can be used ({broken})",
            where=str(run.path / "model.card.json"),
            fix="Take the run again from its source.",
        ) from None
    index = {patch_id: i for i, patch_id in enumerate(plan_cohort(spec)["patch_id"])}

    def read(patch_id: str) -> np.ndarray:
        if patch_id not in index:
            raise RunError(
                "a patch of this run's cohort",
                got=repr(patch_id)[:80],
                where=run.name,
                fix="Take an id from its tables.",
            )
        return render_patch(spec, index[patch_id]).image

    return read


def _from_manifest(run: Run, base: Path) -> Callable[[str], np.ndarray]:
    config = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    path = Path(str(config.get("manifest", ""))) if isinstance(config, dict) else Path()
    path = path if path.is_absolute() else base / path
    manifest = read_manifest(path)
    if manifest.content_hash() != run.info.get("manifest_hash"):
        raise RunError(
            "the manifest that this run was trained on",
            got="one with other rows",
            where=str(path),
            fix="Import the data set again as it was.",
        )
    if missing := manifest.missing_files():
        raise RunError(
            "the images that the manifest names",
            got=f"{len(missing)} missing",
            where=str(path),
            fix="Put the files back.",
        )
    return PatchReader(manifest)
