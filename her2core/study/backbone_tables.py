"""Tables of a backbone study: figures, differences, state of every network, and cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import StudyError
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.seeds import SeedSummary
from her2core.io.files import write_csv, write_json
from her2core.io.tables import read_table
from her2core.runs.folder import STUDY, Run
from her2core.runs.provenance import provenance
from her2core.study.backbones import BackboneConfig, backbone_jobs, finished_runs
from her2core.study.costs import measure_costs
from her2core.study.figures import study_figures
from her2core.study.jobs import UNDER_WAY, Job, failed_jobs
from her2core.training.config import RunConfig

COSTS = "costs.csv"


def costs_are_due(study: BackboneConfig, root: str | os.PathLike[str]) -> bool:
    """Tell whether costs.csv is missing or describes other networks than the study's finished runs.

    Parameters
    ----------
    study : BackboneConfig
    root : str or path
        The study's folder.

    Returns
    -------
    bool

    Examples
    --------
    >>> from her2core.study.backbones import load_study
    >>> costs_are_due(load_study("configs/study/backbones-demo.yaml"), "models/study/backbones-demo")
    False
    """
    path = Path(root) / COSTS
    if not path.is_file():
        return True
    measured = read_table(path, own=True, text=("last_layer",)).frame.fillna({"last_layer": ""})
    if not {"network", "last_layer"} <= set(measured):
        return True
    wanted = {
        label: json.dumps(layer, sort_keys=True) if layer else ""
        for label, (_, layer) in _measured(study, root).items()
    }
    return dict(zip(measured["network"], measured["last_layer"], strict=True)) != wanted


def save_costs(
    study: BackboneConfig, root: str | os.PathLike[str], *, report: Callable[[str], None] = lambda line: None
) -> None:
    """Measure every network's cost on this machine, one after another, and write costs.csv.

    Parameters
    ----------
    study : BackboneConfig
    root : str or path
        The study's folder.
    report : callable, optional
        Called with a line before each network.

    Raises
    ------
    StudyError
        While no run is finished, and as ``finished_runs``.
    """
    classes = next((len(run.classes) for of in finished_runs(study, root).values() for run in of), None)
    if classes is None:
        raise StudyError("a finished run", got="none", where=str(root), fix="Run: her2 study backbones.")
    table = measure_costs(_measured(study, root), classes=classes, report=report)
    write_csv(Path(root) / COSTS, table)


def save_backbones(study: BackboneConfig, root: str | os.PathLike[str]) -> SeedSummary:
    """Compute the figures and write backbones.csv, differences.csv, networks.csv and study.json (last).

    Networks without a finished run have a row in networks.csv alone, with state and reason.

    Parameters
    ----------
    study : BackboneConfig
    root : str or path
        The study's folder.

    Returns
    -------
    SeedSummary

    Raises
    ------
    StudyError
        While the reference has no finished run, and as ``finished_runs``.
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
    ordered = not missing_class_order(runs[study.reference][0].card)
    figures, not_by_patient = study_figures(groups, reference=study.reference, primary=study.primary, ordered=ordered)
    tables = {"backbones": figures.table, "differences": figures.differences, "networks": _networks(study, root, runs)}
    for name, table in tables.items():
        write_csv(root / f"{name}.csv", table, float_format="%.6f")
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


def _measured(
    study: BackboneConfig, root: str | os.PathLike[str]
) -> dict[str, tuple[RunConfig, dict[str, Any] | None]]:
    """From label to its first configuration, and the card's options of a last layer that is not the network's own."""
    runs = finished_runs(study, root)
    first: dict[str, tuple[RunConfig, dict[str, Any] | None]] = {}
    for job in backbone_jobs(study):
        layer = runs[job.group][0].card["network"].get("last_layer") if runs[job.group] else None
        first.setdefault(job.group, (job.config, layer))
    return first


def _networks(study: BackboneConfig, root: Path, runs: dict[str, list[Run]]) -> pd.DataFrame:
    """One row a network: how it was trained, its finished runs, their duration, and why one failed."""
    failures = failed_jobs(root)
    asked: dict[str, list[Job]] = {}
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
