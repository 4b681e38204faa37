"""Speed of the engines, and of the way from JPEG to prediction beside their bare rate, as ratios in one run.

OMP_NUM_THREADS=1 python benchmarks/engine.py    needs the extra openvino and ../shared/data/tissue_tiles

One thread for the network, in turns, each round in another order; ratios are taken within a round, and the median over
the rounds is reported with the least and the largest. Processor time, over all threads of the process: other work on
the machine counts little in it. "bare" is the engine on tensors that are ready; "predict" reads, decodes, resizes and
normalises files by Macenko, computes quality flags and the out-of-distribution score, and calibrates. Network: the one
released as tissue12 (modified ResNet50, output stride 16), at its own 112 px and at 224 px.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ratios import Rounds, in_turns, summary, write_result

from her2core.inference.engines import TorchEngine, load_engine
from her2core.inference.predictor import Predictor, load_predictor
from her2core.networks.bfloat16 import native_bfloat16
from her2core.ood.descriptor import descriptors
from her2core.runs.folder import open_run

HOME = Path(__file__).resolve().parents[1]
TILES = HOME.parent / "shared" / "data" / "tissue_tiles"
NUMBER, ROUNDS, SIZES = 16, 5, (112, 224)
LOW = ("torch-bf16", "openvino-bf16") if native_bfloat16() else ()
ENGINES = ("torch", "openvino", *LOW)


def predictors() -> dict[tuple[str, int], Predictor]:
    """The released run by each engine and at each size."""
    run = open_run(HOME / "models" / "tissue12")
    at = {px: replace(run, card={**run.card, "input": {**run.card["input"], "px": px}}) for px in SIZES}
    return {(name, px): load_predictor(at[px], engine=name) for name in ENGINES for px in SIZES}


def measure(served: dict[tuple[str, int], Predictor], files: list[Path], rounds: int) -> Rounds:
    """Processor seconds a patch of each call in each round."""
    calls: dict[str, Callable[[], Any]] = {}
    for (name, px), predictor in served.items():
        images = np.stack([a.image for a in predictor.predict(files) if a.image is not None])
        tensor, engine = predictor._pipeline.tensor(images), predictor._pipeline
        calls[f"bare, {name}, {px} px"] = lambda e=engine, t=tensor: e.forward(t)  # type: ignore[misc]
        calls[f"predict, {name}, {px} px"] = lambda p=predictor: p.predict(files)  # type: ignore[misc]
    predictor = served["torch", 112]
    prepared = [predictor.prepare(a.raw) for a in predictor.predict(files) if a.raw is not None]
    detector, cpu = predictor.detector, torch.device("cpu")
    tensor = predictor._pipeline.tensor(np.stack([p.image for p in prepared]))
    responses = TorchEngine(predictor.network, cpu, responses=True).forward(tensor).responses
    assert detector is not None
    assert responses is not None  # the released run has a detector
    plain = load_engine("torch", predictor.network, predictor.run.card, cpu, responses=False)
    calls["bare without responses, torch, 112 px"] = lambda: plain.forward(tensor)
    calls["descriptors and OOD score, 112 px"] = lambda: detector.score(descriptors(responses, prepared))
    return {name: times / len(files) for name, times in in_turns(calls, rounds=rounds).items()}


def ratios(spent: Rounds) -> dict[str, dict[str, float]]:
    """Ratios of interest: median, least and largest over the rounds."""
    found = {}
    for px in SIZES:
        for name in ENGINES[1:]:
            for what in ("bare", "predict"):
                over = spent[f"{what}, torch, {px} px"] / spent[f"{what}, {name}, {px} px"]
                found[f"{what}, torch over {name}, {px} px"] = summary(over)
        for name in ENGINES:
            share = spent[f"bare, {name}, {px} px"] / spent[f"predict, {name}, {px} px"]
            found[f"bare over predict, {name}, {px} px"] = summary(share)
    ood = spent["descriptors and OOD score, 112 px"] + spent["bare, torch, 112 px"]
    ood = (ood - spent["bare without responses, torch, 112 px"]) / spent["predict, torch, 112 px"]
    return {**found, "OOD score over predict, torch, 112 px": summary(ood)}


def image_files() -> list[Path]:
    """NUMBER real patches, spread over the classes."""
    files = sorted(TILES.rglob("*.jpg"))
    return files[:: len(files) // NUMBER][:NUMBER]


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    files = image_files()
    served = predictors()
    right = served["torch", 112].predict(files)
    differences = {
        name: float(
            max(
                np.abs(np.subtract(a.probabilities, b.probabilities)).max()
                for a, b in zip(right, served[name, 112].predict(files), strict=True)
            )
        )
        for name in ENGINES[1:]
    }
    spent = measure(served, files, ROUNDS)
    result = {
        "patches": NUMBER,
        "rounds": ROUNDS,
        "native_bfloat16": native_bfloat16(),
        "processor_milliseconds_a_patch": {name: round(1e3 * float(np.median(t)), 2) for name, t in spent.items()},
        "ratios": ratios(spent),
        "largest_probability_difference_to_torch": differences,
        "load_of_the_machine": round(os.getloadavg()[0], 1),
    }
    write_result("engine", result, packages=("torch", "openvino", "numpy", "opencv-python-headless"))


if __name__ == "__main__":
    main()
