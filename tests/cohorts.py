"""Tables of predictions that several tests share: plain ones, and those that break careless programs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.evidence.predictions import Predictions, read_predictions

CLASSES = ("negative", "equivocal", "positive")


def table(n=360, patients=36, *, seed=0, strength=1.5, **columns) -> pd.DataFrame:
    """A third validation, two thirds test; a patient has one class, stands in one part and comes from one site."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    label = patient // 3 % 3
    scores = rng.normal(size=(n, 3)) + 0.7 * rng.normal(size=(patients, 3))[patient]
    scores[np.arange(n), label] += strength
    frame = pd.DataFrame(
        {
            "patch_id": [f"q{i}" for i in range(n)],
            "patient_id": [f"p{i}" for i in patient],
            "slide_id": [f"p{i}s" for i in patient],
            "site": np.array(["north", "south"])[patient % 2],
            "split": np.where(patient % 3 == 0, "val", "test"),
            "label": np.array(CLASSES)[label],
        }
    )
    for k, name in enumerate(CLASSES):
        frame[f"logit_{name}"] = scores[:, k]
    return frame.assign(**columns)


def read(**changes) -> Predictions:
    """``table`` as Predictions."""
    return read_predictions(table(**changes), classes=CLASSES)


def hard(kind: str) -> Predictions:
    """One of HARD."""
    frame = table()
    if kind == "one class":
        frame["label"] = "positive"
    elif kind == "all wrong":
        frame["label"] = np.roll(CLASSES, -1)[[CLASSES.index(c) for c in frame["label"]]]
        for k, name in enumerate(CLASSES):
            frame[f"logit_{name}"] = np.where(frame["label"] == np.roll(CLASSES, -1)[k], 5.0, 0.0)
    elif kind == "constant scores":
        frame[[f"logit_{c}" for c in CLASSES]] = 0.0
    elif kind == "ties":
        frame[[f"logit_{c}" for c in CLASSES]] = frame[[f"logit_{c}" for c in CLASSES]].round()
    elif kind == "a patient with two labels":
        frame.loc[frame["patient_id"] == "p1", "label"] = ["negative", "positive"] * 5
    elif kind == "a single patient":
        frame["patient_id"] = "only"
    elif kind == "unknown patients":
        frame["patient_id"] = "unknown"
    return read_predictions(frame, classes=CLASSES)


HARD = (
    "one class",
    "all wrong",
    "constant scores",
    "ties",
    "a patient with two labels",
    "a single patient",
    "unknown patients",
)


def simulated(n=240, patients=24, *, seed=0, strength=1.5, patient_effect=0.0, ties=False, **columns) -> Predictions:
    """``patients`` of one class each; the network's score for the true class is raised by ``strength``."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) % patients
    label = patient % 3
    logits = rng.normal(size=(n, 3)) + patient_effect * rng.normal(size=(patients, 3))[patient]
    logits[np.arange(n), label] += strength
    if ties:
        logits = np.round(logits)
    frame = pd.DataFrame(
        {
            "patch_id": [f"q{i}" for i in range(n)],
            "patient_id": [f"p{i}" for i in patient],
            "slide_id": [f"p{p}s{i // patients % 2}" for i, p in enumerate(patient)],
            "site": "one",
            "split": "test",
            "label": np.array(CLASSES)[label],
        }
    )
    for k, name in enumerate(CLASSES):
        frame[f"logit_{name}"] = logits[:, k]
    return read_predictions(frame.assign(**columns), classes=CLASSES)


def as_frame(p: Predictions, kind="probability_") -> pd.DataFrame:
    return p.frame.assign(
        label=np.array(p.classes)[p.labels], **{kind + c: p.probs[:, i] for i, c in enumerate(p.classes)}
    )
