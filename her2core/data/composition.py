"""What is a data set made of? Its table in; counts of patches, patients or slides by class and any other column out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from her2core.data.manifest import UNKNOWN


def composition(frame: pd.DataFrame, *, by: str, count: str, classes: Sequence[str]) -> pd.DataFrame:
    """One row a value of column ``by`` and a class: columns ``group, class, count``.

    ``count`` is the column whose different values are counted: patch_id, patient_id or slide_id. Parts of a split come
    in their order, other values by name, unknown last.
    """
    table = frame.groupby([by, "label"], observed=True)[count].nunique().unstack(fill_value=0)
    table = table.reindex(columns=list(classes), fill_value=0)
    parts = {"train": 0, "val": 1, "test": 2}
    order = sorted(table.index, key=lambda v: (v == UNKNOWN, parts.get(v, 0) if by == "split" else 0, str(v)))
    long = table.loc[order].rename_axis(index="group", columns="class").stack().rename("count")
    return long.reset_index()
