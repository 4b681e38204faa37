"""Colour-only baseline on her2st: AUROC of a random forest for the top ERBB2 tertile.

A network must exceed this baseline to be worth serving. Features are mean, standard deviation and deciles of each
channel of the window, in RGB and in optical density, without and with Macenko normalisation; training on sections C2 to
C4, test on C5.

    python benchmarks/her2st_colour_baseline.py data/her2st.parquet
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from colour_features import colour_features
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.io.files import write_json
from her2core.stain.macenko import StainNormalizer

SEEDS = range(5)


def forest_auroc(features: np.ndarray, high: np.ndarray, test: np.ndarray, seed: int) -> float:
    """AUROC of a random forest trained on the rows outside of the test part."""
    forest = RandomForestClassifier(500, min_samples_leaf=3, n_jobs=2, random_state=seed)
    forest.fit(features[~test], high[~test])
    return float(roc_auc_score(high[test], forest.predict_proba(features[test])[:, 1]))


def main(path: str) -> None:
    manifest = read_manifest(path)
    frame, reader, stain = manifest.frame, PatchReader(manifest), StainNormalizer()
    images = [reader(p) for p in frame["patch_id"]]
    high, test = (frame["label"] == "high").to_numpy(), (frame["split"] == "test").to_numpy()
    result = {
        "command": f"python benchmarks/her2st_colour_baseline.py {path}",
        "task": "top tertile of ERBB2 counts per 10,000 (thresholds from C2 to C4) on section C5, one patient",
        "train_windows": int((~test).sum()),
        "test_windows": int(test.sum()),
    }
    for name, views in {"as_it_is": images, "macenko": [stain.apply(i).image for i in images]}.items():
        features = np.array([colour_features(v) for v in views])
        scores = [forest_auroc(features, high, test, seed) for seed in SEEDS]
        result[f"auroc_high_{name}"] = {
            "mean": round(float(np.mean(scores)), 4),
            "seeds": [round(s, 4) for s in scores],
        }
    write_json(Path(__file__).parent / "results" / "her2st_colour_baseline.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
