"""Weights of networks: written as safetensors, loaded exactly, or used to initialise a fresh network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from her2core.errors import WeightsError
from her2core.io.below import open_below
from her2core.io.documents import parse_json
from her2core.io.files import sha256_file, write_tensors
from her2core.networks.foundation import FoundationNetwork
from her2core.networks.her2_resnet import Her2ResNet50, rename_torchvision
from her2core.networks.packaged import packaged_weights
from her2core.networks.protocol import PatchNetwork
from her2core.networks.timm_network import TimmNetwork
from her2core.networks.weight_files import read_weights
from her2core.networks.weight_names import match_weights


def save_weights(network: PatchNetwork, path: Path, *, half: bool = True, last: bool = True) -> str:
    """Write a network's state as safetensors, under a temporary name first.

    Parameters
    ----------
    network : PatchNetwork
        Is not changed.
    path : Path
        File to write.
    half : bool, default True
        Store floats as float16, but for a linear last layer: it is small, and where features hardly vary its weights
        leave float16's range.
    last : bool, default True
        Write the last layer too; first weights of other networks do without.

    Returns
    -------
    str
        SHA-256 (hex) of the file.

    Examples
    --------
    >>> import tempfile
    >>> from her2core.networks.registry import build_network
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> len(save_weights(build_network("timm:test_resnet", 3), path))
    64
    """
    state, layer = {}, getattr(network, "last_layer", None)
    for name, value in network.state_dict().items():
        if not last and name.startswith(f"{layer}."):
            continue
        value = value.detach().cpu().contiguous()
        small = name in (f"{layer}.weight", f"{layer}.bias")
        state[name] = value.half() if half and value.is_floating_point() and not small else value
    write_tensors(path, lambda t: save_file(state, t))
    return sha256_file(path)


def load_into(network: PatchNetwork, state: Mapping[str, Tensor], *, where: str) -> None:
    """Load every tensor of a network, exactly.

    Parameters
    ----------
    network : PatchNetwork
        Is changed.
    state : mapping of str to Tensor
        One tensor for each of the network's, of the same shape, and no other.
    where : str
        What to name in the message.

    Raises
    ------
    WeightsError
        For a missing, unknown or misshapen tensor.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> load_into(build_network("timm:test_resnet", 3), {}, where="w.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.WeightsError: Expected the ... tensors of this network, but got ... missing, ...
    """
    check_shapes(network, {name: tuple(value.shape) for name, value in state.items()}, where=where)
    network.load_state_dict(state)


def check_shapes(network: PatchNetwork, shapes: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Refuse tensors that are not those of a network.

    Parameters
    ----------
    network : PatchNetwork
        Perhaps on torch's device "meta", where it takes no memory.
    shapes : mapping of str to tuple of int
        Shape of each tensor by its name.
    where : str
        What to name in the message.

    Raises
    ------
    WeightsError
        For a missing, unknown or misshapen tensor.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3)
    >>> check_shapes(network, {name: tuple(v.shape) for name, v in network.state_dict().items()}, where="w.safetensors")
    """
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing, foreign = sorted(set(own) - set(shapes)), sorted(set(shapes) - set(own))
    misfit = [name for name in own if name in shapes and own[name] != shapes[name]]
    if missing or foreign or misfit:
        first = (missing or foreign or misfit)[0]
        raise WeightsError(
            f"the {len(own)} tensors of this network",
            got=f"{len(missing)} missing, {len(foreign)} unknown, {len(misfit)} of another shape (first: {first})",
            where=where,
            fix="Use the weights with the network and options named in their card.",
        )


def start_from(network: PatchNetwork, init: str, *, name: str = "") -> dict[str, Any]:
    """Initialise a fresh network from pretrained weights.

    Parameters
    ----------
    network : PatchNetwork
        Is changed; its last layer keeps its random weights.
    init : str
        ``none``, ``imagenet`` (downloaded once), ``hub`` (of a ``hub:`` network), ``package:<name>`` (a key of
        packaged.PACKAGED), ``file:<path.safetensors>`` or ``run:<run folder>``. The last two fill every tensor of the
        same name and shape, whatever prefix a trainer put before the names (``weight_names``), so that a network with
        other classes starts from the same trunk.
    name : str
        What the network was built by; packaged weights fit one name alone.

    Returns
    -------
    dict
        ``init``, the source, how many tensors were filled, and which were not (``loaded``, in words), for run.json.

    Raises
    ------
    WeightsError
        For weights that cannot be obtained, read, or used with this network.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> start_from(build_network("timm:test_resnet", 3), "none")
    {'init': 'none'}
    """
    kind, _, value = init.partition(":")
    if isinstance(network, FoundationNetwork) and init == "none":
        raise WeightsError(
            "weights to start from",
            got="none, which leaves a foundation model random",
            where="network.init",
            fix="Set it to hub, or to file:<path> or run:<folder>.",
        )
    if init == "none":
        return {"init": "none"}
    if init == "imagenet" and isinstance(network, Her2ResNet50 | TimmNetwork):
        return _start_from_imagenet(network)
    if init == "hub" and isinstance(network, FoundationNetwork):
        return {"init": "hub", **network.load_pretrained()}
    if kind == "package":
        return {"init": init, **_fill(network, packaged_weights(value, network, name=name), where=init)}
    if kind in ("file", "run") and value:
        if kind == "run":
            path = Path(value) / "model.safetensors"
            state = read_weights(path, sha256=_card_sha256(Path(value)))
        else:
            path = Path(value)
            state = read_weights(Path(os.path.realpath(path)))  # caches of hubs consist of links
        return {"init": init, **_fill(network, state, where=str(path))}
    raise WeightsError(
        "none, imagenet, hub (of a hub: network), package:<name>, file:<path> or run:<folder>",
        got=repr(init),
        where="network.init",
        fix="Choose one.",
    )


def _start_from_imagenet(network: Her2ResNet50 | TimmNetwork) -> dict[str, Any]:
    try:
        if isinstance(network, Her2ResNet50):
            from torchvision.models import ResNet50_Weights

            weights = ResNet50_Weights.IMAGENET1K_V2
            state, name = rename_torchvision(weights.get_state_dict(progress=True, check_hash=True)), str(weights)
        else:
            import timm

            config = network.model.pretrained_cfg
            source = timm.create_model(config["architecture"], pretrained=True)
            state, name = {f"model.{k}": v for k, v in source.state_dict().items()}, config["architecture"]
    except Exception as failed:  # urllib, hub clients and timm raise a dozen kinds; each means "not available here"
        raise WeightsError(
            "ImageNet weights, which are downloaded on first use",
            got=f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:120]}",
            where="network.init = imagenet",
            fix="Without a network connection use init file:<path.safetensors>, run:<run folder>, or none.",
        ) from None
    return {"init": "imagenet", "source": name, **_fill(network, state, where=name)}


def _card_sha256(run: Path) -> str | None:
    """Hash of the weights by the run's card; None where there is none."""
    if not os.path.lexists(run / "model.card.json"):
        return None
    try:
        with open_below(run, "model.card.json", limit=2**20) as file:
            named = parse_json(file.read())["weights_sha256"]
        if not isinstance(named, str):
            raise ValueError("a hash that is no text")
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise WeightsError(
            "a model card that names its weights",
            got=str(broken)[:120] or type(broken).__name__,
            where=run / "model.card.json",
            fix="Copy the run again from its source, or name its weights: file:<path>.",
        ) from None
    return named


def _fill(network: PatchNetwork, state: Mapping[str, Tensor], *, where: str) -> dict[str, Any]:
    own = network.state_dict()
    resnet = isinstance(network, Her2ResNet50)
    matched = match_weights(own, state, last_layer=network.last_layer, where=where, torchvision=resnet)
    network.load_state_dict(matched.state, strict=False)
    filled = len(matched.state)
    return {"tensors_filled": filled, "tensors_fresh": len(own) - filled, "loaded": matched.summary}
