"""Backbone study: several networks on one data set, split and budget, with several seeds.

The split is the same for all runs; a seed determines first weights, order and augmentation. A network that cannot be
trained (an unknown name, too little memory) is a row with its reason, and the others go on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from her2core.errors import ConfigError, StudyError
from her2core.runs.folder import Run
from her2core.study.config import StudyConfig, read_study
from her2core.study.jobs import Job, finished, require_one_dataset
from her2core.training.config import make_config

#: Fields of ``train`` that a network may set for itself; epochs, augmentation and stopping are the study's.
RATES = ("lr", "trunk_lr", "freeze_epochs")


class NetworkEntry(BaseModel):
    """One network of the list.

    Attributes
    ----------
    label : str
        Its name in tables and folders.
    name, options, init
        As in NetworkConfig.
    seeds : tuple of int
        Its own seeds; the study's where empty.
    input : dict
        mean and std that its weights expect; px.
    rates : dict
        Its own values of RATES; the study's where unnamed.
    frozen : dict or None
        Fit only its last layer, as RunConfig.frozen.
    weights : bool
        Whether the run of its first seed keeps the weights, for serving.

    Examples
    --------
    >>> NetworkEntry(label="small", name="timm:lcnet_050").init
    'none'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(..., pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="its name in tables and folders")
    name: str = Field(..., description="a name of networks.registry, or timm:<name>")
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the network")
    init: str = Field("none", description="as NetworkConfig.init")
    seeds: tuple[int, ...] = Field((), description="its own seeds; the study's where empty")
    input: dict[str, Any] = Field(default_factory=dict, description="mean, std that its weights expect; px")
    rates: dict[str, float] = Field(default_factory=dict, description="RATES of its own; the study's where unnamed")
    frozen: dict[str, Any] | None = Field(None, description="fit only its last layer, as RunConfig.frozen")
    weights: bool = Field(False, description="keep the weights of its first seed, for serving")

    @model_validator(mode="after")
    def _seeds_differ(self) -> NetworkEntry:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds that differ", list(self.seeds))
        return self


class BackboneConfig(StudyConfig):
    """Configuration of the study: which training, which networks, which seeds; further fields as in StudyConfig.

    Attributes
    ----------
    networks : tuple of NetworkEntry
        At least two.
    reference : str
        Label of the network that the others are compared with.

    Examples
    --------
    >>> load_study("configs/study/backbones-demo.yaml").reference
    'her2-resnet50'
    """

    SETS = ("seed", "network", "serving", "frozen")

    networks: tuple[NetworkEntry, ...] = Field(..., min_length=2)
    reference: str = Field(..., description="label of the network that the others are compared with")


def load_study(path: str | os.PathLike[str]) -> BackboneConfig:
    """Read the study's YAML; every configuration is checked before the first is trained.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    BackboneConfig

    Raises
    ------
    ConfigError
        That names the field.

    Examples
    --------
    >>> len(load_study("configs/study/backbones-demo.yaml").networks)
    10
    """
    study = read_study(path, BackboneConfig, example="configs/study/backbones-demo.yaml")
    labels = [n.label for n in study.networks]
    if study.reference not in labels or len(set(labels)) < len(labels):
        raise ConfigError(
            "labels that differ, the reference among them",
            got=", ".join(labels),
            where=f"{path}, networks",
            fix="Correct the labels.",
        )
    backbone_jobs(study, where=str(path))
    return study


def backbone_jobs(study: BackboneConfig, *, where: str = "backbone study") -> list[Job]:
    """List one job a network and seed, seed after seed, so that an unfinished study contains whole comparisons.

    Parameters
    ----------
    study : BackboneConfig
    where : str, optional
        The source, for messages.

    Returns
    -------
    list of Job

    Raises
    ------
    ConfigError
        For fields of ``run`` that RunConfig does not accept.

    Examples
    --------
    >>> [job.name for job in backbone_jobs(load_study("configs/study/backbones-demo.yaml"))][:2]
    ['her2-resnet50-seed0', 'resnet50-seed0']
    """
    pairs = [(place, seed, n) for n in study.networks for place, seed in enumerate(n.seeds or study.seeds)]
    jobs = []
    for place, seed, n in sorted(pairs, key=lambda p: p[0]):
        keep = n.weights and place == 0
        config = make_config(
            {
                **run_of_network(study.run, n, where=where),
                "seed": seed,
                "serving": keep,
                "title": f"{study.title}: {n.label}, seed {seed}",
            },
            where=where,
        )
        jobs.append(Job(f"{n.label}-seed{seed}", n.label, seed, config, keep))
    return jobs


def run_of_network(run: Mapping[str, Any], network: NetworkEntry, *, where: str) -> dict[str, Any]:
    """Fields of RunConfig for one network of a study: those of all, with the network's own.

    Parameters
    ----------
    run : mapping
        Fields that all networks share.
    network : NetworkEntry
    where : str
        The source, for messages.

    Returns
    -------
    dict

    Raises
    ------
    ConfigError
        For rates that are not the network's to set.

    Examples
    --------
    >>> entry = NetworkEntry(label="small", name="timm:lcnet_050", rates={"lr": 0.1})
    >>> run_of_network({"name": "own"}, entry, where="study")["train"]
    {'lr': 0.1}
    """
    if foreign := sorted(set(network.rates) - set(RATES)):
        raise ConfigError(
            f"rates out of {', '.join(RATES)}: the budget is the same for all",
            got=", ".join(foreign),
            where=f"{where}, {network.label}",
            fix="Set it under run.",
        )
    return {
        **run,
        "network": {"name": network.name, "options": network.options, "init": network.init},
        "input": {**run.get("input", {}), **network.input},
        "train": {**run.get("train", {}), **network.rates},
        "frozen": network.frozen,
    }


def finished_runs(study: BackboneConfig, root: str | os.PathLike[str]) -> dict[str, list[Run]]:
    """Find the finished runs of every network.

    Parameters
    ----------
    study : BackboneConfig
    root : str or path
        The study's folder.

    Returns
    -------
    dict
        From label to list of Run, possibly empty.

    Raises
    ------
    StudyError
        When they are of several data sets or splits.

    Examples
    --------
    >>> study = load_study("configs/study/backbones-demo.yaml")
    >>> len(finished_runs(study, "models/study/backbones-demo")["resnet50"])
    5
    """
    runs: dict[str, list[Run]] = {n.label: [] for n in study.networks}
    for job in backbone_jobs(study):
        if (run := finished(job, root)) is not None:
            runs[job.group].append(run)
    if every := [run for of in runs.values() for run in of]:
        require_one_dataset(every)
        if len({run.info.get("split_hash") for run in every}) > 1:
            raise StudyError(
                "runs of one split", got="several", where=str(root), fix="Train the study anew with one split.seed."
            )
    return runs
