"""Bags of tile features, one a patient: the tiles of all their slides or fields, with one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from her2core.data.manifest import Manifest
from her2core.errors import ManifestError, TableError
from her2core.features.h5 import h5_of_slides, read_h5
from her2core.features.table import FeatureTable
from her2core.io.listing import FEW


@dataclass(frozen=True, eq=False)
class Bags:
    """Bags of one data set.

    Attributes
    ----------
    frame : DataFrame
        One row a bag: patient_id, label, site, slides, tiles.
    labels : int64 array (P,)
        Classes by number.
    classes : tuple of str
        In their order.
    vectors : float32 array (N, D)
        Features of all tiles, bag after bag.
    starts : int64 array (P + 1,)
        Where each bag begins.
    patch_ids : tuple of str
        Of the N tiles.
    notes : tuple of str
        What was left out.
    """

    frame: pd.DataFrame
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]
    patch_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def tiles(self, bag: int) -> npt.NDArray[np.float32]:
        """Features of one bag, float32 (N, D)."""
        return self.vectors[self.starts[bag] : self.starts[bag + 1]]


def patient_bags(manifest: Manifest, features: FeatureTable | Path) -> Bags:
    """Gather the tiles of each patient.

    Parameters
    ----------
    manifest : Manifest
        A row a tile, with a table of features; or a row a slide, with a folder of HDF5 files.
    features : FeatureTable or Path
        Features of the tiles by ``patch_id``, or a folder with an HDF5 file a slide (TRIDENT, CLAM), found by
        ``slide_id`` or by the name of the slide's file. Slides without a file are left out and said.

    Returns
    -------
    Bags

    Raises
    ------
    ManifestError
        Where patients are unknown, a patient has two labels, or no slide has features.
    TableError
        For a tile without features, features of several lengths, and files that cannot be read.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> rows = pd.DataFrame({"path": list("abc"), "label": ["x", "x", "y"], "patient_id": ["P1", "P1", "P2"]})
    >>> bags = patient_bags(build_manifest(rows, root="."), FeatureTable(tuple("cab"), np.eye(3, dtype=np.float32)))
    >>> bags.frame["tiles"].tolist(), bags.tiles(1).tolist()
    ([2, 1], [[1.0, 0.0, 0.0]])
    """
    if not manifest.patients_known:
        raise ManifestError(
            "a known patient in every row",
            got="unknown patients",
            where="bags",
            fix="Add patient ids: a bag holds the tiles of one patient.",
        )
    frame, notes = manifest.frame, list[str]()
    several = frame.groupby("patient_id")["label"].nunique()
    if (several > 1).any():
        raise ManifestError(
            "one label a patient",
            got=f"several of {several.idxmax()} ({int((several > 1).sum())} such patients)",
            where="bags",
            fix="Correct the labels, or leave these patients out.",
        )
    if isinstance(features, FeatureTable):
        frame = frame.sort_values(["patient_id", "slide_id", "patch_id"], kind="stable")
        vectors, ids = features.of(frame["patch_id"]), tuple(frame["patch_id"])
        owners = frame["patient_id"].to_numpy()
    else:
        frame, tables, notes = _of_slides(frame, features)
        vectors = np.concatenate([table.vectors for table in tables])
        ids = tuple(name for table in tables for name in table.patch_ids)
        owners = np.repeat(frame["patient_id"].to_numpy(), [len(table.patch_ids) for table in tables])
    patients = frame.groupby("patient_id", sort=True).agg(
        label=("label", "first"), site=("site", "first"), slides=("slide_id", "nunique")
    )
    codes = pd.Index(patients.index).get_indexer(owners)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(patients))
    labels = np.array([manifest.classes.index(label) for label in patients["label"]], np.int64)
    return Bags(
        patients.assign(tiles=counts).reset_index(),
        labels,
        manifest.classes,
        np.ascontiguousarray(vectors[order]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        tuple(ids[i] for i in order),
        tuple(notes),
    )


def _of_slides(frame: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, list[FeatureTable], list[str]]:
    frame = frame.drop_duplicates("slide_id").sort_values(["patient_id", "slide_id"], kind="stable")
    paths = frame["path"].map(lambda path: Path(str(path)).stem)
    found, missing = h5_of_slides(folder, {slide: [stem] for slide, stem in zip(frame["slide_id"], paths, strict=True)})
    if not found:
        raise ManifestError(
            "HDF5 files named after the slides of the manifest",
            got=f"none of {len(missing):,}, first {missing[0]}.h5",
            where=str(folder),
            fix="Name the folder of tile features (TRIDENT: features_<encoder>; CLAM: h5_files).",
        )
    tables = [read_h5(path, slide_id=name) for name, path in found.items()]
    lengths = {table.vectors.shape[1] for table in tables}
    if len(lengths) > 1:
        raise TableError(
            "features of one encoder",
            got=f"lengths {', '.join(map(str, sorted(lengths)))}",
            where=str(folder),
            fix="Keep the files of each encoder in a folder of their own.",
        )
    kept = frame[frame["slide_id"].isin(found)]
    few = ", ".join(missing[:FEW]) + (", ..." if len(missing) > FEW else "")
    return kept, tables, [f"{len(missing):,} slides without features: {few}."] if missing else []


def padded(tiles: Sequence[npt.NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Bags of different sizes as one tensor.

    Parameters
    ----------
    tiles : sequence of float32 arrays (N_i, D)

    Returns
    -------
    x : Tensor
        float32 (B, N, D), zero where there is no tile.
    mask : Tensor
        bool (B, N), True where there is one.

    Examples
    --------
    >>> x, mask = padded([np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)])
    >>> x.shape, mask.tolist()
    (torch.Size([2, 2, 3]), [[True, True], [True, False]])
    """
    longest = max(len(bag) for bag in tiles)
    x = torch.zeros(len(tiles), longest, tiles[0].shape[1])
    mask = torch.zeros(len(tiles), longest, dtype=torch.bool)
    for row, bag in enumerate(tiles):
        x[row, : len(bag)] = torch.from_numpy(bag)
        mask[row, : len(bag)] = True
    return x, mask
