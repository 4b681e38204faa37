"""her2core: HER2 status from H&E patches, with evidence that can be checked. Research use only.

The public names, each loaded when it is first used, so that ``import her2core`` stays light (no torch).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "load_predictor": "her2core.inference.predictor",
    "Predictor": "her2core.inference.predictor",
    "Prediction": "her2core.inference.predictor",
    "explain": "her2core.maps.explain",
    "Manifest": "her2core.data.manifest",
    "read_manifest": "her2core.data.manifest",
    "import_dataset": "her2core.data.importers",
    "check_manifest": "her2core.data.checks",
    "split_manifest": "her2core.data.splits",
    "RunConfig": "her2core.training.config",
    "train": "her2core.training.fit",
    "open_run": "her2core.runs.folder",
    "Run": "her2core.runs.folder",
    "evaluate": "her2core.evidence.evaluation",
    "Predictions": "her2core.evidence.predictions",
    "read_predictions": "her2core.evidence.predictions",
    "compare_runs": "her2core.evidence.compare",
    "StainNormalizer": "her2core.stain.macenko",
}

__all__ = [
    "Manifest",
    "Prediction",
    "Predictions",
    "Predictor",
    "Run",
    "RunConfig",
    "StainNormalizer",
    "__version__",
    "check_manifest",
    "compare_runs",
    "evaluate",
    "explain",
    "import_dataset",
    "load_predictor",
    "open_run",
    "read_manifest",
    "read_predictions",
    "split_manifest",
    "train",
]

if TYPE_CHECKING:
    from her2core.data.checks import check_manifest
    from her2core.data.importers import import_dataset
    from her2core.data.manifest import Manifest, read_manifest
    from her2core.data.splits import split_manifest
    from her2core.evidence.compare import compare_runs
    from her2core.evidence.evaluation import evaluate
    from her2core.evidence.predictions import Predictions, read_predictions
    from her2core.inference.predictor import Prediction, Predictor, load_predictor
    from her2core.maps.explain import explain
    from her2core.runs.folder import Run, open_run
    from her2core.stain.macenko import StainNormalizer
    from her2core.training.config import RunConfig
    from her2core.training.fit import train


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"her2core has no public name {name!r}; it has {', '.join(_HOME)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__():
    return sorted(__all__)
