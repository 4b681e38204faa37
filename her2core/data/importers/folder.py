"""Importer of images in one folder per class: ``<root>/<class>/**/*.png``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from her2core.data.manifest import Manifest, build_manifest
from her2core.data.manifest_labels import scheme_of_labels
from her2core.errors import ManifestError
from her2core.io.images import SUFFIXES
from her2core.io.listing import FEW, Listing, images_below
from her2core.io.text import printable_path
from her2core.labels import get_scheme


def to_manifest(
    root: Path, *, mpp: float | None = None, source: str | None = None, scheme: str | None = None
) -> Manifest:
    """Read folders of images as a manifest, one row an image.

    Parameters
    ----------
    root : Path
        The folder; the class of an image is the first folder below it, which may be a link. Patients are unknown.
    mpp : float, optional
        Scale of every image in microns per pixel.
    source : str, optional
        Name of the data set; that of the folder when left out.
    scheme : str, optional
        Name of a label scheme (``labels.SCHEMES``) into which folder names are mapped. When left out, the one that they
        follow: IHC scores and HER2 status words in any spelling, otherwise classes of the data set's own.

    Returns
    -------
    Manifest
        Its facts say which folder names were read as which class, what was left out, what could not be read, and which
        links were followed out of the folder.

    Raises
    ------
    ManifestError
        For fewer than two class folders with images.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("HER2 Pos", "HER2 Neg"):
    ...         Path(folder, name).mkdir()
    ...         Image.new("RGB", (8, 8)).save(Path(folder, name, "1.png"))
    ...     manifest = to_manifest(folder, mpp=0.5)
    >>> manifest.classes, manifest.facts["labels_read_as"]
    (('negative', 'positive'), {'HER2 Neg': 'negative', 'HER2 Pos': 'positive'})
    """
    root = Path(root)
    listing = images_below(root) if root.is_dir() else Listing((), ())
    left_out = list(listing.left_out)
    rows = []
    for path in listing.files:
        inside = path.relative_to(root)
        if len(inside.parts) < 2:
            left_out.append(f"{printable_path(inside)}: left out, as it lies in no class folder.")
        elif printable_path(inside) != str(inside):
            left_out.append(f"{printable_path(inside)}: left out, as its name is not UTF-8 text. Rename it.")
        else:
            rows.append((inside.as_posix(), inside.parts[0]))
    classes = {label for _, label in rows}
    if len(classes) < 2:
        raise ManifestError(
            "at least two folders of images, one a class",
            got=" ".join([f"{len(classes)}", *listing.unreadable[:FEW]]) if root.is_dir() else "no such folder",
            where=str(root),
            fix=f"Put each class's images ({', '.join(SUFFIXES)}) into a folder named after the class.",
        )
    frame = pd.DataFrame(rows, columns=["path", "label"])
    frame["mpp"] = mpp if mpp is not None else float("nan")
    frame["source"] = source or root.name
    chosen = get_scheme(scheme) if scheme else None
    if chosen is None:
        chosen = scheme_of_labels(frame["label"], name=root.name or "folder", where=f"the folder names of {root.name}")
    said = {"left_out": left_out, "unreadable": list(listing.unreadable), "links": listing.links_sentence}
    facts = {name: value for name, value in said.items() if value}
    return build_manifest(frame, root=root, scheme=chosen, facts=facts, where=str(root))
