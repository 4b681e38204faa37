"""HER2 status from H&E patches, with evidence that can be checked. Research use only.

Each public name is imported when it is first used, so that ``import her2core`` stays light: no torch, numpy or pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

#: Module of each public name.
_MODULES = {
    "CheckReport": "her2core.data.checks.report",
    "check_manifest": "her2core.data.checks",
    "import_dataset": "her2core.data.importers",
    "Manifest": "her2core.data.manifest",
    "read_manifest": "her2core.data.manifest",
    "split_manifest": "her2core.data.splits",
    "ConfigError": "her2core.errors",
    "EvaluationError": "her2core.errors",
    "Her2Error": "her2core.errors",
    "ImageError": "her2core.errors",
    "ManifestError": "her2core.errors",
    "NetworkError": "her2core.errors",
    "RunError": "her2core.errors",
    "SplitError": "her2core.errors",
    "StudyError": "her2core.errors",
    "TableError": "her2core.errors",
    "WeightsError": "her2core.errors",
    "Comparison": "her2core.evidence.compare",
    "compare_runs": "her2core.evidence.compare",
    "Evaluation": "her2core.evidence.evaluation",
    "evaluate": "her2core.evidence.evaluation",
    "Predictions": "her2core.evidence.predictions",
    "read_predictions": "her2core.evidence.predictions",
    "Verdict": "her2core.evidence.verdict",
    "verdict": "her2core.evidence.verdict",
    "FieldPrediction": "her2core.inference.field",
    "predict_field": "her2core.inference.field",
    "PatchAnalysis": "her2core.inference.analysis",
    "Prediction": "her2core.inference.prediction",
    "Predictor": "her2core.inference.predictor",
    "load_predictor": "her2core.inference.predictor",
    "ClassMap": "her2core.maps.class_map",
    "explain": "her2core.maps.explain",
    "Run": "her2core.runs.folder",
    "open_run": "her2core.runs.folder",
    "StainNormalizer": "her2core.stain.macenko",
    "RunConfig": "her2core.training.config",
    "load_config": "her2core.training.config",
    "validate_external": "her2core.training.external",
    "train": "her2core.training.fit",
}

__all__ = [
    "CheckReport",
    "ClassMap",
    "Comparison",
    "ConfigError",
    "Evaluation",
    "EvaluationError",
    "FieldPrediction",
    "Her2Error",
    "ImageError",
    "Manifest",
    "ManifestError",
    "NetworkError",
    "PatchAnalysis",
    "Prediction",
    "Predictions",
    "Predictor",
    "Run",
    "RunConfig",
    "RunError",
    "SplitError",
    "StainNormalizer",
    "StudyError",
    "TableError",
    "Verdict",
    "WeightsError",
    "__version__",
    "check_manifest",
    "compare_runs",
    "evaluate",
    "explain",
    "import_dataset",
    "load_config",
    "load_predictor",
    "open_run",
    "predict_field",
    "read_manifest",
    "read_predictions",
    "split_manifest",
    "train",
    "validate_external",
    "verdict",
]

if TYPE_CHECKING:
    from her2core.data.checks import check_manifest
    from her2core.data.checks.report import CheckReport
    from her2core.data.importers import import_dataset
    from her2core.data.manifest import Manifest, read_manifest
    from her2core.data.splits import split_manifest
    from her2core.errors import (
        ConfigError,
        EvaluationError,
        Her2Error,
        ImageError,
        ManifestError,
        NetworkError,
        RunError,
        SplitError,
        StudyError,
        TableError,
        WeightsError,
    )
    from her2core.evidence.compare import Comparison, compare_runs
    from her2core.evidence.evaluation import Evaluation, evaluate
    from her2core.evidence.predictions import Predictions, read_predictions
    from her2core.evidence.verdict import Verdict, verdict
    from her2core.inference.analysis import PatchAnalysis
    from her2core.inference.field import FieldPrediction, predict_field
    from her2core.inference.prediction import Prediction
    from her2core.inference.predictor import Predictor, load_predictor
    from her2core.maps.class_map import ClassMap
    from her2core.maps.explain import explain
    from her2core.runs.folder import Run, open_run
    from her2core.stain.macenko import StainNormalizer
    from her2core.training.config import RunConfig, load_config
    from her2core.training.external import validate_external
    from her2core.training.fit import train


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        import difflib

        near = difflib.get_close_matches(name, _MODULES, n=3)
        offer = f" Did you mean {', '.join(near)}?" if near else ""
        raise AttributeError(
            f"module 'her2core' has no attribute {name!r}.{offer} Public names: {', '.join(sorted(_MODULES))}."
        )
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
