"""``her2 study``: studies of several trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from her2core.cli.base import answer, as_json, cli
from her2core.cli.text import difference_text, figure_name, interval, records
from her2core.errors import StudyError
from her2core.notice import RESEARCH

if TYPE_CHECKING:
    from her2core.evidence.seeds import SeedSummary
    from her2core.study.jobs import Job

Command = TypeVar("Command", bound=Callable[..., object])


@cli.group()
def study() -> None:
    """Train and compare several networks or splits.

    An interrupted study resumes with the same command.
    """


def _options(config: str, out: str) -> Callable[[Command], Command]:
    """Options of every study."""

    def add(command: Command) -> Command:
        for option in (
            click.option("--quiet", is_flag=True, help="Show no progress bar."),
            click.option("--table", "table_only", is_flag=True, help="Only write the tables from the finished runs."),
            click.option(
                "--only",
                multiple=True,
                metavar="RUN",
                help="Only train this run of the study, as one job of a cluster; may be repeated.",
            ),
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                default=Path(out),
                show_default=True,
                help="Folder for the runs and the tables.",
            ),
            click.option(
                "--config",
                type=click.Path(path_type=Path),
                default=Path(config),
                show_default=True,
                help="The study's YAML file.",
            ),
        ):
            command = option(command)
        return command

    return add


@study.command()
@_options("configs/study/leakage.yaml", "runs/leakage")
@as_json
def leakage(config: Path, out: Path, only: tuple[str, ...], table_only: bool, quiet: bool, as_json: bool) -> None:
    """Train one network under four splits.

    Splits by patch, slide, patient and site, compared by their test figures: what leakage between patches of one
    patient is worth.
    """
    from her2core.study.leakage import leakage_jobs, load_study, save_leakage

    plan = load_study(config)
    failures = {} if table_only else _run(leakage_jobs(plan), out, only, quiet)
    if failures:
        name, why = next(iter(failures.items()))
        raise StudyError(
            "every run of the study to finish",
            got=f"{len(failures)} failed: {name}: {why}",
            where=out,
            fix="Correct that; the same command resumes.",
        )
    if only:
        answer(as_json, {"finished": list(only)}, "\n".join(f"{out / name} is finished." for name in only))
        return
    _print(as_json, out, save_leakage(plan, out), {})


@study.command()
@_options("configs/study/backbones-demo.yaml", "runs/backbones")
@click.option("--costs", is_flag=True, help="Measure the networks' computational cost again.")
@click.option("--list", "list_only", is_flag=True, help="Only list the runs, one a line, for the jobs of a cluster.")
@as_json
def backbones(
    config: Path,
    out: Path,
    only: tuple[str, ...],
    table_only: bool,
    quiet: bool,
    costs: bool,
    list_only: bool,
    as_json: bool,
) -> int:
    """Train several networks on one split.

    All have the same data, split and budget. The exit code is 1 when one of them failed.
    """
    from her2core.study.backbone_tables import costs_are_due, save_backbones, save_costs
    from her2core.study.backbones import backbone_jobs, load_study

    plan = load_study(config)
    if list_only:
        names = [job.name for job in backbone_jobs(plan)]
        answer(as_json, names, "\n".join(names))
        return 0
    failures = {} if table_only else _run(backbone_jobs(plan), out, only, quiet)
    if only:
        return _say_done(as_json, out, only, failures)
    if costs or costs_are_due(plan, out):
        save_costs(plan, out, report=_report)
    _print(as_json, out, save_backbones(plan, out), failures)
    return 1 if failures else 0


@study.command()
@_options("configs/study/cv-demo.yaml", "runs/cv")
@click.option("--list", "list_only", is_flag=True, help="Only list the folds, one a line, for the jobs of a cluster.")
@as_json
def cv(
    config: Path, out: Path, only: tuple[str, ...], table_only: bool, quiet: bool, list_only: bool, as_json: bool
) -> int:
    """Cross-validate networks, or leave out one site after another.

    Each fold is a training of its own; the out-of-fold predictions of a network, design and seed become one run. Epoch,
    regularisation and temperature are chosen within the training folds. The exit code is 1 when a fold failed.
    """
    from her2core.study.crossval import load_study, repetitions
    from her2core.study.crossval_tables import save_crossval, train_folds

    plan = load_study(config)
    if list_only:
        names = [job.name for one in repetitions(plan, where=str(config)) for job in one.jobs]
        answer(as_json, names, "\n".join(names))
        return 0
    failures = {} if table_only else train_folds(plan, out, only=only, report=_report, progress=not quiet)
    if only:
        return _say_done(as_json, out, only, failures)
    _print(as_json, out, save_crossval(plan, out, report=_report), failures)
    return 1 if failures else 0


@study.command()
@click.argument("group")
@click.option("--config", type=click.Path(path_type=Path), required=True, help="The YAML file of the cross-validation.")
@click.option("--study", "root", type=click.Path(path_type=Path), required=True, help="Its folder, with its folds.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the new run.")
@click.option("--seed", type=int, help="Of the repetition that is its evidence; the first where left out.")
@click.option("--title", default="", help="One line about the run.")
@as_json
def final(group: str, config: Path, root: Path, out: Path, seed: int | None, title: str, as_json: bool) -> None:
    """Train the last layer on all patients after a cross-validation.

    GROUP is network and design, such as lite0-linear-patient. The new run is served; its evidence is the out-of-fold
    predictions, as no patient is left to test it on.
    """
    from her2core.study.crossval import load_study, manifest_of, repetitions
    from her2core.study.final import train_final
    from her2core.study.out_of_fold import StudyData

    plan = load_study(config)
    of = [r for r in repetitions(plan, where=str(config)) if r.group == group and seed in (None, r.seed)]
    if not of:
        raise StudyError(
            f"a group out of {', '.join(plan.groups)}, and one of its seeds",
            got=group if seed is None else f"{group}, seed {seed}",
            where=config,
            fix="Correct the name: her2 study cv --list.",
        )
    run = train_final(of[0], root, out, data=StudyData(manifest_of(plan)), title=title or f"{plan.title}: {group}")
    answer(as_json, {"run": str(run.path), "notice": RESEARCH}, f"{run.path}: {run.card['limits'][-1]}\n{RESEARCH}")


@study.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("configs/study/mil-tcga.yaml"),
    show_default=True,
    help="The study's YAML file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/mil"),
    show_default=True,
    help="Folder for predictions and tables.",
)
@as_json
def mil(config: Path, out: Path, as_json: bool) -> None:
    """Cross-validate bag models: attention MIL, mean, top-k and noisy-or pooling of tile features.

    A bag holds all tiles of a patient. Features are those of a network, of her2 features, or of TRIDENT or CLAM (HDF5).
    Each group and seed becomes a table of out-of-fold predictions, which her2 evaluate reads.
    """
    from her2core.study.mil import load_mil, run_mil

    _print(as_json, out, run_mil(load_mil(config), out, report=_report), {})


def _say_done(as_json: bool, out: Path, only: tuple[str, ...], failures: dict[str, str]) -> int:
    done = [name for name in only if name not in failures]
    lines = [f"{out / name} is finished." for name in done] + [f"{n}: failed. {why}" for n, why in failures.items()]
    answer(as_json, {"finished": done, "failed": failures}, "\n".join(lines))
    return 1 if failures else 0


def _report(line: str) -> None:
    click.echo(line, err=True)


def _run(jobs: list[Job], out: Path, only: tuple[str, ...], quiet: bool) -> dict[str, str]:
    from her2core.study.jobs import run_jobs

    return run_jobs(jobs, out, only=only, report=_report, progress=not quiet)


def _print(wants_json: bool, out: Path, found: SeedSummary, failures: dict[str, str]) -> None:
    value = {
        "out": str(out),
        "figures": records(found.table),
        "differences": records(found.differences),
        "failed": failures,
        "notice": RESEARCH,
    }
    primary = found.differences[found.differences["role"] == "primary"]
    lines = [f"{r.group} minus {r.reference}, {r.metric} by {r.unit}: {r.statement}" for r in primary.itertuples()] or [
        "No statement: the primary metric and unit are not available."
    ]
    lines += [
        f"{r['unit']:8}{figure_name(r):33}{r['group']:24}{interval(r['value'], r['lower_95'], r['upper_95'])}  "
        f"{r['seeds']} seed{'s' if r['seeds'] > 1 else ''} from {r['lowest']:.3f} to {r['highest']:.3f}"
        for r in found.table.to_dict("records")
    ] + [
        f"{r.unit:8}{r.metric:33}{r.group} minus {r.reference}: "
        + difference_text(r.difference, r.lower_95, r.upper_95, detectable=r.detectable_difference, note=r.note)
        for r in found.differences.itertuples()
    ]
    lines += [f"failed: {name}: {why}" for name, why in failures.items()]
    answer(wants_json, value, "\n".join([*lines, RESEARCH]))
