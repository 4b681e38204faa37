"""Whose layout is `<root>/<class>/**/*.{png,jpg,...}`? A folder of classes in, a manifest out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from her2core.data.manifest import Manifest, build_manifest
from her2core.errors import ManifestError
from her2core.io.images import SUFFIXES
from her2core.labels import SCHEMES, declared_scheme


def to_manifest(root: Path, *, mpp: float | None = None, source: str | None = None) -> Manifest:
    """One row an image, its class the first folder below ``root``. Patients are unknown, and stay so.

    ``mpp`` (microns per pixel) and ``source`` go into every row where given. Raises ManifestError when there are
    fewer than two class folders with images.
    """
    root = Path(root)
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and p.parent != root)
    inside = [p.relative_to(root) for p in files]
    # Names that start with a dot are leftovers of other programs (.ipynb_checkpoints, ._tile.jpg), not images.
    rows = [(p.as_posix(), p.parts[0]) for p in inside if not any(part.startswith(".") for part in p.parts)]
    classes = tuple(sorted({label for _, label in rows}))
    if len(classes) < 2:
        raise ManifestError(
            "at least two folders of images, one a class",
            got=f"{len(classes)}" if root.is_dir() else "no such folder",
            where=str(root),
            fix=f"Put each class's images ({', '.join(SUFFIXES)}) into a folder named after the class.",
        )
    frame = pd.DataFrame(rows, columns=["path", "label"])
    frame["mpp"] = mpp if mpp is not None else float("nan")
    frame["source"] = source or root.name
    known = next((s for s in SCHEMES.values() if set(s.classes) == set(classes)), None)
    scheme = known or declared_scheme(root.name or "folder", classes, f"the folder names below {root.name}")
    return build_manifest(frame, root=root, scheme=scheme, where=str(root))
