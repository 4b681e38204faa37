"""Load test of `her2 serve`: throughput and distribution of times by number of callers at the same time.

python benchmarks/serving.py    needs the extras serve and openvino; half a minute for each engine

Server and callers are processes on the same machine. For each number of callers the load lasts SECONDS; each caller
sends its next patch when it has the answer. Ratios are to one caller in the same run, and to ``Predictor.predict`` with
batches of 16 in a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from ratios import write_result

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.inference.predictor import load_predictor
from her2core.io.images import encode_png

HOME = Path(__file__).resolve().parents[1]
RUN = HOME / "models" / "demo"
CALLERS, SECONDS, PATCHES = (1, 2, 4, 8, 16, 32), 4.0, 16
BOUNDARY = "her2-load-test"


def main() -> None:
    load_before = round(os.getloadavg()[0], 2)
    patches = [encode_png(render_patch(CohortSpec(px=112), i).image) for i in range(PATCHES)]
    engines = {engine: load(engine, patches) for engine in ("torch", "openvino")}
    result = {
        "run": "models/demo, 112 px",
        "seconds_a_load": SECONDS,
        "engines": engines,
        "load_before": load_before,
        "note": "p50, p95 and p99 in milliseconds",
    }
    write_result("serving", result, packages=("torch", "openvino", "starlette", "uvicorn"), threads=os.cpu_count())


def load(engine: str, patches: list[bytes]) -> dict[str, Any]:
    """Figures of one engine."""
    predictor = load_predictor(RUN, engine=engine)
    right = [a.probabilities for a in predictor.predict(patches)]
    began, passes = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        predictor.predict(patches)
        passes += 1
    alone = passes * len(patches) / (time.perf_counter() - began)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "her2core", "serve", str(RUN), "--port", str(port), "--engine", engine, "--json"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            facts = json.loads(server.stdout.readline())
            _wait(port)
            rows = [_under_load(port, callers, patches, right) for callers in CALLERS]
        finally:
            server.terminate()
            server.wait(30)
    for row in rows:
        row["throughput_over_one_caller"] = round(row["patches_a_second"] / rows[0]["patches_a_second"], 3)
        row["throughput_over_predictor"] = round(row["patches_a_second"] / alone, 3)
    return {"engine": facts["engine"], "predictor_patches_a_second": round(alone, 2), "callers": rows}


def _under_load(port: int, callers: int, patches: list[bytes], right: list[tuple[float, ...]]) -> dict[str, Any]:
    times: list[float] = []
    largest: list[float] = []
    until = time.perf_counter() + SECONDS

    def call(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        i = number
        while time.perf_counter() < until:
            began = time.perf_counter()
            found = _post(connection, patches[i % len(patches)])
            times.append(time.perf_counter() - began)
            difference = np.subtract(list(found["probabilities"].values()), right[i % len(patches)])
            largest.append(float(np.abs(difference).max()))
            i += callers
        connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95, p99 = (round(1e3 * float(p), 1) for p in np.percentile(times, [50, 95, 99]))
    return {
        "callers": callers,
        "requests": len(times),
        "patches_a_second": round(len(times) / (time.perf_counter() - began), 2),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "largest_probability_difference": max(largest),
    }


def _post(connection: HTTPConnection, patch: bytes) -> dict[str, Any]:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head.encode() + patch + f"\r\n--{BOUNDARY}--\r\n".encode()
    connection.request("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, found
    return found


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server does not answer")


if __name__ == "__main__":
    main()
