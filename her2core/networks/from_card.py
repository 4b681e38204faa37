"""Networks rebuilt from a model card and its weights, without a connection and without other files than these two."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from her2core.errors import NetworkError
from her2core.networks.heads import with_last_layer
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_local_network
from her2core.networks.weight_files import read_weights, stated_shapes
from her2core.networks.weights import check_shapes, load_into


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
    >>> from her2core.networks.registry import build_network
    >>> from her2core.networks.weights import save_weights
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> sha256 = save_weights(build_network("timm:test_resnet", 3), path)
    >>> card = {"network": {"name": "timm:test_resnet", "options": {}}, "classes": ["a", "b", "c"]}
    >>> network_from_card({**card, "weights_sha256": sha256}, path).training
    False
    """
    described, classes = card["network"], len(card["classes"])
    stated = stated_shapes(weights)
    # Without memory first: a card of a huge network with small weights must not be built to be refused.
    with suppress(NetworkError), torch.device("meta"):
        check_shapes(_described(described, classes), stated, where=str(weights))
    network = _described(described, classes)
    load_into(network, read_weights(weights, sha256=card["weights_sha256"]), where=str(weights))
    return network.eval()


def _described(entry: Mapping[str, Any], classes: int) -> PatchNetwork:
    network = build_local_network(entry["name"], classes, entry["options"], description=entry.get("hub"))
    return with_last_layer(network, entry.get("last_layer"), classes)
