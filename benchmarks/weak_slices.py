"""Search for weak slices on simulated test parts: how often it names one where there is none, and what it finds.

    python benchmarks/weak_slices.py [REPEATS]            (writes benchmarks/results/weak_slices.json)

Patients of very unequal numbers of patches, whose errors cluster; three classes by patient; site and scanner by
patient, six image properties that vary between and within patients: some 100 to 400 overlapping subsets a search.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from her2core.evidence.predictions import Predictions
from her2core.evidence.weak_slices import WEAKER, weak_slices

OUT = Path(__file__).resolve().parent / "results" / "weak_slices.json"


@dataclass(frozen=True)
class Regime:
    """A kind of test part: patients, patches of the median patient, spread of their log number, accuracy, clustering.

    ``clustering`` is the intraclass correlation of errors; ``lost`` the accuracy lost in the planted subset.
    """

    patients: int
    patches: int = 20
    spread: float = 1.0
    accuracy: float = 0.85
    clustering: float = 0.3
    lost: float = 0.0


#: No subset is weak in any of these.
NULL = {
    "12 patients": Regime(12),
    "24 patients": Regime(24),
    "24 patients, accuracy 0.97": Regime(24, accuracy=0.97),
    "24 patients, very unequal": Regime(24, spread=1.8),
    "24 patients, one patch each": Regime(24, patches=1, spread=0.0, clustering=0.0),
    "24 patients, errors of whole patients": Regime(24, clustering=0.8),
    "60 patients": Regime(60),
    "60 patients, accuracy 0.6": Regime(60, accuracy=0.6),
}
#: One site is weak in each of these.
PLANTED = {
    "60 patients, 0.3 lost": Regime(60, lost=0.3, clustering=0.1),
    "100 patients, 0.2 lost": Regime(100, lost=0.2, clustering=0.1),
    "100 patients, 0.3 lost": Regime(100, lost=0.3, clustering=0.3),
    "24 patients, 0.4 lost": Regime(24, lost=0.4, clustering=0.1),
}
#: The weak site.
SITE = "site B"


def simulate(regime: Regime, seed: int) -> tuple[Predictions, pd.DataFrame]:
    """Predictions of a test part, and the columns that describe its patches."""
    rng = np.random.default_rng([seed, regime.patients, regime.patches])
    sizes = np.maximum(1, np.round(regime.patches * np.exp(regime.spread * rng.standard_normal(regime.patients))))
    patient = np.repeat(np.arange(regime.patients), np.minimum(sizes, 400).astype(int))
    label = rng.integers(0, 3, regime.patients)
    site = rng.choice(["site A", SITE, "site C"], regime.patients, p=[0.45, 0.35, 0.2])
    scanner = rng.choice(["one", "two"], regime.patients)
    mean = np.clip(regime.accuracy - regime.lost * (site == SITE) - 0.03 * (label == 1), 0.02, 0.98)
    if regime.clustering:
        scale = 1 / regime.clustering - 1
        own = rng.beta(mean * scale, (1 - mean) * scale)
    else:
        own = mean
    right = rng.random(len(patient)) < own[patient]
    predicted = np.where(right, label[patient], (label[patient] + rng.integers(1, 3, len(patient))) % 3)
    frame = pd.DataFrame({"patient_id": [f"P{i:03}" for i in patient], "label": label[patient], "predicted": predicted})
    columns = pd.DataFrame({"site": site[patient], "scanner": scanner[patient]})
    for i in range(6):
        between = rng.standard_normal(regime.patients)[patient]
        columns[f"property {i}"] = between + rng.standard_normal(len(patient)) * (i / 3)
    return Predictions.from_frame(frame), columns


def named(regime: Regime, seed: int, *, resamples: int = 500) -> tuple[bool, bool, int]:
    """Whether any subset is named as weaker, whether the weak site is among them or describes them, and how many."""
    predictions, columns = simulate(regime, seed)
    found = weak_slices(predictions, columns, resamples=resamples, seed=seed)
    weak = found[found["statement"] == WEAKER]
    searched = int(found["searched"].iloc[0]) if len(found) else 0
    return len(weak) > 0, bool(weak["subset"].str.contains(SITE, regex=False).any()), searched


def main(repeats: int) -> None:
    """Simulate all regimes and write the shares."""
    results: dict[str, object] = {"repeats": repeats, "level": 0.05, "no subset is weak": {}, "site B is weak": {}}
    for part, regimes in (("no subset is weak", NULL), ("site B is weak", PLANTED)):
        for name, regime in regimes.items():
            start = time.perf_counter()
            answers = [named(regime, seed) for seed in range(repeats)]
            row = {
                "any named": float(np.mean([a[0] for a in answers])),
                "subsets searched (median)": float(np.median([a[2] for a in answers])),
                "seconds a search": round((time.perf_counter() - start) / repeats, 3),
            }
            if regime.lost:
                row["weak site found"] = float(np.mean([a[1] for a in answers]))
            results[part][name] = row  # type: ignore[index]  # a dict of the two parts above
            print(part, name, row, flush=True)
    OUT.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
