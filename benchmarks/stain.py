"""Speed of Macenko normalisation as ratios to torchstain, in one run; tests/test_stain.py checks that they agree.

OMP_NUM_THREADS=1 python benchmarks/stain.py

``apply`` estimates the stain of each patch, ``recolour`` uses one estimate for all, as the tiles of a slide do. One
thread, processor time, in turns; the median over the rounds, with the least and the largest ratio.
"""

from __future__ import annotations

import cv2
import numpy as np
import torchstain
from ratios import in_turns, summary, write_result

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.stain.macenko import StainNormalizer
from her2core.stain.reference import StainEstimate

PX, ROUNDS = 224, 25


def measure(rounds: int = ROUNDS) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Milliseconds a patch, and how many times as long torchstain takes."""
    cv2.setNumThreads(1)
    images = [render_patch(CohortSpec(px=PX, mpp=0.5), i).image for i in range(0, 400, 20)]
    ours, theirs = StainNormalizer(), torchstain.normalizers.MacenkoNormalizer(backend="numpy")
    stain = ours.estimate(images[0])
    assert isinstance(stain, StainEstimate)  # a synthetic patch of ordinary tissue
    spent = in_turns(
        {
            "torchstain": lambda: [theirs.normalize(I=image, stains=False) for image in images],
            "apply": lambda: [ours.apply(image) for image in images],
            "recolour": lambda: [ours.recolour(image, stain) for image in images],
        },
        rounds=rounds,
    )
    milliseconds = {name: round(1e3 * float(np.median(times)) / len(images), 3) for name, times in spent.items()}
    ratios = {f"torchstain over {name}": summary(spent["torchstain"] / spent[name]) for name in ("apply", "recolour")}
    return milliseconds, ratios


if __name__ == "__main__":
    milliseconds, ratios = measure()
    result = {"patch_px": PX, "rounds": ROUNDS, "processor_milliseconds_a_patch": milliseconds, "ratios": ratios}
    write_result("stain", result, packages=("torchstain", "numpy", "opencv-python-headless"))
