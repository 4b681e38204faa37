"""Speed of the engines as ratios in one run, the way from JPEG to prediction, and the share of the OOD score.

OMP_NUM_THREADS=1 python benchmarks/engine.py    needs the extra openvino and ../shared/data/tissue_tiles

One thread, processor time: other work on the machine counts little in it. All calls take turns, each round in another
order; ratios and differences are taken within a round, and the median over the rounds is reported. The run released as
tissue12 (modified ResNet50, output stride 16) is served at its own 112 px; at 224 px the same network is timed on
tensors alone.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from her2core.inference.engines import TorchEngine, load_engine
from her2core.inference.predictor import load_predictor
from her2core.io.files import write_json
from her2core.ood.descriptor import descriptors

HOME = Path(__file__).resolve().parents[1]
TILES = HOME.parent / "shared" / "data" / "tissue_tiles"
NUMBER, LARGE, ROUNDS = 16, 4, 3


def main() -> None:
    torch.set_num_threads(1)
    files = sorted(TILES.rglob("*.jpg"))
    files = files[:: len(files) // NUMBER][:NUMBER]
    served = {name: load_predictor(HOME / "models" / "tissue12", engine=name) for name in ("torch", "openvino")}
    right, found = (served[name].predict(files) for name in ("torch", "openvino"))
    predictor = served["torch"]
    prepared = [predictor.prepare(np.asarray(answer.raw)) for answer in right]
    tensor = predictor._pipeline.tensor(np.stack([p.image for p in prepared]))
    large = torch.randn(LARGE, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    network, card = predictor.network, {**predictor.run.card, "input": {**predictor.run.card["input"], "px": 224}}
    cpu, detector = torch.device("cpu"), predictor.detector
    assert detector is not None  # of this released run
    plain = {
        name: load_engine(name, network, predictor.run.card, cpu, responses=False) for name in ("torch", "openvino")
    }
    at_224 = {name: load_engine(name, network, card, cpu, responses=False) for name in ("torch", "openvino")}
    responses = TorchEngine(network, cpu, responses=True).forward(tensor).responses
    assert responses is not None
    calls: dict[str, Callable[[], Any]] = {
        **{f"predict, {name}, 112 px": lambda p=p: p.predict(files) for name, p in served.items()},
        **{f"forward, {name}, 112 px": lambda p=p: p._pipeline.forward(tensor) for name, p in served.items()},
        **{f"forward without responses, {name}, 112 px": lambda e=e: e.forward(tensor) for name, e in plain.items()},
        **{f"forward without responses, {name}, 224 px": lambda e=e: e.forward(large) for name, e in at_224.items()},
        "descriptors and OOD score, 112 px": lambda: detector.score(descriptors(responses, prepared)),
    }
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):  # the first round warms up
        for name in list(calls)[:: 1 if number % 2 else -1]:
            began = time.process_time()
            calls[name]()
            if number:
                rounds[name].append(1e3 * (time.process_time() - began) / (LARGE if "224" in name else NUMBER))
    spent = {name: np.array(times) for name, times in rounds.items()}
    shares = {
        name: (
            spent["descriptors and OOD score, 112 px"]
            + spent[f"forward, {name}, 112 px"]
            - spent[f"forward without responses, {name}, 112 px"]
        )
        / spent[f"predict, {name}, 112 px"]
        for name in served
    }
    ratios = {
        f"{what}, {px} px": spent[f"{what}, torch, {px} px"] / spent[f"{what}, openvino, {px} px"]
        for what, px in (("predict", 112), ("forward without responses", 112), ("forward without responses", 224))
    }
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/engine.py",
        "processor": _processor(),
        "threads": 1,
        "versions": {name: metadata.version(name) for name in ("torch", "openvino", "numpy")},
        "patches": NUMBER,
        "rounds": ROUNDS,
        "processor_milliseconds_a_patch": {name: round(float(np.median(times)), 2) for name, times in spent.items()},
        "torch_time_over_openvino": {name: _median_and_range(found) for name, found in ratios.items()},
        "share_of_predict_for_ood": {name: _median_and_range(found) for name, found in shares.items()},
        "largest_probability_difference": float(
            max(np.abs(np.subtract(a.probabilities, b.probabilities)).max() for a, b in zip(right, found, strict=True))
        ),
        "note": "float32: this processor has neither AVX-512 nor bfloat16."
        " Other work ran beside. Where least and largest of a share lie far apart, it is not settled.",
    }
    write_json(Path(__file__).parent / "results" / "engine.json", result)
    print(json.dumps(result, indent=2))


def _median_and_range(values: np.ndarray) -> dict[str, float]:
    found = {"median": np.median(values), "least": values.min(), "largest": values.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    if not named:
        return platform.processor()
    return f"{named.get('model name', '')} (family {named.get('cpu family')}, model {named.get('model')})"


if __name__ == "__main__":
    main()
