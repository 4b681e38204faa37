"""Execution of a cross-validation study, and its tables: figures over seeds, differences and folds.

<root>/<network>-<design>-seed<s>/   out-of-fold run of one repetition
<root>/.folds/                       the trainings, one run a fold (``study.jobs``); may be deleted when all is done
<root>/cv.csv, differences.csv       as ``evidence.seeds.SeedSummary``
<root>/folds.csv                     who was tested in which fold, and metrics within each
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from her2core.data.split_units import SPLIT_UNITS
from her2core.errors import ConfigError, StudyError
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.metric_table import metric_table
from her2core.evidence.seeds import SeedSummary
from her2core.io.files import write_csv, write_json
from her2core.runs.folder import STUDY, Run
from her2core.runs.provenance import provenance
from her2core.study.crossval import CrossValidationConfig, Repetition, manifest_of, repetitions
from her2core.study.figures import study_figures
from her2core.study.jobs import finished, require_one_dataset, run_jobs
from her2core.study.out_of_fold import StudyData, finished_repetition, write_out_of_fold

FOLDS = ".folds"
#: Metrics within each fold.
FOLD_METRICS = ("balanced_accuracy", "macro_auroc")


def train_folds(
    study: CrossValidationConfig,
    root: str | os.PathLike[str],
    *,
    only: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> dict[str, str]:
    """Train the folds that are not finished; each is a job that resumes.

    Parameters
    ----------
    study : CrossValidationConfig
    root : str or path
        The study's folder.
    only : sequence of str, optional
        Names of the jobs to train; all where empty.
    report : callable, optional
        Called with a line before each job, and when one fails.
    progress : bool, optional
        Show Lightning's progress bar.

    Returns
    -------
    dict
        Reasons of failure by job name.

    Raises
    ------
    ConfigError
        For a job name that does not exist.
    Her2Error
        As ``jobs.run_jobs``.
    """
    every = repetitions(study)
    names = [job.name for one in every for job in one.jobs]
    if unknown := sorted(set(only) - set(names)):
        fix = "Correct the names: her2 study cv --list."
        raise ConfigError("folds of this study", got=", ".join(unknown), where="--only", fix=fix)
    jobs = [job for one in every if finished_repetition(one, root) is None for job in one.jobs]
    due = [job for job in jobs if not only or job.name in only]
    return run_jobs(due, Path(root) / FOLDS, report=report, progress=progress)


def assemble(
    study: CrossValidationConfig, root: str | os.PathLike[str], *, report: Callable[[str], None] = lambda line: None
) -> dict[str, list[Run]]:
    """Make the out-of-fold run of every repetition whose folds are all trained.

    Parameters
    ----------
    study : CrossValidationConfig
    root : str or path
        The study's folder.
    report : callable, optional
        Called with a line before each run that is made.

    Returns
    -------
    dict
        From group to its out-of-fold runs, possibly none.

    Raises
    ------
    StudyError
        For a folder with runs of another configuration or other data.
    """
    data: StudyData | None = None
    found: dict[str, list[Run]] = {group: [] for group in study.groups}
    for one in repetitions(study):
        run = finished_repetition(one, root)
        if run is None:
            folds = [finished(job, Path(root) / FOLDS) for job in one.jobs]
            trained = [fold for fold in folds if fold is not None]
            if len(trained) < len(folds):
                continue
            report(f"{one.name}: {len(folds)} folds put together")
            data = data or StudyData(manifest_of(study))
            title = f"{study.title}: {one.group}, seed {one.seed}"
            run = write_out_of_fold(one, trained, data, root, title=title)
        found[one.group].append(run)
    if runs := [run for of in found.values() for run in of]:
        require_one_dataset(runs)
    return found


def save_crossval(
    study: CrossValidationConfig, root: str | os.PathLike[str], *, report: Callable[[str], None] = lambda line: None
) -> SeedSummary:
    """Compute the figures and write cv.csv, differences.csv, folds.csv and study.json (last).

    Patients are left out of all repetitions at once, and the variance between seeds is added (``evidence.seeds``);
    where folds are by site, sites take the place of patients.

    Parameters
    ----------
    study : CrossValidationConfig
    root : str or path
        The study's folder.
    report : callable, optional
        As for ``assemble``.

    Returns
    -------
    SeedSummary

    Raises
    ------
    StudyError
        While the reference has no repetition with all folds, and as ``assemble``.
    """
    root, runs = Path(root), assemble(study, root, report=report)
    reference = study.reference or study.groups[0]
    if not runs[reference]:
        raise StudyError(
            f"a repetition of {reference}, the reference, with all its folds",
            got="none",
            where=root,
            fix="Run: her2 study cv, which resumes.",
        )
    groups = {group: [run.test_predictions() for run in of] for group, of in runs.items() if of}
    first = runs[reference][0]
    by_site = [f"{n.label}-{d.name}" for n in study.networks for d in study.designs if d.unit == "site"]
    figures, not_by_patient = study_figures(
        groups,
        reference={group: to for group, to in study.pairs.items() if group in groups and to in groups},
        primary=study.primary,
        ordered=not missing_class_order(first.card),
        by_site=[group for group in by_site if group in groups],
    )
    folds = pd.concat([_folds(one, runs) for one in repetitions(study)], ignore_index=True)
    tables = {"cv": figures.table, "differences": figures.differences, "folds": folds}
    for name, table in tables.items():
        write_csv(root / f"{name}.csv", table, float_format="%.6f")
    own = study.run.get("limits") or ()
    limits = [*own, *(limit for of in runs.values() for run in of for limit in run.card["limits"])]
    write_json(
        root / STUDY,
        {
            "kind": "cv",
            "study": {**study.model_dump(mode="json"), "reference": reference},
            "classes": list(first.classes),
            "scheme": first.card["scheme"],
            "data": first.card["data"],
            "warnings": _warnings(study, runs),
            "limits": list(dict.fromkeys(limits)),
            "not_by_patient": not_by_patient,
            "made": provenance(),
        },
    )
    return figures


def _warnings(study: CrossValidationConfig, runs: dict[str, list[Run]]) -> list[str]:
    """Warnings of the designs that separate patients; that others do not is what the study shows."""
    apart = {d.name for d in study.designs if SPLIT_UNITS[d.unit].separates_patients} or {d.name for d in study.designs}
    chosen = [f"{n.label}-{name}" for n in study.networks for name in apart]
    return list(dict.fromkeys(w for group in chosen for run in runs[group] for w in run.warnings))


def _folds(one: Repetition, runs: dict[str, list[Run]]) -> pd.DataFrame:
    """One row a fold of a finished repetition: whom it tested, the temperature of its model, and metrics by patch.

    AUROC over all folds ranks scores of several models together; here it is within each.
    """
    run = next((r for r in runs[one.group] if r.name == one.name), None)
    if run is None:
        return pd.DataFrame()
    frame = run.dataset.merge(run.splits[["patch_id", "fold"]], on="patch_id")
    models, test = run.card["out_of_fold"], run.test_predictions()
    fold_of = test.frame["patch_id"].map(frame.set_index("patch_id")["fold"]).to_numpy()
    rows = []
    for fold, name in enumerate(models["folds"]):
        held = frame[frame["fold"] == fold]
        metrics = metric_table(test.where(fold_of == fold), metrics=FOLD_METRICS)
        rows.append(
            {
                "group": one.group,
                "seed": one.seed,
                "fold": fold + 1,
                "held_out": name,
                "sites": held["site"].nunique(),
                "patients": held["patient_id"].nunique(),
                "patches": len(held),
                **{f"patients_{c}": held.loc[held["label"] == c, "patient_id"].nunique() for c in run.classes},
                "temperature": models["temperatures"][fold],
                **metrics.set_index("metric")["value"].to_dict(),
            }
        )
    return pd.DataFrame(rows)
