"""Which network does a run's card describe, with its weights? A run in; its network, ready to judge, out."""

from __future__ import annotations

from torch import nn

from her2core.networks.heads import with_last_layer
from her2core.networks.registry import build_network
from her2core.networks.weights import load_into, read_weights
from her2core.runs.folder import WEIGHTS, Run


def network_of(run: Run) -> nn.Module:
    """The run's network in evaluation mode, its weights verified against the card.

    Raises NetworkError for a network that this version cannot build, WeightsError for weights that are missing,
    pickled, tampered with or made for another network.
    """
    card = run.card
    network = build_network(card["network"]["name"], len(run.classes), **card["network"]["options"])
    with_last_layer(network, card["network"].get("last_layer"), len(run.classes))
    weights = run.path / WEIGHTS
    load_into(network, read_weights(weights, sha256=card["weights_sha256"]), where=str(weights))
    return network.eval()
