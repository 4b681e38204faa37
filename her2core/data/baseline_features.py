"""Features of the baselines of a run: colours and file properties read from the images, site and grade of the table."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from her2core.data.checks.colour_statistics import COLOUR_STATISTICS
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.checks.properties import OF_FILE
from her2core.data.manifest import Manifest
from her2core.io.cells import UNKNOWN, missing_cells

#: Training patches that are read at most; of the test part all are.
MAX_TRAINING = 4000
_GRADE = re.compile(r"(?<![a-z])(grade|grading|nottingham|nhg|sbr)(?![a-z])")
_NOT_READ = "the images were not read"


def table_features(rows: pd.DataFrame) -> dict[str, pd.DataFrame | str]:
    """Features that need no image.

    Parameters
    ----------
    rows : DataFrame
        Of a manifest, or of a run's data table; with patch_id and site.

    Returns
    -------
    dict of str to (DataFrame or str)
        site and grade, by patch id, or the reason why there are none; colour and file_properties with the reason that
        the images were not read.

    Examples
    --------
    >>> rows = pd.DataFrame({"patch_id": ["1", "2"], "site": ["A", "B"], "Nottingham grade": [1, 3]})
    >>> found = table_features(rows)
    >>> list(found["site"]["site"]), list(found["grade"].columns), found["colour"]
    (['A', 'B'], ['Nottingham grade'], 'the images were not read')
    """
    by_patch = rows.drop_duplicates("patch_id").set_index("patch_id")
    found: dict[str, pd.DataFrame | str] = {"colour": _NOT_READ, "file_properties": _NOT_READ}
    known = by_patch["site"] != UNKNOWN
    if not known.any():
        found["site"] = "the site is unknown in every row"
    elif by_patch["site"].nunique() < 2:
        found["site"] = "there is only one site"
    else:
        found["site"] = by_patch[["site"]]
    grades = [c for c in by_patch if _GRADE.search(str(c).casefold().replace("_", " "))]
    grades = [c for c in grades if not missing_cells(by_patch[c]).all()]
    found["grade"] = by_patch[grades].astype(str) if grades else "the data have no column of the tumour grade"
    return found


def baseline_features(
    manifest: Manifest,
    split: pd.DataFrame,
    *,
    contents: Contents | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame | str]]:
    """Rows and features on which baselines are fitted and assessed.

    Parameters
    ----------
    manifest : Manifest
        All patches.
    split : DataFrame
        Columns patch_id and split.
    contents : Contents, optional
        Of all patches, where they were read before. Otherwise the test part is read, and at most MAX_TRAINING patches
        of the training part.
    seed : int
        Of the sample.
    progress : callable, optional
        As for ``read_contents``.

    Returns
    -------
    rows : DataFrame
        Rows of the manifest with their part: all of the test part, and those of the training part that were read.
    features : dict of str to (DataFrame or str)
        colour, site, file_properties and grade by patch id, or the reason why there are none.

    Examples
    --------
    >>> import tempfile
    >>> from her2core import import_dataset
    >>> from her2core.data.splits import split_manifest
    >>> cohort = import_dataset("demo", tempfile.mkdtemp(), patients=12, patches_per_patient=1, px=64, workers=1)
    >>> rows, features = baseline_features(cohort, split_manifest(cohort, "patient", seed=0))
    >>> features["colour"].shape == (len(rows), 14), features["grade"]
    (True, 'the data have no column of the tumour grade')
    """
    parts = manifest.frame["patch_id"].map(split.drop_duplicates("patch_id").set_index("patch_id")["split"])
    used = np.flatnonzero(parts.isin(("train", "test")))
    train = used[parts.iloc[used] == "train"]
    if contents is None:
        if len(train) > MAX_TRAINING:
            train = np.random.default_rng(seed).choice(train, MAX_TRAINING, replace=False)
        used = np.sort(np.concatenate([train, used[parts.iloc[used] == "test"]]))
        some = manifest.subset(manifest.frame["patch_id"].iloc[used])
        contents, within = read_contents(some, progress=progress), np.arange(len(used))
    else:
        within = used
    rows = manifest.frame.iloc[used].reset_index(drop=True).assign(split=parts.iloc[used].to_numpy())
    features = table_features(rows)
    readable = contents.readable[within]
    if not readable.all():
        reason = f"{int((~readable).sum())} patches could not be read"
        features |= {"colour": reason, "file_properties": reason}
        return rows, features
    ids = pd.Index(rows["patch_id"])
    colours = pd.DataFrame(contents.colours[within], index=ids, columns=list(COLOUR_STATISTICS))
    files = contents.properties.iloc[within][list(OF_FILE)].set_axis(ids)
    files["bytes per pixel"] = files["bytes"] / (files["width"] * files["height"])
    files["mpp"] = rows["mpp"].to_numpy(float)
    features |= {"colour": colours, "file_properties": files}
    return rows, features
