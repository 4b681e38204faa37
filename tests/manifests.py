"""Small manifests for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.manifest import Manifest, build_manifest


def table(**changes) -> pd.DataFrame:
    columns = {
        "path": ["a/1.png", "a/2.png", "b/3.png", "b/4.png"],
        "patient_id": ["007", "007", "8", "9"],
        "slide_id": ["01", "02", "3", "4"],
        "site": ["A2", "A2", "01", "01"],
        "mpp": [0.25, 0.25, np.nan, 0.5],
        "her2_ihc": ["0", "1+", "2+", "3+"],
        "ish": ["unknown", "unknown", "negative", "unknown"],
        "label": ["negative", "negative", "equivocal", "positive"],
        "block": ["001", "002", "NA", "x"],
        "age": [50, 50, 61, 70],
    } | changes
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def manifest(root="data", **changes) -> Manifest:
    return build_manifest(table(**changes), root=root, where="mine.csv")
