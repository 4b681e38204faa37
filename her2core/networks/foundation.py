"""Pathology foundation models from a hub of weights, behind the patch-network protocol.

UNI, Virchow2, H-optimus, Phikon and their like are vision transformers that timm builds from a hub's description and
fills with the hub's weights. Many require accepting a licence first and forbid redistribution of their weights: use
them frozen, and release such runs for review (without weights). Nothing is downloaded before the network is built;
afterwards it is in the hub's cache, and with HF_HUB_OFFLINE=1 only the cache is read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from her2core.errors import NetworkError, WeightsError
from her2core.io.below import open_below
from her2core.io.documents import parse_json
from her2core.networks.grid import token_grid
from her2core.networks.timm_network import ARCHITECTURE_OPTIONS, check_values

#: Pooling of tokens (N, tokens, C) with so many prefix tokens to one embedding: the class token; the mean of the patch
#: tokens; both, one after the other.
POOLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "class": lambda tokens, prefix: tokens[:, 0],
    "mean": lambda tokens, prefix: tokens[:, prefix:].mean(dim=1),
    "class_mean": lambda tokens, prefix: torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1),
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")


class FoundationNetwork(nn.Module):
    """A hub's vision transformer, its tokens pooled, and one linear layer; random weights at first.

    Parameters
    ----------
    hub_id : str
        ``<owner>/<model>``, or ``<owner>/<model>@<revision>``.
    classes : int
        Number of outputs.
    pool : {"class", "mean", "class_mean"}
        Pooling of the tokens, as the model's authors recommend.
    **options
        Names of `timm_network.ARCHITECTURE_OPTIONS`, passed to timm. A layer's class is given by its name in
        ``timm.layers``: ``mlp_layer="SwiGLUPacked"``.

    Attributes
    ----------
    model : torch.nn.Module
        timm's vision transformer without a classifier.
    classifier : torch.nn.Linear
        The last layer.

    Raises
    ------
    NetworkError
        For a hub id, pool or option that cannot be used, or a model that is no vision transformer.
    WeightsError
        If the hub's description of the model can neither be downloaded nor found in the cache.

    Examples
    --------
    The description is downloaded here, hence no output is shown.

    >>> network = FoundationNetwork("bioptimus/H-optimus-0", 3, pool="class")  # doctest: +SKIP
    >>> network.load_pretrained()["source"]  # doctest: +SKIP
    'bioptimus/H-optimus-0'
    """

    model: Any  # timm is untyped, and its models share no typed base

    def __init__(self, hub_id: str, classes: int, *, pool: str = "class", **options: Any) -> None:
        super().__init__()
        if not _HUB_ID.fullmatch(hub_id):
            raise NetworkError(
                "a hub id, <owner>/<model> or <owner>/<model>@<revision>",
                got=repr(hub_id),
                where="network.name",
                fix="Copy it from the model's page on the hub.",
            )
        if pool not in POOLS:
            raise NetworkError(
                f"option `pool` to be one of {', '.join(map(repr, POOLS))}",
                got=repr(pool),
                where="network.options",
                fix="Correct it.",
            )
        self.hub_id, self.pool, self._options = hub_id, pool, _with_layer_classes(options)
        self.model = self._create(pretrained=False)
        if not (hasattr(self.model, "num_prefix_tokens") and hasattr(self.model, "fc_norm")):
            raise NetworkError(
                "a vision transformer",
                got=type(self.model).__name__,
                where=f"network hub:{hub_id}",
                fix="Choose a model whose features are tokens.",
            )
        if pool != "mean" and not isinstance(self.model.fc_norm, nn.Identity):
            raise NetworkError(
                "option `pool` to be 'mean', because this model normalises after pooling",
                got=repr(pool),
                where="network.options",
                fix="Set it to mean.",
            )
        width = self.model.num_features * (2 if pool == "class_mean" else 1)
        self.classifier = nn.Linear(width, classes)

    @property
    def last_layer(self) -> str:
        """Dotted name of the layer that gives the scores."""
        return "classifier"

    @property
    def description(self) -> dict[str, Any] | None:
        """Architecture of the model and its arguments by the hub, from which a card's reader builds it offline."""
        return cached_description(self.hub_id)

    def load_pretrained(self) -> dict[str, str]:
        """Load the hub's weights.

        Returns
        -------
        dict of str to str
            ``source``, the hub id, and ``sha256`` (hex) of the tensors, for run.json.

        Raises
        ------
        WeightsError
            If they can neither be downloaded nor found in the cache.
        """
        self.model = self._create(pretrained=True)
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"source": self.hub_id, "sha256": digest.hexdigest()}

    def features(self, x: Tensor) -> Tensor:
        """Tokens, float (N, tokens, C), of float32 (N, 3, H, W) normalised RGB."""
        return self.model.forward_features(x)

    def embed(self, features: Tensor) -> Tensor:
        """Float (N, tokens, C) -> (N, C), or (N, 2 C) with ``pool="class_mean"``: the input of the last layer."""
        pooled = POOLS[self.pool](features, self.model.num_prefix_tokens)
        return self.model.fc_norm(pooled) if self.pool == "mean" else pooled

    def head(self, features: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes)."""
        return self.classifier(self.embed(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scores before softmax, float (N, classes), of float32 (N, 3, H, W) normalised RGB."""
        return self.head(self.features(x))

    def feature_map(self, features: Tensor) -> Tensor:
        """The patch tokens as (N, C, h, w), a view; NetworkError where they form no square."""
        return token_grid(features, self.model.num_prefix_tokens)

    def trunk_modules(self) -> list[nn.Module]:
        """timm's model: all but the last layer."""
        return [self.model]

    def _create(self, *, pretrained: bool) -> Any:
        import timm

        try:
            return timm.create_model(f"hf-hub:{self.hub_id}", pretrained=pretrained, num_classes=0, **self._options)
        except Exception as failed:  # hub clients, timm and torch raise a dozen kinds
            raise WeightsError(
                f"the {'weights' if pretrained else 'description'} of {self.hub_id}, downloaded on first use",
                got=f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:150]}",
                where=f"network hub:{self.hub_id}",
                fix="Accept its licence on the hub, log in (hf auth login) and try again with a connection; or copy "
                "the hub's cache here and set HF_HUB_OFFLINE=1.",
            ) from None


class LocalFoundationNetwork(FoundationNetwork):
    """A `FoundationNetwork` built from a description alone: no hub is asked, and nothing is downloaded.

    Parameters
    ----------
    hub_id : str
        As for `FoundationNetwork`.
    classes : int
    description : mapping or None
        ``architecture`` and ``model_args``, as a card holds them; None for the one in the hub's cache on this machine.
    pool : {"class", "mean", "class_mean"}
    **options
        As for `FoundationNetwork`.

    Raises
    ------
    NetworkError
        As `FoundationNetwork`, and for a description of more than an architecture.
    WeightsError
        Where there is no description.

    Examples
    --------
    >>> shape = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}
    >>> description = {"architecture": "vit_tiny_patch16_224", "model_args": shape}
    >>> LocalFoundationNetwork("owner/model", 3, description=description).classifier.in_features
    24
    """

    def __init__(
        self, hub_id: str, classes: int, *, description: Mapping[str, Any] | None, pool: str = "class", **options: Any
    ) -> None:
        self._given = description
        super().__init__(hub_id, classes, pool=pool, **options)

    def _create(self, *, pretrained: bool) -> Any:
        import timm

        where = f"network hub:{self.hub_id}"
        found = cached_description(self.hub_id) if self._given is None else dict(self._given)
        if found is None or pretrained:
            raise WeightsError(
                f"the description of {self.hub_id} in the card, or in the hub's cache on this machine",
                got="neither",
                where=where,
                fix="Opening a run never connects to a hub: train the run again, or copy the hub's cache here.",
            )
        name, given = found.get("architecture"), found.get("model_args", {})
        if not isinstance(name, str) or ":" in name or not timm.is_model(name) or not isinstance(given, dict):
            raise NetworkError(
                "an architecture of timm", got=repr(name)[:80], where=where, fix="Copy the run again from its source."
            )
        if foreign := sorted(set(given) - ARCHITECTURE_OPTIONS):
            raise NetworkError(
                "arguments of an architecture",
                got=", ".join(map(repr, foreign))[:80],
                where=where,
                fix="Copy the run again from its source.",
            )
        check_values(given, where=where)
        arguments = {**_with_layer_classes(given), **self._options}
        return timm.create_model(name, pretrained=False, num_classes=0, **arguments)


def cached_description(hub_id: str) -> dict[str, Any] | None:
    """Architecture and arguments of a hub's model, as its file in the hub's cache on this machine states them.

    Parameters
    ----------
    hub_id : str
        ``<owner>/<model>``, or ``<owner>/<model>@<revision>``.

    Returns
    -------
    dict or None
        ``architecture`` and ``model_args``; None where the cache has no such file, or another one.

    Examples
    --------
    >>> cached_description("nobody/nothing") is None
    True
    """
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = hub_id.partition("@")
    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision or None)
        if not isinstance(found, str):
            return None
        with open_below(os.path.dirname(os.path.realpath(found)), os.path.basename(os.path.realpath(found))) as file:
            config = parse_json(file.read(2**20))
        arguments = {**_own_arguments(config), **config.get("model_args", {})}
        return {
            "architecture": str(config["architecture"]),
            "model_args": {n: v for n, v in arguments.items() if n not in ("num_classes", "in_chans")},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _own_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What timm takes from the pretrained configuration of a hub's model as arguments."""
    pretrained = config.get("pretrained_cfg", config)
    pool = pretrained.get("global_pool")
    size = pretrained.get("input_size") if pretrained.get("fixed_input_size") else None
    return {**({"global_pool": pool} if pool else {}), **({"img_size": list(size[-2:])} if size else {})}


def _with_layer_classes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with ``mlp_layer``, a name as YAML can give it, replaced by timm's class."""
    name = options.get("mlp_layer")
    if not isinstance(name, str):
        return dict(options)
    import timm.layers

    layer = getattr(timm.layers, name, None)
    kind = layer.func if isinstance(layer, partial) else layer  # timm names some variants by a partial
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise NetworkError(
            "option `mlp_layer` to be the name of a layer in timm.layers",
            got=repr(name),
            where="network.options",
            fix="Correct it.",
        )
    return {**options, "mlp_layer": layer}
