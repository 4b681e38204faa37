"""Computational cost of a study's networks, measured one after another in one process.

Each network is timed in alternation with a plain ResNet50 at the same size, so that the ratios do not depend on what
else the machine does (``networks.cost``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from her2core.networks.cost import network_cost
from her2core.networks.heads import with_last_layer
from her2core.networks.registry import build_network
from her2core.runs.provenance import provenance
from her2core.study.jobs import reason_of
from her2core.training.config import RunConfig

COLUMNS = (
    "parameters",
    "flops",
    "memory_bytes",
    "latency_ms",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
    "throughput_per_s",
    "throughput_ratio",
    "px",
    "threads",
)


def measure_costs(
    networks: Mapping[str, tuple[RunConfig, dict[str, Any] | None]],
    *,
    classes: int,
    rounds: int = 30,
    report: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Measure every network on this machine.

    Parameters
    ----------
    networks : mapping
        From label to configuration, and to the card's options of a last layer that is not the network's own.
    classes : int
        Number of classes.
    rounds : int, optional
        Timed forward passes of each network.
    report : callable, optional
        Called with a line before each network.

    Returns
    -------
    DataFrame
        One row a network: ``network`` (its label), ``last_layer`` (JSON), ``COLUMNS``, ``reason`` where it could not
        be built, and the machine. Ratios are to a plain ResNet50 (torchvision's); ``latency_ratio_low`` and ``_high``
        are quartiles over the rounds.

    Examples
    --------
    >>> config = RunConfig(name="own", manifest="m.csv", network={"name": "timm:lcnet_050"}, input={"px": 32})
    >>> measure_costs({"lcnet": (config, None)}, classes=3, rounds=2)["parameters"].tolist()
    [603699]
    """
    here = provenance()
    machine = {
        "processor": here["hardware"]["processor"],
        "torch": here["packages"]["torch"],
        "measured": here["created"],
    }
    rows = []
    for label, (config, last_layer) in networks.items():
        report(f"{label}: measuring its cost")
        try:
            network = build_network(config.network.name, classes, **config.network.options)
            cost = network_cost(with_last_layer(network, last_layer, classes), config.input.px, rounds=rounds)
        except Exception as failed:  # as with trainings: the others go on
            cost, reason = {}, reason_of(failed)
        else:
            cost["latency_ratio_low"], cost["latency_ratio_high"] = cost["latency_ratio_quartiles"]
            reason = ""
        described = json.dumps(last_layer, sort_keys=True) if last_layer else ""
        rows.append(
            {
                "network": label,
                "last_layer": described,
                **{c: cost.get(c) for c in COLUMNS},
                "reason": reason,
                **machine,
            }
        )
    return pd.DataFrame(rows)
