"""``her2 study``: many trainings that answer one question. A study's YAML in; run folders and a table out."""

from __future__ import annotations

from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli
from her2core.errors import StudyError
from her2core.wording import RESEARCH


@cli.group()
def study() -> None:
    """Many trainings that answer one question; killed, they resume when the same command is given again."""


@study.command()
@click.option("--config", type=click.Path(path_type=Path), default=Path("configs/study/leakage.yaml"),
              show_default=True)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/leakage"), show_default=True,
              help="Folder for the runs and the tables.")  # fmt: skip
@click.option("--only", multiple=True, metavar="JOB", help="Only this run of the study; may be repeated.")
@click.option("--table", "table_only", is_flag=True, help="Only make the tables anew from the finished runs.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@as_json
def leakage(config: Path, out: Path, only, table_only: bool, quiet: bool, as_json: bool) -> None:
    """What a reported accuracy becomes per patient: one network, trained under four ways to split."""
    from her2core.study.leakage import leakage_jobs, load_study, save_leakage

    plan = load_study(config)
    if not table_only:
        from her2core.study.jobs import run_jobs

        failures = run_jobs(leakage_jobs(plan), out, only=only, tell=_tell, progress=not quiet)
        if failures:
            name, why = next(iter(failures.items()))
            raise StudyError(expected="every run of the study", got=f"{len(failures)} failed: {name}: {why}",
                             where=str(out), fix="Mend that; the same command resumes.")  # fmt: skip
        if only:
            answer(as_json, {"finished": list(only)}, "\n".join(f"{out / name} is finished." for name in only))
            return
    found = save_leakage(plan, out)
    value = {"out": str(out), "figures": found.table.to_dict("records"), "gaps": found.differences.to_dict("records"),
             "notice": RESEARCH}  # fmt: skip
    lines = [
        f"{r.unit:8}{r.metric:20}split by {r.group:14}{r.value:.3f}  [{r.low:.3f}, {r.high:.3f}]  "
        f"{r.seeds} seeds from {r.lowest:.3f} to {r.highest:.3f}"
        for r in found.table.itertuples()
    ] + [
        f"{r.unit:8}{r.metric:20}{r.group} less {r.reference}: {r.difference:+.3f} [{r.low:+.3f}, {r.high:+.3f}]"
        for r in found.differences.itertuples()
    ]  # fmt: skip
    answer(as_json, value, "\n".join([*lines, RESEARCH]))


def _tell(line: str) -> None:
    click.echo(line, err=True)
