"""Networks rebuilt from a model card and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from her2core.networks.heads import with_last_layer
from her2core.networks.registry import build_network
from her2core.networks.weights import load_into, read_weights


def network_of(card: Mapping[str, Any], weights: Path) -> nn.Module:
    """The card's network in evaluation mode, its weights verified against the card.

    Raises NetworkError for a network that this version cannot build, WeightsError for weights that are missing,
    pickled, tampered with or made for another network.
    """
    described, classes = card["network"], len(card["classes"])
    network = build_network(described["name"], classes, **described["options"])
    with_last_layer(network, described.get("last_layer"), classes)
    load_into(network, read_weights(weights, sha256=card["weights_sha256"]), where=str(weights))
    return network.eval()
