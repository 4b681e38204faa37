"""Agreement of a run's tables metrics, confusion and units, which pages and reports show together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pandas as pd

from her2core.errors import RunError

#: Metrics that every evaluation gives at each unit.
_ALWAYS = ("accuracy", "balanced_accuracy", "recall")


def check_evaluation(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], *, where: str | os.PathLike[str], fix: str
) -> None:
    """Refuse an evaluation whose tables do not hold the same units.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        metrics, confusion and units, each as ``check_table`` returns it.
    classes : sequence of str
        Classes of the run.
    where : path
        The folder ``evaluation``, for the message.
    fix : str
        What to do about it.

    Raises
    ------
    RunError
        Where no unit was assessed, or one that was lacks metrics or cells of the confusion matrix.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> run = open_run("models/demo")
    >>> check_evaluation(run.evaluation, run.classes, where="evaluation", fix="")
    """
    metrics, confusion, units = tables["metrics"], tables["confusion"], tables["units"]
    assessed = units.loc[units["assessed"], "unit"].tolist()
    if not assessed:
        raise RunError("at least one unit that was assessed", got="none in units.csv", where=where, fix=fix)
    for unit in assessed:
        of_unit = metrics[metrics["unit"] == unit]
        if lacking := [name for name in _ALWAYS if name not in set(of_unit["metric"])]:
            raise RunError(f"{lacking[0]} by {unit} in metrics.csv", got="no such row", where=where, fix=fix)
        cells = int((confusion["unit"] == unit).sum())
        if cells != len(classes) ** 2:
            raise RunError(
                f"the {len(classes) ** 2} cells of the confusion matrix by {unit}",
                got=f"{cells} in confusion.csv",
                where=where,
                fix=fix,
            )
