"""Calls of her2core and of another library in turns, each in a process of its own environment.

A script that compares defines the calls of both sides by name, and calls ``serve`` in the process of a side and
``in_two_processes`` in the one that measures. Over a pipe go the name of a call and, as the answer, its seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

#: Environment variable: the Python of the other library's environment (benchmarks/README.md).
VARIABLE = "HER2_PEERS"


def serve(calls: Callable[[], Mapping[str, Callable[[], Any]]]) -> None:
    """Answer each name on a line of standard input with the processor seconds of that call, on one thread."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    known = calls()
    print(json.dumps(list(known)), file=out, flush=True)
    for line in sys.stdin:
        began = time.process_time()
        known[line.strip()]()
        print(time.process_time() - began, file=out, flush=True)


def in_two_processes(script: str, *given: str, rounds: int) -> dict[str, Any]:
    """Processor seconds of every call in every round.

    Parameters
    ----------
    script : str
        File that, with "ours" or "theirs" and ``given`` as arguments, calls ``serve``.
    *given : str
    rounds : int

    Returns
    -------
    dict of str to float array (rounds,)
        By name of the call.
    """
    from ratios import in_turns

    sides = [
        subprocess.Popen([python, script, side, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for side, python in (("ours", sys.executable), ("theirs", other_python()))
    ]
    spent = {"now": 0.0}

    def call(process: subprocess.Popen[str], what: str) -> Callable[[], None]:
        def ask() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            print(what, file=process.stdin, flush=True)
            spent["now"] += float(process.stdout.readline())

        return ask

    calls = {}
    for process in sides:
        assert process.stdout is not None
        calls |= {what: call(process, what) for what in json.loads(process.stdout.readline())}
    found = in_turns(calls, rounds=rounds, clock=lambda: spent["now"])
    for process in sides:
        process.communicate(timeout=60)
    return found


def other_python() -> str:
    """The Python of the other library's environment."""
    python = os.environ.get(VARIABLE)
    if not python:
        raise SystemExit(f"{VARIABLE} must name the python of an environment with TIAToolbox: see benchmarks/README.md")
    return python


def other_version(package: str) -> str:
    """Version of a package in the other library's environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([other_python(), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
