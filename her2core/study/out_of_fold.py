"""Out-of-fold predictions of all folds as one run, released for review only: there is no single model to serve."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.baseline_features import baseline_features, table_features
from her2core.data.checks import check_manifest
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.checks.report import CheckReport
from her2core.data.folds import NEVER_TESTED
from her2core.data.manifest import Manifest
from her2core.errors import StudyError
from her2core.evidence.baselines import BaselineData
from her2core.evidence.out_of_fold import out_of_fold_note
from her2core.runs.folder import Run, open_run
from her2core.study.crossval import Repetition
from her2core.training.artifacts import CHECKED_CONTENTS
from her2core.training.baselines import folds_of
from her2core.training.card import part_counts
from her2core.training.config import RunConfig
from her2core.training.review_run import ReviewRun, write_review_run


class StudyData:
    """The cohort of a study: its images are read and checked once for all repetitions.

    Parameters
    ----------
    manifest : Manifest

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["a", "b"]})
    >>> StudyData(build_manifest(table, root=".")).manifest.classes
    ('a', 'b')
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @cached_property
    def contents(self) -> Contents | None:
        """Colours, file properties and fingerprints of all patches; None for a cohort too large to read them again."""
        return read_contents(self.manifest) if len(self.manifest) <= CHECKED_CONTENTS else None

    @cached_property
    def checks(self) -> CheckReport:
        """Outcomes of the checks of the manifest."""
        return check_manifest(self.manifest, contents=self.contents or False)

    @cached_property
    def hash(self) -> str:
        """Content hash of the manifest."""
        return self.manifest.content_hash()


def hash_of_folds(configs: Iterable[RunConfig]) -> str:
    """Hash the configurations of all folds: what ``run.json`` of their out-of-fold run records.

    Parameters
    ----------
    configs : iterable of RunConfig
        One a fold, in order.

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Examples
    --------
    >>> from her2core.training.config import RunConfig
    >>> one = RunConfig(name="own", manifest="m.csv")
    >>> hash_of_folds([one]) == hash_of_folds([one, one])
    False
    """
    hashes = [config.content_hash() for config in configs]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def finished_repetition(repetition: Repetition, root: str | os.PathLike[str]) -> Run | None:
    """Find the out-of-fold run of a repetition.

    Parameters
    ----------
    repetition : Repetition
    root : str or path
        The study's folder.

    Returns
    -------
    Run or None
        None where it is not made yet.

    Raises
    ------
    StudyError
        When its folder contains a run of another configuration.
    RunError
        When it contains no complete run.
    """
    path = Path(root) / repetition.name
    if not path.exists():
        return None
    run = open_run(path)
    if run.info.get("config_hash") != hash_of_folds(job.config for job in repetition.jobs):
        raise StudyError(
            "the out-of-fold run of this study's configuration",
            got="that of another one",
            where=path,
            fix="Name another folder for the changed study, or restore the configuration.",
        )
    return run


def write_out_of_fold(
    repetition: Repetition, runs: Sequence[Run], data: StudyData, root: str | os.PathLike[str], *, title: str
) -> Run:
    """Put the test parts of all folds together, evaluate them, and publish the run by one rename.

    ``predictions.parquet`` has the fold of each row and the temperature of the model that predicted it. Baselines are
    fitted outside of each fold. Patches that no fold tests (``NEVER_TESTED``) are in the training part.

    Parameters
    ----------
    repetition : Repetition
    runs : sequence of Run
        One a fold, in order.
    data : StudyData
        The cohort.
    root : str or path
        The study's folder.
    title : str
        Of the card.

    Returns
    -------
    Run

    Raises
    ------
    StudyError
        For runs of other data, and where a fold tested other patches than the assignment says.
    """
    target, manifest = Path(root) / repetition.name, data.manifest
    if any(run.info.get("manifest_hash") != data.hash for run in runs):
        fix = "Delete the folds below .folds, or restore the manifest, and train again."
        raise StudyError("folds trained on this manifest", got="others", where=target, fix=fix)
    table = _predictions(repetition, runs)
    splits = repetition.assignment.table.assign(split="test")[["patch_id", "split", "fold"]]
    splits.loc[splits["fold"] == NEVER_TESTED, "split"] = "train"
    wanted = splits.loc[splits["split"] == "test", "patch_id"]
    if sorted(wanted) != sorted(table["patch_id"]):
        fix = "Delete the folds below .folds and train again."
        raise StudyError("each patch in the test part of its fold", got="others", where=target, fix=fix)
    content = ReviewRun(
        card=_card(repetition, runs, manifest, splits, title=title),
        config=repetition.jobs[0].config.to_yaml(),
        predictions=table,
        splits=splits,
        dataset=manifest.data_table(splits),
        checks=data.checks,
        baselines=_baselines(data, splits),
        warnings=list(dict.fromkeys(w for run in runs for w in run.warnings)),
        facts={
            **{name: runs[0].info[name] for name in ("parameters",) if name in runs[0].info},
            "config_hash": hash_of_folds(job.config for job in repetition.jobs),
            "manifest_hash": data.hash,
            "seed": repetition.seed,
        },
    )
    return write_review_run(content, target)


def _predictions(repetition: Repetition, runs: Sequence[Run]) -> pd.DataFrame:
    tables = []
    for fold, run in enumerate(runs):
        test = run.predictions[run.predictions["split"] == "test"]
        tables.append(test.assign(fold=fold, temperature=float(run.card["temperature"])))
    return pd.concat(tables, ignore_index=True)


def _card(
    repetition: Repetition, runs: Sequence[Run], manifest: Manifest, splits: pd.DataFrame, *, title: str
) -> dict[str, Any]:
    first, assignment = runs[0].card, repetition.assignment
    hashes = [run.card["weights_sha256"] for run in runs]
    models = {
        "unit": assignment.unit,
        "folds": list(assignment.names),
        "temperatures": [float(run.card["temperature"]) for run in runs],
        "weights_sha256": hashes,
    }
    frame = manifest.frame.assign(split=splits["split"].to_numpy())
    counts = {of: part_counts(frame, column) for of, column in (("patches", "patch_id"), ("patients", "patient_id"))}
    note = out_of_fold_note({"out_of_fold": models})
    limits = list(dict.fromkeys([note, *(limit for run in runs for limit in run.card["limits"]), *assignment.notes]))
    dropped = ("ood", "prediction_sets")
    return {
        **{name: value for name, value in first.items() if name not in dropped},
        "title": f"{title} (out-of-fold, {len(runs)} models)",
        "limits": limits,
        "temperature": 1.0,  # each row has its own
        "weights_sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
        "data": {**first["data"], **counts, **({} if manifest.patients_known else {"patients": None})},
        "out_of_fold": models,
    }


def _baselines(data: StudyData, splits: pd.DataFrame) -> BaselineData:
    if data.contents is not None:
        rows, features = baseline_features(data.manifest, splits, contents=data.contents)
    else:
        frame = data.manifest.frame
        rows, features = frame.assign(split=splits["split"].to_numpy()), table_features(frame)
    return BaselineData(rows, features, folds_of(splits))
