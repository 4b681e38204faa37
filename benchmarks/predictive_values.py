"""Coverage of the 95 % intervals of predictive values at a stated prevalence.

OMP_NUM_THREADS=1 python benchmarks/predictive_values.py [COHORTS]

A cohort: so many positive and negative patients, each predicted rightly with the sensitivity or specificity of the
design. The truth is Bayes' rule with these rates at PREVALENCE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.prevalence import predictive_value_table, predictive_values
from her2core.io.files import write_json

PREVALENCE, COHORTS = 0.15, 1000
SIZES = ((10, 20), (20, 40), (40, 80))
RATES = ((0.75, 0.85), (0.9, 0.95), (0.95, 0.97), (0.99, 0.99))


def cohort(cases: int, others: int, sensitivity: float, specificity: float, seed: list[int]) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [cases, others])
    called = np.where(labels, rng.random(len(labels)) < sensitivity, rng.random(len(labels)) >= specificity)
    ids = id_table({"patient_id": pd.Series(np.arange(len(labels))).astype("str")}, len(labels))
    classes = ("negative", "positive")
    return Predictions(ids, None, labels, classes, unit="patient", predicted_labels=called.astype(int))


def main(cohorts: int) -> None:
    rows = []
    for cases, others in SIZES:
        for sensitivity, specificity in RATES:
            truth = predictive_values(sensitivity, specificity=specificity, prevalence=PREVALENCE)
            held: dict[str, list[bool]] = {"ppv": [], "npv": []}
            for number in range(cohorts):
                p = cohort(cases, others, sensitivity, specificity, [cases, int(100 * sensitivity), number])
                table = predictive_value_table(p, prevalence=PREVALENCE, of=["positive"]).set_index("metric")
                for metric, true in zip(held, truth, strict=True):
                    low, high = table.loc[metric, ["lower_95", "upper_95"]]
                    if low == low:
                        held[metric].append(bool(low - 1e-12 <= true <= high + 1e-12))
            row = {"positive": cases, "negative": others, "sensitivity": sensitivity, "specificity": specificity}
            for metric, hits in held.items():
                row[metric] = {"coverage": round(float(np.mean(hits)), 4), "without_interval": cohorts - len(hits)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    shares = {metric: [r[metric]["coverage"] for r in rows] for metric in ("ppv", "npv")}
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/predictive_values.py {cohorts}",
        "nominal": 0.95,
        "prevalence": PREVALENCE,
        "cohorts_of_each_design": cohorts,
        "summary": {
            metric: {"mean": round(float(np.mean(s)), 4), "lowest": min(s), "highest": max(s)}
            for metric, s in shares.items()
        },
        "rows": rows,
    }
    write_json(Path(__file__).parent / "results" / "predictive_values.json", result)
    print(json.dumps(result["summary"]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COHORTS)
