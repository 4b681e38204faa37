"""What may stand as a network's last layer? A network with its seam in; its last layer read, filled or replaced.

``features`` -> ``embed`` -> last layer: everything before the last layer can stay frozen while the last layer alone is
found from its inputs (training.frozen). Either stays one network: it is saved, served and mapped like any other.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.errors import NetworkError

#: The least score of a class, as a share: a class without a neighbour is improbable, not impossible. Our choice.
FLOOR = 1e-3
#: What a card tells of a nearest-neighbour layer, and what no honest one exceeds.
_SIZES, _LARGEST = ("references", "channels", "neighbours"), 10**8


class NearestNeighbours(nn.Module):
    """Scores by the labels of the nearest references, weighted by rank_correlation.

    As Wu et al. 2018 (doi 10.1109/CVPR.2018.00393): cosine similarity s, of the ``neighbours`` most similar references
    each votes for its class with exp(s / ``temperature``). Different from it: votes are divided by how frequent the
    class is among the references, and the score is the log of the class's share, not under log(FLOOR).

    Parameters
    ----------
    references : their number; channels : length of an embedding; classes : number of outputs.
    neighbours : how many vote, at most ``references``.
    temperature : of the vote; 0.07 is theirs.

    Float (N, channels) -> scores (N, classes). ``place`` gives it its references; before that all are zero.
    """

    def __init__(
        self, references: int, channels: int, classes: int, *, neighbours: int = 20, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.neighbours, self.temperature = neighbours, temperature
        self.register_buffer("references", torch.zeros(references, channels))
        self.register_buffer("shares", torch.zeros(references, classes))

    def place(self, embeddings: Tensor, labels: Tensor, *, balanced: bool = True) -> None:
        """``embeddings`` float (references, channels), ``labels`` int64 (references,)."""
        shares = F.one_hot(labels, self.shares.shape[1]).float()
        if balanced:
            shares = shares / shares.sum(dim=0).clamp(min=1) * (len(labels) / shares.shape[1])
        self.references.copy_(F.normalize(embeddings.float(), dim=1))
        self.shares.copy_(shares)

    def forward(self, x: Tensor) -> Tensor:
        rank_correlation = F.normalize(x.float(), dim=1) @ self.references.float().T
        nearest, which = rank_correlation.topk(min(self.neighbours, rank_correlation.shape[1]), dim=1)
        votes = torch.softmax(nearest / self.temperature, dim=1)[:, :, None] * self.shares.float()[which]
        share = votes.sum(dim=1)
        return torch.log(share / share.sum(dim=1, keepdim=True) + FLOOR)

    def options(self) -> dict[str, Any]:
        """What the card must say for ``with_last_layer`` to build it again."""
        return {
            "kind": "knn",
            "references": len(self.references),
            "channels": self.references.shape[1],
            "neighbours": self.neighbours,
            "temperature": self.temperature,
        }


def last_layer(network: nn.Module) -> nn.Linear:
    """The linear layer that gives the scores. Raises NetworkError where the network ends in something else."""
    try:
        layer = network.get_submodule(network.last_layer)
    except (AttributeError, TypeError):
        layer = None
    if not isinstance(layer, nn.Linear):
        raise NetworkError(
            "a network that ends in one linear layer",
            got=type(layer).__name__,
            where="frozen features",
            fix="Train this network whole, or take another.",
        )
    return layer


def replace_last_layer(network: nn.Module, layer: nn.Module) -> None:
    """Put ``layer`` in the place of ``last_layer(network)``, in place."""
    last_layer(network)
    network.set_submodule(network.last_layer, layer, strict=True)


def with_last_layer(network: nn.Module, options: dict[str, Any] | None, classes: int) -> nn.Module:
    """The network with the last layer that a card names: its own linear one where ``options`` is None.

    Raises NetworkError for options of a layer that this version does not know.
    """
    if options is None:
        return network
    if not _is_knn(options):
        raise NetworkError(
            "a last layer of kind knn with its sizes",
            got=str(options)[:200],
            where="model card",
            fix="Update her2core, or take the run again from its source.",
        )
    layer = NearestNeighbours(
        options["references"],
        options["channels"],
        classes,
        neighbours=options["neighbours"],
        temperature=options["temperature"],
    )
    replace_last_layer(network, layer)
    return network


def _is_knn(options: Any) -> bool:
    if not isinstance(options, dict) or set(options) != {"kind", *_SIZES, "temperature"} or options["kind"] != "knn":
        return False
    whole = all(type(options[name]) is int and 0 < options[name] < _LARGEST for name in _SIZES)
    temperature = options["temperature"]
    return whole and type(temperature) in (int, float) and 0 < temperature < math.inf
