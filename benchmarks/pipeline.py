"""Rate from JPEG files to predictions beside the engine's bare rate by wall clock, the network on one of two cores.

OMP_NUM_THREADS=1 python benchmarks/pipeline.py    on an idle machine; needs the extra openvino, ../shared/data

Files are read, decoded, resized, normalised by Macenko and checked in threads while the network works on those before;
``engine.py`` has the processor time of both together. Here a second core is free for the preparation, as on a machine
with more cores than the network uses. Network: tissue12 (modified ResNet50, output stride 16), batches of 16.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from engine import TILES, predictors
from ratios import in_turns, summary, write_result

NUMBER, BATCH, ROUNDS = 160, 16, 3


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    load = round(os.getloadavg()[0], 2)
    files = sorted(TILES.rglob("*.jpg"))
    files = files[:: len(files) // NUMBER][:NUMBER]
    calls: dict[str, Callable[[], Any]] = {}
    for (name, px), predictor in predictors().items():
        if name.startswith("torch"):  # the quicker the network, the harder it is to keep at work
            continue
        images = np.stack([a.image for a in predictor.predict(files) if a.image is not None])
        batches = [predictor._pipeline.tensor(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        calls[f"bare, {name}, {px} px"] = lambda p=predictor, b=batches: [p._pipeline.forward(one) for one in b]
        calls[f"predict, {name}, {px} px"] = lambda p=predictor: p.predict(files, batch=BATCH)
    spent = in_turns(calls, rounds=ROUNDS, clock=time.perf_counter)
    of = [name.removeprefix("bare, ") for name in calls if name.startswith("bare")]
    result = {
        "patches": NUMBER,
        "rounds": ROUNDS,
        "load_before": load,
        "patches_a_second": {name: round(NUMBER / float(np.median(t)), 1) for name, t in spent.items()},
        "ratios": {name: summary(spent[f"bare, {name}"] / spent[f"predict, {name}"]) for name in of},
    }
    write_result("pipeline", result, packages=("torch", "openvino", "numpy", "opencv-python-headless"))


if __name__ == "__main__":
    main()
