"""What ``torch.compile`` would give a training step on a processor: compilation time, ratio, and when it is paid back.

OMP_NUM_THREADS=2 python benchmarks/training_compiled.py    about ten minutes; needs a C++ compiler (Debian: g++)

The same network, optimiser and batch, eager and compiled by inductor, in turns, wall clock; in float32 and in bfloat16
autocast. The step is that of training: forward pass, cross-entropy, backward pass, AdamW.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratios import in_turns, summary, write_result
from torch.nn import functional as F

from her2core.networks.registry import build_network

NETWORK, PX, BATCH, ROUNDS, STEPS = "her2_resnet50", 112, 16, 5, 2
#: Patches of an epoch, to say how many epochs pay for the compilation.
EPOCH = 2_000


def step_of(compiled: bool, precision: str) -> Callable[[], float]:
    """A training step of the network; its loss."""
    torch.manual_seed(0)
    network = build_network(NETWORK, 3).to(memory_format=torch.channels_last).train()
    forward = torch.compile(network) if compiled else network
    optimiser = torch.optim.AdamW(network.parameters(), 1e-4)
    images = torch.rand(BATCH, 3, PX, PX).to(memory_format=torch.channels_last)
    targets = torch.arange(BATCH) % 3

    def step() -> float:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
            loss = F.cross_entropy(forward(images), targets)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def measure(precision: str) -> dict[str, Any]:
    """Figures of one precision."""
    eager, compiled = step_of(False, precision), step_of(True, precision)
    began = time.perf_counter()
    first_eager = eager()
    eager_seconds = time.perf_counter() - began
    began = time.perf_counter()
    first = compiled()
    compilation = time.perf_counter() - began

    def several(step: Callable[[], float]) -> Callable[[], None]:
        def call() -> None:
            for _ in range(STEPS):
                step()

        return call

    spent = in_turns({"eager": several(eager), "compiled": several(compiled)}, rounds=ROUNDS, clock=time.perf_counter)
    seconds = {name: float(np.median(times)) / STEPS for name, times in spent.items()}
    saved = (seconds["eager"] - seconds["compiled"]) / BATCH * EPOCH
    return {
        "compilation_s": round(compilation, 1),
        "first_eager_step_s": round(eager_seconds, 2),
        "eager_ms_a_patch": round(1e3 * seconds["eager"] / BATCH, 2),
        "eager_over_compiled": summary(spent["eager"] / spent["compiled"]),
        "difference_of_the_first_loss": abs(first - first_eager),
        f"epochs_of_{EPOCH}_patches_to_pay_back": round(compilation / saved, 1) if saved > 0 else None,
    }


def main() -> None:
    """Measure each precision in this process and write the results."""
    sys.path.insert(0, str(Path(__file__).parent))
    result: dict[str, Any] = {
        "network": f"{NETWORK}, {PX} px, batch {BATCH}",
        "load_before": round(os.getloadavg()[0], 2),
        **{precision: measure(precision) for precision in ("fp32", "bf16")},
    }
    write_result("training_compiled", result, packages=("torch",), threads=os.cpu_count())


if __name__ == "__main__":
    main()
