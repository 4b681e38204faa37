"""Registry of networks: names, descriptions, input defaults and builders.

The paper's network and its ablations are entries of `NETWORKS`; every model of timm (``timm:<name>``) and every vision
transformer of a hub (``hub:<owner>/<model>``) has an entry made from its name.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from her2core.errors import Her2Error, NetworkError
from her2core.networks.foundation import FoundationNetwork, LocalFoundationNetwork
from her2core.networks.her2_resnet import Her2ResNet50
from her2core.networks.packaged import PACKAGED
from her2core.networks.protocol import PatchNetwork
from her2core.networks.timm_network import ARCHITECTURE_OPTIONS, TimmNetwork, check_values

_TIMM, _HUB = "timm:", "hub:"
#: Near matches named for an unknown network.
_OFFERED = 6


@dataclass(frozen=True)
class InputDefaults:
    """Input that a network was designed for.

    Attributes
    ----------
    px : int
        Side of the square patch in pixels.
    mean, std : tuple of float
        Subtracted from RGB in 0..1 and divided by, each (3,). ImageNet's unless the network was trained otherwise.

    Examples
    --------
    >>> InputDefaults(px=224).mean
    (0.485, 0.456, 0.406)
    """

    px: int
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkSpec:
    """One entry of the registry.

    Attributes
    ----------
    name : str
        What a configuration calls it.
    label : str
        Its name for people.
    description : str
        One sentence.
    reference : str
        Author, year, DOI or arXiv number.
    builder : callable
        Takes the number of classes and keyword options, returns a `PatchNetwork` with random weights.
    defaults : InputDefaults
        Input that it was designed for.

    Examples
    --------
    >>> NETWORKS["resnet50_se"].label
    'ResNet50 + SE'
    >>> "dropout" in NETWORKS["resnet50_se"].options
    True
    """

    name: str
    label: str
    description: str
    reference: str
    builder: Callable[..., PatchNetwork]
    defaults: InputDefaults

    @property
    def options(self) -> tuple[str, ...]:
        """Names that ``network.options`` may hold: the builder's own parameters, without those that the entry fixes."""
        parameters = inspect.signature(self.builder).parameters.values()
        fixed = getattr(self.builder, "keywords", {})
        names = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in fixed}
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            names |= ARCHITECTURE_OPTIONS
        return tuple(sorted(names))


_JOSHI = "Joshi et al. 2025, doi 10.48084/etasr.12140"
_HE = "He et al. 2016, doi 10.1109/CVPR.2016.90"
_OURS = InputDefaults(px=112)

#: The paper's network and its ablations, by name.
NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        NetworkSpec(
            "her2_resnet50",
            "Modified ResNet50 (SE, DSC)",
            "ResNet50 followed by a squeeze-and-excitation block and a depthwise separable convolution.",
            _JOSHI,
            Her2ResNet50,
            _OURS,
        ),
        NetworkSpec(
            "her2_resnet50_swapped",
            "Modified ResNet50 (DSC, SE)",
            "The modified ResNet50 with its two blocks in the other order.",
            _JOSHI,
            partial(Her2ResNet50, order="dsc_se"),
            _OURS,
        ),
        NetworkSpec(
            "resnet50",
            "ResNet50",
            "ResNet50 with neither block.",
            _HE,
            partial(Her2ResNet50, se=False, dsc=False),
            _OURS,
        ),
        NetworkSpec(
            "resnet50_se",
            "ResNet50 + SE",
            "ResNet50 followed by a squeeze-and-excitation block.",
            "Hu et al. 2018, doi 10.1109/CVPR.2018.00745",
            partial(Her2ResNet50, dsc=False),
            _OURS,
        ),
        NetworkSpec(
            "resnet50_dsc",
            "ResNet50 + DSC",
            "ResNet50 followed by a depthwise separable convolution.",
            "Chollet 2017, doi 10.1109/CVPR.2017.195",
            partial(Her2ResNet50, se=False),
            _OURS,
        ),
    )
}


def find_network(name: str) -> NetworkSpec:
    """Entry of a network by its name; nothing is built or downloaded.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`, ``timm:<name>`` or ``hub:<owner>/<model>``.

    Returns
    -------
    NetworkSpec

    Raises
    ------
    NetworkError
        For an unknown name, with near matches.

    Examples
    --------
    >>> find_network("timm:tf_efficientnet_lite0").defaults
    InputDefaults(px=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> find_network("resnet5O")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.NetworkError: Expected a known network, but got 'resnet5O' (network.name). Did you mean resnet50...
    """
    if name.startswith(_TIMM):
        return _timm_spec(name)
    if name.startswith(_HUB):
        hub_id = name.removeprefix(_HUB)
        return NetworkSpec(
            name,
            hub_id,
            "Vision transformer of a hub of weights, with one linear layer.",
            f"the card of {hub_id}",
            partial(FoundationNetwork, hub_id),
            InputDefaults(px=224),
        )
    if name not in NETWORKS:
        raise _unknown(name)
    return NETWORKS[name]


def build_network(name: str, classes: int, **options: Any) -> PatchNetwork:
    """A fresh network with random weights.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`, ``timm:<name>`` or ``hub:<owner>/<model>``.
    classes : int
        Number of outputs, at least 2.
    **options
        Architecture options of that network (``find_network(name).options``).

    Returns
    -------
    PatchNetwork
        In training mode, on the CPU.

    Raises
    ------
    NetworkError
        For an unknown name, an option or value that the network does not take, or fewer than two classes.
    WeightsError
        For a hub's description that can neither be downloaded nor found in the cache.

    Examples
    --------
    >>> network = build_network("her2_resnet50", 3, dropout=0.5)
    >>> parameter_count(network)
    25108163
    >>> build_network("her2_resnet50", 3, droput=0.5)
    Traceback (most recent call last):
        ...
    her2core.errors.NetworkError: Expected options of her2_resnet50 (dropout, dsc, dsc_channels, order, output_stride, \
se, se_reduction, zero_init), but got 'droput' (network.options). Did you mean dropout?
    """
    return _build(find_network(name), classes, options)


def build_local_network(
    name: str, classes: int, options: Mapping[str, Any], *, description: Mapping[str, Any] | None = None
) -> PatchNetwork:
    """A fresh network as `build_network` gives it, without a connection to a hub.

    Parameters
    ----------
    name, classes
        As for `build_network`.
    options : mapping of str to object
        Architecture options.
    description : mapping, optional
        Of a ``hub:`` network, as `FoundationNetwork.description` gives it; without one the hub's cache on this machine
        is asked.

    Returns
    -------
    PatchNetwork
        In training mode, on the CPU.

    Raises
    ------
    NetworkError
        As `build_network`.
    WeightsError
        For a hub's description that is neither given nor in the cache.

    Examples
    --------
    >>> build_local_network("timm:test_resnet", 3, {}).last_layer
    'model.fc'
    """
    spec = find_network(name)
    if name.startswith(_HUB):
        hub_id = name.removeprefix(_HUB)
        spec = replace(spec, builder=partial(LocalFoundationNetwork, hub_id, description=description))
    return _build(spec, classes, options)


def _build(spec: NetworkSpec, classes: int, options: Mapping[str, Any]) -> PatchNetwork:
    name = spec.name
    if classes < 2:
        raise NetworkError("at least two classes", got=str(classes), where=name, fix="Check the manifest.")
    if foreign := sorted(set(options) - set(spec.options)):
        near = difflib.get_close_matches(foreign[0], spec.options, n=3)
        raise NetworkError(
            f"options of {name} ({', '.join(spec.options)})",
            got=", ".join(map(repr, foreign)),
            where="network.options",
            fix=f"Did you mean {', '.join(near)}?" if near else "Remove or correct them.",
        )
    check_values(options, where="network.options")
    try:
        return spec.builder(classes, **options)
    except Her2Error:
        raise
    except Exception as refused:  # timm's and torch's own checks raise of many kinds
        raise NetworkError(
            f"options that {name} can be built with",
            got=_first_line(refused),
            where="network.options",
            fix="Remove or correct them.",
        ) from None


def parameter_count(network: PatchNetwork | nn.Module) -> int:
    """Number of parameters of a network.

    Parameters
    ----------
    network : torch.nn.Module
        Any module.

    Returns
    -------
    int

    Examples
    --------
    >>> parameter_count(nn.Linear(4, 3))
    15
    """
    return sum(p.numel() for p in network.parameters())


@torch.no_grad()
def output_grid(network: PatchNetwork, px: int) -> tuple[int, int]:
    """Rows and columns of the feature map of a square patch.

    Parameters
    ----------
    network : PatchNetwork
        Its mode is kept.
    px : int
        Side of the patch in pixels.

    Returns
    -------
    tuple of int
        (rows, columns).

    Raises
    ------
    NetworkError
        If the network does not take patches of this size, or its features have no spatial grid.

    Examples
    --------
    >>> output_grid(build_network("her2_resnet50", 3), 112)
    (7, 7)
    """
    was_training = network.training
    network.eval()
    try:
        grid = network.feature_map(network.features(torch.zeros(1, 3, px, px)))
    except (AssertionError, RuntimeError) as refused:
        raise NetworkError(
            "a network that takes patches of this size",
            got=_first_line(refused),
            where=f"input.px = {px}",
            fix="Change input.px, or give the network its size (options: {img_size: ...}).",
        ) from None
    finally:
        network.train(was_training)
    return int(grid.shape[2]), int(grid.shape[3])


def _timm_spec(name: str) -> NetworkSpec:
    import timm

    model = name.removeprefix(_TIMM)
    # A prefix of timm's own would make it read a hub, a folder or a file.
    if ":" in model or not timm.is_model(model):
        raise _unknown(name)
    config = timm.get_pretrained_cfg(model)
    defaults = InputDefaults(px=224)
    if config is not None:
        defaults = InputDefaults(config.input_size[-1], tuple(config.mean), tuple(config.std))
    return NetworkSpec(
        name,
        model,
        f"timm's {model}.",
        "Wightman 2019, PyTorch Image Models, doi 10.5281/zenodo.4414861",
        partial(TimmNetwork, model),
        defaults,
    )


def _unknown(name: str) -> NetworkError:
    """The error for a name that is not in the registry; timm's names are compared without their prefix."""
    import timm

    asked = name.removeprefix(_TIMM).partition(".")[0].lower().replace("-", "_").replace(" ", "_")
    own = [] if name.startswith(_TIMM) else difflib.get_close_matches(asked, NETWORKS, n=2, cutoff=0.6)
    packaged = {known.network: f" (with weights: package:{key})" for key, known in PACKAGED.items()}
    models = timm.list_models()
    family = [_TIMM + m for m in models if len(asked) > 2 and (m == asked or m.startswith((f"{asked}_", f"{asked}b")))]
    near = [_TIMM + m for m in difflib.get_close_matches(asked, models, n=4, cutoff=0.6)]
    weighted = [network for network in packaged if len(asked) > 2 and asked in network]
    others = [*(family if _TIMM + asked in family else []), *weighted, *sorted(family), *near]
    named = list(dict.fromkeys([*own, *others]))[:_OFFERED]
    offer = ", ".join(n + packaged.get(n, "") for n in named)
    fix = f"Did you mean {offer}?" if offer else f"Built in: {', '.join(NETWORKS)}; also timm:<name> and hub:<id>."
    return NetworkError("a known network", got=repr(name), where="network.name", fix=fix)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
