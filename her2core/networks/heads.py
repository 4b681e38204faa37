"""Last layers of a network: the linear one found, replaced, or exchanged for a nearest-neighbour classifier.

``features -> embed -> last layer``: everything before the last layer can stay frozen while the last layer alone is
fitted to its inputs (training.frozen). The result is one network, saved, served and mapped like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.errors import NetworkError
from her2core.networks.protocol import PatchNetwork

#: Least share of the votes: a class without a neighbour is improbable, not impossible. Our choice.
FLOOR = 1e-3
#: Whole numbers that a card states of a nearest-neighbour layer, and an upper limit of each.
_SIZES, _LARGEST = ("references", "channels", "neighbours"), 10**8


class NearestNeighbours(nn.Module):
    """Nearest-neighbour classifier with votes weighted by cosine similarity, as a layer.

    As Wu et al. 2018: with cosine similarity s, each of the ``neighbours`` most similar references votes for its class
    with weight exp(s / ``temperature``). Different from it: votes are divided by the frequency of the class among the
    references, and the score is the logarithm of the class's share plus FLOOR.

    Parameters
    ----------
    references : int
        Number of reference embeddings.
    channels : int
        Length of an embedding.
    classes : int
        Number of outputs.
    neighbours : int, default 20
        Number of votes, at most ``references``.
    temperature : float, default 0.07
        Of the votes; Wu et al.'s value.

    References
    ----------
    Wu et al. 2018, doi 10.1109/CVPR.2018.00393.

    Examples
    --------
    >>> layer = NearestNeighbours(references=2, channels=2, classes=2, neighbours=1)
    >>> layer.set_references(torch.eye(2), torch.tensor([0, 1]))
    >>> layer(torch.tensor([[0.9, 0.1], [0.0, 3.0]])).argmax(dim=1)
    tensor([0, 1])
    """

    references: Tensor
    shares: Tensor

    def __init__(
        self, references: int, channels: int, classes: int, *, neighbours: int = 20, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.neighbours, self.temperature = neighbours, temperature
        self.register_buffer("references", torch.zeros(references, channels))
        self.register_buffer("shares", torch.zeros(references, classes))

    def set_references(self, embeddings: Tensor, labels: Tensor, *, balanced: bool = True) -> None:
        """Store the reference embeddings and their classes; until then every score is the same.

        Parameters
        ----------
        embeddings : Tensor
            Float (references, channels).
        labels : Tensor
            int64 (references,), in 0..classes-1.
        balanced : bool, default True
            Divide votes by the frequency of their class.
        """
        shares = F.one_hot(labels, self.shares.shape[1]).float()
        if balanced:
            shares = shares / shares.sum(dim=0).clamp(min=1) * (len(labels) / shares.shape[1])
        self.references.copy_(F.normalize(embeddings.float(), dim=1))
        self.shares.copy_(shares)

    def forward(self, x: Tensor) -> Tensor:
        """Log shares of the votes, float32 (N, classes), of embeddings float (N, channels)."""
        similarity = F.normalize(x.float(), dim=1) @ self.references.float().T
        nearest, which = similarity.topk(min(self.neighbours, similarity.shape[1]), dim=1)
        votes = torch.softmax(nearest / self.temperature, dim=1)[:, :, None] * self.shares.float()[which]
        share = votes.sum(dim=1)
        return torch.log(share / share.sum(dim=1, keepdim=True) + FLOOR)

    def options(self) -> dict[str, Any]:
        """Entry of the model card from which `with_last_layer` builds the layer again, JSON-ready.

        Examples
        --------
        >>> NearestNeighbours(80, 8, 3, neighbours=7).options()["neighbours"]
        7
        """
        return {
            "kind": "knn",
            "references": len(self.references),
            "channels": self.references.shape[1],
            "neighbours": self.neighbours,
            "temperature": self.temperature,
        }


def last_layer(network: PatchNetwork) -> nn.Linear:
    """The linear layer that gives a network's scores.

    Parameters
    ----------
    network : PatchNetwork
        Only its ``last_layer`` and ``get_submodule`` are used.

    Returns
    -------
    torch.nn.Linear

    Raises
    ------
    NetworkError
        If the network ends in something else.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> last_layer(build_network("her2_resnet50", 3))
    Linear(in_features=512, out_features=3, bias=True)
    """
    layer = fitted_last_layer(network)
    if isinstance(layer, nn.Linear):
        return layer
    raise _no_linear_layer(layer)


def fitted_last_layer(network: PatchNetwork) -> nn.Linear | NearestNeighbours:
    """The layer that gives a network's scores: linear, or the nearest neighbours that took its place.

    Parameters
    ----------
    network : PatchNetwork
        Only its ``last_layer`` and ``get_submodule`` are used.

    Returns
    -------
    torch.nn.Linear or NearestNeighbours

    Raises
    ------
    NetworkError
        If the network ends in something else.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> fitted_last_layer(build_network("resnet50", 3)).out_features
    3
    """
    try:
        layer: object = network.get_submodule(network.last_layer)
    except (AttributeError, TypeError):
        layer = None
    if isinstance(layer, nn.Linear | NearestNeighbours):
        return layer
    raise _no_linear_layer(layer)


def _no_linear_layer(layer: object) -> NetworkError:
    return NetworkError(
        "a network that ends in one linear layer",
        got=type(layer).__name__,
        where="frozen features",
        fix="Train all layers of this network, or choose another one.",
    )


def replace_last_layer(network: PatchNetwork, layer: nn.Module) -> None:
    """Exchange the last linear layer of a network, in place.

    Parameters
    ----------
    network : PatchNetwork
        Is changed.
    layer : torch.nn.Module
        Takes embeddings (N, D) and gives scores (N, classes).

    Raises
    ------
    NetworkError
        If the network does not end in a linear layer.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3)
    >>> replace_last_layer(network, nn.Linear(last_layer(network).in_features, 7))
    >>> last_layer(network).out_features
    7
    """
    last_layer(network)
    network.set_submodule(network.last_layer, layer, strict=True)


def with_last_layer(network: PatchNetwork, options: Mapping[str, Any] | None, classes: int) -> PatchNetwork:
    """A network with the last layer that a model card describes.

    Parameters
    ----------
    network : PatchNetwork
        Is changed in place.
    options : mapping or None
        What `NearestNeighbours.options` returns; None leaves the network's own linear layer.
    classes : int
        Number of outputs.

    Returns
    -------
    PatchNetwork
        ``network``.

    Raises
    ------
    NetworkError
        For a layer that this version does not know.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> options = NearestNeighbours(references=5, channels=512, classes=3).options()
    >>> with_last_layer(build_network("her2_resnet50", 3), options, 3).get_submodule("classifier").neighbours
    20
    """
    if options is None:
        return network
    if not _is_knn(options):
        raise NetworkError(
            "a last layer of kind knn with its sizes",
            got=str(options)[:200],
            where="model card",
            fix="Update her2core, or copy the run again from its source.",
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


def _is_knn(options: object) -> TypeGuard[dict[str, Any]]:
    if not isinstance(options, dict) or set(options) != {"kind", *_SIZES, "temperature"} or options["kind"] != "knn":
        return False
    whole = all(type(options[name]) is int and 0 < options[name] < _LARGEST for name in _SIZES)
    temperature = options["temperature"]
    return whole and type(temperature) in (int, float) and 0 < temperature < math.inf
