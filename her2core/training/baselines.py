"""Baselines of a run, written beside its evaluation: evaluation/baselines.csv and rows of evaluation/missing.csv."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from her2core.data.baseline_features import baseline_features, table_features
from her2core.data.manifest import read_manifest
from her2core.errors import RunError
from her2core.evidence.baselines import BaselineData, baseline_table
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import MISSING, ResultTable
from her2core.io.files import write_csv_tables
from her2core.io.tables import read_table
from her2core.runs.folder import Run, open_run


def write_baselines(folder: Path, predictions: Predictions, data: BaselineData) -> ResultTable:
    """Compute the baselines and write them into the evaluation of a run folder, finished or not.

    Parameters
    ----------
    folder : path
        The run folder.
    predictions : Predictions
        Of the network, calibrated.
    data : BaselineData

    Returns
    -------
    ResultTable
    """
    found = baseline_table(predictions, data)
    missing = found.missing
    old = folder / "evaluation" / "missing.csv"
    if old.is_file():
        before = read_table(old, text=MISSING, own=True).frame
        missing = pd.concat([before[before["table"] != "baselines"], missing], ignore_index=True)
    write_csv_tables(folder / "evaluation", {"baselines": found.frame, "missing": missing}, float_format="%.6f")
    return found


def folds_of(splits: pd.DataFrame) -> pd.Series | None:
    """Fold of each patch of an out-of-fold run.

    Parameters
    ----------
    splits : DataFrame
        ``patch_id``, ``split``, and ``fold`` where there are folds.

    Returns
    -------
    Series or None
        By patch id; None for a run with one test part.

    Examples
    --------
    >>> folds_of(pd.DataFrame({"patch_id": ["a", "b"], "split": "test", "fold": [0, 1]})).to_dict()
    {'a': 0, 'b': 1}
    """
    return splits.set_index("patch_id")["fold"] if "fold" in splits else None


def run_baselines(
    path: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    save: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Run, ResultTable]:
    """Compute the baselines of a finished run.

    Parameters
    ----------
    path : str or path
        The run folder.
    manifest : str or path, optional
        Where the run's manifest is now. Without it only the baselines that need no image are computed: prevalence,
        site and grade, from the run's own data table.
    save : bool, optional
        Write evaluation/baselines.csv into the run.
    progress : callable, optional
        Called as ``progress(patches_read, patches_in_total)``.

    Returns
    -------
    Run
    ResultTable

    Raises
    ------
    RunError
        For a manifest with other rows than the run was trained on.
    Her2Error
        For a run or manifest that cannot be read.

    Examples
    --------
    >>> run, found = run_baselines("models/demo")
    >>> sorted(set(found.frame["baseline"])), sorted(set(found.missing["what"]))
    (['prevalence', 'site'], ['colour', 'file_properties', 'grade', 'permuted_labels'])
    """
    run = open_run(path)
    folds = folds_of(run.splits)
    if manifest is None:
        rows = run.dataset
        data = BaselineData(rows, table_features(rows), folds)
    else:
        table = read_manifest(manifest)
        if table.content_hash() != run.info.get("manifest_hash"):
            raise RunError(
                "the manifest that this run was trained on",
                got="one with other rows",
                where=manifest,
                fix="Import the data set again as it was.",
            )
        data = BaselineData(*baseline_features(table, run.splits, progress=progress), folds)
    predictions = run.calibrated_predictions
    return run, write_baselines(run.path, predictions, data) if save else baseline_table(predictions, data)
