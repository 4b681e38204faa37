"""``her2 train``, ``evaluate`` and ``compare``: from a configuration to evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from her2core.cli.base import RUNS, LazyChoice, answer, as_json, cli, set_option
from her2core.cli.table_options import TableOptions, read_table_of, table_options
from her2core.cli.text import difference_text, headline_figures, headline_text, records, run_text
from her2core.errors import ConfigError
from her2core.notice import RESEARCH

if TYPE_CHECKING:
    from her2core.evidence.predictions import Predictions
    from her2core.runs.folder import Run


def _rules() -> Sequence[str]:
    from her2core.evidence.aggregation_rules import BY_VALIDATION, RULES

    return [*RULES, BY_VALIDATION]


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@set_option
@click.option("--name", help="Name of the run and of its folder; short for --set name=NAME.")
@click.option(
    "--runs",
    "root",
    type=click.Path(path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder in which the run folder is created.",
)
@click.option("--fresh", is_flag=True, help="Start over instead of resuming the unfinished run of this configuration.")
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
@click.option("--estimate", "only_estimate", is_flag=True, help="Only measure a few steps and estimate the time.")
@as_json
def train(
    config: Path,
    overrides: tuple[str, ...],
    name: str | None,
    root: Path,
    fresh: bool,
    quiet: bool,
    only_estimate: bool,
    as_json: bool,
) -> None:
    """Train and evaluate one network.

    CONFIG is a YAML file; the result is a run folder. An interrupted training resumes with the same command.
    configs/own.yaml is a starting point for your own data. With --name or --set of the manifest, network, split, stain
    or frozen section, the file's title no longer applies and is dropped; with another manifest, so are its limits.
    """
    from her2core.training.config import load_config
    from her2core.training.fit import train as fit
    from her2core.training.interrupts import Interrupted, exit_by_signal

    if name is not None:
        overrides = (*overrides, f"name={json.dumps(name)}")
    if only_estimate:
        from her2core.training.measured_steps import estimate_training

        found = estimate_training(load_config(config, overrides))
        answer(as_json, {**found.as_dict(), "notice": RESEARCH}, found.text())
        return
    try:
        with exit_by_signal():
            run = fit(load_config(config, overrides), root=root, fresh=fresh, progress=not quiet)
    except Interrupted:
        click.echo("Stopped by a signal. The same command resumes the training.", err=True)
        raise
    if run is None:  # a helper process of a run over several devices
        return
    value = {
        "run": str(run.path),
        "warnings": list(run.warnings),
        "figures": records(headline_figures(run)),
        "notice": RESEARCH,
    }
    more = f"All figures: her2 evaluate {run.path}"
    answer(as_json, value, "\n".join([run_text(run), headline_text(run), more]))


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--part", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option(
    "--rule",
    type=LazyChoice(_rules),
    default="mean",
    show_default=True,
    help="From patches to slides and patients; validation: the best rule on the validation part.",
)
@click.option("--save", is_flag=True, help="Write the test part's tables into the run folder, for the dashboard.")
@click.option("--all", "every", is_flag=True, help="Print every metric of every class.")
@click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Add PPV, NPV, and ISH tests saved against positives missed, at this prevalence; 0.15 for 15 %.",
)
@click.option(
    "--ish-positive",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="With --prevalence: share of equivocal cases that ISH finds positive (stated, not measured).",
)
@click.option(
    "--on",
    "cohort",
    type=click.Path(path_type=Path),
    help="External validation: predict the patches of this manifest by the run, and evaluate those.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --on: folder of the new run. [default: runs/RUN-on-MANIFEST]"
)
@click.option("--label-shift", is_flag=True, help="Correct probabilities for other class shares than in training.")
@click.option(
    "--trained",
    multiple=True,
    metavar="CLASS=SHARE",
    help="With --label-shift: class shares of the training data; a run's own are on its card.",
)
@click.option(
    "--label-error",
    type=click.FloatRange(0, 0.5, max_open=True),
    help="Add what the accuracy means where this share of the labels is wrong; 0.05 for one in twenty.",
)
@table_options
@as_json
def evaluate(
    source: Path,
    part: str,
    rule: str,
    save: bool,
    every: bool,
    prevalence: float | None,
    ish_positive: float,
    cohort: Path | None,
    out: Path | None,
    label_shift: bool,
    trained: tuple[str, ...],
    label_error: float | None,
    table: TableOptions,
    as_json: bool,
) -> None:
    """Metrics with 95 % intervals that resample patients, for a run folder or any predictions table.

    With --on a run predicts another cohort first; the answer is that of the new run, which is kept.
    """
    from her2core.cli.at_prevalence import at_prevalence, shares_in_training
    from her2core.cli.evidence_text import evidence_text, not_available
    from her2core.cli.external import external_lines, external_validation, external_value
    from her2core.cli.labels import LabelTables
    from her2core.cli.verdict_text import UNCORRECTED
    from her2core.evidence.aggregation_rules import DEFAULT_RULE
    from her2core.evidence.evaluation import evaluate as assess
    from her2core.evidence.evaluation import evaluate_folder, read_source
    from her2core.evidence.planning import effective_sample
    from her2core.evidence.verdict import verdict
    from her2core.runs.folder import open_run

    if cohort is not None:
        source = external_validation(source, cohort, out, part=part, save=save)
    if save and rule != DEFAULT_RULE:
        raise ConfigError(
            "either --rule or --save",
            got="both",
            where="her2 evaluate",
            fix="A run's saved figures are by the default rule.",
        )
    shares = shares_in_training(source, trained) if label_shift or trained else None
    if save and shares:
        raise ConfigError(
            "either --label-shift or --save",
            got="both",
            where="her2 evaluate",
            fix="A run's saved figures are those of its own probabilities.",
        )
    predictions = read_table_of(source, table)
    if save:
        run = open_run(source)
        found, part = evaluate_folder(run.path, run.card, list(run.warnings)), "test"
    else:
        table_or_run = source if predictions is None else predictions
        found = assess(table_or_run, part=part, rule=rule, trained=shares)
    stated = None
    if prevalence is not None:
        at = source if predictions is None else predictions
        stated = at_prevalence(
            at, found.units, part=part, prevalence=prevalence, ish_positive=ish_positive, shares=shares
        )
    folder = open_run(source) if source.is_dir() and part == "test" else None
    baselines = folder.baselines if folder else None
    labels = None
    if part == "test" and not shares and (as_json or label_error is not None or every):
        labels = LabelTables(source if predictions is None else predictions, run=folder, label_error=label_error)
    rows = found.metrics.astype(object).where(found.metrics.notna(), None).to_dict("records")
    units = found.units.astype(object).where(found.units.notna(), None).to_dict("records")
    confusion = found.confusion.astype(object).where(found.confusion.notna(), None).to_dict("records")
    value: dict[str, object] = {
        "part": part,
        "metrics": rows,
        "confusion": confusion,
        "units": units,
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "not_available": not_available(found),
        "baselines": None if baselines is None else records(baselines),
        **({} if stated is None else stated.as_dict()),
        **({} if labels is None else labels.as_dict()),
        "notice": RESEARCH,
    }
    further = [
        *external_lines(folder),
        *([] if stated is None else stated.lines),
        *([] if labels is None else labels.lines),
    ]
    value["external"] = external_value(folder)
    worth = effective_sample((read_source(source)[0] if predictions is None else predictions).part(part))
    value["effective_sample"] = None if worth is None else asdict(worth)
    about = None
    if part == "test":  # of the probabilities as they are: calibration and checks are not about corrected ones
        judged = source if predictions is None else predictions
        about = verdict(judged, evaluation=None if shares else found, name=source.name)
        if shares:
            about = replace(about, notes=(*about.notes, UNCORRECTED))
    value = {"verdict": None if about is None else about.as_dict(), **value}
    text = evidence_text(found, every=every, baselines=baselines, further=further, worth=worth, verdict=about)
    answer(as_json, value, text)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="Where the run's manifest is now, to read its images."
)
@click.option("--save", is_flag=True, help="Write evaluation/baselines.csv into the run folder.")
@as_json
def baselines(run: Path, manifest: Path | None, save: bool, as_json: bool) -> None:
    """Compare a run with what is reached without looking at the tissue.

    Majority class, colour, site, file properties, permuted labels and tumour grade, on the same test part. Without
    --manifest those that need the images are left out.
    """
    from her2core.cli.evidence_text import baseline_lines
    from her2core.evidence.baselines import baseline_sentences
    from her2core.training.baselines import run_baselines

    opened, found = run_baselines(run, manifest=manifest, save=save)
    lines = []
    for unit, rows in found.frame.groupby("unit", sort=False):
        lines += [f"warning: {sentence}" for sentence in baseline_sentences(rows, str(unit))]
        lines += [f"By {unit}", *baseline_lines(rows)]
    absent = found.missing.groupby(["what", "reason"], sort=False)["unit"].unique()
    lines += [
        f"not available: {what} by {' and '.join(units)}: {reason.rstrip('.')}."
        for (what, reason), units in absent.items()
    ]
    value = {
        "run": str(opened.path),
        "baselines": records(found.frame),
        "missing": records(found.missing),
        "notice": RESEARCH,
    }
    answer(as_json, value, "\n".join([*lines, RESEARCH]))


@cli.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--unit",
    type=click.Choice(["patient", "slide", "patch"]),
    default="patient",
    show_default=True,
    help="Unit that is compared.",
)
@click.option(
    "--primary",
    default="balanced_accuracy",
    show_default=True,
    metavar="METRIC",
    help="The one metric about which a statement is made; choose it before you see its figures.",
)
@click.option("--class", "of", default="", help="Class of the primary metric, for one per class.")
@table_options
@as_json
def compare(first: Path, second: Path, unit: str, primary: str, of: str, table: TableOptions, as_json: bool) -> None:
    """Compare two runs or tables of predictions, paired.

    FIRST and SECOND were tested on the same patches. The primary metric says which is better, or that no difference can
    be shown; all other differences are descriptive.
    """
    from her2core.evidence.compare import compare_runs
    from her2core.runs.folder import open_run

    any_table = first.is_file() or second.is_file()
    sources: list[Path | Predictions | Run] = []
    warnings: list[str] = []
    for path in (first, second):
        options = table if path.is_file() or not any_table else TableOptions()
        found = read_table_of(path, options)
        run = open_run(path) if found is None and path.is_dir() else None
        sources.append(found or run or path)
        about = run.warnings if run else (*found.warnings, *found.notes) if found else ()
        warnings += [f"{path.name}: {said}" for said in about]
    names = (first.resolve().name, second.resolve().name)
    result = compare_runs(*sources, unit=unit, primary=primary, of=of, names=names)
    lines = [f"warning: {warning}" for warning in warnings]
    main = result.primary
    lines += [
        f"{main['metric']}{f' of {of}' if of else ''} by {result.unit}: {result.statement}",
        f"first: {result.first}",
        f"second: {result.second} (by {result.unit}; {result.note})",
    ]
    lines += [
        f"  {r.metric}{f' of {r[2]}' if r[2] else ''}: {r.first:.3f} and {r.second:.3f}, difference "
        + difference_text(r.difference, r.lower_95, r.upper_95, detectable=r.detectable_difference, note=r.note)
        + (f" ({r.classical_test}: p = {r.classical_p_value:.3f})" if r.classical_test else "")
        for r in result.table.itertuples()
    ]
    value = {
        "first": result.first,
        "second": result.second,
        "unit": result.unit,
        "primary": {"metric": main["metric"], "class": of},
        "statement": result.statement,
        "note": result.note,
        "table": records(result.table),
        "warnings": warnings,
        "notice": RESEARCH,
    }
    answer(as_json, value, "\n".join([*lines, RESEARCH]))
