"""Leakage study: one network trained under splits by random patches, slide, patient and site.

The same network is trained with the same budget and several seeds (each seed determines weights, order and split).
What the random split gains over the split by patient is the leakage gap (Bussola et al. 2021,
doi 10.1007/978-3-030-68763-2_13).
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from her2core.data.split_units import Unit
from her2core.errors import ConfigError, EvaluationError, StudyError
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.predictions import Predictions
from her2core.evidence.seeds import SeedSummary
from her2core.io.files import write_csv, write_json
from her2core.runs.folder import STUDY, Run
from her2core.runs.provenance import provenance
from her2core.study.config import StudyConfig, read_study
from her2core.study.figures import study_figures
from her2core.study.jobs import Job, finished, require_one_dataset
from her2core.training.config import make_config

#: The split that the others are compared with: the one that supports claims about new patients.
REFERENCE = "patient"
_EXAMPLE = "configs/study/leakage.yaml"


class LeakageConfig(StudyConfig):
    """Configuration of the study: which training, which splits, which seeds; further fields as in StudyConfig.

    Attributes
    ----------
    splits : tuple of str
        Units to split by, REFERENCE among them. A seed is that of the split too.

    Examples
    --------
    >>> LeakageConfig(title="t", run={"name": "own", "manifest": "m.csv"}).splits
    ('patch_random', 'slide', 'patient', 'site')
    """

    SETS = ("seed", "split", "serving")

    splits: tuple[Unit, ...] = Field(("patch_random", "slide", "patient", "site"), description="units to split by")


def load_study(path: str | os.PathLike[str]) -> LeakageConfig:
    """Read the study's YAML; every configuration is checked before the first is trained.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    LeakageConfig

    Raises
    ------
    ConfigError
        That names the field.

    Examples
    --------
    >>> load_study("configs/study/leakage.yaml").seeds
    (0, 1, 2)
    """
    study = read_study(path, LeakageConfig, example=_EXAMPLE)
    if REFERENCE not in study.splits or not 2 <= len(set(study.splits)) == len(study.splits):
        raise ConfigError(
            f"at least two splits that differ, {REFERENCE} among them",
            got=", ".join(study.splits),
            where=f"{path}, splits",
            fix=f"The others are compared with {REFERENCE}.",
        )
    leakage_jobs(study, where=str(path))
    return study


def leakage_jobs(study: LeakageConfig, *, where: str = "leakage study") -> list[Job]:
    """List one job a seed and split, seed after seed, so that an unfinished study contains whole comparisons.

    Parameters
    ----------
    study : LeakageConfig
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
    >>> [job.name for job in leakage_jobs(load_study("configs/study/leakage.yaml"))][:2]
    ['patch-random-seed0', 'slide-seed0']
    """
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


def leakage_figures(study: LeakageConfig, root: str | os.PathLike[str]) -> SeedSummary:
    """Compare the splits by patch and by patient, from the finished runs.

    Parameters
    ----------
    study : LeakageConfig
    root : str or path
        The study's folder.

    Returns
    -------
    SeedSummary

    Raises
    ------
    StudyError
        While a run is missing, and for runs of several data sets.
    EvaluationError
        As ``evidence.seeds.summarize_seeds``.

    Examples
    --------
    >>> study = load_study("configs/study/leakage.yaml")
    >>> leakage_figures(study, "models/study/leakage").table  # doctest: +SKIP
    """
    groups: dict[str, list[Predictions]] = {unit: [] for unit in study.splits}
    runs = _finished_runs(study, root)
    for job, run in zip(leakage_jobs(study), runs, strict=True):
        groups[job.group].append(run.test_predictions())
    ordered = not missing_class_order(runs[0].card)
    by_site = [unit for unit in groups if unit == "site"]
    found, reason = study_figures(groups, reference=REFERENCE, primary=study.primary, ordered=ordered, by_site=by_site)
    if reason:
        raise EvaluationError(
            "patients of every test part", got=reason, where=str(root), fix="Name them in the manifest."
        )
    return found


def save_leakage(study: LeakageConfig, root: str | os.PathLike[str]) -> SeedSummary:
    """Compute the figures and write leakage.csv, gaps.csv and study.json (last).

    Parameters
    ----------
    study : LeakageConfig
    root : str or path
        The study's folder.

    Returns
    -------
    SeedSummary

    Raises
    ------
    StudyError, EvaluationError
        As ``leakage_figures``.
    """
    root, found = Path(root), leakage_figures(study, root)
    for name, table in (("leakage.csv", found.table), ("gaps.csv", found.differences)):
        write_csv(root / name, table, float_format="%.6f")
    first = _finished_runs(study, root)[0]
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


def _finished_runs(study: LeakageConfig, root: str | os.PathLike[str]) -> list[Run]:
    jobs = leakage_jobs(study)
    found = {job.name: finished(job, root) for job in jobs}
    runs = [run for run in found.values() if run is not None]
    if missing := [name for name, run in found.items() if run is None]:
        raise StudyError(
            f"all {len(jobs)} runs of the study",
            got=f"{len(missing)} missing: {missing[0]} ...",
            where=root,
            fix="Run: her2 study leakage, which resumes.",
        )
    require_one_dataset(runs)
    return runs
