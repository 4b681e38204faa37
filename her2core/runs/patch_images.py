"""Images of a run's patches, or the reason why there are none.

A run folder holds no image. Patches of a synthetic cohort are rendered again from its specification, which gives the
same pixels; all others are read through the manifest named in the run's configuration, if it is on this machine and
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.errors import Her2Error, RunError
from her2core.runs.folder import Run

ReadPatch = Callable[[str], NDArray[np.uint8]]


@dataclass(frozen=True)
class PatchImages:
    """Reader of a run's patches.

    Attributes
    ----------
    read : callable or None
        From patch id to uint8 (H, W, 3) RGB; raises a Her2Error for an id that the run does not have. None where no
        image is available.
    why_not : str
        The reason where ``read`` is None.
    """

    read: ReadPatch | None
    why_not: str = ""


def is_synthetic(run: Run) -> bool:
    """Tell whether the patches of a run were rendered by ``her2core.data.synthetic``.

    Parameters
    ----------
    run : Run

    Returns
    -------
    bool

    Examples
    --------
    >>> from her2core import open_run
    >>> is_synthetic(open_run("models/demo")), is_synthetic(open_run("models/tissue12"))
    (True, False)
    """
    return bool(run.card["data"].get("facts", {}).get("synthetic"))


def patch_images(run: Run, *, base: Path) -> PatchImages:
    """Find the images of a run's patches.

    Parameters
    ----------
    run : Run
    base : Path
        Folder for a manifest's relative path.

    Returns
    -------
    PatchImages

    Examples
    --------
    >>> from her2core import open_run
    >>> run = open_run("models/demo")
    >>> patch_images(run, base=Path(".")).read(run.predictions["patch_id"][0]).shape
    (128, 128, 3)
    """
    try:
        return PatchImages(_rendered(run) if is_synthetic(run) else _from_manifest(run, base))
    except Her2Error as reason:
        return PatchImages(None, reason.sentence)


def _rendered(run: Run) -> ReadPatch:
    facts = run.card["data"]["facts"]
    try:
        spec = CohortSpec(**facts["spec"])
    except (KeyError, TypeError) as broken:
        raise RunError(
            "the specification of the synthetic cohort",
            got=f"none that can be used ({broken})",
            where=run.path / "model.card.json",
            fix="Copy the run again from its source.",
        ) from None
    index = {patch_id: i for i, patch_id in enumerate(plan_cohort(spec)["patch_id"])}

    def read(patch_id: str) -> NDArray[np.uint8]:
        if patch_id not in index:
            raise RunError(
                "a patch of this run's cohort",
                got=repr(patch_id)[:80],
                where=run.name,
                fix="Use an id from the run's tables.",
            )
        return render_patch(spec, index[patch_id]).image

    return read


def _from_manifest(run: Run, base: Path) -> ReadPatch:
    config = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    path = Path(str(config.get("manifest", ""))) if isinstance(config, dict) else Path()
    path = path if path.is_absolute() else base / path
    manifest = read_manifest(path)
    if manifest.content_hash() != run.info.get("manifest_hash"):
        raise RunError(
            "the manifest that this run was trained on",
            got="one with other rows",
            where=path,
            fix="Import the data set again as it was.",
        )
    if missing := manifest.missing_files():
        raise RunError(
            "the images that the manifest names", got=f"{len(missing)} missing", where=path, fix="Restore the files."
        )
    return PatchReader(manifest)
