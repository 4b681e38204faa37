"""Caches shared by all sessions: finished runs, loaded models, evaluation tables, studies and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from dashboard.session import remember
from her2core.errors import Her2Error
from her2core.evidence.compare import Comparison, compare_many, compare_runs
from her2core.evidence.inputs import inputs_from_folder
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import MADE_WHEN_ABSENT, ResultTable, result_table
from her2core.evidence.run_table import annotated, run_row
from her2core.evidence.verdict import Verdict
from her2core.evidence.verdict import verdict as assess
from her2core.io.archives import unique_name
from her2core.io.uploads import allowed_roots, image_folders, slide_files
from her2core.locations import run_folders, working_folder
from her2core.runs.folder import STUDY, Run, open_run
from her2core.runs.listing import list_runs
from her2core.runs.patch_images import PatchImages, patch_images
from her2core.runs.samples import Sample, sample_patches
from her2core.runs.schema.study import StudyKind
from her2core.study.seed_tables import SeedTables, seed_tables
from her2core.study.tables import StudyTables, read_study_tables

if TYPE_CHECKING:
    from her2core.inference.predictor import Predictor

ROOTS = run_folders()
#: The run that is chosen on the first visit.
FIRST = "demo"


@st.cache_data(ttl=20, max_entries=4, show_spinner=False)
def run_names() -> tuple[dict[str, str], list[str]]:
    """Name -> path of each finished run, the demo first, and a sentence for each folder that is not one.

    Of the many runs of a study those with weights are listed at the end; the others show on the study's page.
    """
    runs, problems = list_runs(*ROOTS)
    studies, broken = list_runs(*sorted(path.parent for root in ROOTS for path in root.glob(f"*/{STUDY}")))
    names: dict[str, str] = {}
    taken: dict[str, int] = {}
    for run in sorted(runs, key=lambda r: (r.name != FIRST, r.path.parent.name != "models")):
        name = f"{run.name} ({run.path.parent.name})" if run.name in names else run.name
        names[unique_name(name, taken)] = str(run.path)
    for run in (r for r in studies if r.has_weights):
        name, home = f"{run.name} ({run.path.parent.name})", run.path.parent
        name = f"{run.name} ({home.parent.name}/{home.name})" if name in names else name
        names[unique_name(name, taken)] = str(run.path)
    return names, problems + broken


@st.cache_data(ttl=20, max_entries=16, show_spinner=False)
def _of_split(path: str, split: str) -> dict[str, str]:
    studies = sorted({found.parent for root in ROOTS for found in root.glob(f"*/{STUDY}")})
    runs = [run for run in list_runs(*ROOTS, *studies)[0] if run.info.get("split_hash") == split]
    taken: dict[str, int] = {}
    return {unique_name(run.name, taken): str(run.path) for run in runs if str(run.path) != path}


def runs_of_the_same_split(run: Run | None) -> dict[str, Run]:
    """The other runs of this run's split, those of studies too; of an uploaded table, every run that is offered."""
    if run is None:
        found = run_names()[0]
    elif split := run.info.get("split_hash"):
        found = _of_split(str(run.path), split)
    else:
        found = {}
    opened = {name: try_open(path)[0] for name, path in found.items()}
    return {name: other for name, other in opened.items() if other is not None}


def try_open(path: str) -> tuple[Run | None, str]:
    """Return the run, or the sentence that says why it cannot be opened."""
    try:
        return open_run(path), ""
    except Her2Error as refused:
        return None, refused.sentence


@st.cache_resource(max_entries=3, show_spinner="Loading the network ...")
def _predictor(path: str, weights_sha256: str) -> Predictor:
    """The model of a run; sessions share it and its passes. Changed weights get another place in the cache."""
    from her2core.inference.batched_engine import BatchedEngine  # torch takes 700 MB, and reviewing results needs none
    from her2core.inference.predictor import load_predictor

    return load_predictor(path).with_engine(BatchedEngine)


def load_model(run: Run) -> Predictor:
    """Load the model of a run, once for all sessions."""
    return _predictor(str(run.path), run.card["weights_sha256"])


def file_time(path: Path) -> float:
    """When a file last changed, in seconds; 0 where there is none. Part of the keys of what is read from it."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@st.cache_data(max_entries=16, show_spinner=False)
def _evaluation_table(path: str, name: str, modified: float) -> pd.DataFrame:
    """One table of a run's evaluation; ``modified`` is the file's time, so that a new evaluation is seen."""
    return open_run(path).table(name)


def evaluation_table(run: Run, name: str) -> pd.DataFrame:
    """One table of a run's evaluation. Raises RunError when the run was not evaluated, or the table is damaged."""
    return _evaluation_table(str(run.path), name, file_time(run.path / "evaluation" / f"{name}.csv"))


@st.cache_data(max_entries=16, show_spinner=False)
def _evaluation(path: str, modified: tuple[float, ...]) -> dict[str, pd.DataFrame]:
    return open_run(path).evaluation


def evaluation(run: Run) -> dict[str, pd.DataFrame]:
    """The tables metrics, confusion and units of a run. Raises RunError when it was not evaluated."""
    files = [run.path / "evaluation" / f"{name}.csv" for name in ("metrics", "confusion", "units")]
    return _evaluation(str(run.path), tuple(file_time(file) for file in files))


def metrics(run: Run) -> pd.DataFrame:
    """The table metrics of a run's evaluation."""
    return evaluation(run)["metrics"]


def run_result_table(run: Run, name: str) -> ResultTable:
    """One result table of the run. Raises RunError where it is missing or damaged; some are made where absent."""
    if name in MADE_WHEN_ABSENT and not (run.path / "evaluation" / f"{name}.csv").exists():
        return remember(
            ("made", str(run.path), predictions_modified(run), name),
            lambda: result_table(inputs_from_folder(run.path, run.card), name),
        )
    frame, missing = evaluation_table(run, name), evaluation_table(run, "missing")
    return ResultTable(name, frame, missing[missing["table"] == name])


def map_scores(run: Run) -> pd.DataFrame | None:
    """Scores of the run's class-activation maps (``her2 runs maps``); None where they were not computed."""
    return evaluation_table(run, "maps") if (run.path / "evaluation" / "maps.csv").exists() else None


def baselines(run: Run) -> ResultTable | None:
    """Baselines of a run and what could not be computed; None where they were not computed."""
    if not (run.path / "evaluation" / "baselines.csv").exists():
        return None
    return run_result_table(run, "baselines")


@st.cache_data(max_entries=500, show_spinner=False)
def _run_row(path: str, unit: str, graded: bool, modified: tuple[float, ...]) -> dict[str, Any]:
    return run_row(open_run(path), unit=unit, graded=graded)


def table_of_runs(unit: str, *, studies: bool) -> tuple[pd.DataFrame, list[str]]:
    """Every finished run with its figures by this unit, verdict, status, tags and note, and what is no run.

    With ``studies`` those of the studies follow; there are many, and they are not graded.
    """
    runs, problems = list_runs(*ROOTS)
    rows = [_run_row(str(run.path), unit, True, _evidence_modified(run)) for run in runs]
    if studies:
        found, broken = list_runs(*sorted({path.parent for root in ROOTS for path in root.glob(f"*/{STUDY}")}))
        rows += [_run_row(str(run.path), unit, False, _evidence_modified(run)) for run in found]
        problems += broken
    return annotated(rows), problems


@st.cache_data(max_entries=16, show_spinner=False)
def _verdict(path: str, modified: tuple[float, ...]) -> Verdict:
    return assess(open_run(path))


def verdict(run: Run) -> Verdict:
    """Whether the accuracy of a run can be believed. Raises RunError when it was not evaluated."""
    return _verdict(str(run.path), _evidence_modified(run))


def _evidence_modified(run: Run) -> tuple[float, ...]:
    """The times of the files that a verdict is made of."""
    tables = ("metrics", "confusion", "units", "calibration", "baselines")
    files = [run.path / "evaluation" / f"{name}.csv" for name in tables]
    files += [run.path / name for name in ("run.json", "predictions.parquet", "dataset.parquet", "checks.json")]
    return tuple(file_time(file) for file in files)


@st.cache_resource(max_entries=6, show_spinner=False)
def _test_predictions(path: str, modified: float) -> Predictions:
    return open_run(path).test_predictions()


def predictions_modified(run: Run) -> float:
    """The time of a run's predictions; part of the key of whatever is computed from them."""
    return file_time(run.path / "predictions.parquet")


def test_predictions(run: Run) -> Predictions:
    """The test part of a run's predictions, calibrated; sessions share it and change nothing."""
    return _test_predictions(str(run.path), predictions_modified(run))


@st.cache_resource(max_entries=6, show_spinner=False)
def _pictures(path: str) -> PatchImages:
    base = working_folder()
    return patch_images(open_run(path), base=base, within=(base, *allowed_roots(base)))


def pictures(run: Run) -> PatchImages:
    """The pictures of a run's patches, where they are available."""
    return _pictures(str(run.path))


@st.cache_data(max_entries=8, show_spinner="Drawing synthetic patches ...")
def samples(path: str) -> list[Sample]:
    """Synthetic patches for the run in this folder. Raises a Her2Error where its split cannot be read."""
    return sample_patches(open_run(path))


def studies(kind: StudyKind) -> tuple[list[StudyTables], list[str]]:
    """Every finished study of a kind below ROOTS, and a sentence for each that cannot be read."""
    found, problems = [], []
    for path in sorted(p for root in ROOTS for p in root.glob(f"*/{STUDY}")):
        try:
            study = _study(str(path.parent), file_time(path), kind)
        except Her2Error as refused:
            problems.append(refused.sentence)
            continue
        if study is not None:
            found.append(study)
    return found, problems


@st.cache_data(max_entries=16, show_spinner=False)
def _study(folder: str, modified: float, kind: StudyKind) -> StudyTables | None:
    return read_study_tables(Path(folder), kind)


@st.cache_data(max_entries=8, show_spinner=False)
def _study_seeds(folder: str, networks: tuple[str, ...], modified: float) -> SeedTables:
    return seed_tables(Path(folder), networks)


def study_seeds(study: StudyTables) -> SeedTables:
    """Metrics and confusion matrices of the single trainings of a study. Raises a RunError for a damaged table."""
    networks = tuple(dict.fromkeys(study.figures["group"]))
    return _study_seeds(str(study.path), networks, file_time(study.path / STUDY))


@st.cache_data(max_entries=16, show_spinner="Leaving out patients ...")
def _differences(first: str, second: str, unit: str, modified: tuple[float, float]) -> Comparison:
    return compare_runs(first, second, unit=unit)


def differences(first: Run, second: Run, unit: str) -> Comparison:
    """Paired comparison of two runs by this unit, second minus first."""
    modified = (predictions_modified(first), predictions_modified(second))
    return _differences(str(first.path), str(second.path), unit, modified)


@st.cache_data(max_entries=8, show_spinner="Comparing all runs ...")
def _adjusted(reference: str, others: tuple[str, ...], unit: str, modified: tuple[float, ...]) -> pd.DataFrame:
    return compare_many(reference, others, unit=unit)


def adjusted_differences(reference: Run, others: list[Run], unit: str) -> pd.DataFrame:
    """Balanced accuracy of each run against the reference, adjusted for their number (Holm 1979)."""
    modified = tuple(predictions_modified(r) for r in (reference, *others))
    return _adjusted(str(reference.path), tuple(str(r.path) for r in others), unit, modified)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _folders(roots: tuple[Path, ...]) -> list[Path]:
    return image_folders(roots)


def folders_offered() -> tuple[tuple[Path, ...], list[Path]]:
    """The allowed folders of the server, and those below them that hold images.

    A visitor chooses from a list and never types a path: the server's other files are not for the page to show.
    """
    roots = allowed_roots(working_folder() / "data")
    return roots, _folders(roots)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _slides(roots: tuple[Path, ...]) -> list[Path]:
    return slide_files(roots)


def slides_offered() -> list[Path]:
    """Slides below the allowed folders of the server; a visitor chooses from a list and never types a path."""
    return _slides(allowed_roots(working_folder() / "data"))
