"""Composition of a data set: counts of patches, patients or slides by class and another column."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import PARTS


def composition(frame: pd.DataFrame, *, by: str, count: str, classes: Sequence[str]) -> pd.DataFrame:
    """Count patches, patients or slides of each class in each group.

    Parameters
    ----------
    frame : DataFrame
        One row per patch, with ``label`` and the two columns named below.
    by : str
        Column of the groups, such as 'split', 'site' or 'scanner'.
    count : {'patch_id', 'patient_id', 'slide_id'}
        Column whose distinct values are counted.
    classes : sequence of str
        In the order to report them.

    Returns
    -------
    DataFrame
        Columns ``group``, ``class`` and ``count``, one row per group and class. Parts of a split come in their order,
        other groups by name, unknown last.

    Examples
    --------
    >>> frame = pd.DataFrame({"patch_id": list("abc"), "label": ["x", "x", "y"], "split": ["test", "train", "train"]})
    >>> composition(frame, by="split", count="patch_id", classes=["x", "y"])
       group class  count
    0  train     x      1
    1  train     y      1
    2   test     x      1
    3   test     y      0
    """
    table = frame.groupby([by, "label"], observed=True)[count].nunique().unstack(fill_value=0)
    table = table.reindex(columns=list(classes), fill_value=0)
    places = {part: place for place, part in enumerate(PARTS)} if by == "split" else {}
    order = sorted(table.index, key=lambda v: (v == UNKNOWN, places.get(v, 0), str(v)))
    long = table.loc[order].rename_axis(index="group", columns="class").stack().rename("count")
    return long.reset_index()
