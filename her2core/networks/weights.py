"""Weight files: safetensors written, verified against a hash, and loaded into networks.

Pickled files are refused, because opening one can run any code, and so are weights that are not finite numbers: a
network with them gives no scores, and the largest of no scores would still be some class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from torch import Tensor

from her2core.errors import WeightsError
from her2core.io.files import sha256_file, write_via_temporary
from her2core.networks.foundation import FoundationNetwork
from her2core.networks.her2_resnet import Her2ResNet50, rename_torchvision
from her2core.networks.packaged import packaged_weights
from her2core.networks.protocol import PatchNetwork
from her2core.networks.timm_network import TimmNetwork

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK")


def save_weights(network: PatchNetwork, path: Path, *, half: bool = True) -> str:
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
    state, last = {}, getattr(network, "last_layer", None)
    for name, value in network.state_dict().items():
        value = value.detach().cpu().contiguous()
        small = name in (f"{last}.weight", f"{last}.bias")
        state[name] = value.half() if half and value.is_floating_point() and not small else value
    write_via_temporary(path, lambda t: save_file(state, t))
    return sha256_file(path)


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str, optional
        Expected SHA-256 (hex) of the file.

    Returns
    -------
    dict of str to Tensor
        Floats as float32, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, pickled, no safetensors file, different from ``sha256``, or holds numbers that are not
        finite.

    Examples
    --------
    >>> read_weights(Path("absent.safetensors"))
    Traceback (most recent call last):
        ...
    her2core.errors.WeightsError: Expected a safetensors file, but got no such file (absent.safetensors). \
Check the folder, or export the run again.
    """
    if not path.is_file():
        raise WeightsError(
            "a safetensors file", got="no such file", where=path, fix="Check the folder, or export the run again."
        )
    content = path.read_bytes()
    if path.suffix in PICKLE_SUFFIXES or content.startswith(_PICKLE_STARTS):
        raise WeightsError(
            "safetensors",
            got="a pickled file, which can run any code when it is opened",
            where=path,
            fix="Convert it with safetensors.torch.save_file where you trust it, and use that file.",
        )
    if sha256 is not None and (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise WeightsError(
            f"the weights that the card names (sha256 {sha256[:12]}...)",
            got=f"other bytes (sha256 {actual[:12]}...)",
            where=path,
            fix="The file was changed or damaged after the run was finished; copy the run again from its source.",
        )
    try:
        state = load_bytes(content)
    except (SafetensorError, ValueError, KeyError) as broken:
        raise WeightsError(
            "a whole safetensors file", got=str(broken)[:120], where=path, fix="Copy it again from its source."
        ) from None
    _refuse_not_finite(state, path)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


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
    own = network.state_dict()
    missing, foreign = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    misfit = [n for n in own if n in state and own[n].shape != state[n].shape]
    if missing or foreign or misfit:
        first = (missing or foreign or misfit)[0]
        raise WeightsError(
            f"the {len(own)} tensors of this network",
            got=f"{len(missing)} missing, {len(foreign)} unknown, {len(misfit)} of another shape (first: {first})",
            where=where,
            fix="Use the weights with the network and options named in their card.",
        )
    network.load_state_dict(state)


def start_from(network: PatchNetwork, init: str, *, name: str = "") -> dict[str, Any]:
    """Initialise a fresh network from pretrained weights.

    Parameters
    ----------
    network : PatchNetwork
        Is changed; its last layer keeps its random weights.
    init : str
        ``none``, ``imagenet`` (downloaded once), ``hub`` (of a ``hub:`` network), ``package:<name>`` (a key of
        packaged.PACKAGED), ``file:<path.safetensors>`` or ``run:<run folder>``. The last two fill every tensor of the
        same name and shape, so that a network with other classes starts from the same trunk.
    name : str
        What the network was built by; packaged weights fit one name alone.

    Returns
    -------
    dict
        ``init``, the source, and how many tensors were filled, for run.json.

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
        path = Path(value) / "model.safetensors" if kind == "run" else Path(value)
        sha256 = None
        if kind == "run" and (Path(value) / "model.card.json").is_file():
            sha256 = json.loads((Path(value) / "model.card.json").read_text(encoding="utf-8")).get("weights_sha256")
        state = read_weights(path, sha256=sha256)
        if "conv1.weight" in state and isinstance(network, Her2ResNet50):
            state = rename_torchvision(state)
        return {"init": init, **_fill(network, state, where=str(path))}
    raise WeightsError(
        "none, imagenet, hub (of a hub: network), package:<name>, file:<path> or run:<folder>",
        got=repr(init),
        where="network.init",
        fix="Choose one.",
    )


def _refuse_not_finite(state: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(
            "finite numbers",
            got=f"NaN or infinity in {len(broken)} of {len(state)} tensors (first: {broken[0]})",
            where=path,
            fix="Copy the file again from its source, or train the run again with a lower learning rate.",
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
    except Exception as failed:  # urllib, hub clients and timm raise a dozen kinds; each means "not to be had here"
        raise WeightsError(
            "ImageNet weights, which are downloaded on first use",
            got=f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:120]}",
            where="network.init = imagenet",
            fix="Without a network connection use init file:<path.safetensors>, run:<run folder>, or none.",
        ) from None
    return {"init": "imagenet", "source": name, **_fill(network, state, where=name)}


def _fill(network: PatchNetwork, state: Mapping[str, Tensor], *, where: str) -> dict[str, int]:
    own = network.state_dict()
    fitting = {
        n: v
        for n, v in state.items()
        if n in own and own[n].shape == v.shape and n.rpartition(".")[0] != network.last_layer
    }
    if len(fitting) < len(own) // 2:
        raise WeightsError(
            "weights of the same network",
            got=f"{len(fitting)} of {len(own)} tensors that fit by name and shape",
            where=where,
            fix="Start from weights of the same architecture.",
        )
    network.load_state_dict(fitting, strict=False)
    return {"tensors_filled": len(fitting), "tensors_fresh": len(own) - len(fitting)}
