"""Cold start of `her2 predict` on one patch, as a ratio to the import of torch alone.

OMP_NUM_THREADS=1 python benchmarks/start.py [CHECKOUT]

Processor seconds of whole processes, in turns. With CHECKOUT, the folder of an earlier one, its command is measured
in the same run. The converted network of the engine openvino is in the cache, as after a first prediction.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from ratios import in_turns, summary, write_result

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png

HOME = Path(__file__).resolve().parents[1]
ROUNDS = 5


def measure(earlier: Path | None = None, *, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Ratios by name: median, least and largest over the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        patch = Path(folder) / "one.png"
        patch.write_bytes(encode_png(render_patch(CohortSpec(px=112), 5).image))

        def run(*words: str, checkout: Path = HOME) -> None:
            environment = {**os.environ, "PYTHONPATH": str(checkout), "HER2_CACHE": folder}
            subprocess.run([sys.executable, *words], cwd=checkout, env=environment, capture_output=True, check=True)

        predict = ("-m", "her2core", "predict", str(HOME / "models" / "demo"), str(patch), "--engine")
        calls = {
            "import torch": lambda: run("-c", "import torch"),
            "her2 --help": lambda: run("-m", "her2core", "--help"),
            "her2 predict, torch": lambda: run(*predict, "torch"),
            "her2 predict, openvino": lambda: run(*predict, "openvino"),
        }
        if earlier is not None:
            calls["her2 predict, torch, earlier checkout"] = lambda: run(*predict, "torch", checkout=earlier)
        spent = in_turns(calls, rounds=rounds, clock=_children)
    return {f"{name} over import torch": summary(times / spent["import torch"]) for name, times in spent.items()}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    earlier = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    result = {"rounds": ROUNDS, "ratios": measure(earlier)}
    write_result("start", result, packages=("torch", "torchvision", "openvino", "numpy"))
