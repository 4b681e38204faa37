"""What does this row of the manifest look like? A row in, its pixels out, uint8 RGB; windows cut on the way."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from her2core.data.manifest import WINDOW, Manifest
from her2core.data.prepare import Prepare
from her2core.errors import Her2Error, ImageError, ManifestError
from her2core.io.images import read_image

#: Large images kept decoded, so that the windows of one section do not decode it again each.
_KEEP_OPEN = 2


class PatchReader:
    """Read the patches of one manifest. Threads may share it."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._rows = manifest.frame.set_index("patch_id", drop=False)
        self._has_windows = all(c in manifest.frame for c in WINDOW)
        self._open: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, patch_id: str) -> np.ndarray:
        """uint8 (H, W, 3) RGB. Raises ManifestError for an unknown id or a window outside, ImageError otherwise."""
        if patch_id not in self._rows.index:
            raise ManifestError(
                "a patch id of this manifest", got=repr(patch_id), where="patch", fix="Take one from its table."
            )
        row = self._rows.loc[patch_id]
        if not self._has_windows or pd.isna(row["x"]):
            return read_image(self.manifest.file(row["path"]))
        whole = self._decoded(row["path"])
        x, y, width, height = (int(row[c]) for c in WINDOW)
        if x < 0 or y < 0 or x + width > whole.shape[1] or y + height > whole.shape[0]:
            raise ManifestError(
                f"a window inside the image ({whole.shape[1]} x {whole.shape[0]} px)",
                got=f"{width} x {height} px at {x}, {y}",
                where=f"patch {patch_id}",
                fix="Correct the window's columns.",
            )
        return np.ascontiguousarray(whole[y : y + height, x : x + width])

    def _decoded(self, path: str) -> np.ndarray:
        with self._lock:  # one decode at a time: two threads after the same section would each hold 280 MB of it
            if path not in self._open:
                self._open[path] = read_image(self.manifest.file(path))
                if len(self._open) > _KEEP_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(path)
            return self._open[path]


def prepare_all(
    manifest: Manifest, prepare: Prepare, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Every patch of the manifest, in its row order: uint8 (N, px, px, 3) RGB, and each patch's flags.

    Raises ManifestError that lists the first unreadable files; none is skipped silently.
    """
    reader = PatchReader(manifest)
    ids = list(manifest.frame["patch_id"])
    images = np.empty((len(ids), prepare.px, prepare.px, 3), np.uint8)
    flags: list[tuple[str, ...]] = [()] * len(ids)
    broken: list[str] = []

    def one(i: int) -> None:
        try:
            prepared = prepare(reader(ids[i]))
        except ImageError as failed:
            broken.append(str(failed))
            return
        images[i], flags[i] = prepared.image, prepared.flags

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(one, _by_file(manifest)), start=1):
            if progress:
                progress(done, len(ids))
    if broken:
        raise ManifestError(
            "readable images",
            got=f"{len(broken)} unreadable, the first: {sorted(broken)[0]}",
            where="manifest",
            fix="Replace these files or drop their rows, then start again.",
        )
    return images, flags


def readable(reader: PatchReader, patch_ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the patches whose image is at hand; for pages that show pictures where they can."""
    found = {}
    for patch_id in patch_ids:
        try:
            found[patch_id] = reader(patch_id)
        except Her2Error:
            continue
    return found


def _by_file(manifest: Manifest) -> list[int]:
    """Row numbers ordered by file, so that windows of one image come together."""
    return list(np.argsort(manifest.frame["path"].to_numpy().astype(str), kind="stable"))
