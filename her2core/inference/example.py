"""Predictor without a run, for examples and tests: a tiny network with random weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from her2core.inference.predictor import Predictor
from her2core.networks.registry import build_network
from her2core.runs.folder import Run
from her2core.stain.reference import StainReference

_CARD = {
    "title": "Example without training",
    "limits": ["Its weights are random: its predictions mean nothing."],
    "classes": ["negative", "equivocal", "positive"],
    "network": {"name": "timm:test_resnet", "options": {}},
    "input": {"px": 64, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "stain": {"reference": asdict(StainReference())},
    "temperature": 1.0,
    "weights_sha256": "0" * 64,
}


def example_predictor() -> Predictor:
    """A predictor whose predictions mean nothing, because its weights are random; no file is needed.

    Returns
    -------
    Predictor
        Classes negative, equivocal and positive; input of 64 px, Macenko normalisation.

    Examples
    --------
    >>> example_predictor().classes
    ('negative', 'equivocal', 'positive')
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("timm:test_resnet", 3)
    return Predictor(Run(Path("example"), {}, dict(_CARD)), network)
