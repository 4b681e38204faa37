"""Finished runs on disk: one folder with weights, model card, predictions and evaluation tables.

Only tables are read here and nothing needs torch, so that results can be reviewed without it. A folder is checked when
it is opened: foreign, unfinished, newer, incomplete or damaged ones are refused with the reason.
"""

from __future__ import annotations

import html
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from her2core.data.split_units import split_label
from her2core.errors import Her2Error, RunError
from her2core.evidence.predictions import Predictions, calibrated_predictions
from her2core.io.tables import read_table

if TYPE_CHECKING:
    from her2core.data.checks.report import CheckReport

SCHEMA_VERSION = 1
#: Marks a folder of runs that belong to one study.
STUDY = "study.json"
WEIGHTS = "model.safetensors"
#: What only serving needs; a run released for review only has none of it.
SERVING = (WEIGHTS, "ood.safetensors")
REQUIRED = ("run.json", "config.yaml", "splits.parquet", "predictions.parquet", WEIGHTS, "model.card.json")
CARD_FIELDS = ("title", "limits", "classes", "temperature", "weights_sha256", "intended_use")
#: Sections of the card, and the fields without which weights cannot be used or the run cannot be shown.
CARD_SECTIONS = {
    "network": ("name", "options"),
    "input": ("px", "mean", "std"),
    "stain": ("reference",),
    "scheme": ("meaning", "is_her2"),
    "data": ("split_unit", "sources", "patches"),
}
#: Columns of the evaluation's tables that are text, even where a class is called 0.
TEXT_COLUMNS = (
    "unit",
    "metric",
    "class",
    "true",
    "predicted",
    "resampling_unit",
    "note",
    "reason",
    "scores",
    "strategy",
    "rule",
    "rule_reason",
    "by",
    "group",
    "table",
    "what",
)
_AGAIN = "Copy the run again from its source."


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run; get one with ``open_run``. Tables are read when they are first used, weights never.

    Attributes
    ----------
    path : Path
        The run folder.
    info : dict
        run.json: command, versions, hashes, warnings, what validation selected.
    card : dict
        model.card.json: classes, input, stain reference, temperature, data, limits.

    Examples
    --------
    >>> run = Run(Path("models/demo"), {}, {"title": "Demo", "classes": ["negative", "positive"]})
    >>> run
    <Run demo: Demo; classes negative, positive>
    """

    path: Path
    info: dict[str, Any] = field(hash=False)
    card: dict[str, Any] = field(hash=False)

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.card['title']}; classes {', '.join(self.classes)}>"

    def _repr_html_(self) -> str:
        data = self.card["data"]
        rows = {
            "run": self.name,
            "title": self.card["title"],
            "classes": ", ".join(self.classes),
            "network": self.card["network"]["name"],
            "split": split_label(data["split_unit"]),
            "limits": "; ".join(self.card["limits"]),
        }
        cells = "".join(f"<tr><th>{k}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the scores."""
        return tuple(self.card["classes"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that every result of this run must carry."""
        return tuple(self.info.get("warnings", ()))

    @property
    def has_weights(self) -> bool:
        """False where the run was released for review only (``her2 runs export --without-weights``)."""
        return self.info.get("weights_released") is not False

    @property
    def selection(self) -> str:
        """What validation selected, in words; empty where the run does not record it."""
        if "chosen" in self.info:
            named = {"linear": "a linear layer, inverse regularisation strength", "knn": "nearest neighbours,"}
            how = named.get(self.info.get("frozen", ""), "setting")
            return f"Frozen features and {how} {self.info['chosen']:g} out of {len(self.info.get('tried', ()))} tried"
        if "best_epoch" in self.info:
            return f"Best epoch {self.info['best_epoch'] + 1} of {self.info.get('epochs_trained', 'unknown')}"
        return ""

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.parquet: one row a patch of validation and test, with uncalibrated ``logit_<class>``."""
        return read_table(self.path / "predictions.parquet", own=True).frame

    @cached_property
    def calibrated_predictions(self) -> Predictions:
        """Predictions of validation and test, with probabilities calibrated by the card's temperature."""
        return calibrated_predictions(self.predictions, self.card)

    def test_predictions(self) -> Predictions:
        """Select the calibrated predictions of the test part.

        Returns
        -------
        Predictions
            Empty where the run tested nothing.

        Raises
        ------
        EvaluationError
            For a broken table of predictions.

        Examples
        --------
        >>> len(open_run("models/demo").test_predictions())
        600
        """
        return self.calibrated_predictions.part("test")

    def validation_predictions(self) -> Predictions:
        """Select the calibrated predictions of the validation part, which selected epoch, temperature and thresholds.

        Returns
        -------
        Predictions

        Raises
        ------
        EvaluationError
            For a broken table of predictions.

        Examples
        --------
        >>> set(open_run("models/demo").validation_predictions().frame["split"])
        {'val'}
        """
        return self.calibrated_predictions.part("val")

    @cached_property
    def splits(self) -> pd.DataFrame:
        """splits.parquet: patch_id and split of every patch."""
        return read_table(self.path / "splits.parquet", own=True).frame

    @cached_property
    def history(self) -> pd.DataFrame:
        """history.csv: one row an epoch, or a candidate of a last layer."""
        return read_table(self.path / "history.csv", own=True).frame

    @cached_property
    def dataset(self) -> pd.DataFrame:
        """The manifest's rows without paths, with ``split``. Raises RunError where the run has no such table."""
        return read_table(self._artifact("dataset.parquet"), own=True).frame

    @cached_property
    def checks(self) -> CheckReport:
        """How every check of data and split ended. Raises RunError where the run has no such file, or a broken one."""
        from her2core.data.checks.report import CheckReport

        path = self._artifact("checks.json")
        try:
            return CheckReport.from_dicts(json.loads(path.read_text(encoding="utf-8")))
        except ValueError:
            fix = f"Run: her2 runs complete {self.path}"
            raise RunError("a list of check outcomes", got="another content", where=path, fix=fix) from None

    @cached_property
    def cost(self) -> dict[str, Any] | None:
        """Parameters, FLOPs and measured time; None where they were not measured."""
        path = self.path / "evaluation" / "cost.json"
        return _json(path) if path.is_file() else None

    def table(self, name: str) -> pd.DataFrame:
        """Read one table of ``evaluation/``.

        Parameters
        ----------
        name : str
            The file's name without suffix, such as metrics or confusion.

        Returns
        -------
        DataFrame

        Raises
        ------
        RunError
            When the run was not evaluated.

        Examples
        --------
        >>> "lower_95" in open_run("models/demo").table("metrics")
        True
        """
        path = self.path / "evaluation" / f"{name}.csv"
        if not path.is_file():
            raise RunError(
                f"evaluation/{name}.csv",
                got="no such file",
                where=self.path,
                fix=f"Run: her2 evaluate --save {self.path}",
            )
        return read_table(path, text=TEXT_COLUMNS, own=True).frame

    def _artifact(self, name: str) -> Path:
        if not (self.path / name).is_file():
            raise RunError(
                name,
                got="no such file: the run was finished by an older version",
                where=self.path,
                fix=f"Run: her2 runs complete {self.path}",
            )
        return self.path / name


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a finished run folder.

    Parameters
    ----------
    path : str or path
        A folder that ``her2 train`` finished, or a released one.

    Returns
    -------
    Run
        Weights are verified when they are loaded, not here.

    Raises
    ------
    RunError
        For a folder that is missing, foreign, unfinished, newer than this program or incomplete, or whose card is
        broken.

    Examples
    --------
    >>> open_run("models/demo").classes
    ('negative', 'equivocal', 'positive')
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError("a run folder", got="no such folder", where=path, fix="her2 runs list shows the finished runs.")
    finished = "Give a folder that her2 train finished."
    if not (path / "run.json").is_file():
        raise RunError("a run folder with run.json", got="none in it", where=path, fix=finished)
    info = _json(path / "run.json")
    version = info.get("schema_version")
    if not isinstance(version, int):
        raise RunError("a run of her2core", got="another program's run.json", where=path / "run.json", fix=finished)
    if version > SCHEMA_VERSION:
        raise RunError(
            f"a run of schema {SCHEMA_VERSION} or older",
            got=f"schema {version}",
            where=path,
            fix="Update her2core to read it.",
        )
    if info.get("status") != "finished":
        raise RunError(
            "a finished run",
            got=f"status {info.get('status')!r}",
            where=path,
            fix="Run the same her2 train command again; it resumes.",
        )
    optional = (WEIGHTS,) if info.get("weights_released") is False else ()
    if missing := [n for n in REQUIRED if n not in optional and not (path / n).is_file()]:
        raise RunError(f"all of {', '.join(REQUIRED)}", got=f"no {', '.join(missing)}", where=path, fix=_AGAIN)
    card = _json(path / "model.card.json")
    if fault := _card_fault(card):
        raise RunError("a model card with all its fields", got=fault, where=path / "model.card.json", fix=_AGAIN)
    return Run(path, info, card)


def list_runs(*roots: str | os.PathLike[str]) -> tuple[list[Run], list[str]]:
    """List the finished runs directly below some folders.

    Parameters
    ----------
    *roots : str or path
        Folders of runs; one that does not exist holds none. Names that start with a dot are skipped.

    Returns
    -------
    runs : list of Run
        The last name first, folder after folder.
    problems : list of str
        One sentence for each folder that is no finished run.

    Examples
    --------
    >>> runs, problems = list_runs("models")
    >>> [run.name for run in runs], problems
    (['tissue12', 'her2st-erbb2', 'demo'], [])
    """
    runs, problems = [], []
    for root in map(Path, roots):
        for path in sorted(root.iterdir(), reverse=True) if root.is_dir() else []:
            if not path.is_dir() or path.name.startswith(".") or _holds_runs(path):
                continue
            try:
                runs.append(open_run(path))
            except Her2Error as refused:
                problems.append(refused.sentence)
    return runs, problems


def _holds_runs(path: Path) -> bool:
    """Whether this is a folder of runs (models/study, or a study with its tables) and not a broken run."""
    entries = list(path.iterdir())
    return (path / STUDY).is_file() or (
        all(e.is_dir() for e in entries) and any(e.name.startswith(".") or (e / "run.json").is_file() for e in entries)
    )


def _card_fault(card: dict[str, Any]) -> str:
    """What is wrong with a model card; empty where nothing is."""
    lacking = [f for f in CARD_FIELDS if f not in card]
    for section, fields in CARD_SECTIONS.items():
        found = card.get(section)
        lacking += [f"{section}.{f}" for f in fields if f not in found] if isinstance(found, dict) else [section]
    if lacking:
        return f"no field {lacking[0]!r}"
    classes, temperature = card["classes"], card["temperature"]
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes) or len(set(classes)) < 2:
        return f"classes {classes!r}"
    if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
        return f"temperature {temperature!r}"
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as broken:
        raise RunError("valid JSON", got=str(broken)[:120], where=path, fix=_AGAIN) from None
    if not isinstance(value, dict):
        raise RunError("a JSON object", got=type(value).__name__, where=path, fix=_AGAIN)
    return value
