"""Regression guard: ratios within one run against those stored in ``results/``.

python benchmarks/guard.py [stain] [start] [engine] [training]    or: make bench; all by default, some six minutes

Each benchmark is run again in a few rounds, and the median of each ratio is compared with the stored median. A ratio
that shows how many times quicker we are ("torchstain over apply", "bare over predict") may fall, and one that shows
what we cost ("her2 predict over import torch") may rise, by TOLERANCE at most. Where a stored ratio itself ranged wider
over its rounds, that range is allowed. The stored files stay as they are; exit code 1 means that a ratio is worse.

The ratios of the engines hold for one kind of processor: without native bfloat16 its engines are left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ratios import RESULTS

#: Largest relative change for the worse; two cores that others use as well vary by some 20 %.
TOLERANCE = 0.3
_Ratios = dict[str, dict[str, float]]


def stain() -> _Ratios:
    from stain import measure

    return measure(rounds=9)[1]


def start() -> _Ratios:
    from start import measure

    return measure(rounds=3)


def engine() -> _Ratios:
    import cv2
    import torch
    from engine import TILES, image_files, measure, predictors, ratios

    if not TILES.is_dir():
        print(f"engine: left out, as there are no images at {TILES}")
        return {}
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return ratios(measure(predictors(), image_files(), rounds=3))


def training() -> _Ratios:
    import torch
    from training import NETWORKS, measure

    torch.set_num_threads(1)
    return measure(*NETWORKS[0])["ratios"]


#: Name of the results file -> what measures it, and whether a larger ratio is better.
BENCHMARKS: dict[str, tuple[Callable[[], _Ratios], bool]] = {
    "stain": (stain, True),
    "start": (start, False),
    "engine": (engine, True),
    "training": (training, True),
}
#: Differences of differences, too noisy for a few rounds.
_LEFT_OUT = ("OOD score", "earlier")


def worse(stored: _Ratios, found: _Ratios, *, larger_is_better: bool, tolerance: float = TOLERANCE) -> list[str]:
    """The ratios that are worse than stored by more than is allowed, in words.

    Parameters
    ----------
    stored, found : dict
        Name -> median, least and largest.
    larger_is_better : bool
    tolerance : float, optional

    Returns
    -------
    list of str
    """
    said = []
    for name, now in found.items():
        before = stored.get(name)
        if before is None or any(word in name for word in _LEFT_OUT):
            continue
        if larger_is_better:
            limit = min(before["median"] * (1 - tolerance), before["least"])
            is_worse = now["median"] < limit
        else:
            limit = max(before["median"] * (1 + tolerance), before["largest"])
            is_worse = now["median"] > limit
        if is_worse:
            said.append(f"{name}: {now['median']:g}, stored {before['median']:g}, allowed {limit:.4g}")
    return said


def main(names: list[str]) -> int:
    failed = []
    for name in names or list(BENCHMARKS):
        measure, larger_is_better = BENCHMARKS[name]
        stored: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
        found = measure()
        for ratio, values in found.items():
            before = stored["ratios"].get(ratio)
            print(f"{name}: {ratio}: {values['median']:g}, stored {before['median'] if before else 'none'}")
        failed += [
            f"{name}: {sentence}" for sentence in worse(stored["ratios"], found, larger_is_better=larger_is_better)
        ]
    print("\n".join(["Worse than stored:", *failed]) if failed else "No ratio is worse than allowed.")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
