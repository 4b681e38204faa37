"""False statements of paired comparisons: two runs, and groups of runs over several seeds, that do not differ.

OMP_NUM_THREADS=1 python benchmarks/comparison_errors.py [COHORTS] [PROCESSES]

Cohorts are those of interval_coverage.py: three classes, equally frequent or 80, 15 and 5 %, 25 patches a patient or 1
to 500 (lognormal). Half the variance of a score, between patients and between patches, is common to all trainings of a
cohort, so that what is hard for one is hard for the others. All have the same expected accuracy.

Rows of results/comparison_errors.csv. ``kind`` is ``runs`` (two runs, ``compare_runs``; ``descriptive`` is the
proportion of cohorts in which at least one of all intervals leaves zero out), or ``seeds`` (two or four groups of
``seeds`` runs, ``summarize_seeds``; the quality of a training varies so that its accuracy has the standard deviation
``seed_sd``; with ``own_parts`` every seed is tested on its own fifth of 5 times the patients). ``false`` is the
proportion of cohorts with at least one false statement, ``none`` of those without any statement (too few patients or
no interval), ``detected`` that of statements where one run is better by ``effect`` of accuracy, and
``detectable_difference`` the median of what the comparisons say they could have shown.
"""

from __future__ import annotations

import itertools
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from interval_coverage import BETWEEN, CLASSES, DESIGNS, SHARES, WITHIN, Design, cohort, signal_for

from her2core.evidence.compare import compare_runs
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.seeds import summarize_seeds
from her2core.io.files import write_csv, write_json

COHORTS, PATIENTS = 300, (8, 20, 40, 60, 120)
SEEDS, SEED_SDS, SEED_PATIENTS = (2, 3, 5), (0.0, 0.044, 0.08), (20, 60)
SHARED = 0.5  # of the variance, by all trainings of a cohort
EFFECT = 0.1
RESULTS = Path(__file__).parent / "results"


class Cohort:
    """Patients and patches that several trainings are tested on."""

    def __init__(self, design: Design, patients: int, seed: list[int]) -> None:
        self.rng, self.design = np.random.default_rng(seed), design
        self.label = self.rng.choice(3, patients, p=SHARES[design.classes])
        lognormal = np.clip(self.rng.lognormal(np.log(20), 1.2, patients).round(), 1, 500).astype(int)
        self.patient = np.repeat(np.arange(patients), 25 if design.sizes == "equal" else lognormal)
        names = {"patch_id": np.arange(len(self.patient)), "patient_id": self.patient}
        self.ids = {name: pd.Series(values).astype("str") for name, values in names.items()}
        self.shared = self._effects()

    def _effects(self) -> np.ndarray:
        between = BETWEEN * self.rng.normal(size=(len(self.label), 3))[self.patient]
        return between + WITHIN * self.rng.normal(size=(len(self.patient), 3))

    def tested(self, signal: float, part: np.ndarray | None = None) -> Predictions:
        """Patches of the patients of a part, judged by one training."""
        own = np.sqrt(SHARED) * self.shared + np.sqrt(1 - SHARED) * self._effects()
        odds = np.exp(own + signal * np.eye(3)[self.label[self.patient]])
        probs, labels = odds / odds.sum(axis=1, keepdims=True), self.label[self.patient]
        p = Predictions(id_table(self.ids, len(labels)), probs, labels, CLASSES)
        return p if part is None else p.where(np.flatnonzero(np.isin(self.patient, part)))


def accuracy(design: Design, signal: float) -> float:
    """Expected accuracy at the unit of the design."""
    p = cohort(design, 4000, signal, 3)
    return float((p.predicted == p.labels).mean())


def slope(design: Design, signal: float) -> float:
    """Change of the accuracy with the signal."""
    return (accuracy(design, signal + 0.2) - accuracy(design, signal - 0.2)) / 0.4


def of_runs(cohorts: int, design: Design) -> list[dict]:
    """Two runs, without and with a difference."""
    signal, rows = signal_for(design), []
    better = signal + EFFECT / max(slope(design, signal), 1e-3)
    for patients in PATIENTS:
        said: dict[str, list] = {"false": [], "none": [], "descriptive": [], "detected": [], "detectable": []}
        for number in range(cohorts):
            made = Cohort(design, patients, [patients, number])
            first, second, third = made.tested(signal), made.tested(signal), made.tested(better)
            found = compare_runs(first, second, unit=design.unit)
            said["false"].append(found.statement.endswith(" is better"))
            said["none"].append(found.statement.startswith("cannot be compared"))
            excluded = (found.table["lower_95"] > 0) | (found.table["upper_95"] < 0)
            said["descriptive"].append(bool(excluded.any()))
            said["detectable"].append(found.primary["detectable_difference"])
            changed = compare_runs(first, third, unit=design.unit, metrics=["balanced_accuracy"])
            said["detected"].append(changed.statement == "second is better")
        rows.append(
            {"kind": "runs", **design._asdict(), "patients": patients}
            | {name: round(float(np.mean(said[name])), 4) for name in ("false", "none", "descriptive", "detected")}
            | {"effect": EFFECT, "detectable_difference": _median(said["detectable"])}
        )
    return rows


def of_seeds(cohorts: int, design: Design) -> list[dict]:
    """Groups of runs over several seeds."""
    signal, rows = signal_for(design), []
    rate = slope(design, signal)
    designs = itertools.product(SEEDS, SEED_SDS, SEED_PATIENTS, (2, 4), (False, True))
    for seeds, sd, patients, groups, own_parts in designs:
        false, none, detectable = [], [], []
        for number in range(cohorts):
            made = Cohort(design, patients * (5 if own_parts else 1), [patients, number])
            runs: dict[str, list[Predictions]] = {}
            for group in range(groups):
                runs[str(group)] = []
                for _ in range(seeds):
                    part = made.rng.choice(patients * 5, patients, replace=False) if own_parts else None
                    own = signal + sd / max(rate, 1e-3) * made.rng.normal()
                    runs[str(group)].append(made.tested(own, part))
            found = summarize_seeds(runs, reference="0", unit=design.unit, metrics=["balanced_accuracy"]).differences
            false.append(bool(found["statement"].str.contains(" than 0").any()))
            none.append(bool(found["statement"].str.startswith("cannot be compared").all()))
            detectable.append(found["detectable_difference"].median())
        rows.append(
            {"kind": "seeds", **design._asdict(), "patients": patients, "seeds": seeds, "seed_sd": sd}
            | {
                "groups": groups,
                "own_parts": own_parts,
                "false": np.mean(false).round(4),
                "none": np.mean(none).round(4),
            }
            | {"detectable_difference": _median(detectable)}
        )
    return rows


def _median(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return round(float(np.median(known)), 4) if known else float("nan")


def main(cohorts: int = COHORTS, processes: int = 1) -> None:
    """Write results/comparison_errors.csv and .json."""
    seed_designs = [
        Design("balanced", "equal", "patient", 0.75),
        Design("80/15/5", "lognormal", "patch", 0.85),
        Design("balanced", "lognormal", "patch", 0.97),
    ]
    with Pool(processes) as pool:
        parts = pool.map(partial(of_runs, cohorts), DESIGNS, chunksize=1)
        parts += pool.map(partial(of_seeds, cohorts), seed_designs, chunksize=1)
    table = pd.DataFrame([row for part in parts for row in part])
    write_csv(RESULTS / "comparison_errors.csv", table)
    summary: dict[str, object] = {
        "what": "proportion of cohorts without a difference in which a comparison names one",
        "command": f"OMP_NUM_THREADS=1 python benchmarks/comparison_errors.py {cohorts} {processes}",
        "nominal": 0.05,
    }
    for kind, rows in table.groupby("kind"):
        beyond = rows["false"] > 0.05 + 2 * np.sqrt(0.05 * 0.95 / cohorts)
        worst = rows.loc[rows["false"].idxmax()].dropna().to_dict()
        summary[str(kind)] = {
            "designs": len(rows),
            "cohorts": cohorts,
            "mean_false": round(float(rows["false"].mean()), 4),
            "largest_false": round(float(rows["false"].max()), 4),
            "designs_above_5_percent_by_2_standard_errors": int(beyond.sum()),
            "worst_design": worst,
        }
    runs = table[table["kind"] == "runs"]
    summary["some_descriptive_interval_leaves_zero_out"] = {
        "mean": round(float(runs["descriptive"].mean()), 4),
        "largest": round(float(runs["descriptive"].max()), 4),
    }
    write_json(RESULTS / "comparison_errors.json", summary)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
