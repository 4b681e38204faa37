"""Features of slides as TRIDENT and CLAM write them: an HDF5 file a slide with ``features`` and ``coords``.

Both name the file after the slide. ``features`` is (N, D), in some versions (1, N, D); ``coords`` is (N, 2), the upper
left corners of the tiles in level-0 pixels. A file of one vector (TRIDENT's slide encoders) holds no tiles.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from her2core.errors import TableError
from her2core.extras import require_extra
from her2core.features.table import FeatureTable
from her2core.io.text import clean_text, printable_path

SUFFIXES = (".h5", ".hdf5")


def read_h5(path: Path, *, slide_id: str = "") -> FeatureTable:
    """Read the features of one slide.

    Parameters
    ----------
    path : Path
        The file.
    slide_id : str, optional
        The slide; the file's stem when left out.

    Returns
    -------
    FeatureTable
        Tiles are named ``<slide_id>#<x>,<y>``, or by number where there are no coordinates.

    Raises
    ------
    TableError
        For no HDF5 file, one without ``features``, features of one vector, and parts of different lengths.
    ConfigError
        Where the extra ``h5`` is not installed.

    Examples
    --------
    >>> import tempfile, h5py
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(Path(folder, "S1.h5"), "w") as held:
    ...         held["features"], held["coords"] = np.ones((1, 2, 4)), np.array([[0, 0], [0, 256]])
    ...     table = read_h5(Path(folder, "S1.h5"))
    >>> table.patch_ids, table.vectors.shape
    (('S1#0,0', 'S1#0,256'), (2, 4))
    """
    require_extra("h5", "h5py")
    import h5py

    where, name = printable_path(path), slide_id or Path(path).stem
    try:
        with h5py.File(path, "r") as held:
            if not isinstance(held.get("features"), h5py.Dataset):
                raise _refused("a dataset `features`", f"{', '.join(list(held)[:8]) or 'an empty file'}", where)
            vectors = np.asarray(held["features"][()])
            coords = np.asarray(held["coords"][()]) if isinstance(held.get("coords"), h5py.Dataset) else None
    except OSError as broken:
        raise _refused("an HDF5 file of TRIDENT or CLAM", clean_text(broken, 100), where) from None
    if vectors.ndim == 3 and len(vectors) == 1:
        vectors = vectors[0]
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not len(vectors):
        raise _refused("`features` of tiles, floats (N, D)", f"{vectors.dtype} {vectors.shape}", where)
    if coords is not None and (coords.shape != (len(vectors), 2) or coords.dtype.kind not in "iu"):
        raise _refused(
            f"`coords` of each tile, whole numbers ({len(vectors)}, 2)", f"{coords.dtype} {coords.shape}", where
        )
    places = range(len(vectors)) if coords is None else [f"{x},{y}" for x, y in coords]
    ids = tuple(f"{name}#{place}" for place in places)
    if len(set(ids)) < len(ids):
        raise _refused("each tile once", "coordinates twice", where)
    return FeatureTable(
        ids,
        vectors.astype(np.float32),
        None if coords is None else coords.astype(np.int64),
        f"h5: {Path(path).parent.name}",
    )


def h5_of_slides(folder: Path, slide_ids: list[str]) -> tuple[dict[str, Path], list[str]]:
    """Find the file of each slide.

    Parameters
    ----------
    folder : Path
        Of files named after their slides.
    slide_ids : list of str
        The slides wanted.

    Returns
    -------
    found : dict of str to Path
    missing : list of str
        Slides without a file.

    Examples
    --------
    >>> h5_of_slides(Path("no-such-folder"), ["S1"])
    ({}, ['S1'])
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*")) if path.suffix.lower() in SUFFIXES}
    found = {name: files[name] for name in slide_ids if name in files}
    return found, [name for name in slide_ids if name not in found]


def _refused(expected: str, got: str, where: str) -> TableError:
    return TableError(expected, got=got, where=where, fix="Export the tile features of this slide again.")
