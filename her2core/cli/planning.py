"""``her2 plan``: how many patients an interval of a given width needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli
from her2core.notice import RESEARCH


@cli.command()
@click.option("--width", type=float, required=True, help="Of the whole 95 % interval, such as 0.1 for ten points.")
@click.option("--proportion", type=float, help="Expected accuracy or recall; that of the pilot, or 0.5, when left out.")
@click.option("--pilot", type=click.Path(path_type=Path), help="Run or table of predictions that gives the rest.")
@click.option("--patches", type=float, help="Patches per patient; of the pilot, or 1, when left out.")
@click.option("--correlation", type=float, help="Intraclass correlation; of the pilot, or 1, when left out.")
@as_json
def plan(
    width: float,
    proportion: float | None,
    pilot: Path | None,
    patches: float | None,
    correlation: float | None,
    as_json: bool,
) -> None:
    """Number of patients for an interval of a given width.

    Patches of one patient are correlated: a pilot study says by how much.
    """
    from her2core.evidence.evaluation import read_source
    from her2core.evidence.planning import patients_for_width
    from her2core.evidence.planning import pilot as effective

    found = None
    if pilot is not None:
        test = read_source(pilot)[0].part("test")
        found = effective(test)
        patches = found.rows / found.patients if patches is None else patches
        correlation = found.intraclass_correlation if correlation is None else correlation
        proportion = float((test.predicted == test.labels).mean()) if proportion is None else proportion
    assumed = {
        "proportion": 0.5 if proportion is None else proportion,
        "patches": 1.0 if patches is None else patches,
        "correlation": 1.0 if correlation is None else correlation,
        "variation": 0.0 if found is None else found.variation,
    }
    unequal = f" (coefficient of variation {assumed['variation']:.2f})" if assumed["variation"] >= 0.005 else ""
    patients = patients_for_width(width, **assumed)
    value = {
        "width": width,
        **assumed,
        "patients": patients,
        "pilot": None if found is None else asdict(found),
        "notice": RESEARCH,
    }
    lines = [f"Pilot: {found.sentence}"] if found else []
    lines += [
        f"{patients:,} patients for a 95 % interval of a width of {width:g} at a proportion of "
        f"{assumed['proportion']:.3f}, with {assumed['patches']:g} patches a patient{unequal} and an intraclass "
        f"correlation of {assumed['correlation']:.2f}. For a recall, patients of that class are meant."
    ]
    answer(as_json, value, "\n".join([*lines, RESEARCH]))
