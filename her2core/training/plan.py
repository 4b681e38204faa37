"""Configurations of one or several trainings from the few choices of a form; all else keeps its default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from her2core.data.split_units import Unit
from her2core.errors import ConfigError
from her2core.training.config import RunConfig, make_config

#: Longest name of a run, as ``RunConfig.name`` accepts it.
NAME_LENGTH = 24


@dataclass(frozen=True)
class TrainingPlan:
    """Choices from which trainings are configured, one a network.

    Attributes
    ----------
    name : str
        Of the run; with several networks each run's name begins with it.
    manifest : str
        Path, relative to the working folder or absolute.
    networks : tuple of str
        Names of ``networks.registry``, at least one.
    unit : Unit
        What the split keeps together.
    split_seed, seed : int
        Of the split; of weights, order and augmentation.
    pretrained : bool
        First weights of an installable package where there are some for the network, otherwise random ones.
    stain : str
        Method of stain normalisation.
    px, epochs, batch_size : int
        Side of the network's input in pixels, largest number of epochs, patches a step.
    lr, trunk_lr : float
        Peak learning rate, and the trunk's share of it.

    Examples
    --------
    >>> plan = TrainingPlan("own", "data/own.parquet", ("resnet50", "timm:lcnet_050"), epochs=5)
    >>> [config.name for config in configurations(plan)]
    ['own-resnet50', 'own-lcnet-050']
    """

    name: str
    manifest: str
    networks: tuple[str, ...]
    unit: Unit = "patient"
    split_seed: int = 0
    seed: int = 0
    pretrained: bool = True
    stain: str = "macenko"
    px: int = 112
    epochs: int = 20
    batch_size: int = 32
    lr: float = 1e-3
    trunk_lr: float = 1.0


def configurations(plan: TrainingPlan) -> list[RunConfig]:
    """Configure one training a network.

    Parameters
    ----------
    plan : TrainingPlan

    Returns
    -------
    list of RunConfig
        In the order of the networks, with names that differ.

    Raises
    ------
    ConfigError
        For no network, one that is named twice, or a value that a configuration does not accept.

    Examples
    --------
    >>> (config,) = configurations(TrainingPlan("own", "m.csv", ("resnet50",), unit="site", px=64))
    >>> config.name, config.split.unit, config.input.px, config.network.init
    ('own', 'site', 64, 'none')
    """
    if not plan.networks or len(set(plan.networks)) < len(plan.networks):
        raise ConfigError(
            "at least one network, each once",
            got=", ".join(plan.networks) or "none",
            where="networks",
            fix="Choose the networks to train.",
        )
    names = run_names(plan.name, plan.networks)
    pairs = zip(names, plan.networks, strict=True)
    return [make_config(_fields(plan, name, network), where=name) for name, network in pairs]


def run_names(name: str, networks: Sequence[str]) -> list[str]:
    """Name a run for each network: the name itself for one, otherwise followed by the network's.

    Parameters
    ----------
    name : str
        What all begin with.
    networks : sequence of str
        Names of ``networks.registry``.

    Returns
    -------
    list of str
        At most NAME_LENGTH characters each, and all different.

    Examples
    --------
    >>> run_names("own", ["timm:tf_efficientnet_lite0", "timm:tf_efficientnet_lite1"])
    ['own-tf-efficientnet-lite', 'own-tf-efficientnet-li-2']
    """
    if len(networks) == 1:
        return [name]
    names: list[str] = []
    for network in networks:
        short = run_name(network.rpartition(":")[2])
        names.append(next(n for n in _numbered(f"{name}-{short}") if n not in names))
    return names


def run_name(text: str) -> str:
    """A text in the letters of a run's name.

    Parameters
    ----------
    text : str
        Such as the name of a file.

    Returns
    -------
    str
        Lower-case letters, digits and single hyphens, at most NAME_LENGTH; "own" where nothing remains.

    Examples
    --------
    >>> run_name("My Cohort_2.parquet"), run_name("..")
    ('my-cohort-2-parquet', 'own')
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LENGTH].rstrip("-") or "own"


def _numbered(name: str) -> Iterator[str]:
    yield name[:NAME_LENGTH].rstrip("-")
    for number in range(2, 1000):
        end = f"-{number}"
        yield name[: NAME_LENGTH - len(end)].rstrip("-") + end


def _fields(plan: TrainingPlan, name: str, network: str) -> dict[str, Any]:
    return {
        "name": name,
        "manifest": plan.manifest,
        "seed": plan.seed,
        "split": {"unit": plan.unit, "seed": plan.split_seed},
        "stain": {"method": plan.stain},
        "input": {"px": plan.px},
        # Left out, first weights are those of the package that fits the network (``backbone_defaults``).
        "network": {"name": network, **({} if plan.pretrained else {"init": "none"})},
        "train": {
            "epochs": plan.epochs,
            "batch_size": plan.batch_size,
            "lr": plan.lr,
            "trunk_lr": plan.trunk_lr,
            "warmup_epochs": min(1.0, plan.epochs / 4),
        },
    }
