"""Networks rebuilt from a model card and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from her2core.networks.heads import with_last_layer
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network
from her2core.networks.weights import load_into, read_weights


def network_from_card(card: Mapping[str, Any], weights: Path) -> PatchNetwork:
    """The network that a card describes, with its weights verified against the card.

    Parameters
    ----------
    card : mapping
        Content of model.card.json: ``network``, ``classes`` and ``weights_sha256`` are used.
    weights : Path
        The run's safetensors file.

    Returns
    -------
    PatchNetwork
        In evaluation mode, on the CPU.

    Raises
    ------
    NetworkError
        For a network that this version cannot build.
    WeightsError
        For weights that are missing, pickled, altered, not finite, or made for another network.

    Examples
    --------
    >>> import tempfile
    >>> from her2core.networks.weights import save_weights
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> sha256 = save_weights(build_network("timm:test_resnet", 3), path)
    >>> card = {"network": {"name": "timm:test_resnet", "options": {}}, "classes": ["a", "b", "c"]}
    >>> network_from_card({**card, "weights_sha256": sha256}, path).training
    False
    """
    described, classes = card["network"], len(card["classes"])
    network = build_network(described["name"], classes, **described["options"])
    with_last_layer(network, described.get("last_layer"), classes)
    load_into(network, read_weights(weights, sha256=card["weights_sha256"]), where=str(weights))
    return network.eval()
