"""Rendering time of the synthetic cohort, and the optimism of a random patch split on it.

The optimism is measured with colours alone (a random forest on colour_features): five-fold cross-validation over
patches at random, against folds that keep each patient together.

    python benchmarks/synthetic_cohort.py
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from colour_features import colour_features
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

from her2core import import_dataset
from her2core.data.patches import PatchReader
from her2core.io.files import write_json


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        manifest = import_dataset("demo", folder, workers=2)
        seconds = time.perf_counter() - began
        reader = PatchReader(manifest)
        features = np.array([colour_features(reader(p)) for p in manifest.frame["patch_id"]])
    labels, patients = manifest.frame["label"].to_numpy(), manifest.frame["patient_id"].to_numpy()
    forest = RandomForestClassifier(300, min_samples_leaf=2, n_jobs=2, random_state=0)
    accuracy = {}
    for name, folds in {
        "patch_random": StratifiedKFold(5, shuffle=True, random_state=0),
        "patient": StratifiedGroupKFold(5, shuffle=True, random_state=0),
    }.items():
        kept = patients if name == "patient" else None
        predicted = cross_val_predict(forest, features, labels, groups=kept, cv=folds)
        accuracy[name] = round(float((predicted == labels).mean()), 4)
    result = {
        "command": "python benchmarks/synthetic_cohort.py",
        "patches": len(manifest),
        "px": 128,
        "seconds_two_workers": round(seconds, 1),
        "colour_forest_patch_accuracy": accuracy,
        "chance": round(1 / 3, 4),
    }
    write_json(Path(__file__).parent / "results" / "synthetic_cohort.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
