"""Pixels of the patches of a manifest, whole images or windows of larger ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pandas as pd

from her2core.data.manifest import WINDOW, Manifest
from her2core.data.prepare import Prepare
from her2core.errors import Her2Error, ImageError, ManifestError
from her2core.io.images import RGBImage, read_image

#: Large images kept decoded, so that a section is not decoded again for each of its windows.
_KEPT_IMAGES = 2


class PatchReader:
    """Reader of the patches of one manifest. Threads may share it.

    Parameters
    ----------
    manifest : Manifest
        Rows with ``patch_id`` and ``path``; with ``x, y, width, height`` a row is a window of its image. A file that
        only one row names and that is exactly such a tile, at its own or at a lower magnification, is read whole: x and
        y are then its position on the slide.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from her2core.data.manifest import build_manifest
    >>> from her2core.io.images import encode_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, level in (("a.png", 60), ("b.png", 200)):
    ...         _ = Path(folder, name).write_bytes(encode_png(np.full((16, 16, 3), level, np.uint8)))
    ...     rows = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"], "patch_id": ["1", "2"]})
    ...     reader = PatchReader(build_manifest(rows, root=folder))
    ...     reader("2")[0, 0].tolist()
    [200, 200, 200]
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._rows = manifest.frame.set_index("patch_id", drop=False)
        self._has_windows = all(c in manifest.frame for c in WINDOW)
        self._shared_files = set(manifest.frame.loc[manifest.frame["path"].duplicated(), "path"])
        self._kept: OrderedDict[str, RGBImage] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, patch_id: str) -> RGBImage:
        """Read one patch.

        Parameters
        ----------
        patch_id : str
            Its id in the manifest.

        Returns
        -------
        uint8 array (H, W, 3)
            RGB pixels.

        Raises
        ------
        ManifestError
            The id is unknown, or the window lies outside of the image.
        ImageError
            The image cannot be read.
        """
        if patch_id not in self._rows.index:
            raise ManifestError(
                "a patch id of this manifest", got=repr(patch_id), where="patch", fix="Choose one of its table."
            )
        row = self._rows.loc[patch_id]
        if not self._has_windows or pd.isna(row["x"]):
            return read_image(self.manifest.file(row["path"]))
        whole = self._decoded(row["path"])
        x, y, width, height = (int(row[c]) for c in WINDOW)
        if x < 0 or y < 0 or x + width > whole.shape[1] or y + height > whole.shape[0]:
            if row["path"] not in self._shared_files and _is_tile(whole, width, height):
                return whole
            raise ManifestError(
                f"a window inside the image ({whole.shape[1]} x {whole.shape[0]} px)",
                got=f"{width} x {height} px at {x}, {y}",
                where=f"patch {patch_id}",
                fix="Correct the window's columns.",
            )
        return np.ascontiguousarray(whole[y : y + height, x : x + width])

    def _decoded(self, path: str) -> RGBImage:
        with self._lock:  # one decode at a time: two threads with the same section would need 280 MB each
            if path not in self._kept:
                self._kept[path] = read_image(self.manifest.file(path))
                if len(self._kept) > _KEPT_IMAGES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(path)
            return self._kept[path]


def _is_tile(image: RGBImage, width: int, height: int) -> bool:
    """Whether an image is a tile of this size, or the same at 2/3 of its magnification or less, to the pixel."""
    if image.shape[:2] == (height, width):
        return True
    scale = max(width / image.shape[1], height / image.shape[0])
    return scale >= 1.5 and abs(width / scale - image.shape[1]) <= 1 and abs(height / scale - image.shape[0]) <= 1


def prepare_all(
    manifest: Manifest, prepare: Prepare, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> tuple[npt.NDArray[np.uint8], list[tuple[str, ...]]]:
    """Read and prepare every patch of a manifest.

    Parameters
    ----------
    manifest : Manifest
        The patches.
    prepare : Prepare
        Size and stain.
    threads : int, default 2
        Patches prepared at the same time.
    progress : callable, optional
        Called with (done, total) after each patch.

    Returns
    -------
    images : uint8 array (N, px, px, 3)
        RGB, in the manifest's row order.
    flags : list of tuple of str
        Each patch's flags, keys of ``her2core.data.prepare.FLAGS``.

    Raises
    ------
    ManifestError
        Images that cannot be read: their number, and the first by name. None is skipped silently.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from her2core.data.manifest import build_manifest
    >>> from her2core.io.images import encode_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, level in (("a.png", 120), ("b.png", 250)):
    ...         _ = Path(folder, name).write_bytes(encode_png(np.full((16, 16, 3), level, np.uint8)))
    ...     rows = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"]})
    ...     images, flags = prepare_all(build_manifest(rows, root=folder), Prepare(32))
    >>> images.shape, flags
    ((2, 32, 32, 3), [('one_colour',), ('blank',)])
    """
    reader = PatchReader(manifest)
    ids = list(manifest.frame["patch_id"])
    paths = list(manifest.frame["path"])
    images = np.empty((len(ids), prepare.px, prepare.px, 3), np.uint8)
    flags: list[tuple[str, ...]] = [()] * len(ids)
    unreadable: list[tuple[str, str]] = []

    def prepare_one(i: int) -> None:
        try:
            prepared = prepare(reader(ids[i]))
        except ImageError as failed:
            unreadable.append((str(paths[i]), str(failed)))
            return
        images[i], flags[i] = prepared.image, prepared.flags

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(prepare_one, _by_file(manifest)), start=1):
            if progress:
                progress(done, len(ids))
    if unreadable:
        path, reason = min(unreadable)
        raise ManifestError(
            "readable images",
            got=f"{len(unreadable)} unreadable, the first: {path} ({reason})",
            where="manifest",
            fix="Replace these files or drop their rows, then start again.",
        )
    return images, flags


def readable(reader: PatchReader, patch_ids: Iterable[str]) -> dict[str, RGBImage]:
    """Those of the patches whose image can be read, for pages that show pictures where there are some.

    Parameters
    ----------
    reader : PatchReader
        Reader of the manifest.
    patch_ids : iterable of str
        The patches wanted.

    Returns
    -------
    dict of str to uint8 array (H, W, 3)
        RGB pixels by patch id, in the order wanted.
    """
    found = {}
    for patch_id in patch_ids:
        try:
            found[patch_id] = reader(patch_id)
        except Her2Error:
            continue
    return found


def _by_file(manifest: Manifest) -> list[int]:
    """Row numbers ordered by file, so that windows of one image come together."""
    return [int(i) for i in np.argsort(manifest.frame["path"].to_numpy().astype(str), kind="stable")]
