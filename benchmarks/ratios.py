"""Ratios of times within one run, which hold on a machine that others use as well, and their files of results.

A results file of this kind has ``ratios``: name -> median, least and largest over the rounds. ``benchmarks/guard.py``
measures again and compares.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from her2core.io.files import write_json
from her2core.runs.provenance import provenance

RESULTS = Path(__file__).resolve().parent / "results"
Rounds = dict[str, np.ndarray]


def in_turns(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int, clock: Callable[[], float] = time.process_time
) -> Rounds:
    """Seconds of each call in each round.

    Parameters
    ----------
    calls : mapping of str to callable
    rounds : int
        Counted ones; one before them warms up. Each goes through the calls in the other order.
    clock : callable, optional
        Processor time of this process by default: other work on the machine counts little in it.

    Returns
    -------
    dict of str to float array (rounds,)
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in list(calls)[:: 1 if number % 2 else -1]:
            began = clock()
            calls[name]()
            if number:
                spent[name].append(clock() - began)
    return {name: np.array(times) for name, times in spent.items()}


def summary(values: np.ndarray) -> dict[str, float]:
    """Median, least and largest, to four significant digits."""
    found = {"median": np.median(values), "least": values.min(), "largest": values.max()}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def write_result(name: str, result: Mapping[str, Any], *, packages: tuple[str, ...], threads: int | None = 1) -> None:
    """Write and print ``results/<name>.json``: the command, the machine and the versions, then ``result``."""
    here = provenance()
    whole = {
        "command": f"OMP_NUM_THREADS={threads} python benchmarks/{name}.py",
        "machine": here["hardware"],
        "versions": {"python": here["python"], **{package: metadata.version(package) for package in packages}},
        **result,
    }
    write_json(RESULTS / f"{name}.json", whole)
    print(json.dumps(whole, indent=2))
