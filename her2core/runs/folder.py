"""Finished runs on disk: one folder with weights, model card, predictions and evaluation tables.

Only tables are read here and nothing needs torch, so that results can be reviewed without it. A folder is checked when
it is opened: foreign, unfinished, newer, incomplete or damaged ones are refused with the reason. Tables are checked
against their schema when they are first read, so that a damaged one is missed only where it is needed.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from her2core.data.split_units import split_label
from her2core.errors import RunError
from her2core.io.text import clean_text
from her2core.runs.files import AGAIN, json_object, open_run_file, read_run_json, read_run_table, read_run_yaml
from her2core.runs.schema.card import check_card
from her2core.runs.schema.info import check_config, check_cost, check_info
from her2core.runs.schema.tables import EVALUATION_TABLES, RUN_TABLES, TEXT_COLUMNS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from her2core.data.checks.report import CheckReport
    from her2core.evidence.predictions import Predictions

SCHEMA_VERSION = 1
#: Marks a folder of runs that belong to one study.
STUDY = "study.json"
#: Marks a folder of distilled weights, which is no run.
DISTILLED = "distilled.json"
#: A study of bag models: tables without runs.
MIL = "mil.json"
#: Patches of a distillation, in the folder of its weights.
PATCHES = "patches.parquet"
WEIGHTS = "model.safetensors"
#: What only serving needs; a run released for review only has none of it.
SERVING = (WEIGHTS, "ood.safetensors", "image_properties.parquet")
REQUIRED = ("run.json", "config.yaml", "splits.parquet", "predictions.parquet", WEIGHTS, "model.card.json")


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
    def trained_on_evaluated(self) -> bool:
        """Whether the weights saw the evaluated patients: those of a final model, whose evidence is out-of-fold."""
        return self.has_weights and bool((self.card.get("out_of_fold") or {}).get("final"))

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
        return self._table("predictions.parquet")

    @cached_property
    def calibrated_predictions(self) -> Predictions:
        """Predictions of validation and test, with probabilities calibrated by the card's temperature."""
        from her2core.evidence.predictions import calibrated_predictions

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

    def test_folds(self) -> np.ndarray:
        """Folds of the rows of ``test_predictions``, for out-of-fold predictions.

        Returns
        -------
        ndarray of int64, shape (N,)
            From 0, row for row.

        Raises
        ------
        KeyError
            For a run of one model, whose predictions have no column ``fold``.

        Examples
        --------
        >>> sorted(set(open_run("models/her2-tcga").test_folds().tolist()))
        [0, 1, 2, 3, 4]
        """
        fold = self.predictions.set_index("patch_id")["fold"]
        return fold.reindex(self.test_predictions().frame["patch_id"]).to_numpy("int64")

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
        return self._table("splits.parquet")

    @cached_property
    def history(self) -> pd.DataFrame:
        """history.csv: one row an epoch, or a candidate of a last layer."""
        table = self._table("history.csv")
        if not {"epoch", "tried"} & set(table):
            raise RunError("a column epoch or tried", got="neither", where=self.path / "history.csv", fix=AGAIN)
        return table

    @cached_property
    def dataset(self) -> pd.DataFrame:
        """The manifest's rows without paths, with ``split``. Raises RunError where the run has no such table."""
        self._artifact("dataset.parquet")
        return self._table("dataset.parquet")

    @cached_property
    def image_properties(self) -> pd.DataFrame | None:
        """image_properties.parquet: properties of the images that were read; None where they were not kept."""
        name = "image_properties.parquet"
        return self._table(name) if os.path.lexists(self.path / name) else None

    @cached_property
    def checks(self) -> CheckReport:
        """How every check of data and split ended. Raises RunError where the run has no such file, or a broken one."""
        from her2core.data.checks.report import CheckReport

        path = self._artifact("checks.json")
        try:
            return CheckReport.from_dicts(read_run_json(self.path, path.name))
        except ValueError:
            fix = f"Run: her2 runs complete {self.path}"
            raise RunError("a list of check outcomes", got="another content", where=path, fix=fix) from None

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml: the configuration of the training. Raises RunError for a damaged one."""
        found = read_run_yaml(self.path, "config.yaml")
        check_config(found, where=self.path / "config.yaml")
        return found

    @cached_property
    def cost(self) -> dict[str, Any] | None:
        """Parameters, FLOPs and measured time; None where they were not measured."""
        name = "evaluation/cost.json"
        if not os.path.lexists(self.path / name):
            return None
        found = json_object(read_run_json(self.path, name), self.path / name)
        check_cost(found, where=self.path / name)
        return found

    @cached_property
    def evaluation(self) -> dict[str, pd.DataFrame]:
        """The tables metrics, confusion and units, complete for every unit that was assessed, or RunError."""
        from her2core.runs.schema.evaluation import check_evaluation

        tables = {name: self.table(name) for name in ("metrics", "confusion", "units")}
        check_evaluation(tables, self.classes, where=self.path / "evaluation", fix=self._evaluate)
        return tables

    @property
    def baselines(self) -> pd.DataFrame | None:
        """The table baselines (``evidence.baselines``); None where they were not computed."""
        return self.table("baselines") if os.path.lexists(self.path / "evaluation" / "baselines.csv") else None

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
            When the run was not evaluated, or the table is damaged.

        Examples
        --------
        >>> "lower_95" in open_run("models/demo").table("metrics")
        True
        """
        from her2core.runs.schema.table_checks import check_table

        file = f"evaluation/{name}.csv"
        if not os.path.lexists(self.path / file):
            raise RunError(file, got="no such file", where=self.path, fix=self._evaluate)
        if name not in EVALUATION_TABLES:
            return read_run_table(self.path, file, text=TEXT_COLUMNS)
        where, schema = self.path / file, EVALUATION_TABLES[name]
        frame = read_run_table(self.path, file, text=schema.text)
        return check_table(frame, schema, where=where, classes=self.classes, fix=self._evaluate)

    @property
    def _evaluate(self) -> str:
        return f"Run: her2 evaluate --save {self.path}"

    def _table(self, name: str) -> pd.DataFrame:
        from her2core.runs.schema.table_checks import check_table

        frame = read_run_table(self.path, name)
        return check_table(frame, RUN_TABLES[name], where=self.path / name, classes=self.classes, fix=AGAIN)

    def _artifact(self, name: str) -> Path:
        if not os.path.lexists(self.path / name):
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
        For a folder that is missing, foreign, unfinished, newer than this program or incomplete, or whose run.json or
        card has a field that is missing, of another kind or out of range.

    Examples
    --------
    >>> open_run("models/demo").classes
    ('negative', 'equivocal', 'positive')
    """
    path = Path(path)
    if not os.path.isdir(path):
        raise RunError("a run folder", got="no such folder", where=path, fix="her2 runs list shows the finished runs.")
    finished = "Give a folder that her2 train finished."
    if not os.path.lexists(path / "run.json"):
        raise RunError("a run folder with run.json", got="none in it", where=path, fix=finished)
    info = json_object(read_run_json(path, "run.json"), path / "run.json")
    version = info.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
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
            got=f"status {clean_text(repr(info.get('status')), 60)}",
            where=path,
            fix="Run the same her2 train command again; it resumes.",
        )
    check_info(info, where=path / "run.json")
    optional = (WEIGHTS,) if info.get("weights_released") is False else ()
    if missing := [n for n in REQUIRED if n not in optional and not os.path.lexists(path / n)]:
        raise RunError(f"all of {', '.join(REQUIRED)}", got=f"no {', '.join(missing)}", where=path, fix=AGAIN)
    for name in REQUIRED:
        if name not in optional:
            open_run_file(path, name).close()
    card = json_object(read_run_json(path, "model.card.json"), path / "model.card.json")
    check_card(card, where=path / "model.card.json")
    return Run(path, info, card)
