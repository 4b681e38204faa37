"""What does a reported accuracy become when no patient stands on both sides? One network, four ways to split, in.

The same network is trained with the same budget under a split by random patches, by slide, by patient and by site, with
several seeds (each seed draws weights, order and split). What the random split gains over the split by patient is the
leakage gap (Bussola et al. 2021, doi 10.1007/978-3-030-68763-2_13).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from her2core.data.splits import Unit
from her2core.errors import ConfigError, StudyError
from her2core.evidence.seeds import SeedFigures, seed_figures
from her2core.io.files import write_json, write_via_temporary
from her2core.runs.folder import STUDY
from her2core.runs.provenance import provenance
from her2core.study.config import read_study
from her2core.study.jobs import Job, finished, refuse_other_data
from her2core.training.config import make_config

#: What the others are held against: the split that makes a claim about new patients.
REFERENCE = "patient"
#: Units by which the runs are judged.
JUDGED = ("patch", "patient")


class LeakageConfig(BaseModel):
    """The study, whole: which training (``run``, as RunConfig has it), split how, with which seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(..., min_length=1, description="one line for people")
    run: dict[str, Any] = Field(..., description="fields of RunConfig, without seed and split")
    splits: tuple[Unit, ...] = Field(("patch_random", "slide", "patient", "site"), description="units to split by")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="of weights, order and split alike")


def load_study(path: str | os.PathLike) -> LeakageConfig:
    """Read the study's YAML. Raises ConfigError that names the field."""
    study = read_study(path, LeakageConfig, example="configs/study/leakage.yaml")
    if REFERENCE not in study.splits or len(set(study.splits)) < 2:
        raise ConfigError(
            f"at least two splits, {REFERENCE} among them",
            got=", ".join(study.splits),
            where=f"{path}, splits",
            fix=f"The others are held against {REFERENCE}.",
        )
    leakage_jobs(study, where=str(path))  # every configuration is checked before the first is trained
    return study


def leakage_jobs(study: LeakageConfig, *, where: str = "leakage study") -> list[Job]:
    """One job a seed and split, seed after seed, so that an unfinished study holds whole comparisons."""
    if taken := {"seed", "split", "serving"} & set(study.run):
        raise ConfigError(
            "run without seed, split and serving", got=", ".join(sorted(taken)), where=where, fix="The study sets them."
        )
    return [
        Job(
            f"{unit.replace('_', '-')}-seed{seed}",
            unit,
            seed,
            make_config(
                {
                    **study.run,
                    "seed": seed,
                    "split": {"unit": unit, "seed": seed},
                    "serving": False,
                    "title": f"{study.title}: split by {unit.replace('_', ' ')}, seed {seed}",
                },
                where=where,
            ),
        )
        for seed in study.seeds
        for unit in study.splits
    ]


def leakage_figures(study: LeakageConfig, root: str | os.PathLike) -> SeedFigures:
    """The splits side by side, by patch and by patient, from the finished runs below ``root``.

    Raises StudyError while a run is missing or the runs are of several data sets, EvaluationError as
    ``evidence.seeds.seed_figures``.
    """
    jobs = leakage_jobs(study)
    runs = {job.name: finished(job, root) for job in jobs}
    if missing := [name for name, run in runs.items() if run is None]:
        raise StudyError(
            f"all {len(jobs)} runs of the study",
            got=f"{len(missing)} missing: {missing[0]} ...",
            where=str(root),
            fix="Run: her2 study leakage, which resumes.",
        )
    refuse_other_data(list(runs.values()))
    groups: dict[str, list] = {unit: [] for unit in study.splits}
    for job in jobs:
        run = runs[job.name]
        groups[job.group].append(run.test_predictions())
    figures = [seed_figures(groups, reference=REFERENCE, unit=unit) for unit in JUDGED]
    return SeedFigures(
        *(pd.concat(t, ignore_index=True) for t in ([f.table for f in figures], [f.differences for f in figures]))
    )


def save_leakage(study: LeakageConfig, root: str | os.PathLike) -> SeedFigures:
    """Compute the figures and write leakage.csv, gaps.csv and study.json (last) into ``root``."""
    root, found = Path(root), leakage_figures(study, root)
    for name, table in (("leakage.csv", found.table), ("gaps.csv", found.differences)):
        write_via_temporary(root / name, lambda t, table=table: table.to_csv(t, index=False, float_format="%.6f"))
    first = finished(leakage_jobs(study)[0], root)
    write_json(
        root / STUDY,
        {
            "kind": "leakage",
            "study": study.model_dump(mode="json"),
            "classes": list(first.classes),
            "scheme": first.card["scheme"],
            "data": first.card["data"],
            "network": first.card["network"],
            "made": provenance(),
        },
    )
    return found
