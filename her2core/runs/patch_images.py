"""Images of a run's patches, or the reason why there are none.

A run folder holds no image. Patches of a synthetic cohort are rendered again from its specification, which gives the
same pixels; all others are read through the manifest named in the run's configuration, if it is on this machine and
unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.errors import ConfigError, Her2Error, RunError
from her2core.runs.files import AGAIN, MOST_SYNTHETIC_PATCHES
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


def patch_images(run: Run, *, base: Path, within: Sequence[Path] | None = None) -> PatchImages:
    """Find the images of a run's patches.

    Parameters
    ----------
    run : Run
    base : Path
        Folder for a manifest's relative path.
    within : sequence of Path, optional
        Folders outside which no manifest is opened, links followed; any may be when left out. A run names its manifest
        itself, so a server gives the folders that its visitors may read.

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
        return PatchImages(_rendered(run) if is_synthetic(run) else _from_manifest(run, base, within))
    except Her2Error as reason:
        return PatchImages(None, reason.sentence)


def synthetic_cohort(run: Run) -> CohortSpec:
    """The specification of the synthetic cohort that a run was trained on.

    Parameters
    ----------
    run : Run
        One of which ``is_synthetic`` is true.

    Returns
    -------
    CohortSpec

    Raises
    ------
    RunError
        For a specification that is missing, out of range, or of more patches than any run has.

    Examples
    --------
    >>> from her2core import open_run
    >>> synthetic_cohort(open_run("models/demo")).patients
    120
    """
    where = run.path / "model.card.json"
    try:
        spec = CohortSpec(**run.card["data"]["facts"]["spec"])
    except (KeyError, TypeError, ConfigError) as broken:
        raise RunError(
            "the specification of the synthetic cohort", got=f"none that can be used ({broken})", where=where, fix=AGAIN
        ) from None
    if spec.patches > MOST_SYNTHETIC_PATCHES:
        raise RunError(
            f"a synthetic cohort of at most {MOST_SYNTHETIC_PATCHES:,} patches",
            got=f"{spec.patches:,}",
            where=where,
            fix=AGAIN,
        )
    return spec


def _rendered(run: Run) -> ReadPatch:
    spec = synthetic_cohort(run)
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


def _from_manifest(run: Run, base: Path, within: Sequence[Path] | None) -> ReadPatch:
    path = base / run.config["manifest"]
    real = path.resolve()
    if within is not None and not any(real.is_relative_to(root.resolve()) for root in within):
        raise RunError(
            "a manifest below the folders that this server may read",
            got="one elsewhere",
            where=run.path / "config.yaml",
            fix="The operator names further folders in HER2_FOLDERS.",
        )
    # A manifest names any image of this machine: one that came with a run from elsewhere must not choose them.
    if any(os.path.lexists(folder / "run.json") for folder in real.parents):
        raise RunError(
            "a manifest outside run folders", got="one inside", where=run.path / "config.yaml", fix="Move it out."
        )
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
