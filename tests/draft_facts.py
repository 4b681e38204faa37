"""Facts and history of an unfinished training, for tests."""

from __future__ import annotations

FACTS = {
    "phase": "training",
    "epoch": 1,
    "epochs": 3,
    "step": 4,
    "steps": 9,
    "loss": 0.5,
    "patches_per_second": 31.5,
    "started": "2026-01-01T00:00:00+00:00",
}
HISTORY = {"epoch": [0, 1], "train_loss": [1.5, 1.0], "val_loss": [1.5, 1.25], "val_balanced_accuracy": [0.5, 0.75]}
