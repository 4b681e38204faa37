"""Coverage of prediction sets with few and unequal patients: pooled patches against hierarchical conformal prediction.

OMP_NUM_THREADS=1 python benchmarks/set_coverage.py [COHORTS]

A cohort: calibration patients of three classes, balanced or 80/15/5, with lognormally many patches (1 to 500). A
patch's scores are those of its class, an effect of its patient and noise. Sets are fitted on the cohort and applied to
NEW other patients. Coverage of a patch is that of a random patch of a random new patient; coverage of a patient is that
of the patient's mean probabilities. "pooled" takes patches as exchangeable; "hierarchical" counts patients. Cohorts
with too few patients for any set are counted and left out. Released runs with known patients follow, calibrated on
their validation part and measured on their test part.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from her2core.errors import Her2Error
from her2core.evidence.conformal import fit_prediction_sets
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.run_sets import coverage_table, fit_run_sets, run_coverage
from her2core.io.files import write_json
from her2core.runs.folder import open_run

HOME = Path(__file__).resolve().parents[1]
CLASSES = ("negative", "equivocal", "positive")
PATIENTS, COHORTS, NEW, COVERAGE = (10, 20, 40, 80), 400, 300, 0.9
SHARES = {"balanced": (1 / 3, 1 / 3, 1 / 3), "80/15/5": (0.8, 0.15, 0.05)}
#: Standard deviation of the patient's effect on a score; that of a patch is 1.
EFFECTS = (0.5, 1.0)


def cohort(patients: int, shares: tuple[float, ...], effect: float, seed: list[int]) -> Predictions:
    rng = np.random.default_rng(seed)
    label = rng.choice(3, patients, p=shares)
    sizes = np.clip(np.rint(np.exp(rng.normal(3.0, 1.2, patients))), 1, 500).astype(int)
    patient = np.repeat(np.arange(patients), sizes)
    scores = (
        effect * rng.normal(size=(patients, 3))[patient]
        + rng.normal(size=(len(patient), 3))
        + 1.5 * np.eye(3)[label[patient]]
    )
    odds = np.exp(scores)
    ids = {"patient_id": pd.Series(patient).astype("str")}
    return Predictions(id_table(ids, len(patient)), odds / odds.sum(axis=1, keepdims=True), label[patient], CLASSES)


def pooled(p: Predictions):
    return fit_prediction_sets(p.probs, labels=p.labels, classes=CLASSES, coverage=COVERAGE)


def measured(design: int, patients: int, shares: tuple[float, ...], effect: float, cohorts: int) -> dict:
    """Mean coverage over cohorts with its Monte-Carlo error, set sizes, and how often each kind of sets was given."""
    held: dict[str, list[tuple[float, float]]] = defaultdict(list)
    of_class: dict[str, list[list[float]]] = defaultdict(list)
    kinds: dict[str, Counter] = defaultdict(Counter)
    for number in range(cohorts):
        calibration = cohort(patients, shares, effect, [design, patients, number])
        new = cohort(NEW, shares, effect, [design, patients, number, 1])
        found = {"pooled patch": {"patch": pooled(calibration)}, "hierarchical": fit_run_sets(calibration)}
        for method, sets in found.items():
            for row in run_coverage(sets, new).query("`class` == ''").itertuples():
                name = method if method == "pooled patch" else f"{method} {row.unit}"
                kinds[name][row.kind] += 1
                if row.kind != "none":
                    held[name].append((row.set_coverage_by_patient, row.mean_size))
            by_class = coverage_table(sets["patch"], new).query("`class` != ''")
            if sets["patch"].kind == "class-conditional":
                name = method if method == "pooled patch" else f"{method} patch"
                of_class[name].append(by_class["set_coverage_by_patient"].tolist())
    rows = {}
    for name in kinds:
        shares_held = np.array([c for c, _ in held[name]])
        rows[name] = {"kinds": dict(kinds[name])}
        if len(shares_held):
            rows[name] |= {
                "coverage": round(float(shares_held.mean()), 4),
                "error": round(float(shares_held.std(ddof=1) / np.sqrt(len(shares_held))), 4),
                "mean_size": round(float(np.mean([s for _, s in held[name]])), 3),
            }
        if of_class[name]:
            means = np.nanmean(np.array(of_class[name]), axis=0)
            rows[name]["coverage_of_each_class"] = {c: round(float(m), 4) for c, m in zip(CLASSES, means, strict=True)}
    return rows


def released() -> dict:
    """Every run below models/ with known patients: coverage on its test part, all classes together."""
    rows = {}
    for path in sorted([*(HOME / "models").glob("*/run.json"), *(HOME / "models" / "study").glob("*/*/run.json")]):
        run = open_run(path.parent)
        p = run.calibrated_predictions
        if not p.patients_known:
            continue
        val, test = p.part("val"), p.part("test")
        try:
            old = fit_prediction_sets(val.probs, labels=val.labels, classes=p.classes, coverage=COVERAGE)
            new = run_coverage(fit_run_sets(val, coverage=COVERAGE), test).query("`class` == ''")
        except Her2Error as refused:
            print(path.parent.name, refused)
            continue
        before = coverage_table(old, test).iloc[-1]
        rows[str(path.parent.relative_to(HOME))] = {
            "pooled patch": round(float(before["set_coverage_by_patient"]), 4),
            **{
                f"hierarchical {r.unit}": {
                    "kind": r.kind,
                    "coverage": None if np.isnan(r.set_coverage) else round(float(r.set_coverage_by_patient), 4),
                    "mean_size": None if np.isnan(r.mean_size) else round(float(r.mean_size), 3),
                    "patients": int(r.patients),
                }
                for r in new.itertuples()
            },
        }
    return rows


def main(cohorts: int) -> None:
    start, designs = time.process_time(), []
    for number, (name, shares) in enumerate(SHARES.items()):
        for effect in EFFECTS:
            for patients in PATIENTS:
                rows = measured(10 * number + int(2 * effect), patients, shares, effect, cohorts)
                designs.append({"classes": name, "patient_effect": effect, "patients": patients, **rows})
                print(json.dumps(designs[-1]), flush=True)
    runs = released()
    names = ("pooled patch", "hierarchical patch", "hierarchical patient")
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/set_coverage.py {cohorts}",
        "nominal": COVERAGE,
        "cohorts_of_each_design": cohorts,
        "new_patients_of_each_cohort": NEW,
        "cpu_seconds": round(time.process_time() - start),
        "coverage": "of a random patch of a random new patient, or of the new patient, over all classes",
        "error": "Monte-Carlo standard error of the mean over cohorts",
        "summary": {
            name: {
                "designs": len(found := [d[name] for d in designs if "coverage" in d.get(name, {})]),
                "lowest": min(d["coverage"] for d in found),
                "highest": max(d["coverage"] for d in found),
                "below_nominal_beyond_noise": sum(d["coverage"] + 2 * d["error"] < COVERAGE for d in found),
            }
            for name in names
        },
        "designs": designs,
        "released": runs,
    }
    write_json(HOME / "benchmarks" / "results" / "set_coverage.json", result)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COHORTS)
