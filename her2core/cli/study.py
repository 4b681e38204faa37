"""``her2 study``: many trainings that answer one question. A study's YAML in; run folders and a table out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli.base import answer, as_json, cli
from her2core.cli.text import RESEARCH
from her2core.errors import StudyError

if TYPE_CHECKING:
    from her2core.evidence.seeds import SeedSummary


@cli.group()
def study() -> None:
    """Many trainings that answer one question; killed, they resume when the same command is given again."""


def _options(config: str, out: str):
    """The options that every study has."""

    def add(command):
        for option in (
            click.option("--quiet", is_flag=True, help="No progress bar."),
            click.option("--table", "table_only", is_flag=True, help="Only make the tables from the finished runs."),
            click.option(
                "--only",
                multiple=True,
                metavar="RUN",
                help="Only this run of the study, for one job of a cluster; may be repeated.",
            ),
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                default=Path(out),
                show_default=True,
                help="Folder for the runs and the tables.",
            ),
            click.option("--config", type=click.Path(path_type=Path), default=Path(config), show_default=True),
        ):
            command = option(command)
        return command

    return add


@study.command()
@_options("configs/study/leakage.yaml", "runs/leakage")
@as_json
def leakage(config: Path, out: Path, only, table_only: bool, quiet: bool, as_json: bool) -> None:
    """What a reported accuracy becomes per patient: one network, trained under four ways to split."""
    from her2core.study.leakage import leakage_jobs, load_study, save_leakage

    plan = load_study(config)
    failures = {} if table_only else _run(leakage_jobs(plan), out, only, quiet)
    if failures:
        name, why = next(iter(failures.items()))
        raise StudyError(
            "every run of the study",
            got=f"{len(failures)} failed: {name}: {why}",
            where=str(out),
            fix="Mend that; the same command resumes.",
        )
    if only:
        answer(as_json, {"finished": list(only)}, "\n".join(f"{out / name} is finished." for name in only))
        return
    _tell(as_json, out, save_leakage(plan, out), {})


@study.command()
@_options("configs/study/backbones-demo.yaml", "runs/backbones")
@click.option("--costs", is_flag=True, help="Measure the networks' costs anew, in one go; else when it is due.")
@click.option("--list", "list_only", is_flag=True, help="Only list the runs, one a line, for the jobs of a cluster.")
@as_json
def backbones(
    config: Path, out: Path, only, table_only: bool, quiet: bool, costs: bool, list_only: bool, as_json: bool
) -> int:
    """Several networks with the same data, split and budget; exit 1 when one of them failed."""
    from her2core.study.backbone_tables import costs_are_due, save_backbones, save_costs
    from her2core.study.backbones import backbone_jobs, load_study

    plan = load_study(config)
    if list_only:
        names = [job.name for job in backbone_jobs(plan)]
        answer(as_json, names, "\n".join(names))
        return 0
    failures = {} if table_only else _run(backbone_jobs(plan), out, only, quiet)
    if only:
        done = [name for name in only if name not in failures]
        lines = [f"{out / name} is finished." for name in done] + [f"{n}: failed. {why}" for n, why in failures.items()]
        answer(as_json, {"finished": done, "failed": failures}, "\n".join(lines))
        return 1 if failures else 0
    if costs or costs_are_due(plan, out):
        save_costs(plan, out, report=_say)
    _tell(as_json, out, save_backbones(plan, out), failures)
    return 1 if failures else 0


def _say(line: str) -> None:
    click.echo(line, err=True)


def _run(jobs, out: Path, only, quiet: bool) -> dict[str, str]:
    from her2core.study.jobs import run_jobs

    return run_jobs(jobs, out, only=only, report=_say, progress=not quiet)


def _tell(wants_json: bool, out: Path, found: SeedSummary, failures: dict[str, str]) -> None:
    value = {
        "out": str(out),
        "figures": found.table.to_dict("records"),
        "differences": found.differences.to_dict("records"),
        "failed": failures,
        "notice": RESEARCH,
    }
    lines = [
        f"{r.unit:8}{r.metric:20}{r.group:24}{r.value:.3f}  [{r.lower_95:.3f}, {r.upper_95:.3f}]  "
        f"{r.seeds} seeds from {r.lowest:.3f} to {r.highest:.3f}"
        for r in found.table.itertuples()
    ] + [
        f"{r.unit:8}{r.metric:20}{r.group} minus {r.reference}: {r.difference:+.3f} "
        f"[{r.lower_95:+.3f}, {r.upper_95:+.3f}]: "
        f"{r.statement}"
        for r in found.differences.itertuples()
    ]
    lines += [f"failed: {name}: {why}" for name, why in failures.items()]
    answer(wants_json, value, "\n".join([*lines, RESEARCH]))
