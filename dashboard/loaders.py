"""What do all sessions share? Loaded models and run tables, cached; each in with a path, out ready to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import HOME
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.errors import Her2Error, RunError
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import MISSING, ResultTable
from her2core.evidence.result_tables import TABLES as EXHIBITS
from her2core.runs.folder import STUDY, Run, list_runs, open_run
from her2core.runs.patch_images import PatchImages, patch_images

if TYPE_CHECKING:
    from her2core.inference.predictor import Predictor

ROOTS = (HOME / "models", HOME / "models" / "study", HOME / "runs")
#: The run a newcomer sees first.
FIRST = "demo"
#: What the performance page reads of each table of the evaluation.
TABLES = {
    "metrics": {
        "unit",
        "metric",
        "class",
        "value",
        "lower_95",
        "upper_95",
        "resampling_unit",
        "n_clusters",
        "n",
        "note",
    },
    "confusion": {"unit", "true", "predicted", "count", "share_of_true"},
    "units": {"unit", "assessed", "reason", "rule", "rule_reason"},
}


@st.cache_data(ttl=20, max_entries=4, show_spinner=False)
def run_names() -> tuple[dict[str, str], list[str]]:
    """Name -> path of each finished run, the demo first, and a sentence for each folder that is not one.

    Of the many runs of a study those that can be served stand at the end; the others show on the study's page.
    """
    runs, problems = list_runs(*ROOTS)
    studies, broken = list_runs(*sorted(path.parent for root in ROOTS for path in root.glob(f"*/{STUDY}")))
    names: dict[str, str] = {}
    for run in sorted(runs, key=lambda r: (r.name != FIRST, r.path.parent.name != "models")):
        names[f"{run.name} ({run.path.parent.name})" if run.name in names else run.name] = str(run.path)
    for run in (r for r in studies if r.has_weights):
        name, home = f"{run.name} ({run.path.parent.name})", run.path.parent
        names[f"{run.name} ({home.parent.name}/{home.name})" if name in names else name] = str(run.path)
    return names, problems + broken


@st.cache_resource(max_entries=3, show_spinner="Loading the network ...")
def predictor(path: str, weights_sha256: str) -> Predictor:
    """The model of a run, shared by all sessions; a run whose weights change gets another place in the cache."""
    from her2core.inference.predictor import (
        load_predictor,  # torch takes 700 MB, and reviewing results needs none of it
    )

    return load_predictor(path)


def load_model(run: Run) -> Predictor:
    return predictor(str(run.path), run.card["weights_sha256"])


@st.cache_data(max_entries=16, show_spinner=False)
def evaluation_table(path: str, name: str, changed: float) -> pd.DataFrame:
    """One table of a run's evaluation; ``changed`` is the file's time, so that a new evaluation is seen."""
    return open_run(path).table(name)


def tables(run: Run) -> dict[str, pd.DataFrame]:
    """metrics, confusion and units. Raises RunError when the run was not evaluated, or not by this program."""
    found = {}
    for name, columns in TABLES.items():
        path = run.path / "evaluation" / f"{name}.csv"
        found[name] = evaluation_table(str(run.path), name, path.stat().st_mtime if path.is_file() else 0.0)
        if not columns <= set(found[name]) or found[name].empty:
            raise RunError(
                f"rows with {', '.join(sorted(columns))}",
                got="another table",
                where=str(path),
                fix="Take the run again from its source.",
            )
    found["metrics"]["class"] = found["metrics"]["class"].astype(object).fillna("")
    return found


def run_exhibit(run: Run, name: str) -> ResultTable:
    """One result table stored with the run. Raises RunError where it is missing or has other columns."""
    found = {}
    for table, columns in ((name, EXHIBITS[name]), ("missing", MISSING)):
        path = run.path / "evaluation" / f"{table}.csv"
        found[table] = evaluation_table(str(run.path), table, path.stat().st_mtime if path.is_file() else 0.0)
        if not set(columns) <= set(found[table]):
            raise RunError(
                f"a table with {', '.join(columns)}",
                got="another one",
                where=str(path),
                fix=f"Run: her2 evaluate --save {run.path}",
            )
    frame, missing = found[name], found["missing"]
    return ResultTable(
        name, frame.assign(**{"class": frame["class"].astype(object).fillna("")}), missing[missing["table"] == name]
    )


def map_scores(run: Run) -> pd.DataFrame | None:
    """How the run's maps stood their trials (``her2 runs maps``); None where they were not tried."""
    path = run.path / "evaluation" / "maps.csv"
    return evaluation_table(str(run.path), "maps", path.stat().st_mtime) if path.is_file() else None


@st.cache_resource(max_entries=6, show_spinner=False)
def _predictions(path: str, changed: float) -> Predictions:
    return open_run(path).calibrated_predictions


def predictions(run: Run) -> tuple[Predictions, float]:
    """All predictions of a run, calibrated, and the time of their file; sessions share them and change nothing."""
    changed = (run.path / "predictions.parquet").stat().st_mtime
    return _predictions(str(run.path), changed), changed


@st.cache_resource(max_entries=6, show_spinner=False)
def _test_part(path: str, changed: float) -> Predictions:
    return _predictions(path, changed).part("test")


def test_part(run: Run) -> tuple[Predictions, float]:
    """The test part of a run's predictions, and the time of their file."""
    _, changed = predictions(run)
    return _test_part(str(run.path), changed), changed


@st.cache_resource(max_entries=6, show_spinner=False)
def _pictures(path: str) -> PatchImages:
    return patch_images(open_run(path), base=HOME)


def pictures(run: Run) -> PatchImages:
    """The pictures of a run's patches, where they are at hand."""
    return _pictures(str(run.path))


@st.cache_data(max_entries=8, show_spinner="Drawing synthetic patches ...")
def samples(path: str, per_class: int = 2) -> list[tuple[str, np.ndarray, str]]:
    """(name, uint8 RGB, true class) of synthetic patches; of held-out patients where the run is a synthetic one."""
    run = open_run(path)
    facts = run.card["data"].get("facts", {})
    spec = CohortSpec(**facts["spec"]) if facts.get("synthetic") else CohortSpec()
    plan = plan_cohort(spec)
    if facts.get("synthetic"):
        held_out = set(run.splits.loc[run.splits["split"] == "test", "patch_id"])
        plan = plan[plan["patch_id"].isin(held_out)]
    # One patch a patient, so that the samples differ as patients do.
    chosen = plan.groupby("patient_id").head(1).groupby("label", sort=False).head(per_class)
    return [
        (f"synthetic {row.label} {row.patient_id}", render_patch(spec, int(i)).image, row.label)
        for i, row in zip(chosen.index, chosen.itertuples(), strict=True)
    ]


def try_open(path: str) -> tuple[Run | None, str]:
    """The run, or the sentence that says why not."""
    try:
        return open_run(path), ""
    except Her2Error as refused:
        return None, str(refused)
