"""Which network is better, with one data set, split and budget, and several seeds? Networks in; runs and tables out.

The split is the same for all runs; a seed draws first weights, order and augmentation. What cannot be trained (an
unknown name, too little memory) is a row with its reason, and the others go on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from her2core.errors import ConfigError, EvaluationError, StudyError
from her2core.evidence.seeds import SeedFigures, seed_figures
from her2core.io.files import write_json, write_via_temporary
from her2core.runs.folder import STUDY, Run
from her2core.runs.provenance import provenance
from her2core.study.config import read_study
from her2core.study.costs import measure_costs
from her2core.study.jobs import UNDER_WAY, Job, failed_jobs, finished, refuse_other_data
from her2core.training.config import RunConfig, make_config

COSTS = "costs.csv"


#: What a network may have of its own in ``train``: how fast it learns. Epochs, augmentation, stopping are the study's.
RATES = ("lr", "trunk_lr", "freeze_epochs")


class NetworkEntry(BaseModel):
    """One network of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(..., pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="its name in tables and folders")
    name: str = Field(..., description="a name of networks.registry, or timm:<name>")
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the network")
    init: str = Field("none", description="as NetworkConfig.init")
    seeds: tuple[int, ...] = Field((), description="its own seeds; the study's where empty")
    input: dict[str, Any] = Field(default_factory=dict, description="mean, std that its weights expect; px")
    rates: dict[str, float] = Field(default_factory=dict, description="RATES of its own; the study's where unnamed")
    frozen: dict[str, Any] | None = Field(None, description="find only its last layer, as RunConfig.frozen has it")
    weights: bool = Field(False, description="keep the weights of its first seed, for serving")


class BackboneConfig(BaseModel):
    """The study, whole: which training (``run``, as RunConfig has it), which networks, which seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(..., min_length=1, description="one line for people")
    run: dict[str, Any] = Field(..., description="fields of RunConfig, without seed and network")
    networks: tuple[NetworkEntry, ...] = Field(..., min_length=2)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="of weights, order and augmentation")
    reference: str = Field(..., description="label of the network that the others are held against")

    @model_validator(mode="after")
    def _plain(self) -> BackboneConfig:
        for seeds in (self.seeds, *(n.seeds for n in self.networks)):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"seeds must differ: {list(seeds)}")
        for section in ("input", "train"):
            if not isinstance(self.run.get(section, {}), dict):
                raise ValueError(f"run.{section} must hold fields and values")
        return self


def load_study(path: str | os.PathLike) -> BackboneConfig:
    """Read the study's YAML. Raises ConfigError that names the field."""
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
    """One job a network and seed, seed after seed, so that an unfinished study holds whole comparisons."""
    if taken := {"seed", "network", "serving", "frozen"} & set(study.run):
        raise ConfigError(
            "run without seed, network, serving and frozen",
            got=", ".join(sorted(taken)),
            where=where,
            fix="The study sets them.",
        )
    pairs = [(place, seed, n) for n in study.networks for place, seed in enumerate(n.seeds or study.seeds)]
    jobs = []
    for place, seed, n in sorted(pairs, key=lambda p: p[0]):
        keep = n.weights and place == 0
        if foreign := sorted(set(n.rates) - set(RATES)):
            raise ConfigError(
                f"rates out of {', '.join(RATES)}: the budget is the same for all",
                got=", ".join(foreign),
                where=f"{where}, {n.label}",
                fix="Set it under run.",
            )
        network = {"name": n.name, "options": n.options, "init": n.init}
        config = make_config(
            {
                **study.run,
                "seed": seed,
                "network": network,
                "serving": keep,
                "input": {**study.run.get("input", {}), **n.input},
                "train": {**study.run.get("train", {}), **n.rates},
                "frozen": n.frozen,
                "title": f"{study.title}: {n.label}, seed {seed}",
            },
            where=where,
        )
        jobs.append(Job(f"{n.label}-seed{seed}", n.label, seed, config, keep))
    return jobs


def finished_runs(study: BackboneConfig, root: str | os.PathLike) -> dict[str, list[Run]]:
    """Label -> its finished runs. Raises StudyError when they are of several data sets or splits."""
    runs: dict[str, list[Run]] = {n.label: [] for n in study.networks}
    for job in backbone_jobs(study):
        if (run := finished(job, root)) is not None:
            runs[job.group].append(run)
    if every := [run for of in runs.values() for run in of]:
        refuse_other_data(every)
        if len({run.info.get("split_hash") for run in every}) > 1:
            raise StudyError(
                "runs of one split", got="several", where=str(root), fix="Train the study anew with one split.seed."
            )
    return runs


def costs_are_due(study: BackboneConfig, root: str | os.PathLike) -> bool:
    """Whether costs.csv is missing or tells of other networks than the study's finished runs are."""
    path = Path(root) / COSTS
    if not path.is_file():
        return True
    held = pd.read_csv(path, keep_default_na=False)
    if not {"network", "last_layer"} <= set(held):
        return True
    wanted = {
        label: json.dumps(layer, sort_keys=True) if layer else ""
        for label, (_, layer) in _measured(study, root).items()
    }
    return dict(zip(held["network"], held["last_layer"], strict=True)) != wanted


def save_costs(
    study: BackboneConfig, root: str | os.PathLike, *, tell: Callable[[str], None] = lambda line: None
) -> None:
    """Measure every network's cost on this machine, in one go, and write costs.csv into ``root``.

    Raises StudyError while no run is finished, as for ``finished_runs``.
    """
    classes = next((len(run.classes) for of in finished_runs(study, root).values() for run in of), None)
    if classes is None:
        raise StudyError("a finished run", got="none", where=str(root), fix="Run: her2 study backbones.")
    table = measure_costs(_measured(study, root), classes=classes, tell=tell)
    write_via_temporary(Path(root) / COSTS, lambda t: table.to_csv(t, index=False))


def save_backbones(study: BackboneConfig, root: str | os.PathLike) -> SeedFigures:
    """Write backbones.csv, differences.csv, networks.csv (budget, state, reason) and study.json (last) into ``root``.

    Networks without a finished run have a row in networks.csv alone. Raises StudyError while the reference has none,
    or for runs that must not stand in one table.
    """
    root, runs = Path(root), finished_runs(study, root)
    if not runs[study.reference]:
        raise StudyError(
            f"a finished run of {study.reference}, the reference",
            got="none",
            where=str(root),
            fix="Run: her2 study backbones, which resumes.",
        )
    groups = {label: [run.test_predictions() for run in of] for label, of in runs.items() if of}
    found = [seed_figures(groups, reference=study.reference)]
    try:
        found.append(seed_figures(groups, reference=study.reference, unit="patient"))
        not_by_patient = ""
    except EvaluationError as reason:
        not_by_patient = str(reason)
    figures = SeedFigures(
        *(pd.concat(t, ignore_index=True) for t in ([f.table for f in found], [f.differences for f in found]))
    )
    tables = {"backbones": figures.table, "differences": figures.differences, "networks": _networks(study, root, runs)}
    for name, table in tables.items():
        write_via_temporary(
            root / f"{name}.csv", lambda t, table=table: table.to_csv(t, index=False, float_format="%.6f")
        )
    first = runs[study.reference][0]
    write_json(
        root / STUDY,
        {
            "kind": "backbones",
            "study": study.model_dump(mode="json"),
            "classes": list(first.classes),
            "scheme": first.card["scheme"],
            "data": first.card["data"],
            "warnings": list(first.warnings),
            "not_by_patient": not_by_patient,
            "made": provenance(),
        },
    )
    return figures


def _measured(study: BackboneConfig, root: str | os.PathLike) -> dict[str, tuple[RunConfig, dict[str, Any] | None]]:
    """Label -> how its first job is trained, and what its run's card says of a last layer that is not its own."""
    runs, first = finished_runs(study, root), {}
    for job in backbone_jobs(study):
        held = runs[job.group][0].card["network"].get("last_layer") if runs[job.group] else None
        first.setdefault(job.group, (job.config, held))
    return first


def _networks(study: BackboneConfig, root: Path, runs: dict[str, list[Run]]) -> pd.DataFrame:
    """One row a network: how it was trained, how many of its runs are finished, what they took, why one failed."""
    failures, asked = failed_jobs(root), {}
    for job in backbone_jobs(study):
        asked.setdefault(job.group, []).append(job)
    rows = []
    for n in study.networks:
        config = asked[n.label][0].config
        reason = next((failures[job.name] for job in asked[n.label] if job.name in failures), "")
        done = len(runs[n.label])
        whole, under_way = done == len(asked[n.label]), reason == UNDER_WAY
        state = "finished" if whole else "failed" if reason and not under_way else "unfinished"
        trained = [run.history["seconds"].sum() for run in runs[n.label] if "seconds" in run.history]
        rows.append(
            {
                "network": n.label,
                "name": n.name,
                "init": n.init,
                "frozen": config.frozen.head if config.frozen else "",
                "px": config.input.px,
                "epochs": None if config.frozen else config.train.epochs,
                "lr": config.train.lr,
                "runs": done,
                "asked": len(asked[n.label]),
                "state": state,
                "reason": reason,
                "train_seconds": round(sum(trained), 1) if trained else None,
            }
        )
    return pd.DataFrame(rows)
