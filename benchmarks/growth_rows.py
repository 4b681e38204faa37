"""Processor time and peak memory of the evidence by number of patches: a hundred thousand to ten million.

OMP_NUM_THREADS=1 python benchmarks/growth_rows.py

3 classes, 2,000 patients, 20,000 slides. The table is made in a process of its own, so that the peak is that of reading
and evaluating it alone. Wall seconds on whatever else the machine does; CPU seconds beside them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from her2core.io.files import write_json

#: Rows and the form of the table; ten million as text would be 1.3 GB, more than a table may have.
TABLES = ((100_000, ".parquet"), (1_000_000, ".csv"), (1_000_000, ".parquet"), (10_000_000, ".parquet"))
PATIENTS, SLIDES = 2_000, 20_000
CLASSES = ("negative", "equivocal", "positive")


def make(path: Path, rows: int) -> None:
    """A patient's patches share its class and a part of its scores, as in real cohorts."""
    rng = np.random.default_rng(0)
    slide = rng.integers(0, SLIDES, rows)
    patient = slide % PATIENTS
    label = patient % len(CLASSES)
    scores = rng.normal(size=(rows, 3)) + 0.7 * rng.normal(size=(PATIENTS, 3))[patient]
    scores[np.arange(rows), label] += 1.2
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    ids = {"patch_id": np.arange(rows), "patient_id": patient, "slide_id": slide}
    frame = pd.DataFrame({name: pd.Series(values).astype("str").radd(name[0]) for name, values in ids.items()})
    frame["label"] = np.array(CLASSES)[label]
    frame["race"] = np.array(["a", "b"])[patient % 7 % 2]
    for i, name in enumerate(CLASSES):
        frame[f"probability_{name}"] = probs[:, i]
    if path.suffix == ".csv":
        frame.to_csv(path, index=False, float_format="%.8f")
    else:
        frame.to_parquet(path)


def measure(path: Path) -> dict:
    from her2core.evidence.curves import pr_points, roc_points
    from her2core.evidence.evaluation import evaluate
    from her2core.evidence.group_differences import group_differences
    from her2core.evidence.ish_referral import ish_table
    from her2core.evidence.label_noise import label_noise_table
    from her2core.evidence.metrics import metrics_of
    from her2core.evidence.misclassified import confusion_cell, misclassified
    from her2core.evidence.predictions import Predictions
    from her2core.evidence.prevalence import predictive_value_table
    from her2core.evidence.subgroups import subgroup_table
    from her2core.evidence.suspected_labels import suspected_labels
    from her2core.evidence.three_way import three_way_curve
    from her2core.evidence.thresholds import operating_point
    from her2core.io.tables import read_table

    steps: dict[str, dict[str, float]] = {}

    def timed(name, call):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        steps[name] = {
            "seconds": round(time.perf_counter() - wall, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "peak_mb_so_far": round(peak),
        }
        return result

    held = [path.read_bytes()]  # each step takes what the one before left, and nothing else stays in memory
    held.append(timed("read_table", lambda: read_table(held.pop(), name=path.name).frame))
    predictions = timed("Predictions.from_frame", lambda: Predictions.from_frame(held.pop()))
    quick = [m for m in metrics_of("metrics") if not m.row_wise]
    timed("evaluate, three units", lambda: evaluate(predictions, metrics=quick))
    timed("roc_points", lambda: roc_points(predictions))
    timed("pr_points", lambda: pr_points(predictions))
    timed("operating_point, first", lambda: operating_point(predictions, of="positive", threshold=0.5))
    timed("operating_point, slider moved", lambda: operating_point(predictions, of="positive", threshold=0.6))
    wrong = timed("misclassified", lambda: misclassified(predictions))
    timed("three_way_curve", lambda: three_way_curve(predictions))
    timed("ish_table", lambda: ish_table(predictions))
    timed("predictive_value_table", lambda: predictive_value_table(predictions, prevalence=0.15))
    timed("label_noise_table", lambda: label_noise_table(predictions))
    timed("suspected_labels", lambda: suspected_labels(predictions))
    timed("subgroup_table, two groups", lambda: subgroup_table(predictions, by="race"))
    timed("group_differences, two groups", lambda: group_differences(predictions, by="race"))
    timed("confusion_cell", lambda: confusion_cell(predictions, true="negative", predicted="positive"))
    return {
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "misclassified": len(wrong),
        "steps": steps,
        "peak_rss_mb": max(s["peak_mb_so_far"] for s in steps.values()),
    }


def main() -> None:
    found: dict[str, dict] = {}
    for rows, suffix in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"predictions{suffix}"
            subprocess.run([sys.executable, __file__, "make", str(path), str(rows)], check=True)
            measured = subprocess.run([sys.executable, __file__, "measure", str(path)], check=True, capture_output=True)
            found[f"{rows:,} rows, {suffix[1:]}"] = json.loads(measured.stdout)
    few, many = (found[f"{rows:,} rows, parquet"]["steps"] for rows in (1_000_000, 10_000_000))
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/growth_rows.py",
        "patients": PATIENTS,
        "slides": SLIDES,
        "classes": len(CLASSES),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "cores": os.cpu_count(),
        "load_of_the_machine": round(os.getloadavg()[0], 1),
        "tables": found,
        "ratios": {
            f"{name}, ten million over one million rows": {"median": round(many[name]["cpu"] / few[name]["cpu"], 2)}
            for name in few
            if few[name]["cpu"] > 0.2
        },
    }
    write_json(Path(__file__).parent / "results" / "growth_rows.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(measure(Path(sys.argv[2]))))
