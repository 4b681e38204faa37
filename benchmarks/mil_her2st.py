"""Bag models on her2st: the ERBB2 level of a region of tissue from its windows, on sections left out.

The four sections are of one HER2-positive tumour. As whole slides they would be four bags of one patient with
one status, on which nothing can be learned or tested. So a bag is a square region of tissue: its label is the tertile
of its spots' mean ERBB2 mRNA (thresholds of the training sections), and single windows have no label. Each section is
left out in turn, the next one (after C5: C2) validates, the other two train. This asks whether pooling finds a weak
regional signal on another section of the same tumour. It says nothing about patients, scanners, or HER2 status.

    OMP_NUM_THREADS=1 python -m benchmarks.mil_her2st ../shared/data/her2st/data
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from her2core import import_dataset
from her2core.data.patches import PatchReader
from her2core.evidence.calibration import probabilities
from her2core.io.files import write_csv, write_json
from her2core.mil.bags import Bags
from her2core.mil.fit import MilSettings, fit_mil
from her2core.runs.provenance import provenance
from her2core.training.config import make_config
from her2core.training.tile_features import tile_features

RESULTS = Path(__file__).parent / "results"
#: Side of a region in microns (4 by 4 spots), fewest windows of a bag, and bootstrap samples of regions.
REGION, FEWEST, RESAMPLES = 800.0, 6, 2000
POOLS = ("mean", "attention", "top_k", "noisy_or")
SEEDS = (0, 1, 2)
CLASSES = ("low", "middle", "high")
LEVELS = np.arange(3)
HALF = [0.5, 0.5, 0.5]
FIELDS = {
    "name": "mil-her2st",
    "manifest": "given",
    "network": {"name": "timm:tf_efficientnet_lite0", "init": "package:efficientnet-lite0"},
    "input": {"px": 224, "mean": HALF, "std": HALF},
    "hardware": {"accelerator": "cpu", "precision": "32-true", "workers": 0},
}


def regions(frame: pd.DataFrame) -> pd.DataFrame:
    """Windows with their region; those of small regions are left out."""
    side = REGION / frame["mpp"]
    column, row = (((frame[axis] + frame["width"] / 2) // side).astype(int).astype(str) for axis in "xy")
    frame = frame.assign(region=frame["slide_id"] + "-" + row + "_" + column)
    kept = frame.groupby("region")["patch_id"].transform("size") >= FEWEST
    return frame[kept].sort_values(["region", "patch_id"], kind="stable").reset_index(drop=True)


def bags_of(frame: pd.DataFrame, vectors: np.ndarray, trained: list[str]) -> Bags:
    """Bags with labels by tertiles of the regions of some sections."""
    table = frame.groupby("region", sort=True).agg(
        slide_id=("slide_id", "first"), level=("erbb2_per_10k", "mean"), tiles=("patch_id", "size")
    )
    cuts = np.quantile(table.loc[table["slide_id"].isin(trained), "level"], [1 / 3, 2 / 3])
    labels = np.digitize(table["level"], cuts).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(table["tiles"])]).astype(np.int64)
    return Bags(table.reset_index(), labels, CLASSES, vectors, starts, tuple(frame["patch_id"]))


def bounded_correlation(level: np.ndarray, scores: np.ndarray) -> list[float]:
    """Spearman's correlation with its 95 % interval over regions of the section."""
    rng = np.random.default_rng(0)
    draws = [rows for rows in rng.integers(0, len(level), (RESAMPLES, len(level))) if len(set(rows)) > 2]
    values = [spearmanr(level[rows], scores[rows]).statistic for rows in draws]
    return [round(float(v), 3) for v in (spearmanr(level, scores).statistic, *np.nanquantile(values, [0.025, 0.975]))]


def by_pool(bags: Bags, rows: dict[str, np.ndarray], pool: str) -> np.ndarray:
    """Expected level, 0 to 2, of the regions left out, the mean over seeds."""
    found = []
    for seed in SEEDS:
        fitted = fit_mil(bags, MilSettings(pool=pool), train=rows["train"], val=rows["val"], seed=seed)
        found.append(probabilities(fitted.scores(bags, rows["test"]), fitted.temperature) @ LEVELS)
    return np.mean(found, axis=0)


def by_colour(bags: Bags, colours: np.ndarray, rows: dict[str, np.ndarray]) -> np.ndarray:
    """The same by logistic regression on the mean colour of a region."""
    means = np.stack([colours[a:b].mean(axis=0) for a, b in zip(bags.starts[:-1], bags.starts[1:], strict=True)])
    used = np.concatenate([rows["train"], rows["val"]])
    scale = StandardScaler().fit(means[used])
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(scale.transform(means[used]), bags.labels[used])
    return model.predict_proba(scale.transform(means[rows["test"]])) @ model.classes_


def main(root: str) -> None:
    """Every section left out once, by every pooling."""
    torch.set_num_threads(1)
    cohort = import_dataset("her2st", root)
    frame = regions(cohort.frame)
    kept = cohort.subset(frame["patch_id"])
    vectors = tile_features(make_config(FIELDS, where="benchmark"), kept).of(frame["patch_id"])
    reader = PatchReader(cohort)
    colours = np.array([reader(name).mean(axis=(0, 1)) for name in frame["patch_id"]])
    sections, found = sorted(frame["slide_id"].unique()), []
    for number, section in enumerate(sections):
        validated = sections[(number + 1) % len(sections)]
        trained = [s for s in sections if s not in (section, validated)]
        bags = bags_of(frame, vectors, trained)
        of = bags.frame["slide_id"].to_numpy()
        parts = {"train": np.isin(of, trained), "val": of == validated, "test": of == section}
        rows = {name: np.flatnonzero(part).astype(np.int64) for name, part in parts.items()}
        level = bags.frame["level"].to_numpy()[rows["test"]]
        scores = {"colour": by_colour(bags, colours, rows)} | {pool: by_pool(bags, rows, pool) for pool in POOLS}
        for name, score in scores.items():
            value, lower, upper = bounded_correlation(level, score)
            fitted = len(rows["train"]) + (len(rows["val"]) if name == "colour" else 0)  # nothing to choose by val
            counts = {"regions": len(level), "trained_on": fitted}
            row = {"section": section, "model": name, "spearman": value, "lower_95": lower, "upper_95": upper}
            found.append(row | counts)
        print(pd.DataFrame(found[-len(scores) :]).to_string(index=False), flush=True)
    table = pd.DataFrame(found)
    write_csv(RESULTS / "mil_her2st.csv", table, float_format="%.3f")
    write_json(
        RESULTS / "mil_her2st.json",
        {
            "what": "Spearman's correlation of the expected level with a region's mean ERBB2 mRNA, on a section left "
            "out; one HER2-positive tumour of one patient; research use only",
            "command": f"OMP_NUM_THREADS=1 python -m benchmarks.mil_her2st {root}",
            "region_um": REGION,
            "windows": len(frame),
            "regions": {s: int(n) for s, n in frame.groupby("slide_id")["region"].nunique().items()},
            "mean_over_sections": table.groupby("model")["spearman"].mean().round(3).to_dict(),
            "limits": [
                "Intervals are about other regions of that section; regions beside each other are alike, so that they "
                "are too narrow.",
                "Sections of one tumour: nothing is known of other patients. mRNA inside a positive tumour is no HER2 "
                "status.",
            ],
            "table": "mil_her2st.csv",
            "made": provenance(),
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
