"""How do weights travel? safetensors with a JSON card beside them: saved, verified, loaded. Pickles are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from her2core.errors import WeightsError
from her2core.io.files import sha256_file, write_via_temporary
from her2core.networks.foundation import FoundationNetwork
from her2core.networks.her2_resnet import Her2ResNet50, rename_torchvision
from her2core.networks.packaged import packaged_weights

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def save_weights(network: nn.Module, path: Path, *, half: bool = True) -> str:
    """Write the network's state as safetensors; returns the file's SHA-256 (hex).

    Floats are float16 when ``half``, but for a linear last layer: it is small, and where features hardly vary its
    weights leave float16's range.
    """
    state, last = {}, getattr(network, "last_layer", None)
    for name, value in network.state_dict().items():
        value = value.detach().cpu().contiguous()
        small = name in (f"{last}.weight", f"{last}.bias")
        state[name] = value.half() if half and value.is_floating_point() and not small else value
    write_via_temporary(path, lambda t: save_file(state, t))
    return sha256_file(path)


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file as float32 tensors by name.

    Raises WeightsError when the file is missing, is a pickle, is not safetensors, or differs from ``sha256``.
    """
    if not path.is_file():
        raise WeightsError(
            "a safetensors file", got="no such file", where=str(path), fix="Check the folder, or export the run again."
        )
    blob = path.read_bytes()
    if path.suffix in PICKLE_SUFFIXES or blob[:2] in (b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK"):
        raise WeightsError(
            "safetensors",
            got="a pickled file, which can run any code when it is opened",
            where=str(path),
            fix="Convert it with safetensors.torch.save_file where you trust it, and use that file.",
        )
    if sha256 is not None:
        import hashlib

        actual = hashlib.sha256(blob).hexdigest()
        if actual != sha256:
            raise WeightsError(
                f"the weights that the card names (sha256 {sha256[:12]}...)",
                got=f"other bytes (sha256 {actual[:12]}...)",
                where=str(path),
                fix="The file was changed or damaged after the run was finished; take the run again from its source.",
            )
    try:
        state = load_bytes(blob)
    except (SafetensorError, ValueError, KeyError) as broken:
        raise WeightsError(
            "a whole safetensors file", got=str(broken)[:120], where=str(path), fix="Copy it again from its source."
        ) from None
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_into(network: nn.Module, state: dict[str, Tensor], *, where: str) -> None:
    """Load every tensor, exactly; a missing, foreign or misshapen one is a WeightsError."""
    own = network.state_dict()
    missing, foreign = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    misfit = [n for n in own if n in state and own[n].shape != state[n].shape]
    if missing or foreign or misfit:
        first = (missing or foreign or misfit)[0]
        raise WeightsError(
            f"the {len(own)} tensors of this network",
            got=f"{len(missing)} missing, {len(foreign)} foreign, {len(misfit)} of another shape (first: {first})",
            where=where,
            fix="Use the weights with the network and options named in their card.",
        )
    network.load_state_dict(state)


def start_from(network: nn.Module, init: str, *, name: str = "") -> dict[str, Any]:
    """Give a fresh network its first weights; returns what was done, for run.json.

    ``init`` is ``none``, ``imagenet`` (downloaded once), ``hub`` (of a ``hub:`` network), ``package:<name>`` (a key of
    packaged.PACKAGED), ``file:<path.safetensors>`` or ``run:<run folder>``. The last two fill every tensor of the same
    name and shape, so that a network with other classes starts from the same trunk; the classifier is always fresh.
    ``name`` is what the network was built by; packaged weights fit one name alone.
    """
    kind, _, value = init.partition(":")
    if isinstance(network, FoundationNetwork) and init == "none":
        raise WeightsError(
            "weights to start from",
            got="none: a foundation model by name only",
            where="network.init",
            fix="Set it to hub, or to file:<path> or run:<folder>.",
        )
    if init == "none":
        return {"init": "none"}
    if init == "imagenet" and not isinstance(network, FoundationNetwork):
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


def _start_from_imagenet(network: nn.Module) -> dict[str, Any]:
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


def _fill(network: nn.Module, state: dict[str, Tensor], *, where: str) -> dict[str, int]:
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
