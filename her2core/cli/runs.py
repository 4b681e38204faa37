"""``her2 runs``: list, show, complete and export finished runs, and hold their maps to account."""

from __future__ import annotations

from pathlib import Path

import click

from her2core.cli.base import MODELS, RUNS, answer, as_json, cli
from her2core.cli.text import RESEARCH, run_text
from her2core.errors import RunError


@cli.group()
def runs() -> None:
    """Finished runs."""


@runs.command("list")
@click.option(
    "--in", "roots", multiple=True, type=click.Path(path_type=Path), help="Folders to look in: models and runs."
)
@as_json
def list_(roots: tuple[Path, ...], as_json: bool) -> None:
    """Finished runs, and a sentence for each folder that is not one."""
    from her2core.runs.folder import list_runs

    for root in roots:
        if not root.is_dir():
            raise RunError("a folder of runs", got="no such folder", where=str(root), fix="Check the name.")
    found, problems = list_runs(*(roots or (MODELS, RUNS)))
    value = {"runs": [{"path": str(r.path), "title": r.card.get("title")} for r in found], "problems": problems}
    lines = [f"{r.path}: {r.card.get('title', '')}" for r in found] + [f"not a run: {p}" for p in problems]
    answer(as_json, value, "\n".join(lines) or "No finished run. her2 train makes one.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@as_json
def show(run: Path, as_json: bool) -> None:
    """What a run is, on what data, and what it cannot claim."""
    from her2core.runs.folder import open_run

    opened = open_run(run)
    answer(as_json, {"run": opened.info, "card": opened.card}, run_text(opened))


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder to make, e.g. models/demo.")
@click.option("--without-weights", is_flag=True, help="Leave the weights out: for review, not for predictions.")
@as_json
def export(run: Path, to: Path, without_weights: bool, as_json: bool) -> None:
    """Copy a finished run under a name of your own; an existing folder is never overwritten."""
    from her2core.runs.export import export_run

    copied = export_run(run, to, weights=not without_weights)
    answer(as_json, {"path": str(copied.path)}, f"{copied.path} is there.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--manifest", type=click.Path(path_type=Path), help="Where the run's manifest lies now.")
@as_json
def complete(run: Path, manifest: Path | None, as_json: bool) -> None:
    """Give a run what newer versions keep beside weights and predictions: data table, checks, cost, prediction sets.

    Weights, predictions and metrics stay as they are.
    """
    from her2core.training.artifacts import complete_run

    completed = complete_run(run, manifest=manifest)
    answer(as_json, {"path": str(completed.path)}, f"{completed.path} is complete.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--patches", type=click.IntRange(min=1), default=24, show_default=True, help="Test patches to look at.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--save", is_flag=True, help="Write evaluation/maps.csv into the run, for the dashboard.")
@as_json
def maps(run: Path, patches: int, seed: int, save: bool, as_json: bool) -> None:
    """Hold the run's maps to account: against synthetic truth, by deletion and insertion, ROAD, and random weights."""
    from her2core.maps.evaluation import evaluate_maps, save_map_evaluation
    from her2core.runs.folder import open_run

    opened = open_run(run)
    table = evaluate_maps(opened, patches=patches, seed=seed)
    if save:
        save_map_evaluation(opened, table)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    lines = [
        f"{r.method:18}{r.measure:28}{r.value:.3f}  [{r.lower_95:.3f}, {r.upper_95:.3f}]  {r.note}".rstrip()
        for r in table.itertuples()
    ]
    answer(as_json, {"run": str(opened.path), "patches": patches, "maps": rows}, "\n".join([*lines, RESEARCH]))
