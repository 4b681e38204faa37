"""What do the images themselves say? A manifest in; every patch's digest, thumbnail and colours out, read once.

Per patch stay 64 bytes of digest, 4.6 kB of thumbnail and 56 bytes of colour: about half a gigabyte for 100,000.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.data.checks.colour import COLOURS, colours
from her2core.data.checks.finding import Finding, finding
from her2core.data.checks.fingerprint import SIDE, thumbnail
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.errors import Her2Error


@dataclass(frozen=True)
class Contents:
    """What was read, in the manifest's row order.

    ``digests`` object (N,), SHA-256 of size and pixels, None where nothing could be read; ``thumbnails`` float16
    (N, SIDE, SIDE) of optical density; ``colours`` float32 (N, len(COLOURS)); ``refused`` patch id -> why it could not
    be read, missing files left out.
    """

    digests: np.ndarray
    thumbnails: np.ndarray
    colours: np.ndarray
    refused: dict[str, str]

    @property
    def read(self) -> np.ndarray:
        """bool (N,): whether the patch could be read."""
        return np.array([d is not None for d in self.digests])


def read_contents(
    manifest: Manifest, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> Contents:
    """Read every patch of the manifest once, windows of one image together; what cannot be read is told, not raised."""
    ids = list(manifest.frame["patch_id"])
    count = len(ids)
    seen = Contents(
        np.full(count, None, object),
        np.zeros((count, SIDE, SIDE), np.float16),
        np.zeros((count, len(COLOURS)), np.float32),
        {},
    )
    missing = set(manifest.missing_files())
    reader, lock = PatchReader(manifest), threading.Lock()

    def one(i: int) -> None:
        if manifest.frame["path"].iloc[i] in missing:
            return
        try:
            image = reader(ids[i])
        except Her2Error as refused:
            with lock:
                seen.refused[ids[i]] = str(refused)
            return
        seen.thumbnails[i], seen.colours[i] = thumbnail(image), colours(image)
        seen.digests[i] = hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()

    by_file = np.argsort(manifest.frame["path"].to_numpy().astype(str), kind="stable")
    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(one, by_file), start=1):
            if progress:
                progress(done, count)
    return seen


def unreadable_images(manifest: Manifest, split: pd.DataFrame | None, seen: Contents) -> Finding | None:
    """An error where a file that is there is no whole image, or a window lies outside its image."""
    if not seen.refused:
        return None
    rows = [i for i in manifest.frame["patch_id"] if i in seen.refused]
    return finding(
        "unreadable-images",
        "error",
        rows,
        "images that can be read whole",
        f"{len(rows)} that cannot, the first: {seen.refused[rows[0]]}",
        "Replace these files or correct their windows, or drop their rows.",
    )
