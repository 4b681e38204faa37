"""8-bit integers by NNCF beside OpenVINO's other precisions: speed, and what the released run's figures become.

OMP_NUM_THREADS=1 python benchmarks/int8.py    needs the extra openvino, nncf and ../shared/data/tissue_tiles

The run released as tissue12 is quantised after training with CALIBRATION of its training patches and predicts its test
part. An engine in 8 bits would be offered only where balanced accuracy and calibration error change by less than their
released 95 % intervals are wide on either side. Speed: one thread, processor time, in turns, on ready tensors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ratios import in_turns, summary, write_result
from sklearn.metrics import balanced_accuracy_score

from her2core.evidence.metrics.probabilistic import expected_calibration_error
from her2core.inference.openvino_engine import _converted, _openvino
from her2core.inference.predictor import load_predictor
from her2core.runs.folder import Run

HOME = Path(__file__).resolve().parents[1]
TILES = HOME.parent / "shared" / "data" / "tissue_tiles"
CALIBRATION, BATCH, ROUNDS = 300, 16, 5


def main() -> None:
    torch.set_num_threads(1)
    predictor = load_predictor(HOME / "models" / "tissue12", engine="torch")
    ov = _openvino()
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nncf's import must not report either
    import nncf

    rows = predictor.run.dataset
    train = rows[rows["split"] == "train"].sample(CALIBRATION, random_state=0)
    test = rows[rows["split"] == "test"]
    calibration, tensors = (_tensors(predictor, part) for part in (train, test))
    model = _converted(ov, predictor.network, predictor.px, False)
    small = nncf.quantize(
        model,
        nncf.Dataset([calibration[i : i + 1] for i in range(CALIBRATION)]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=CALIBRATION,
        target_device=nncf.TargetDevice.CPU,
    )
    settings = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    core = ov.Core()
    compiled = {
        "openvino": core.compile_model(model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"}),
        "openvino-bf16": core.compile_model(model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "bf16"}),
        "openvino-int8": core.compile_model(small, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"}),
    }
    labels = test["label"].map({name: i for i, name in enumerate(predictor.classes)}).to_numpy()
    figures = {name: _figures(_logits(one, tensors), labels, predictor) for name, one in compiled.items()}
    some = tensors[:BATCH]
    calls: dict[str, Any] = {name: lambda one=one: one(some) for name, one in compiled.items()}
    calls["torch"] = lambda: predictor._pipeline.forward(torch.from_numpy(some))
    spent = in_turns(calls, rounds=ROUNDS)
    result = {
        "calibration_patches": CALIBRATION,
        "test_patches": len(test),
        "released": _released(predictor.run),
        "figures": figures,
        "ratios": {f"torch over {name}": summary(spent["torch"] / spent[name]) for name in compiled},
        "note": "A training ran beside, on both cores. Not an engine of her2core.",
    }
    write_result("int8", result, packages=("torch", "openvino", "nncf", "numpy"))


def _tensors(predictor: Any, rows: pd.DataFrame) -> np.ndarray:
    answers = (predictor.prepare(_read(patch)).image for patch in rows["patch_id"])
    return predictor._pipeline.tensor(np.stack(list(answers))).contiguous().numpy()


def _read(patch: str) -> np.ndarray:
    from her2core.io.images import read_image

    return read_image(TILES / patch)


def _logits(compiled: Any, tensors: np.ndarray) -> np.ndarray:
    return np.concatenate([compiled(tensors[i : i + BATCH])[1] for i in range(0, len(tensors), BATCH)])


def _figures(logits: np.ndarray, labels: np.ndarray, predictor: Any) -> dict[str, float]:
    probabilities = predictor._pipeline.probabilities(torch.from_numpy(logits))
    predicted = probabilities.argmax(axis=1)
    return {
        "balanced_accuracy": round(float(balanced_accuracy_score(labels, predicted)), 4),
        "ece": round(float(expected_calibration_error(probabilities, labels=labels)), 4),
    }


def _released(run: Run) -> dict[str, list[float]]:
    """Lower bound, value and upper bound of the figures in the run's tables."""
    metrics, errors = run.table("metrics"), run.table("calibration")
    rows = {
        "balanced_accuracy": metrics[(metrics["unit"] == "patch") & (metrics["metric"] == "balanced_accuracy")],
        "ece": errors[
            (errors["unit"] == "patch") & (errors["metric"] == "ece_equal_width") & (errors["scores"] == "calibrated")
        ],
    }
    return {name: row[["lower_95", "value", "upper_95"]].iloc[0].tolist() for name, row in rows.items()}


if __name__ == "__main__":
    main()
