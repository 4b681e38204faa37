"""Cost on test of choosing the aggregation rule on validation, against the mean.

OMP_NUM_THREADS=1 python benchmarks/aggregation_rule.py [COHORTS]

For each cohort the rule with the highest balanced accuracy by patient on the validation part is taken
(``aggregate.choose_rule``), and compared with the mean on both parts. Simulated: patients of three classes, half of
them for validation and half for test, 1 to 500 patches a patient (lognormal) or 25 each; a patch's scores are those of
its class, an effect of its patient and noise. Released: every run below models/ with known patients; the runs of one
study share their patients, so that their mean has no standard error here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from her2core.errors import Her2Error
from her2core.evidence.aggregate import aggregate, choose_rule
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.evidence.metrics.confusion import balanced_accuracy, confusion_matrix
from her2core.evidence.predictions import Predictions, id_table
from her2core.io.files import write_json
from her2core.runs.folder import open_run

HOME = Path(__file__).resolve().parents[1]
CLASSES = ("negative", "equivocal", "positive")
PATIENTS, COHORTS = (24, 48, 96), 300
SIZES = {"25 patches each": 0.0, "1 to 500 patches, lognormal": 1.2}


def cohort(patients: int, spread: float, seed: list[int]) -> Predictions:
    """Validation and test patches of as many patients each, classes balanced."""
    rng = np.random.default_rng(seed)
    label = np.arange(2 * patients) % 3
    sizes = np.clip(np.rint(25 * np.exp(spread * rng.normal(size=2 * patients))), 1, 500).astype(int)
    patient = np.repeat(np.arange(2 * patients), sizes)
    scores = (
        0.9 * rng.normal(size=(2 * patients, 3))[patient]
        + rng.normal(size=(len(patient), 3))
        + 0.9 * np.eye(3)[label[patient]]
    )
    odds = np.exp(scores)
    ids = {
        "patient_id": pd.Series(patient).astype("str"),
        "split": pd.Series(np.where(patient < patients, "val", "test")),
    }
    return Predictions(id_table(ids, len(patient)), odds / odds.sum(axis=1, keepdims=True), label[patient], CLASSES)


def accuracy(p: Predictions, rule: str) -> float:
    by = aggregate(p, "patient", rule=rule)
    return float(balanced_accuracy(confusion_matrix(by.labels, predicted=by.predicted, classes=len(by.classes))))


def compared(p: Predictions) -> dict:
    """The rule chosen, and what it gains over the mean in percentage points of balanced accuracy by patient."""
    val, test = p.part("val"), p.part("test")
    rule, _ = choose_rule(val, "patient")
    return {
        "rule": rule,
        "validation": round(100 * (accuracy(val, rule) - accuracy(val, DEFAULT_RULE)), 3),
        "test": round(100 * (accuracy(test, rule) - accuracy(test, DEFAULT_RULE)), 3),
    }


def summary(rows: list[dict], *, error: bool) -> dict:
    found: dict = {"cohorts": len(rows), "another_rule_chosen": sum(r["rule"] != DEFAULT_RULE for r in rows)}
    others = [r for r in rows if r["rule"] != DEFAULT_RULE]
    for part in ("validation", "test"):
        gains = np.array([r[part] for r in rows])
        found[f"gain_on_{part}"] = round(float(gains.mean()), 2)
        if error:
            found[f"error_on_{part}"] = round(float(gains.std(ddof=1) / np.sqrt(len(gains))), 2)
        if others:
            found[f"gain_on_{part}_where_another_rule_is_chosen"] = round(float(np.mean([r[part] for r in others])), 2)
    return found


def released() -> list[dict]:
    """Every run with known patients and enough of them to choose by."""
    rows = []
    for path in sorted([*(HOME / "models").glob("*/run.json"), *(HOME / "models" / "study").glob("*/*/run.json")]):
        p = open_run(path.parent).calibrated_predictions
        try:
            found = compared(p)
        except Her2Error as refused:  # patients unknown, or with several labels: no figures by patient
            print(path.parent.name, refused)
            continue
        rows.append({"run": str(path.parent.relative_to(HOME)), **found})
    return rows


def main(cohorts: int) -> None:
    runs = released()
    simulated = {}
    for name, spread in SIZES.items():
        for patients in PATIENTS:
            rows = [compared(cohort(patients, spread, [patients, i])) for i in range(cohorts)]
            simulated[f"{patients} patients in each part, {name}"] = summary(rows, error=True)
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/aggregation_rule.py {cohorts}",
        "gain": "balanced accuracy by patient of the rule chosen on validation less that of the mean, percentage "
        "points; negative: the choice costs",
        "error": "Monte-Carlo standard error",
        "simulated": simulated,
        "released": {"summary": summary(runs, error=False), "runs": runs},
    }
    write_json(HOME / "benchmarks" / "results" / "aggregation_rule.json", result)
    print(json.dumps({"simulated": simulated, "released": result["released"]["summary"]}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COHORTS)
