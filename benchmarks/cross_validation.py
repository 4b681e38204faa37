"""Repeated cross-validation: coverage of its intervals, and false statements between two networks that are alike.

OMP_NUM_THREADS=1 python benchmarks/cross_validation.py [COHORTS]

Patients of two classes, 80 and 20 % or half and half, with 10 patches each; a patch is a vector of 20 numbers: the
class shifts two of them, patients differ by a random vector. The two networks are logistic regressions on two random
halves of the same information (each sees one of two copies with noise of its own), so that neither is better. Both are
cross-validated five-fold by patient with three seeds (``data.folds``), and compared by ``summarize_seeds``.

Rows of results/cross_validation.csv: ``covered`` is the proportion of cohorts whose 95 % interval of balanced accuracy
by patient covers its mean over all cohorts (which is what such cross-validation estimates), ``given`` that with an
interval; ``covered_by_folds`` is that of Student's t interval over the 15 values of folds and seeds, as is usually
reported; ``false`` and ``false_by_folds`` are the proportions in which a difference is stated, by the study and by a
paired t test over the 15 values.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student_t
from scipy.stats import ttest_rel
from sklearn.linear_model import LogisticRegression

from her2core.data.folds import assign_folds
from her2core.data.manifest import Manifest, build_manifest
from her2core.evidence.aggregate import aggregate
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.seeds import summarize_seeds
from her2core.io.files import write_csv, write_json
from her2core.labels import declared_scheme

RESULTS = Path(__file__).parent / "results"
PATIENTS, SHARES, EFFECTS = (20, 40, 100), (0.5, 0.2), (0.5, 1.5)
CLASSES, PATCHES, WIDTH, FOLDS, SEEDS = ("negative", "positive"), 10, 20, 5, (0, 1, 2)


def main(cohorts: int = 200) -> None:
    """Simulate all designs and write the results."""
    rows = [
        {"patients": n, "positive": share, "patient_effect": effect} | design(cohorts, n, share, effect)
        for n, share, effect in itertools.product(PATIENTS, SHARES, EFFECTS)
    ]
    table = pd.DataFrame(rows)
    write_csv(RESULTS / "cross_validation.csv", table, float_format="%.4f")
    names = ("covered", "covered_by_folds", "false", "false_by_folds", "given")
    write_json(
        RESULTS / "cross_validation.json",
        {
            "command": f"OMP_NUM_THREADS=1 python benchmarks/cross_validation.py {cohorts}",
            "cohorts": cohorts,
            "table": "cross_validation.csv",
            **{name: [round(float(v), 4) for v in (table[name].min(), table[name].max())] for name in names},
        },
    )


def design(cohorts: int, patients: int, share: float, effect: float) -> dict[str, float]:
    """Proportions over the cohorts of one design."""
    found = [
        one(np.random.default_rng([patients, int(100 * share), int(10 * effect), c]), patients, share, effect)
        for c in range(cohorts)
    ]
    table = pd.DataFrame(found)
    truth = table["value"].mean()
    given = table["low"].notna()
    return {
        "value": float(truth),
        "given": float(given.mean()),
        "covered": float(((table["low"] <= truth) & (truth <= table["high"]))[given].mean()),
        "covered_by_folds": float(((table["low_folds"] <= truth) & (truth <= table["high_folds"])).mean()),
        "false": float(table["false"].mean()),
        "false_by_folds": float(table["false_by_folds"].mean()),
    }


def one(rng: np.random.Generator, patients: int, share: float, effect: float) -> dict[str, float]:
    """One cohort, cross-validated by both networks."""
    label = np.zeros(patients, int)
    label[: max(3, round(share * patients))] = 1
    patient = np.repeat(np.arange(patients), PATCHES)
    common = effect * rng.normal(size=(patients, WIDTH))[patient]
    common[:, :2] += 1.0 * label[patient][:, None]
    views = [common + rng.normal(size=common.shape) for _ in range(2)]
    manifest = cohort_manifest(label, patient)
    runs: dict[str, list[Predictions]] = {"first": [], "second": []}
    by_fold: dict[str, list[float]] = {"first": [], "second": []}
    for seed in SEEDS:
        fold = assign_folds(manifest, "patient", folds=FOLDS, seed=seed).table["fold"].to_numpy()
        for name, view in zip(runs, views, strict=True):
            p = out_of_fold(view, label[patient], fold, rng)
            ids = {"patch_id": manifest.frame["patch_id"], "patient_id": manifest.frame["patient_id"]}
            run = Predictions(id_table(ids, len(p)), np.column_stack([1 - p, p]), label[patient], CLASSES)
            runs[name].append(run)
            by_fold[name] += [balanced(aggregate(run.where(fold == k), "patient")) for k in range(FOLDS)]
    summary = summarize_seeds(runs, reference="first", unit="patient", metrics=["balanced_accuracy"])
    row = summary.table.query("group == 'first'").iloc[0]
    values = np.array(by_fold["first"])
    half = student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # identical values
        paired = ttest_rel(by_fold["first"], by_fold["second"]).pvalue
    return {
        "value": row["value"],
        "low": row["lower_95"],
        "high": row["upper_95"],
        "low_folds": values.mean() - half,
        "high_folds": values.mean() + half,
        "false": float(summary.differences["statement"].str.contains("higher|lower").any()),
        "false_by_folds": float(paired < 0.05),
    }


def cohort_manifest(label: np.ndarray, patient: np.ndarray) -> Manifest:
    """Its rows, without files."""
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(len(patient))]})
    frame["patient_id"] = [f"P{p:03d}" for p in patient]
    frame["label"] = np.array(CLASSES)[label[patient]]
    return build_manifest(frame, root=".", scheme=declared_scheme("two", CLASSES, ""))


def out_of_fold(view: np.ndarray, label: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability of the second class of every patch, each by a model that was fitted without its fold."""
    p = np.empty(len(label))
    for k in range(FOLDS):
        train = fold != k
        chosen = rng.random(train.sum()) < 0.8  # a training differs from another by the patches that it saw
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=200)
        model.fit(view[train][chosen], label[train][chosen])
        p[~train] = model.predict_proba(view[~train])[:, 1]
    return p


def balanced(p: Predictions) -> float:
    """Balanced accuracy over the classes that are there."""
    return float(np.mean([(p.predicted[p.labels == k] == k).mean() for k in np.unique(p.labels)]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
