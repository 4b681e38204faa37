"""Coverage of the 95 % intervals of the table of metrics over simulated cohorts near and far from 1.

OMP_NUM_THREADS=1 python benchmarks/interval_coverage.py [COHORTS] [PROCESSES]

A cohort: patients of three classes, equally frequent or 80, 15 and 5 %, each with 25 patches, or with 1 to 500
(lognormal, median 20). A patch's scores are those of its class, an effect of its patient and noise; what is added for
the true class is chosen so that the accuracy by patch is 0.67, 0.85 or 0.97, or that of the patients' mean
probabilities 0.75, 0.92 or 0.99. The truth of a metric is its value on POPULATION patients of the same kind, each with
as many patches as it has.

Rows of results/interval_coverage.csv: one per design, metric and class. ``coverage`` is the proportion of the
intervals given that hold the truth, ``without_interval`` the proportion of cohorts for which none is given,
``naive_coverage`` that of the intervals with patients unknown, which take patches as independent. Calibration metrics
are in calibration_coverage.py.
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from her2core.evidence.aggregate import aggregate
from her2core.evidence.intervals import LEVEL
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, id_table
from her2core.io.files import write_csv, write_json

CLASSES = ("negative", "equivocal", "positive")
SHARES = {"balanced": (1 / 3, 1 / 3, 1 / 3), "80/15/5": (0.8, 0.15, 0.05)}
ACCURACIES = {"patch": (0.67, 0.85, 0.97), "patient": (0.75, 0.92, 0.99)}
PATIENTS, COHORTS, NAIVE_COHORTS, POPULATION = (20, 40, 60, 120), 300, 100, 40_000
#: Standard deviation of a score between patients and, within a patient, between patches.
BETWEEN, WITHIN = 0.9, 1.0
#: Bounds of acceptable coverage.
ACCEPTED = (0.925, 0.975)
RESULTS = Path(__file__).parent / "results"


class Design(NamedTuple):
    """A kind of cohort, apart from the number of patients."""

    classes: str
    sizes: str
    unit: str
    accuracy: float


DESIGNS = [
    Design(classes, sizes, unit, accuracy)
    for classes, sizes in itertools.product(SHARES, ("equal", "lognormal"))
    for unit, accuracies in ACCURACIES.items()
    for accuracy in accuracies
]


def cohort(design: Design, patients: int, signal: float, seed: int | list[int]) -> Predictions:
    """Test rows of so many patients, at the unit of the design."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, patients, p=SHARES[design.classes])
    lognormal = np.clip(rng.lognormal(np.log(20), 1.2, patients).round(), 1, 500).astype(int)
    patient = np.repeat(np.arange(patients), 25 if design.sizes == "equal" else lognormal)
    scores = (
        BETWEEN * rng.normal(size=(patients, 3))[patient]
        + WITHIN * rng.normal(size=(len(patient), 3))
        + signal * np.eye(3)[label[patient]]
    )
    odds = np.exp(scores)
    ids = {"patient_id": pd.Series(patient).astype("str")}
    p = Predictions(id_table(ids, len(patient)), odds / odds.sum(axis=1, keepdims=True), label[patient], CLASSES)
    return p if design.unit == "patch" else aggregate(p, "patient")


def unknown_patients(p: Predictions) -> Predictions:
    """The same rows without their patients."""
    return Predictions(id_table({}, len(p)), p.probs, p.labels, p.classes)


def signal_for(design: Design) -> float:
    """What is added to the score of the true class to reach the accuracy, by bisection on one large cohort."""
    low, high = 0.0, 12.0
    for _ in range(16):
        middle = (low + high) / 2
        p = cohort(design, POPULATION // 4, middle, 1)
        low, high = (middle, high) if (p.predicted == p.labels).mean() < design.accuracy else (low, middle)
    return (low + high) / 2


def coverage(cohorts: int, design: Design, sizes: tuple[int, ...] = PATIENTS) -> list[dict]:
    """One row per number of patients, metric and class."""
    signal = signal_for(design)
    truth = metric_table(cohort(design, POPULATION, signal, 2)).set_index(["metric", "class"])["value"]
    rows = []
    for patients in sizes:
        held: dict[tuple, list] = defaultdict(list)
        for number in range(cohorts):
            p = cohort(design, patients, signal, [patients, number])
            naive = design.unit == "patch" and number < NAIVE_COHORTS
            forms = {"ours": p, **({"naive": unknown_patients(p)} if naive else {})}
            for form, of in forms.items():
                table = metric_table(of)
                for key in table[["metric", "class", "lower_95", "upper_95"]].itertuples(index=False, name=None):
                    held[(form, *key[:2])].append(key[2:])
        for metric, of in truth.index:
            found = {"patients": patients, **design._asdict(), "metric": metric, "class": of}
            found["truth"] = round(float(truth[metric, of]), 4)
            rows.append(found | _measured(held["ours", metric, of], truth[metric, of]))
            if naive := held["naive", metric, of]:
                rows[-1]["naive_coverage"] = _measured(naive, truth[metric, of])["coverage"]
    return rows


def _measured(bounds: list[tuple[float, float]], truth: float) -> dict:
    low, high = np.array(bounds, float).T
    given = np.isfinite(low)
    if not given.any():
        return {"without_interval": 1.0}
    above, below = (low > truth + 1e-9)[given], (high < truth - 1e-9)[given]
    share = float(1 - above.mean() - below.mean())
    return {
        "coverage": round(share, 4),
        "error": round(float(np.sqrt(share * (1 - share) / given.sum())), 4),
        "too_high": round(float(above.mean()), 4),
        "too_low": round(float(below.mean()), 4),
        "width": round(float((high - low)[given].mean()), 4),
        "without_interval": round(float(1 - given.mean()), 4),
    }


def summary(rows: pd.DataFrame) -> dict:
    """By unit, and by unit and metric: coverage over the designs, and in how many it is acceptable."""

    def of(part: pd.DataFrame) -> dict:
        known = part.dropna(subset=["coverage"])
        noise, naive = 2 * known["error"], known["naive_coverage"].dropna()
        return {
            "designs": len(part),
            "mean_coverage": round(float(known["coverage"].mean()), 3),
            "lowest": float(known["coverage"].min()),
            "within": int(known["coverage"].between(*ACCEPTED).sum()),
            "below": int((known["coverage"] < ACCEPTED[0]).sum()),
            "below_beyond_noise": int((known["coverage"] + noise < ACCEPTED[0]).sum()),
            "above": int((known["coverage"] > ACCEPTED[1]).sum()),
            "mean_without_interval": round(float(part["without_interval"].mean()), 3),
            **({"naive_mean": round(float(naive.mean()), 3)} if len(naive) else {}),
        }

    # Few cohorts with an interval say little about its coverage.
    rows = rows.assign(coverage=rows["coverage"].where(rows["without_interval"] <= 0.8))
    return {
        unit: {"all": of(part), **{str(metric): of(group) for metric, group in part.groupby("metric", sort=False)}}
        for unit, part in rows.groupby("unit")
    }


def main(cohorts: int, processes: int) -> None:
    with Pool(processes) as pool:
        found = []
        for design, rows in zip(DESIGNS, pool.imap(partial(coverage, cohorts), DESIGNS), strict=True):
            print(*design, flush=True)
            found += rows
    table = pd.DataFrame(found)
    write_csv(RESULTS / "interval_coverage.csv", table)
    write_json(RESULTS / "interval_coverage.json", described(table, cohorts))


def described(table: pd.DataFrame, cohorts: int) -> dict:
    """The table's summary, and how it was made."""
    return {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/interval_coverage.py {cohorts}",
        "cohorts_of_each_design": cohorts,
        "nominal": LEVEL,
        "accepted": list(ACCEPTED),
        "patients": list(PATIENTS),
        "accuracies": ACCURACIES,
        "naive_cohorts": NAIVE_COHORTS,
        "truth_from_patients": POPULATION,
        "error": "Monte-Carlo standard error; below_beyond_noise counts designs more than two of it below",
        "counted": "designs in which at most 80 % of the cohorts are without an interval",
        "summary": summary(table),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COHORTS, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
