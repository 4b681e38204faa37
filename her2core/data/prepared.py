"""Prepared patches of a cohort, kept in memory over the trainings of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from her2core.data.manifest import Manifest
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare


class PreparedCohort:
    """Prepares every patch of the cohort that was asked for last only once, whatever the parts of its splits.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from her2core.data.manifest import build_manifest
    >>> from her2core.io.images import encode_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, level in (("a.png", 60), ("b.png", 200)):
    ...         _ = Path(folder, name).write_bytes(encode_png(np.full((16, 16, 3), level, np.uint8)))
    ...     rows = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"], "patch_id": ["1", "2"]})
    ...     whole = build_manifest(rows, root=folder)
    ...     cohort = PreparedCohort()
    ...     _ = cohort.images(whole, whole.subset(["1"]), Prepare(32, None))
    >>> cohort.images(whole, whole.subset(["2"]), Prepare(32, None))[0, 0, 0].tolist()  # its file is gone
    [200, 200, 200]
    """

    def __init__(self) -> None:
        self._key: tuple[str, Prepare] | None = None
        self._images: npt.NDArray[np.uint8] = np.empty((0, 0, 0, 3), np.uint8)

    def images(
        self, cohort: Manifest, part: Manifest, prepare: Prepare, *, progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Prepared patches of a part of the cohort.

        Parameters
        ----------
        cohort : Manifest
            All patches.
        part : Manifest
            Some of them.
        prepare : Prepare
            Size and stain.
        progress : callable, optional
            As for ``prepare_all``.

        Returns
        -------
        uint8 array (N, px, px, 3)
            RGB, in the part's row order.

        Raises
        ------
        ManifestError
            As ``prepare_all``.
        """
        key = (cohort.content_hash(), prepare)
        if self._key != key:
            self._images, self._key = prepare_all(cohort, prepare, progress=progress)[0], key
        row_of = {patch: row for row, patch in enumerate(cohort.frame["patch_id"])}
        return self._images[[row_of[patch] for patch in part.frame["patch_id"]]]
