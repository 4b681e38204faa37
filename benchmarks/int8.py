"""The engine in 8-bit integers (``her2 runs quantize``): what it does to a run's figures, and its speed.

OMP_NUM_THREADS=1 python benchmarks/int8.py    needs the extra int8 and data/tissue12.parquet (as in make released)

For each released run: balanced accuracy and calibration error of the test part in float32 and in 8 bits beside the
run's 95 % intervals, whether the engine is offered, and processor time on ready tensors, one thread, in turns.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratios import in_turns, summary, write_result

from her2core.errors import NetworkError
from her2core.inference.engines import check_inputs
from her2core.inference.int8 import quantise_run
from her2core.inference.predictor import load_predictor
from her2core.networks.bfloat16 import native_bfloat16
from her2core.runs.folder import open_run

MODELS = Path(__file__).resolve().parents[1] / "models"
RUNS = ("tissue12", "tissue12-lite2", "demo")
BATCH, ROUNDS = 16, 7


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HER2_CACHE"] = cache
        result = {name: _figures(name) for name in RUNS}
    write_result("int8", {"runs": result, "batch": BATCH}, packages=("torch", "openvino", "nncf", "numpy"))


def _figures(name: str) -> dict[str, Any]:
    run = open_run(MODELS / name)
    found = quantise_run(run)
    engines = ["torch", "openvino", *(["openvino-bf16"] if native_bfloat16() else [])]
    engines += ["openvino-int8"] if found.offered else []
    loaded, refused = {}, {}
    for engine in engines:
        try:
            loaded[engine] = load_predictor(run, engine=engine)
        except NetworkError as reason:  # too far from torch on the check inputs
            refused[engine] = reason.sentence.split(", or delete")[0]
    px = loaded["torch"].px
    batch = check_inputs(px, torch.device("cpu")).repeat(BATCH // 2, 1, 1, 1)
    spent = in_turns({e: lambda p=p: p._pipeline.forward(batch) for e, p in loaded.items()}, rounds=ROUNDS)
    return {
        "px": px,
        "calibration_patches": found.patches,
        "test_patches": found.test_patches,
        "figures": found.figures,
        "offered": found.offered,
        "engines_refused": refused,
        "probability_differences": found.probabilities,
        "processor_time_ratios": {
            f"torch over {engine}": summary(np.asarray(spent["torch"]) / np.asarray(spent[engine]))
            for engine in list(loaded)[1:]
        },
    }


if __name__ == "__main__":
    main()
