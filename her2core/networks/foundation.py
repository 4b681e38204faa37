"""What does a pathology foundation model see? A hub id in; its embeddings behind the same seam, with a last layer, out.

UNI, Virchow2, H-optimus, Phikon and their like are vision transformers that timm builds from a hub's description and
fills with a hub's weights. Many ask for a licence to be accepted first, and forbid passing their weights on: use them
frozen, and release such runs for review (without weights). Nothing is fetched before the network is built; once
fetched it stays in the hub's cache, and with HF_HUB_OFFLINE=1 only that is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from her2core.errors import NetworkError, WeightsError

#: How tokens become one embedding: the class token; the mean of the patches' tokens; both, one after the other.
POOLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "class": lambda tokens, prefix: tokens[:, 0],
    "mean": lambda tokens, prefix: tokens[:, prefix:].mean(dim=1),
    "class_mean": lambda tokens, prefix: torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1),
}


class FoundationNetwork(nn.Module):
    """A hub's vision transformer and a linear layer. ``features`` float (N, tokens, C).

    Parameters
    ----------
    hub_id : ``<owner>/<model>``, or ``<owner>/<model>@<revision>``.
    classes : number of outputs.
    pool : a key of POOLS, as the model's authors recommend.
    options : passed to timm; a layer's class is given by its name in timm.layers (``mlp_layer: SwiGLUPacked``).
    """

    def __init__(self, hub_id: str, classes: int, *, pool: str = "class", **options: Any) -> None:
        super().__init__()
        if pool not in POOLS:
            raise NetworkError(
                f"pool out of {', '.join(POOLS)}", got=repr(pool), where="network.options", fix="Correct it."
            )
        self.hub_id, self.pool, self._options = hub_id, pool, _resolved(options)
        self.model = self._create(pretrained=False)
        if not (hasattr(self.model, "num_prefix_tokens") and hasattr(self.model, "fc_norm")):
            raise NetworkError(
                "a vision transformer",
                got=type(self.model).__name__,
                where=f"network hub:{hub_id}",
                fix="Take a model of tokens.",
            )
        if pool != "mean" and not isinstance(self.model.fc_norm, nn.Identity):
            raise NetworkError(
                "pool mean: this model normalises after pooling",
                got=repr(pool),
                where="network.options.pool",
                fix="Set it to mean.",
            )
        width = self.model.num_features * (2 if pool == "class_mean" else 1)
        self.classifier = nn.Linear(width, classes)

    def load_pretrained(self) -> dict[str, str]:
        """Fill it with the hub's weights, and tell which: hub id, and SHA-256 (hex) of the tensors.

        Raises WeightsError where they cannot be had.
        """
        self.model = self._create(pretrained=True)
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"source": self.hub_id, "sha256": digest.hexdigest()}

    def features(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)

    def embed(self, features: Tensor) -> Tensor:
        """Float (N, tokens, C) -> (N, C), or (N, 2 C) where class token and mean stand side by side."""
        pooled = POOLS[self.pool](features, self.model.num_prefix_tokens)
        return self.model.fc_norm(pooled) if self.pool == "mean" else pooled

    def head(self, features: Tensor) -> Tensor:
        return self.classifier(self.embed(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def as_map(self, features: Tensor) -> Tensor:
        """The patches' tokens as (N, C, h, w)."""
        return token_map(features, self.model.num_prefix_tokens)

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return "classifier"

    def trunk_modules(self) -> list[nn.Module]:
        return [self.model]

    def _create(self, *, pretrained: bool) -> nn.Module:
        import timm

        try:
            return timm.create_model(f"hf-hub:{self.hub_id}", pretrained=pretrained, num_classes=0, **self._options)
        except Exception as failed:  # hub clients, timm and torch raise a dozen kinds
            raise WeightsError(
                f"the {'weights' if pretrained else 'description'} of {self.hub_id}, fetched on first use",
                got=f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:150]}",
                where=f"network hub:{self.hub_id}",
                fix="Accept its licence on the hub, log in (hf auth login) and start again with a connection; or copy "
                "the hub's cache here and set HF_HUB_OFFLINE=1.",
            ) from None


def token_map(features: Tensor, prefix: int) -> Tensor:
    """Float (N, prefix + h * w, C) -> (N, C, h, w), a view. Raises NetworkError where h is not w."""
    tokens = features[:, prefix:]
    side = round(tokens.shape[1] ** 0.5)
    if side * side != tokens.shape[1]:
        raise NetworkError(
            "tokens that form a square grid",
            got=f"{tokens.shape[1]} tokens",
            where="feature map",
            fix="Use a square input size for this network.",
        )
    return tokens.transpose(1, 2).reshape(features.shape[0], -1, side, side)


def _resolved(options: dict[str, Any]) -> dict[str, Any]:
    """Names of layers, as YAML can give them, to timm's classes."""
    import timm.layers

    found = {}
    for name, value in options.items():
        if name == "mlp_layer" and isinstance(value, str):
            value = getattr(timm.layers, value, None)
            if value is None:
                raise NetworkError(
                    "the name of a layer in timm.layers",
                    got=repr(options[name]),
                    where=f"network.options.{name}",
                    fix="Correct it.",
                )
        found[name] = value
    return found
