"""Patches of a distillation: those of manifests, without what evidence rests on, and windows of unlabelled images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.data.importers.tcga_windows import windows_of
from her2core.data.manifest import Manifest, build_manifest, read_manifest
from her2core.errors import ConfigError, ManifestError, RunError
from her2core.io.images import image_size
from her2core.io.listing import images_below
from her2core.labels import LabelScheme
from her2core.runs.folder import open_run
from her2core.training.distil_config import DistilConfig, FolderPatches, ManifestPatches

#: Parts of the table of patches.
TRAIN, VAL, LEFT_OUT = "train", "val", "left out"
_COLUMNS = ("patch_id", "patient_id", "slide_id", "site", "source")
_UNLABELLED = LabelScheme("unlabelled", ("unlabelled",), "no label", is_her2=False)


@dataclass(frozen=True)
class TaughtPatches:
    """What a student is taught on.

    Attributes
    ----------
    sources : tuple of Manifest
        The patches that are used, one manifest a source, in the order of the configuration.
    table : DataFrame
        Columns patch_id, patient_id, slide_id, site, source, synthetic and ``part``: train, val or left out. The used
        ones come first, in the order of ``sources``.
    hashes : dict
        Content hash of each manifest, or of the windows of a folder, by its path.
    """

    sources: tuple[Manifest, ...]
    table: pd.DataFrame
    hashes: dict[str, str]

    def rows(self, part: str) -> np.ndarray:
        """Positions of a part among the patches that are used, int64 (N,)."""
        used = self.table[self.table["part"] != LEFT_OUT]
        return np.flatnonzero(used["part"] == part)


def read_patches(config: DistilConfig) -> TaughtPatches:
    """List the patches of a distillation and hold a share of them out.

    Parameters
    ----------
    config : DistilConfig
        ``patches``, ``folders``, ``held_out`` and ``seed`` apply.

    Returns
    -------
    TaughtPatches

    Raises
    ------
    ConfigError
        Where nothing, or no patch to hold out, remains.
    ManifestError, RunError
        For a manifest, folder or run that cannot be read, and a run to leave out that has no patch of the manifest.
    """
    found = [_of_manifest(entry) for entry in config.patches] + [_of_folder(entry) for entry in config.folders]
    sources = [used for _, used, _ in found if len(used)]
    used = [_rows(manifest, TRAIN) for manifest in sources]
    number = sum(map(len, used))
    held_out = round(config.held_out * number)
    if held_out < 1 or number - held_out < 2:
        raise ConfigError(
            "patches to teach on, and at least one to hold out",
            got=f"{number} patches, of which {held_out} would be held out",
            where="patches, folders, held_out",
            fix="Name more data, leave out less, or raise held_out.",
        )
    table = pd.concat(used, ignore_index=True)
    chosen = np.random.default_rng(config.seed).permutation(number)[:held_out]
    table.loc[chosen, "part"] = VAL
    left_out = [_rows(out, LEFT_OUT) for _, _, out in found if len(out)]
    return TaughtPatches(
        tuple(sources),
        pd.concat([table, *left_out], ignore_index=True),
        {name: used.content_hash() for name, used, _ in found},
    )


def _of_manifest(entry: ManifestPatches) -> tuple[str, Manifest, Manifest]:
    manifest = read_manifest(entry.manifest)
    ids = set(manifest.frame["patch_id"])
    out: set[str] = set()
    for folder in entry.leave_out:
        split = open_run(folder).splits
        known = set(split["patch_id"])
        if not known & ids:
            raise RunError(
                f"a run on patches of {entry.manifest}",
                got="one that has none of them",
                where=folder,
                fix="Name the run below the manifest that it was made from.",
            )
        out |= set(split.loc[split["part" if "part" in split else "split"].isin(entry.leave_out_parts), "patch_id"])
    return str(entry.manifest), manifest.subset(ids - out), manifest.subset(ids & out)


def _of_folder(entry: FolderPatches) -> tuple[str, Manifest, Manifest]:
    listing = images_below(entry.folder) if entry.folder.is_dir() else None
    if listing is None or not listing.files or listing.unreadable:
        raise ManifestError(
            "a folder of images that can be read",
            got=(listing.unreadable or ("no image",))[0] if listing else "no such folder",
            where=entry.folder,
            fix="Correct `folders`.",
        )
    rows = []
    for path in listing.files:
        inside = path.relative_to(entry.folder).as_posix()
        for window in windows_of(image_size(path), 1.0, float(entry.window), entry.overlap, where=inside):
            if window is not None:
                rows.append({"path": inside, **dict(zip(("x", "y", "width", "height"), window, strict=True))})
    frame = pd.DataFrame(rows).assign(label="unlabelled", source=entry.source)
    manifest = build_manifest(frame, root=entry.folder, scheme=_UNLABELLED, where=str(entry.folder))
    return str(entry.folder), manifest, manifest.subset([])


def _rows(manifest: Manifest, part: str) -> pd.DataFrame:
    synthetic = bool(manifest.facts.get("synthetic"))
    return manifest.frame[list(_COLUMNS)].assign(synthetic=synthetic, part=part)
