"""Properties of a cohort's images that a run keeps, so that another cohort can be compared with it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from her2core.data.checks.colour_statistics import COLOUR_STATISTICS
from her2core.data.checks.properties import OF_FILE

#: File of a run folder: one row a patch whose image was read.
FILE = "image_properties.parquet"
#: The properties, and what each is about (a kind of ``evidence.drift``); all are numbers.
PROPERTIES: Mapping[str, str] = {
    **dict.fromkeys(COLOUR_STATISTICS, "image"),
    **dict.fromkeys((name for name in OF_FILE if name not in ("format", "JPEG tables")), "file"),
    "bytes per pixel": "file",
    "mpp": "file",
}


def image_properties(features: Mapping[str, pd.DataFrame | str]) -> pd.DataFrame | None:
    """Put the properties of images together.

    Parameters
    ----------
    features : mapping of str to (DataFrame or str)
        From ``baseline_features``: colour and file_properties by patch id, or why there are none.

    Returns
    -------
    DataFrame or None
        ``patch_id`` and ``PROPERTIES`` as float32; None where an image could not be read.

    Examples
    --------
    >>> image_properties({"colour": "the images were not read", "file_properties": "the images were not read"}) is None
    True
    """
    colour, files = features["colour"], features["file_properties"]
    if isinstance(colour, str) or isinstance(files, str):
        return None
    joined = pd.concat([colour, files], axis=1)[list(PROPERTIES)].astype("float32")
    return joined.rename_axis("patch_id").reset_index()
