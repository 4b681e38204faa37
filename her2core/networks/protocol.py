"""Protocol of a patch network: a feature extractor and a head that can be called one after the other.

``features -> embed -> last layer`` splits a forward pass in two. Frozen features are stored between ``embed`` and the
last layer; class-activation maps take the gradient of ``head`` with respect to a copy of the features. timm has the
same division in ``forward_features`` and ``forward_head``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class PatchNetwork(Protocol):
    """A ``torch.nn.Module`` that classifies patches and can be divided between features and head.

    Any class with these members is one; nothing has to be inherited from here. The second group of members is the part
    of ``torch.nn.Module`` that this package uses.

    Attributes
    ----------
    last_layer : str
        Dotted name of the layer that gives the scores, as ``get_submodule`` takes it.
    training : bool
        Whether the network is in training mode.

    Examples
    --------
    >>> import torch
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("resnet50", 3).eval()
    >>> isinstance(network, PatchNetwork)
    True
    >>> with torch.no_grad():
    ...     features = network.features(torch.zeros(2, 3, 64, 64))
    >>> network.feature_map(features).shape, network.embed(features).shape, network.head(features).shape
    (torch.Size([2, 2048, 4, 4]), torch.Size([2, 2048]), torch.Size([2, 3]))
    """

    training: bool

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Features of float32 (N, 3, H, W) normalised RGB: (N, C, h, w), or (N, tokens, C) for a transformer."""
        ...

    def embed(self, features: Tensor) -> Tensor:
        """Embedding of each patch, float (N, D): the input of the last layer."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes)."""
        ...

    def feature_map(self, features: Tensor) -> Tensor:
        """``features`` as (N, C, h, w), differentiable with respect to them; NetworkError where they have no grid."""
        ...

    def trunk_modules(self) -> list[nn.Module]:
        """The pretrained part: what a freeze-then-unfreeze schedule freezes."""
        ...

    # Members of torch.nn.Module.
    def __call__(self, x: Tensor) -> Any: ...
    def train(self, mode: bool = True) -> Self: ...
    def eval(self) -> Self: ...
    def float(self) -> Self: ...
    def cpu(self) -> Self: ...
    def to(self, *args: Any, **kwargs: Any) -> Self: ...
    def requires_grad_(self, requires_grad: bool = True) -> Self: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...
    def get_submodule(self, target: str) -> nn.Module: ...
    def set_submodule(self, target: str, module: nn.Module, strict: bool = False) -> None: ...
