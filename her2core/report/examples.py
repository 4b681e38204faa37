"""Small reports for the examples of docstrings: one of a table of predictions, one of a patch."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import numpy as np
import pandas as pd

from her2core.evidence.predictions import Predictions
from her2core.report.case import CaseReport
from her2core.report.run_report import RunReport, predictions_report

_CLASSES = ("negative", "equivocal", "positive")


@lru_cache(1)
def example_report() -> RunReport:
    """Report of a table of predictions: 18 patients with four patches each, a third of them validation.

    Examples
    --------
    >>> example_report().units
    ('patch', 'patient')
    """
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(18), 4)
    labels = patient // 3 % 3
    scores = rng.random((72, 3)) + 1.5 * np.eye(3)[labels]
    frame = pd.DataFrame(
        {
            "patch_id": [f"q{i}" for i in range(72)],
            "patient_id": [f"p{i}" for i in patient],
            "slide_id": "unknown",
            "site": np.where(patient % 2 == 0, "north", "south"),
            "split": np.where(patient % 3 == 0, "val", "test"),
        }
    )
    predictions = Predictions(frame, scores / scores.sum(axis=1, keepdims=True), labels, _CLASSES)
    return predictions_report(predictions, name="example.csv", resamples=100)


def example_case() -> CaseReport:
    """Case report of a grey patch with invented probabilities.

    Examples
    --------
    >>> example_case().label
    'positive'
    """
    return CaseReport(
        name="tile_01.png",
        created=datetime(2026, 1, 2, 3, 4),
        model_id="example",
        run_title="Example run",
        label="positive",
        classes=_CLASSES,
        probabilities=(0.1, 0.2, 0.7),
        prediction_set=("positive",),
        coverage=0.9,
        notes=(),
        limits=("Invented for an example.",),
        synthetic=True,
        method="Grad-CAM",
        pictures=(("Patch", "A grey patch", np.full((16, 16, 3), 128, np.uint8)),),
        temperature=1.0,
        input_px=112,
        software={"her2core": "0.2.0"},
    )
