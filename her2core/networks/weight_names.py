"""Names of tensors in weight files of other programs, matched to those of a network.

Trainers wrap a network, and its tensors get a prefix: ``module.`` (data parallel), ``model.``, ``backbone.``,
``encoder.``, ``net.``, or several. The networks here have prefixes of their own. Every pair of a prefix of the file and
one of the network is tried, and the one under which most tensors fit by name and shape is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from her2core.errors import WeightsError
from her2core.networks.her2_resnet import rename_torchvision

#: Deepest prefix that is tried, and how many of a file's prefixes.
_DEPTH, _PREFIXES = 5, 200
#: Names listed in a message.
_LISTED = 6


@dataclass(frozen=True)
class Matched:
    """Tensors of a file under the names of a network.

    Parameters
    ----------
    state : dict of str to Tensor
        Those that fit by name and shape, without the last layer's.
    summary : str
        How many of the network's tensors they are, which stay as they were, and which of the file were not used.
    """

    state: dict[str, Tensor]
    summary: str


def match_weights(
    own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, last_layer: str, where: str, torchvision: bool = False
) -> Matched:
    """Match the tensors of a file to those of a network.

    Parameters
    ----------
    own : mapping of str to Tensor
        The network's state.
    theirs : mapping of str to Tensor
        The file's.
    last_layer : str
        Dotted name of the network's last layer, which keeps its own weights.
    where : str
        The file, for the message.
    torchvision : bool, default False
        Whether names of torchvision's ResNet50 are to be translated (`her2_resnet.rename_torchvision`).

    Returns
    -------
    Matched

    Raises
    ------
    WeightsError
        Where fewer than half of the network's tensors fit; it says whether the names or the architecture differ.

    Examples
    --------
    >>> import torch
    >>> own = {"model.conv.weight": torch.zeros(2, 3), "model.fc.weight": torch.zeros(4, 2)}
    >>> theirs = {"module.conv.weight": torch.ones(2, 3), "module.fc.weight": torch.ones(9, 2)}
    >>> match_weights(own, theirs, last_layer="model.fc", where="w.safetensors").summary
    "1 of 2 tensors loaded (the file's names start with 'module.'); 1 last-layer tensor left out: model.fc.weight"
    """
    best: dict[str, Tensor] = {}
    prefix, theirs_last = "", set[int]()
    for candidate in _prefixes(theirs):
        stripped = {n[len(candidate) :]: v for n, v in theirs.items() if n.startswith(candidate)}
        versions = [stripped, rename_torchvision(stripped)] if torchvision else [stripped]
        for version in versions:
            for target in _own_prefixes(own):
                fitting = {
                    target + n: v
                    for n, v in version.items()
                    if target + n in own
                    and own[target + n].shape == v.shape
                    and (target + n).rpartition(".")[0] != last_layer
                }
                if len(fitting) > len(best):
                    best, prefix = fitting, candidate
                    theirs_last = {id(v) for n, v in version.items() if (target + n).rpartition(".")[0] == last_layer}
    if len(best) < len(own) // 2 or not best:
        raise _refused(own, theirs, best, where)
    known = {id(value) for value in best.values()} | theirs_last
    unused = sorted(name for name, value in theirs.items() if id(value) not in known)
    return Matched(best, _summary(own, best, prefix, last_layer, unused))


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Leading parts of the names, most frequent first; none comes first."""
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for depth in range(1, min(len(parts), _DEPTH + 1)):
            counts[".".join(parts[:depth]) + "."] += 1
    return ["", *(prefix for prefix, _ in counts.most_common(_PREFIXES))]


def _own_prefixes(own: Mapping[str, Tensor]) -> list[str]:
    """None, and one that stands before more than half of the network's names."""
    counts = Counter(name.partition(".")[0] + "." for name in own if "." in name)
    return ["", *(prefix for prefix, number in counts.items() if number > len(own) // 2)]


def _summary(
    own: Mapping[str, Tensor], loaded: Mapping[str, Tensor], prefix: str, last_layer: str, unused: list[str]
) -> str:
    start = f" (the file's names start with {prefix!r})" if prefix else ""
    parts = [f"{len(loaded)} of {len(own)} tensors loaded{start}"]
    fresh = [name for name in own if name not in loaded]
    last = [name for name in fresh if name.rpartition(".")[0] == last_layer]
    other = [name for name in fresh if name not in last]
    if last:
        parts.append(f"{len(last)} last-layer {_tensors(last)} left out: {_listed(last)}")
    if other:
        parts.append(f"{len(other)} {_tensors(other)} not in the file in this shape: {_listed(other)}")
    if unused:
        parts.append(f"{len(unused)} other {_tensors(unused)} of the file not used: {_listed(unused)}")
    return "; ".join(parts)


def _refused(
    own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], best: Mapping[str, Tensor], where: str
) -> WeightsError:
    mine, given = Counter(v.shape for v in own.values()), Counter(v.shape for v in theirs.values())
    alike = sum((mine & given).values())
    lacking = [name for name in own if name not in best]
    if alike >= 0.9 * len(own):
        return WeightsError(
            f"tensors named as in this network, such as {lacking[0]}",
            got=f"{alike} of {len(own)} tensors of the right shape under other names, such as {next(iter(theirs))}",
            where=where,
            fix="The architecture fits: rename the tensors, or save the weights with this network's own program.",
        )
    return WeightsError(
        "weights of the same network",
        got=f"{len(best)} of {len(own)} tensors that fit by name and shape (without: {_listed(lacking)})",
        where=where,
        fix="Start from weights of the same architecture.",
    )


def _tensors(names: list[str]) -> str:
    return "tensor" if len(names) == 1 else "tensors"


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
