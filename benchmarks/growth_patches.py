"""Growth of prediction: rate by batch, side of the patch, threads and sessions; memory by number of images.

python benchmarks/growth_patches.py    on an idle machine; needs the extra openvino; about nine minutes

Network: tissue12 (modified ResNet50, output stride 16) on synthetic patches. Wall clock, median of ROUNDS in turns;
every ratio is to another figure of the same run. Each number of threads has a process of its own, and so has each
number of images, whose peak memory is that of the process. A session uploads one PNG after another and asks for
prediction and its maps, as a page of the dashboard does; sessions share one predictor.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ratios import in_turns, write_result

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png

HOME = Path(__file__).resolve().parents[1]
RUN = HOME / "models" / "tissue12"
ENGINES = ("torch", "openvino", "openvino-bf16")
BATCHES, SIDES, THREADS = (1, 2, 4, 8, 16, 32, 64), (64, 112, 160, 224, 320, 448), (1, 2)
SESSIONS, IMAGES = (1, 2, 4, 8, 16), (200, 2_000, 10_000)
BATCH, PX, ROUNDS, UPLOADS = 16, 112, 5, 32


def rates(threads: int) -> dict[str, Any]:
    """Patches a second by batch and by side, of each engine."""
    import torch

    from her2core.inference.predictor import load_predictor
    from her2core.runs.folder import open_run

    torch.set_num_threads(threads)
    run, calls, patches = open_run(RUN), {}, {}
    for engine in ENGINES:
        for batch, px in [*((b, PX) for b in BATCHES), *((BATCH, side) for side in SIDES if side != PX)]:
            at = replace(run, card={**run.card, "input": {**run.card["input"], "px": px}})
            pipeline = load_predictor(at, engine=engine)._pipeline
            ready = pipeline.tensor(np.stack([render_patch(CohortSpec(px=px), i).image for i in range(batch)]))
            name = f"{engine}, batch {batch}, {px} px"
            calls[name], patches[name] = (lambda p=pipeline, t=ready: p.forward(t)), batch
    spent = in_turns(calls, rounds=ROUNDS, clock=time.perf_counter)
    return {name: round(patches[name] / float(np.median(times)), 2) for name, times in spent.items()}


def sessions() -> dict[str, Any]:
    """Uploads a second, and the median time of one, by number of sessions at the same time."""
    from her2core.inference.batched_engine import BatchedEngine
    from her2core.inference.predictor import load_predictor

    predictor = load_predictor(RUN).with_engine(BatchedEngine)
    files = [encode_png(render_patch(CohortSpec(px=PX), i).image) for i in range(UPLOADS)]

    def upload(file: bytes) -> float:
        began = time.perf_counter()
        predictor.analyse(file).class_maps()
        return time.perf_counter() - began

    found: dict[str, Any] = {"engine": predictor.engine}
    for number in SESSIONS:
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(upload, files))
            began = time.perf_counter()
            times = list(pool.map(upload, files * 2))
            seconds = time.perf_counter() - began
        found[str(number)] = {
            "uploads_a_second": round(len(times) / seconds, 2),
            "median_milliseconds": round(1e3 * float(np.median(times)), 1),
        }
    return found


def memory(images: int) -> dict[str, float]:
    """Peak memory and rate of `her2 predict` on a folder of so many patches."""
    from her2core.cli import cli

    files = [encode_png(render_patch(CohortSpec(px=PX), i).image) for i in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        for i in range(images):
            (Path(folder) / f"{i:06d}.png").write_bytes(files[i % 100])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.perf_counter()
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            cli.main(["predict", str(RUN), folder, "--out", f"{folder}/answers.csv"], standalone_mode=False)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak_mb": round(peak), "mb_before": round(before), "patches_a_second": round(images / seconds, 1)}


def apart(*arguments: object, threads: int) -> Any:
    """The answer of this file in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=1800)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    load = round(os.getloadavg()[0], 2)
    by_threads = {f"threads {n}": apart("rates", n, threads=n) for n in THREADS}
    cores = os.cpu_count() or 1
    result = {
        "run": "models/tissue12",
        "rounds": ROUNDS,
        "load_before": load,
        "patches_a_second_ready_tensors": by_threads,
        "sessions": apart("sessions", threads=cores),
        "images": {str(n): apart("memory", n, threads=cores) for n in IMAGES},
    }
    write_result("growth_patches", result, packages=("torch", "openvino", "numpy"), threads=cores)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        asked = {"rates": rates, "sessions": sessions, "memory": memory}[sys.argv[1]]
        print(json.dumps(asked(*map(int, sys.argv[2:]))))
