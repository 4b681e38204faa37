"""Networks rebuilt from a model card and its weights, without a connection and without other files than these two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from her2core.errors import NetworkError
from her2core.networks.heads import with_last_layer
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_local_network
from her2core.networks.weight_files import read_weights, stated_shapes
from her2core.networks.weights import check_shapes, load_into

#: Initialisation that torch hands to a mode as a whole, and what all other initialisation draws with.
_RANDOM = frozenset({nn.init.kaiming_uniform_, nn.init.normal_, nn.init.uniform_, Tensor.normal_, Tensor.uniform_})


class _NoRandomWeights(TorchFunctionMode):
    """Leaves weights as they are in memory where random ones would be drawn: all are read from the file afterwards.

    Drawing them takes longer than reading the file, and on the device "meta" torch draws with the help of its compiler,
    whose import takes longer than the rest of a prediction.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


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
    with suppress(NetworkError), torch.device("meta"), _NoRandomWeights():
        check_shapes(_described(described, classes), stated, where=str(weights))
    with _NoRandomWeights():
        network = _described(described, classes)
    load_into(network, read_weights(weights, sha256=card["weights_sha256"]), where=str(weights))
    return network.eval()


def _described(entry: Mapping[str, Any], classes: int) -> PatchNetwork:
    network = build_local_network(entry["name"], classes, entry["options"], description=entry.get("hub"))
    return with_last_layer(network, entry.get("last_layer"), classes)
