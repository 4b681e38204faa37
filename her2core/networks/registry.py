"""Which network does a name mean? A name, a number of classes and options in; a module with features and head out."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from her2core.errors import NetworkError
from her2core.networks.foundation import FoundationNetwork, token_map
from her2core.networks.her2_resnet import Her2ResNet50

#: The paper's network and its ablations; any ``timm:<name>`` and ``hub:<owner>/<model>`` stands beside them.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "her2_resnet50": Her2ResNet50,
    "resnet50": partial(Her2ResNet50, se=False, dsc=False),
    "resnet50_se": partial(Her2ResNet50, dsc=False),
    "resnet50_dsc": partial(Her2ResNet50, se=False),
    "her2_resnet50_swapped": partial(Her2ResNet50, order="dsc_se"),
}
_TIMM, _HUB = "timm:", "hub:"


class TimmNetwork(nn.Module):
    """Any timm classifier with the same seam. ``features`` gives (N, C, h, w), or (N, tokens, C) for a transformer."""

    def __init__(self, name: str, classes: int, **options) -> None:
        super().__init__()
        import timm

        self.model = timm.create_model(name, pretrained=False, num_classes=classes, **options)
        # Some families start theirs for a thousand classes, which with three begins at a loss of 9 instead of 1.1.
        if isinstance(last := self.model.get_classifier(), nn.Linear):
            last.reset_parameters()

    def features(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)

    def embed(self, features: Tensor) -> Tensor:
        """``features`` -> (N, C): what the last layer is given."""
        return self.model.forward_head(features, pre_logits=True)

    def head(self, features: Tensor) -> Tensor:
        return self.model.forward_head(features)

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return f"model.{self.model.pretrained_cfg['classifier']}"

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def as_map(self, features: Tensor) -> Tensor:
        """``features`` as (N, C, h, w), a view where tokens must be laid out again: channels-last or token order."""
        if features.ndim == 3:
            return token_map(features, getattr(self.model, "num_prefix_tokens", 0))
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            return features.permute(0, 3, 1, 2)
        return features

    def trunk_modules(self) -> list[nn.Module]:
        head = self.model.get_classifier()
        return [m for m in self.model.children() if head not in m.modules()]


def build_network(name: str, classes: int, **options) -> nn.Module:
    """A fresh network with random weights.

    ``name`` is a key of BUILDERS, ``timm:<name>`` or ``hub:<owner>/<model>`` (networks.foundation). Raises NetworkError
    for an unknown name (with near matches), an option the network does not take, or fewer than two classes, and
    WeightsError for a hub's description that cannot be had.
    """
    if classes < 2:
        raise NetworkError("at least two classes", got=str(classes), where=name, fix="Check the manifest.")
    if name.startswith(_TIMM):
        return _build_timm(name.removeprefix(_TIMM), classes, options)
    if name.startswith(_HUB):
        return FoundationNetwork(name.removeprefix(_HUB), classes, **options)
    builder = BUILDERS.get(name)
    if builder is None:
        raise _unknown(name, list(BUILDERS))
    known = set(inspect.signature(Her2ResNet50.__init__).parameters) - {"self", "classes"}
    foreign = set(options) - known
    if foreign:
        raise NetworkError(
            f"options out of {', '.join(sorted(known))}",
            got=", ".join(sorted(foreign)),
            where=f"network {name}",
            fix="Remove or correct them.",
        )
    return builder(classes, **options)


def feature_map(network: nn.Module, features: Tensor) -> Tensor:
    """``features`` as (N, C, h, w), differentiable with respect to ``features``."""
    grid = network.as_map(features) if hasattr(network, "as_map") else features
    if grid.ndim != 4:
        raise NetworkError(
            "features with a spatial grid",
            got=f"shape {tuple(features.shape)}",
            where="feature map",
            fix="Maps need a network whose features keep their place; use another one for maps.",
        )
    return grid


def parameter_count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def _build_timm(name: str, classes: int, options: dict) -> nn.Module:
    import timm

    if name.startswith("hf-hub:") or name.startswith("hf_hub:") or not timm.is_model(name):
        raise _unknown(_TIMM + name, [_TIMM + n for n in timm.list_models()])
    try:
        return TimmNetwork(name, classes, **options)
    except Exception as refused:  # timm's own checks raise of many kinds
        raise NetworkError(
            f"options that timm's {name} takes",
            got=(str(refused).splitlines() or [type(refused).__name__])[0][:200],
            where=f"network timm:{name}",
            fix="Remove or correct network.options.",
        ) from None


def _unknown(name: str, known: list[str]) -> NetworkError:
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.4)
    offer = f"Did you mean {', '.join(near)}?" if near else f"Built in: {', '.join(BUILDERS)}; timm:<name>; hub:<id>."
    return NetworkError("a known network", got=repr(name), where="network.name", fix=offer)


@torch.no_grad()
def output_grid(network: nn.Module, px: int) -> tuple[int, int]:
    """Rows and columns of the feature map for a ``px`` x ``px`` patch."""
    was_training = network.training
    network.eval()
    try:
        grid = feature_map(network, network.features(torch.zeros(1, 3, px, px)))
    except (AssertionError, RuntimeError) as refused:
        raise NetworkError(
            "a network that takes patches of this size",
            got=(str(refused).splitlines() or [type(refused).__name__])[0][:200],
            where=f"input.px = {px}",
            fix="Change input.px, or give the network its size (options: {img_size: ...}).",
        ) from None
    network.train(was_training)
    return int(grid.shape[2]), int(grid.shape[3])
