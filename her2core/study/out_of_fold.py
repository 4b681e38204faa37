"""Out-of-fold predictions of all folds as one run, released for review only: there is no single model to serve."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.baseline_features import baseline_features, table_features
from her2core.data.checks import check_manifest
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.checks.report import CheckReport
from her2core.data.folds import NEVER_TESTED
from her2core.data.manifest import WINDOW, Manifest
from her2core.errors import StudyError
from her2core.evidence.baselines import BaselineData
from her2core.evidence.evaluation import evaluate_folder
from her2core.evidence.out_of_fold import out_of_fold_note
from her2core.evidence.predictions import calibrated_predictions
from her2core.io.files import write_json, write_parquet, write_text
from her2core.runs.folder import SCHEMA_VERSION, Run, open_run
from her2core.runs.provenance import provenance
from her2core.study.crossval import Repetition
from her2core.training.artifacts import CHECKED_CONTENTS
from her2core.training.baselines import folds_of, write_baselines


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
    if run.info.get("config_hash") != _config_hash(repetition):
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
    card = _card(repetition, runs, manifest, splits, title=title)
    warnings = list(dict.fromkeys(w for run in runs for w in run.warnings))
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(part, repetition, data, card, warnings, table=table, splits=splits, first=runs[0])
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_run(target)


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
    counts = {
        of: {
            part: rows.groupby("label")[column].nunique().astype(int).to_dict() for part, rows in frame.groupby("split")
        }
        for of, column in (("patches", "patch_id"), ("patients", "patient_id"))
    }
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


def _write(
    folder: Path,
    repetition: Repetition,
    data: StudyData,
    card: dict[str, Any],
    warnings: list[str],
    *,
    table: pd.DataFrame,
    splits: pd.DataFrame,
    first: Run,
) -> None:
    manifest = data.manifest
    hidden = [c for c in ("path", "split", *WINDOW) if c in manifest.frame]
    dataset = manifest.frame.drop(columns=hidden).merge(splits[["patch_id", "split"]], on="patch_id", how="left")
    folder.mkdir()
    write_text(folder / "config.yaml", repetition.jobs[0].config.to_yaml())
    write_parquet(folder / "splits.parquet", splits)
    write_parquet(folder / "predictions.parquet", table)
    write_parquet(folder / "dataset.parquet", dataset)
    write_json(folder / "checks.json", data.checks.as_dicts())
    write_json(folder / "model.card.json", card)
    if data.contents is not None:
        rows, features = baseline_features(manifest, splits, contents=data.contents)
    else:
        rows, features = manifest.frame.assign(split=splits["split"].to_numpy()), table_features(manifest.frame)
    write_baselines(folder, calibrated_predictions(table, card), BaselineData(rows, features, folds_of(splits)))
    evaluate_folder(folder, card, warnings, table=table, dataset=dataset)
    made = {name: first.info[name] for name in ("parameters",) if name in first.info}
    text = splits.sort_values("patch_id").to_csv(index=False, lineterminator="\n")
    info = {
        **provenance(),
        **made,
        "config_hash": _config_hash(repetition),
        "manifest_hash": data.hash,
        "split_hash": hashlib.sha256(text.encode()).hexdigest(),
        "seed": repetition.seed,
        "warnings": warnings,
        "weights_released": False,
    }
    write_json(folder / "run.json", {"schema_version": SCHEMA_VERSION, **info, "status": "finished"})


def _config_hash(repetition: Repetition) -> str:
    hashes = [job.config.content_hash() for job in repetition.jobs]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
