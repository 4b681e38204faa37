"""External validation for ``her2 evaluate --on``: the new run, and what is printed of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from her2core.cli.text import records
from her2core.errors import ConfigError

if TYPE_CHECKING:
    from her2core.runs.folder import Run


def external_validation(source: Path, cohort: Path, out: Path | None, *, part: str, save: bool) -> Path:
    """Predict a cohort by a run.

    Parameters
    ----------
    source : Path
        The run.
    cohort : Path
        Manifest of the cohort.
    out : Path or None
        Folder of the new run.
    part : str
        As asked for; only the test part is predicted.
    save : bool
        As asked for; the new run is saved anyway.

    Returns
    -------
    Path
        Folder of the new run.

    Raises
    ------
    ConfigError
        For options that do not go together.
    Her2Error
        As ``validate_external``.
    """
    from her2core.training.external import cohort_name, validate_external

    if save or part != "test":
        raise ConfigError(
            "--on without --save and --part", got="both", where="her2 evaluate", fix="The new run is kept as it is."
        )
    target = out or Path("runs") / f"{source.resolve().name}-on-{cohort_name(cohort)}"
    run = validate_external(source, cohort, out=target)
    click.echo(f"{run.path}: {run.card['title']}", err=True)
    return run.path


def external_lines(run: Run | None) -> tuple[str, ...]:
    """What is said of a run's own test part and of drift.

    Parameters
    ----------
    run : Run or None

    Returns
    -------
    tuple of str
        Empty where the run is no external validation.
    """
    from her2core.evidence.drift import drift_sentences
    from her2core.evidence.external import external_statement

    if run is None or "external" not in run.card:
        return ()
    table, drift = run.table("external"), run.table("drift")
    unit = "patient" if (table["unit"] == "patient").any() else "patch"
    lines = [f"Against the test part of {run.card['external']['run']}"]
    lines.append(f"  {external_statement(table, unit=unit)}")
    lines += [f"  {said}" for said in drift_sentences(drift)]
    return tuple(lines)


def external_value(run: Run | None) -> dict[str, Any] | None:
    """The two tables as JSON.

    Parameters
    ----------
    run : Run or None

    Returns
    -------
    dict or None
        None where the run is no external validation.
    """
    if run is None or "external" not in run.card:
        return None
    return {**run.card["external"], "table": records(run.table("external")), "drift": records(run.table("drift"))}
