"""Coverage of the 95 % bootstrap intervals of calibration metrics over simulated cohorts.

Those of the other metrics are measured by interval_coverage.py.

OMP_NUM_THREADS=1 python benchmarks/calibration_coverage.py [COHORTS]

A cohort: patients of three classes (50, 30 and 20 %), each with one or two slides and so many patches (in all about 7,
at least 1, most of them with few, some with many). A patch's scores are those of its class, an effect of its patient,
one of its slide and noise. The truth of a metric is its value on POPULATION patients of the same kind: that of the
patches of all patients, each patient with as many as it has, and for the unit "patient" that of the patients' mean
probabilities.

Beside the intervals of the tables ("ours") stand the plain percentiles of the same draws ("percentile"), and, by patch,
the tables' intervals with patients unknown ("naive"), which draw patches as if they were independent; slopes and
intercepts are left out of these.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from her2core.evidence import intervals, reliability
from her2core.evidence.aggregate import aggregate
from her2core.evidence.predictions import Predictions, id_table
from her2core.io.files import write_json

CLASSES, SHARES = ("negative", "equivocal", "positive"), (0.5, 0.3, 0.2)
SIZES, COHORTS, POPULATION = (30, 60, 100, 200), 500, 200_000
RESAMPLES, NAIVE_RESAMPLES, SLOPE_RESAMPLES, LEVEL = 800, 300, 200, intervals.LEVEL
#: Of calibration_table; the other parts of the Brier score are for explaining it.
CALIBRATION = ("ece_equal_mass", "ece_equal_width", "classwise_ece", "brier", *reliability.RECALIBRATION)
#: The issue's bounds of acceptable coverage.
ACCEPTED = (0.925, 0.975)


def cohort(patients: int, seed: int | list[int]) -> Predictions:
    """Test patches of so many patients."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, patients, p=SHARES)
    of_slide = np.repeat(np.arange(patients), 1 + (rng.random(patients) < 0.4))
    slide = np.repeat(np.arange(len(of_slide)), 1 + rng.poisson(rng.gamma(2.0, 2.0, len(of_slide))))
    patient = of_slide[slide]
    scores = (
        0.9 * rng.normal(size=(patients, 3))[patient]
        + 0.4 * rng.normal(size=(len(of_slide), 3))[slide]
        + rng.normal(size=(len(slide), 3))
        + 1.6 * np.eye(3)[label[patient]]
    )
    odds = np.exp(scores)
    ids = {"patient_id": pd.Series(patient).astype("str"), "slide_id": pd.Series(slide).astype("str")}
    probs = odds / odds.sum(axis=1, keepdims=True)
    return Predictions(id_table(ids, len(slide)), probs, label[patient], CLASSES)


def tables(p: Predictions, resamples: int, *, slopes: bool = True) -> pd.DataFrame:
    """Every calibration metric: value, low and high, by metric and class."""
    kept = reliability._recalibration_rows if slopes else lambda *_: []
    with (
        mock.patch.object(reliability, "SLOPE_RESAMPLES", SLOPE_RESAMPLES),
        mock.patch.object(reliability, "_recalibration_rows", kept),
    ):
        calibration = reliability.calibration_table(p, resamples=resamples)
    found = calibration[calibration["metric"].isin(CALIBRATION)]
    return found.set_index(["metric", "class"])[["value", "lower_95", "upper_95"]]


@contextmanager
def plain_percentiles():
    """Bounds of the plain percentile interval, by metric and class, of all tables made meanwhile."""
    found, row = {}, intervals.interval_row

    def also(metric, name, value, draws, jackknife=None, **options):
        usable = np.isfinite(draws)
        if np.isfinite(value) and usable.mean() >= 0.95:
            found[metric, name] = np.quantile(draws[usable], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return row(metric, name, value, draws, jackknife, **options)

    with mock.patch.object(reliability, "interval_row", also):
        yield found


def by_unit(p: Predictions) -> dict[str, Predictions]:
    return {"patch": p, "patient": aggregate(p, "patient")}


def unknown_patients(p: Predictions) -> Predictions:
    return Predictions(id_table({}, len(p)), p.probs, p.labels, p.classes)


def coverage(patients: int, cohorts: int, truth: dict[str, pd.Series]) -> list[dict]:
    """One row per unit, metric and class: in how many of ``cohorts`` the interval covers the truth, by method."""
    bounds: dict[tuple, list] = defaultdict(list)
    for number in range(cohorts):
        for unit, p in by_unit(cohort(patients, [patients, number])).items():
            with plain_percentiles() as plain:
                ours = tables(p, RESAMPLES)
            naive = tables(unknown_patients(p), NAIVE_RESAMPLES, slopes=False) if unit == "patch" else None
            for key, row in ours.iterrows():
                bounds[unit, *key, "ours"].append((row["lower_95"], row["upper_95"]))
                bounds[unit, *key, "percentile"].append(plain.get(key, (np.nan, np.nan)))
                if naive is not None and key in naive.index:
                    bounds[unit, *key, "naive"].append(tuple(naive.loc[key, ["lower_95", "upper_95"]]))
    rows: dict[tuple, dict] = {}
    for (unit, metric, name, method), held in bounds.items():
        low, high = np.array(held, float).T
        true, known = truth[unit][metric, name], np.isfinite(low)
        inside = (low <= true + 1e-9) & (true - 1e-9 <= high)
        row = rows.setdefault(
            (unit, metric, name),
            {"patients": patients, "unit": unit, "metric": metric, "class": name, "truth": round(float(true), 4)},
        )
        share = float(inside[known].mean())
        error = float(np.sqrt(share * (1 - share) / known.sum()))
        row[method] = {
            "coverage": round(share, 4),
            "error": round(error, 4),
            "too_high": round(float((low > true + 1e-9)[known].mean()), 4),
            "width": round(float((high - low)[known].mean()), 4),
            "without_interval": int((~known).sum()),
        }
    return list(rows.values())


def summary(rows: list[dict]) -> dict:
    """By patients, unit and method: the median coverage, its range, and how many metrics lie within ACCEPTED."""
    found: dict = {}
    for patients in SIZES:
        for unit in ("patch", "patient"):
            for method in ("ours", "percentile", "naive"):
                shares = [
                    r[method]["coverage"]
                    for r in rows
                    if (r["patients"], r["unit"]) == (patients, unit) and method in r
                ]
                if shares:
                    found.setdefault(str(patients), {}).setdefault(unit, {})[method] = {
                        "metrics": len(shares),
                        "median": round(float(np.median(shares)), 3),
                        "lowest": min(shares),
                        "highest": max(shares),
                        "below": sum(s < ACCEPTED[0] for s in shares),
                        "within": sum(ACCEPTED[0] <= s <= ACCEPTED[1] for s in shares),
                        "above": sum(s > ACCEPTED[1] for s in shares),
                    }
    return found


def main(cohorts: int) -> None:
    population = by_unit(cohort(POPULATION, 0))
    truth = {unit: tables(p, 2)["value"] for unit, p in population.items()}
    del population
    rows, seconds = [], {}
    for patients in SIZES:
        start = time.process_time()
        rows += coverage(patients, cohorts, truth)
        seconds[str(patients)] = round(time.process_time() - start)
        result = {
            "command": f"OMP_NUM_THREADS=1 python benchmarks/calibration_coverage.py {cohorts}",
            "cohorts_of_each_size": cohorts,
            "nominal": LEVEL,
            "accepted": list(ACCEPTED),
            "resamples": {
                "ours": RESAMPLES,
                "percentile": RESAMPLES,
                "naive": NAIVE_RESAMPLES,
                "slopes and intercepts": SLOPE_RESAMPLES,
            },
            "truth_from_patients": POPULATION,
            "class_shares": dict(zip(CLASSES, SHARES, strict=True)),
            "cpu_seconds": seconds,
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "estimand": "the metric on all patches (or patients' mean probabilities) of a population of patients; a "
            "patient weighs as many patches as it has",
            "methods": {
                "ours": "the tables' interval: expanded percentile or reflected",
                "percentile": "plain percentiles of the same draws of patients",
                "naive": "the tables' interval with patients unknown: draws single patches",
            },
            "error": "Monte-Carlo standard error",
            "too_high": "share of intervals that lie above the truth",
            "summary": summary(rows),
            "rows": rows,
        }
        write_json(Path(__file__).parent / "results" / "calibration_coverage.json", result)
        print(patients, seconds[str(patients)], json.dumps(result["summary"][str(patients)]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COHORTS)
