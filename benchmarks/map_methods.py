"""Time of a class-activation map by each method, relative to our Grad-CAM, on models/demo.

Also how often the grad-cam package's Eigen-Grad-CAM shows the wrong side of its principal direction. That the maps are
right is tested in tests/test_maps_methods.py.

    OMP_NUM_THREADS=1 python benchmarks/map_methods.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import Tensor

from her2core import load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.data.tensors import to_tensor
from her2core.io.files import write_json
from her2core.maps.cam import class_map
from her2core.maps.methods import METHODS
from her2core.networks.protocol import PatchNetwork

HERE = Path(__file__).resolve().parent
PATCHES, ROUNDS = 12, 7


def main() -> None:
    predictor = load_predictor(HERE.parent / "models" / "demo")
    network, px, classes = predictor.network, predictor.px, len(predictor.classes)
    images = [render_patch(CohortSpec(px=px), i).image for i in range(0, 20 * PATCHES, 20)]
    prepared = [predictor.prepare(image).image[None] for image in images]
    inputs = [to_tensor(p, *predictor.scaling).to(memory_format=torch.channels_last) for p in prepared]
    with torch.no_grad():
        features = [network.features(x) for x in inputs]

    def once(method: str) -> float:
        """Seconds a map of one class, the features given."""
        began = time.perf_counter()
        for i, patch in enumerate(features):
            class_map(network, patch, i % classes, name="class", method=method)
        return (time.perf_counter() - began) / len(features)

    @torch.no_grad()
    def trunk() -> float:
        """Seconds a patch for the features, which all methods share."""
        began = time.perf_counter()
        for x in inputs:
            network.features(x)
        return (time.perf_counter() - began) / len(inputs)

    for method in METHODS:  # imports and first calls
        once(method)
    rounds: dict[str, list[float]] = {method: [] for method in METHODS}
    shared: list[float] = []
    for _ in range(ROUNDS):  # in turns, so that other load slows all methods
        shared.append(trunk())
        for method, spent in rounds.items():
            spent.append(once(method))
    median = {method: float(np.median(spent)) for method, spent in rounds.items()}
    cases = [_inverted(network, patch, index) for patch in features for index in range(classes)]
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/map_methods.py",
        "run": "models/demo",
        "patch_px": px,
        "channels": int(features[0].shape[1]),
        "cells": list(features[0].shape[2:]),
        "patches": PATCHES,
        "threads": torch.get_num_threads(),
        "milliseconds_a_patch_for_the_features": round(1e3 * float(np.median(shared)), 2),
        "milliseconds_a_map": {method: round(1e3 * t, 2) for method, t in median.items()},
        "time_over_our_gradcam": {method: round(t / median["gradcam"], 1) for method, t in median.items()},
        "package_eigengradcam_inverted": {"maps": len(cases), "inverted": sum(cases)},
    }
    write_json(HERE / "results" / "map_methods.json", result)
    print(json.dumps(result, indent=2))


def _inverted(network: PatchNetwork, features: Tensor, index: int) -> bool:
    """Whether the package's principal direction is high where features times gradients are low."""
    leaf = features.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.head(leaf)[0, index], leaf)
    product = (gradient * features).numpy()
    return bool((get_2d_projection(product)[0] * product[0].sum(0)).sum() < 0)


if __name__ == "__main__":
    main()
