"""Speed of every metric with its interval, beside scikit-learn's own metrics.

OMP_NUM_THREADS=2 python benchmarks/metric_speed.py

100,000 patches of 500 patients, 3 classes, patients known: the table of metrics leaves out 200 groups of patients, all
other tables have 2,000 resamples; one process, the better of two rounds of each. ``cpu`` is
the process's CPU time over its threads, by which to judge on a machine that others use as well. The reference: the
same figures by scikit-learn on all rows, once, times 2,000; what it has no function for (bins by class, parts of the
Brier score, recalibration) is left out of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from her2core.evidence.abstention import referral_table, risk_coverage
from her2core.evidence.conformal import fit_prediction_sets
from her2core.evidence.decisions import decision_curve
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.reliability import calibration_table, reliability_table
from her2core.evidence.resampling import bootstrap_weights
from her2core.io.files import write_json

PATCHES, PATIENTS, RESAMPLES, ROUNDS = 100_000, 500, 2000, 2
CLASSES = ("negative", "equivocal", "positive")
#: What gives a value with an interval: the whole set of metrics of the issue.
METRICS = ("metric_table", "calibration_table")
ALLOWED_SECONDS = 10


def make() -> Predictions:
    rng = np.random.default_rng(0)
    patient = rng.integers(0, PATIENTS, PATCHES)
    label = patient % len(CLASSES)
    scores = rng.normal(size=(PATCHES, 3)) + 0.7 * rng.normal(size=(PATIENTS, 3))[patient]
    scores += 1.2 * np.eye(3)[label]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions(id_table({"patient_id": pd.Series(patient).astype("str")}, PATCHES), probs, label, CLASSES)


def scikit_learn(p: Predictions) -> None:
    """The figures of METRICS that scikit-learn has, on all rows."""
    y, guess, probs = p.labels, p.predicted, p.probs
    sk.accuracy_score(y, guess)
    sk.balanced_accuracy_score(y, guess)
    sk.precision_recall_fscore_support(y, guess)
    sk.confusion_matrix(y, guess)
    sk.cohen_kappa_score(y, guess, weights="quadratic")
    sk.matthews_corrcoef(y, guess)
    sk.log_loss(y, probs)
    sk.roc_auc_score(y, probs, multi_class="ovr", average=None)
    sk.brier_score_loss(y, probs)
    for i in range(len(CLASSES)):
        sk.average_precision_score(y == i, probs[:, i])
        calibration_curve(y == i, probs[:, i], n_bins=10, strategy="quantile")


def measured(call: Callable[[], object]) -> dict[str, float]:
    best = {"seconds": np.inf, "cpu": np.inf}
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        best = {
            "seconds": min(best["seconds"], time.perf_counter() - wall),
            "cpu": min(best["cpu"], time.process_time() - cpu),
        }
    return best


def main() -> None:
    p = make()
    sets = fit_prediction_sets(p.probs, labels=p.labels, classes=CLASSES)
    calls = {
        "metric_table": lambda: metric_table(p),
        "calibration_table": lambda: calibration_table(p, resamples=RESAMPLES),
        "reliability_table": lambda: reliability_table(p, resamples=RESAMPLES),
        "risk_coverage": lambda: risk_coverage(p, resamples=RESAMPLES),
        "decision_curve": lambda: decision_curve(p, resamples=RESAMPLES),
        "referral_table": lambda: referral_table(p, sets, resamples=RESAMPLES),
    }
    for call in (lambda: bootstrap_weights(PATIENTS, RESAMPLES, 0), lambda: metric_table(p)):
        call()  # the weights of the patients are cached for all tables; imports and threads are warm
    steps = {name: measured(call) for name, call in calls.items()}
    steps["the whole set of metrics"] = {k: sum(steps[m][k] for m in METRICS) for k in ("seconds", "cpu")}
    once = measured(lambda: scikit_learn(p))
    reference = {k: v * RESAMPLES for k, v in once.items()}
    for step in steps.values():
        step["share_of_reference_cpu"] = step["cpu"] / reference["cpu"]
    whole = steps["the whole set of metrics"]
    result = {
        "command": "OMP_NUM_THREADS=2 python benchmarks/metric_speed.py",
        "patches": PATCHES,
        "patients": PATIENTS,
        "classes": len(CLASSES),
        "resamples": RESAMPLES,
        "best_of": ROUNDS,
        "whole_set": list(METRICS),
        "allowed_seconds": ALLOWED_SECONDS,
        "within_allowed": {k: bool(whole[k] < ALLOWED_SECONDS) for k in ("seconds", "cpu")},
        "reference": "scikit-learn's metrics once, times the resamples",
        "reference_once": _rounded(once),
        "reference_seconds": _rounded(reference),
        "steps": {name: _rounded(step) for name, step in steps.items()},
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "cores": os.cpu_count(),
        "load_of_the_machine": round(os.getloadavg()[0], 1),
    }
    write_json(Path(__file__).parent / "results" / "metric_speed.json", result)
    print(json.dumps(result, indent=2))


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


if __name__ == "__main__":
    main()
