"""Manifests below the allowed folders of a server, and images that lie outside of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pyarrow import ArrowException

from her2core.data.manifest import META_KEY, Manifest, sidecar
from her2core.errors import ManifestError
from her2core.io.listing import is_system_name
from her2core.io.text import printable_path

#: At most so many manifests are offered.
MAX_MANIFESTS = 200


def manifest_files(roots: Sequence[Path]) -> list[Path]:
    """Find the manifests that ``her2 data import`` wrote below some folders.

    Parameters
    ----------
    roots : sequence of Path
        Allowed folders, resolved. Hidden folders and links are passed over.

    Returns
    -------
    list of Path
        Parquet files with a manifest's metadata, and CSV files with theirs beside them; at most MAX_MANIFESTS.

    Examples
    --------
    >>> manifest_files([Path("no-such-folder")])
    []
    """
    found: list[Path] = []
    for root in roots:
        for folder, below, files in os.walk(root):  # links to folders are not followed
            below[:] = sorted(d for d in below if not is_system_name(d))
            for name in sorted(files):
                path = Path(folder, name)
                if not is_system_name(name) and not path.is_symlink() and is_manifest(path):
                    found.append(path)
                if len(found) == MAX_MANIFESTS:
                    return found
    return found


def refuse_images_outside(manifest: Manifest, roots: Sequence[Path], *, where: str) -> None:
    """Refuse a manifest that names images outside of the allowed folders, links followed.

    Parameters
    ----------
    manifest : Manifest
    roots : sequence of Path
        Allowed folders, resolved.
    where : str
        The manifest, for the message.

    Raises
    ------
    ManifestError
        That names the first of them.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": ["1.png", "/etc/hosts"], "label": ["low", "high"]})
    >>> manifest = build_manifest(table, root="/srv/data")
    >>> refuse_images_outside(manifest.subset(["1.png"]), [Path("/srv/data")], where="own.csv")
    >>> refuse_images_outside(manifest, [Path("/srv/data")], where="own.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    her2core.errors.ManifestError: Expected images below the allowed folders, but got 1 outside of them, the first: ...
    """
    outside = [p for p in manifest.frame["path"].unique() if not is_below(manifest.file(p), roots)]
    if outside:
        raise ManifestError(
            "images below the allowed folders",
            got=f"{len(outside):,} outside of them, the first: {printable_path(outside[0])}",
            where=where,
            fix="Name their folder in HER2_FOLDERS, or copy them.",
        )


def is_below(path: Path, roots: Sequence[Path]) -> bool:
    """Tell whether a file lies below one of some folders once links are followed.

    Parameters
    ----------
    path : Path
        It need not exist.
    roots : sequence of Path
        Resolved.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_below(Path("/srv/data/../x.png"), [Path("/srv/data")])
    False
    """
    try:
        real = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return False
    return any(real.is_relative_to(root) for root in roots)


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest that her2core wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_manifest(Path("README.md"))
    False
    """
    if path.suffix == ".csv":
        return sidecar(path).is_file() and not sidecar(path).is_symlink()
    if path.suffix != ".parquet":
        return False
    try:
        stated = (pq.read_metadata(path).metadata or {}).get(META_KEY.encode(), b"")
    except (OSError, ArrowException):
        return False
    return b'"classes"' in stated
