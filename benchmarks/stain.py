"""Speed of Macenko normalisation as a ratio to torchstain, in one run; tests/test_stain.py checks that they agree.

OMP_NUM_THREADS=1 python benchmarks/stain.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torchstain

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.files import write_json
from her2core.stain.macenko import StainNormalizer


def main() -> None:
    images = [render_patch(CohortSpec(px=224, mpp=0.5), i).image for i in range(0, 400, 20)]
    ours, theirs = StainNormalizer(), torchstain.normalizers.MacenkoNormalizer(backend="numpy")
    calls = {"her2core": ours.apply, "torchstain": lambda image: theirs.normalize(I=image, stains=False)}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(7):  # in turns, so that a busy machine slows both
        for name, call in calls.items():
            began = time.perf_counter()
            for image in images:
                call(image)
            rounds[name].append((time.perf_counter() - began) / len(images))
    best = {name: float(np.median(times)) for name, times in rounds.items()}
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/stain.py",
        "patch_px": 224,
        "milliseconds_a_patch": {name: round(1e3 * t, 2) for name, t in best.items()},
        "torchstain_time_over_ours": round(best["torchstain"] / best["her2core"], 2),
    }
    write_json(Path(__file__).parent / "results" / "stain.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
