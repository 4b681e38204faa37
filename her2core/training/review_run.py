"""Runs for review: predictions of one or several models with everything their evaluation needs, and no weights.

Out-of-fold predictions of cross-validation and external validations are such runs; the dashboard, the command line and
the report open them as any other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.data.checks.report import CheckReport
from her2core.data.splits import split_hash
from her2core.evidence.baselines import BaselineData
from her2core.evidence.evaluation import evaluate_folder
from her2core.evidence.predictions import calibrated_predictions
from her2core.io.files import write_csv_tables, write_json, write_parquet, write_text
from her2core.runs.folder import SCHEMA_VERSION, Run, open_run
from her2core.runs.provenance import provenance
from her2core.training.baselines import write_baselines


@dataclass(frozen=True, eq=False)
class ReviewRun:
    """Content of a run for review.

    Attributes
    ----------
    card : mapping
        Model card.
    config : str
        config.yaml of the training.
    predictions, splits, dataset : DataFrame
        Contents of predictions.parquet, splits.parquet and dataset.parquet.
    checks : CheckReport
    baselines : BaselineData
        What baselines are computed from.
    warnings : sequence of str
        Sentences that every figure must carry.
    facts : mapping
        Further fields of run.json: at least config_hash, manifest_hash and seed.
    tables : mapping of str to DataFrame
        Further tables of ``evaluation/``.
    """

    card: Mapping[str, Any]
    config: str
    predictions: pd.DataFrame
    splits: pd.DataFrame
    dataset: pd.DataFrame
    checks: CheckReport
    baselines: BaselineData
    warnings: Sequence[str]
    facts: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def write_review_run(content: ReviewRun, target: str | os.PathLike[str]) -> Run:
    """Write and evaluate a run for review, and publish it by one rename.

    Parameters
    ----------
    content : ReviewRun
    target : path
        The run folder, which does not exist yet.

    Returns
    -------
    Run

    Raises
    ------
    EvaluationError
        For predictions that cannot be used. Nothing is left behind.
    """
    target = Path(target)
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.mkdir()
        _write(part, content)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_run(target)


def _write(folder: Path, content: ReviewRun) -> None:
    card, table = dict(content.card), content.predictions
    write_text(folder / "config.yaml", content.config)
    write_parquet(folder / "splits.parquet", content.splits)
    write_parquet(folder / "predictions.parquet", table)
    write_parquet(folder / "dataset.parquet", content.dataset)
    write_json(folder / "checks.json", content.checks.as_dicts())
    write_json(folder / "model.card.json", card)
    write_baselines(folder, calibrated_predictions(table, card), content.baselines)
    evaluate_folder(folder, card, list(content.warnings), table=table, dataset=content.dataset)
    if content.tables:
        write_csv_tables(folder / "evaluation", dict(content.tables), float_format="%.6f")
    info = {
        **provenance(),
        **content.facts,
        "split_hash": split_hash(content.splits),
        "warnings": list(content.warnings),
        "weights_released": False,
    }
    write_json(folder / "run.json", {"schema_version": SCHEMA_VERSION, **info, "status": "finished"})
