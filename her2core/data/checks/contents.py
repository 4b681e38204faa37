"""Image contents of a manifest, read once: digests, thumbnails, colour statistics and properties of every patch.

Memory per patch: 64 bytes of digest, 4.6 kB of thumbnail, 18 kB of key points and 56 bytes of colour. Key points are
found up to ``MOST_WITH_KEY_POINTS`` patches: finding and searching them takes minutes there, and grows in proportion.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from her2core.data.checks.colour_statistics import COLOUR_STATISTICS, colour_statistics
from her2core.data.checks.fingerprint import SIDE, thumbnail
from her2core.data.checks.local_features import LocalFeatures
from her2core.data.checks.properties import file_row, patch_quality, pixel_row, property_frame
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.errors import Her2Error
from her2core.io.image_properties import image_properties

#: Patches beyond which no key points are found: the largest number measured (benchmarks/copies.py).
MOST_WITH_KEY_POINTS = 30_000


@dataclass(frozen=True, eq=False)
class Contents:
    """What was read from the images, in the manifest's row order.

    Parameters
    ----------
    digests : ndarray, object (N,)
        SHA-256 of size and pixels; None where the patch could not be read.
    thumbnails : ndarray, float16 (N, SIDE, SIDE)
        Optical density (natural logarithm).
    colours : ndarray, float32 (N, len(COLOUR_STATISTICS))
    unreadable : dict of str to str
        Patch id and reason of every file that exists but could not be decoded.
    properties : DataFrame
        Properties of files and patches (``properties.OF_FILE`` and ``OF_PIXELS``), one row a patch; without rows where
        they were not read.
    local : LocalFeatures, optional
        Key points of every patch; None beyond ``MOST_WITH_KEY_POINTS`` patches.
    flags : ndarray, object (N,), optional
        Quality flags of every patch, as ``quality.quality_flags`` gives them; None where they were not measured.
    """

    digests: np.ndarray
    thumbnails: np.ndarray
    colours: np.ndarray
    unreadable: dict[str, str]
    properties: pd.DataFrame = field(default_factory=lambda: property_frame([]))
    local: LocalFeatures | None = None
    flags: np.ndarray | None = None

    @property
    def readable(self) -> np.ndarray:
        """Whether each patch could be read, bool (N,)."""
        return np.array([digest is not None for digest in self.digests])


def read_contents(
    manifest: Manifest, *, threads: int = 2, progress: Callable[[int, int], None] | None = None
) -> Contents:
    """Read every patch of a manifest once, windows of the same image one after the other.

    Parameters
    ----------
    manifest : Manifest
    threads : int
        Number of reading threads; the result does not depend on it.
    progress : callable, optional
        Called as ``progress(patches_read, patches_in_total)``.

    Returns
    -------
    Contents
        Patches that cannot be read are listed there; nothing is raised for them.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from her2core.data.manifest import build_manifest
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "b.png"):
    ...     Image.new("RGB", (64, 64), (200, 150, 180)).save(folder / name)
    >>> table = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["negative", "positive"]})
    >>> contents = read_contents(build_manifest(table, root=folder))
    >>> bool(contents.digests[0] == contents.digests[1])
    True
    """
    ids = list(manifest.frame["patch_id"])
    count = len(ids)
    digests = np.full(count, None, object)
    thumbnails = np.zeros((count, SIDE, SIDE), np.float16)
    colours = np.zeros((count, len(COLOUR_STATISTICS)), np.float32)
    rows: list[tuple[object, ...] | None] = [None] * count
    local = LocalFeatures.empty(count) if count <= MOST_WITH_KEY_POINTS else None
    flags = np.full(count, None, object)
    flags[:] = [()] * count
    unreadable: dict[str, str] = {}
    files: dict[str, tuple[object, ...]] = {}
    paths = manifest.frame["path"].tolist()
    missing = set(manifest.missing_files())
    reader, lock = PatchReader(manifest), threading.Lock()

    def read(i: int) -> None:
        if paths[i] in missing:
            return
        try:
            image = reader(ids[i])
            if paths[i] not in files:
                files[paths[i]] = file_row(image_properties(manifest.file(paths[i])))
        except Her2Error as error:
            with lock:
                unreadable[ids[i]] = f"{error.got}, instead of {error.expected}"
            return
        thumbnails[i], colours[i] = thumbnail(image), colour_statistics(image)
        quality = patch_quality(image)
        rows[i] = (*files[paths[i]], *pixel_row(image, quality))
        flags[i] = quality.flags() if quality else ()
        if local is not None:
            local.add(i, image)
        digests[i] = hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()

    by_file = np.argsort(manifest.frame["path"].to_numpy().astype(str), kind="stable")
    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(read, by_file), start=1):
            if progress:
                progress(done, count)
    return Contents(digests, thumbnails, colours, unreadable, property_frame(rows), local, flags)
