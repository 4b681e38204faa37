"""Features of slides as TRIDENT and CLAM write them: an HDF5 file a slide with ``features`` and ``coords``.

Both name the file after the slide. ``features`` is (N, D), in some versions with an axis of length 1 more; ``coords``
is (N, 2), the upper left corners of the tiles in level-0 pixels, in some versions with that axis too, or whole numbers
stored as floats. A file of one vector (TRIDENT's slide encoders) holds no tiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
    vectors, coords = _without_axis(vectors), None if coords is None else _whole(_without_axis(coords))
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
        ids, _single(vectors), None if coords is None else coords.astype(np.int64), f"h5: {Path(path).parent.name}"
    )


def h5_of_slides(folder: Path, slides: Mapping[str, Iterable[str]]) -> tuple[dict[str, Path], list[str]]:
    """Find the file of each slide.

    Parameters
    ----------
    folder : Path
        Of files named after their slides.
    slides : mapping of str to iterable of str
        The slides wanted, and what else their files may be called: the names of the slides' own files, which are
        longer than TCGA's barcodes, for instance.

    Returns
    -------
    found : dict of str to Path
    missing : list of str
        Slides without a file, or with one that could be another slide's as well.

    Examples
    --------
    >>> h5_of_slides(Path("no-such-folder"), {"S1": ["scan-1"]})
    ({}, ['S1'])
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*")) if path.suffix.lower() in SUFFIXES}
    named = {slide: next((n for n in (slide, *others) if n in files), None) for slide, others in slides.items()}
    times = Counter(named.values())
    found = {s: files[name] for s, name in named.items() if name and (times[name] == 1 or name == s)}
    return found, [slide for slide in slides if slide not in found]


def _without_axis(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Two axes of three, of which the first or second has the length 1."""
    axis = next((axis for axis in (0, 1) if values.ndim == 3 and values.shape[axis] == 1), None)
    return values if axis is None else values.squeeze(axis)


def _whole(coords: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Floats that are whole numbers as integers; others as they are."""
    whole = coords.dtype.kind == "f" and bool((np.abs(coords) < 2**53).all()) and bool((coords % 1 == 0).all())
    return coords.astype(np.int64) if whole else coords


def _single(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """As float32; numbers beyond its range become infinite, which a table of features refuses."""
    with np.errstate(over="ignore"):
        return vectors.astype(np.float32)


def _refused(expected: str, got: str, where: str) -> TableError:
    return TableError(expected, got=got, where=where, fix="Export the tile features of this slide again.")
