"""Features of tiles in a file: safetensors, or a Parquet table.

    <name>.safetensors   "features" float32 (N, D), "coords" int64 (N, 2) where known, "patch_ids" uint8 (UTF-8, one id
                         a line); the network's description in the file's metadata
    <name>.parquet       patch_id, x, y where known, feature_0 ... feature_<D-1>

A safetensors file cannot run code when it is read, and is the choice for many tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from her2core.errors import TableError
from her2core.io.files import write_parquet, write_tensors
from her2core.io.tables import read_table
from her2core.io.text import clean_text, printable_path

_PREFIX = "feature_"
SUFFIXES = (".safetensors", ".parquet")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of tiles.

    Parameters
    ----------
    patch_ids : tuple of str
        Of the N tiles, each once.
    vectors : float32 array (N, D)
    coords : int64 array (N, 2), optional
        Upper left corners in level-0 pixels.
    network : str
        What made them.

    Raises
    ------
    TableError
        For parts of different lengths, an id twice, and numbers that are not finite.

    Examples
    --------
    >>> table = FeatureTable(("a", "b"), np.eye(2, dtype=np.float32))
    >>> table.of(["b"]).tolist()
    [[0.0, 1.0]]
    """

    patch_ids: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    coords: npt.NDArray[np.int64] | None = None
    network: str = "unknown"

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if self.vectors.ndim != 2 or shape[0] != len(self.patch_ids) or not all(shape):
            raise _refused(f"features (N, D) of {len(self.patch_ids):,} tiles", f"shape {shape}")
        if self.coords is not None and self.coords.shape != (shape[0], 2):
            raise _refused(f"coords ({shape[0]}, 2)", f"shape {self.coords.shape}")
        if len(set(self.patch_ids)) < len(self.patch_ids):
            raise _refused("each tile once", "an id twice")
        if not np.isfinite(self.vectors).all():
            row = int(np.argmin(np.isfinite(self.vectors).all(axis=1)))
            raise _refused("features that are finite numbers", f"others, first of tile {self.patch_ids[row][:80]!r}")

    def of(self, patch_ids: Iterable[str]) -> npt.NDArray[np.float32]:
        """Features of some tiles in the order asked for, float32 (M, D).

        Raises
        ------
        TableError
            For a tile that has none.
        """
        row_of = {name: row for row, name in enumerate(self.patch_ids)}
        wanted = list(patch_ids)
        if missing := [name for name in wanted if name not in row_of]:
            raise TableError(
                "features of every tile of the manifest",
                got=f"none of {len(missing):,}, first {clean_text(missing[0], 80)!r}",
                where="features",
                fix="Compute the features of this manifest (her2 features), or name the file that belongs to it.",
            )
        return self.vectors[[row_of[name] for name in wanted]]

    def write(self, path: Path) -> Path:
        """Write the table, under a temporary name first.

        Parameters
        ----------
        path : Path
            Ending in .safetensors or .parquet.

        Returns
        -------
        Path
            ``path``.

        Raises
        ------
        TableError
            For another ending.
        """
        path = Path(path)
        if path.suffix == ".parquet":
            ids = {"patch_id": list(self.patch_ids)}
            places = {} if self.coords is None else {"x": self.coords[:, 0], "y": self.coords[:, 1]}
            values = {f"{_PREFIX}{i}": column for i, column in enumerate(self.vectors.T)}
            return write_parquet(path, pd.DataFrame({**ids, **places, **values}), {"network": self.network})
        if path.suffix != ".safetensors":
            raise _refused(f"a name ending in {' or '.join(SUFFIXES)}", path.name)
        content: dict[str, npt.NDArray[Any]] = {
            "features": np.ascontiguousarray(self.vectors, np.float32),
            "patch_ids": np.frombuffer("\n".join(self.patch_ids).encode(), np.uint8).copy(),
            **({} if self.coords is None else {"coords": np.ascontiguousarray(self.coords, np.int64)}),
        }
        return write_tensors(path, lambda target: save_file(content, target, metadata={"network": self.network}))


def read_features(path: Path) -> FeatureTable:
    """Read features that ``FeatureTable.write`` wrote.

    Parameters
    ----------
    path : Path
        A .safetensors or .parquet file.

    Returns
    -------
    FeatureTable

    Raises
    ------
    TableError
        For another or a damaged file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = FeatureTable(("a", "b"), np.eye(2, dtype=np.float32), network="resnet50")
    ...     [read_features(table.write(Path(folder, f"f{s}"))).network for s in SUFFIXES]
    ['resnet50', 'resnet50']
    """
    path = Path(path)
    where = printable_path(path)
    if path.suffix == ".parquet":
        table = read_table(path, text=("patch_id",))
        names = [f"{_PREFIX}{i}" for i in range(sum(str(c).startswith(_PREFIX) for c in table.frame))]
        if not names or not {"patch_id", *names} <= set(table.frame):
            raise _refused("columns patch_id, feature_0, feature_1, ...", ", ".join(table.frame.columns[:8]), where)
        frame = table.frame
        coords = frame[["x", "y"]].to_numpy(np.int64) if {"x", "y"} <= set(frame) else None
        vectors = np.ascontiguousarray(frame[names].to_numpy(np.float32))
        return FeatureTable(
            tuple(frame["patch_id"].astype(str)), vectors, coords, table.metadata.get("network", "unknown")
        )
    try:
        with safe_open(path, framework="numpy") as held:
            ids = bytes(held.get_tensor("patch_ids")).decode().split("\n")
            coords = held.get_tensor("coords") if "coords" in held.keys() else None  # noqa: SIM118  # no mapping
            vectors = held.get_tensor("features").astype(np.float32)
            network = (held.metadata() or {}).get("network", "unknown")
    except (OSError, SafetensorError, UnicodeDecodeError) as broken:
        raise _refused(
            f"features in a file that her2 features wrote ({' or '.join(SUFFIXES)})", clean_text(broken, 100), where
        ) from None
    return FeatureTable(tuple(ids), vectors, coords, network)


def _refused(expected: str, got: str, where: str = "features") -> TableError:
    return TableError(expected, got=got, where=where, fix="Compute or export the features again.")
