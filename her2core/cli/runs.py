"""``her2 runs``: list, annotate, show, complete and export finished runs, and evaluate their maps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from her2core.cli.base import MODELS, RUNS, answer, as_json, cli
from her2core.cli.text import annotation_text, interval, records, run_text
from her2core.errors import ConfigError, RunError
from her2core.notice import RESEARCH


@cli.group()
def runs() -> None:
    """List, annotate, show, complete and export finished runs."""


@runs.command("list")
@click.option(
    "--in",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of runs; may be repeated. Default: HER2_RUNS, or models and runs in this folder.",
)
@as_json
def list_(roots: tuple[Path, ...], as_json: bool) -> None:
    """List the finished runs with status and tags, and say why other folders are none."""
    from her2core.locations import named_run_folders
    from her2core.runs.annotations import Annotation, read_annotation
    from her2core.runs.listing import list_runs

    for root in roots:
        if not root.is_dir():
            raise RunError("a folder of runs", got="no such folder", where=root, fix="Check the name.")
    found, problems = list_runs(*(roots or named_run_folders() or (MODELS, RUNS)))
    rows, lines, broken = [], [], []
    for run in found:
        said = Annotation()
        try:
            said = read_annotation(run.path)
        except RunError as refused:
            broken.append(refused.sentence)
        rows.append({"path": str(run.path), "title": run.card.get("title"), **asdict(said)})
        lines.append(f"{run.path}: {run.card.get('title', '')}{annotation_text(said)}")
    lines += [f"no run: {problem}" for problem in problems] + [f"no annotation: {problem}" for problem in broken]
    value = {"runs": rows, "problems": problems, "broken_annotations": broken}
    answer(as_json, value, "\n".join(lines) or "No finished run. her2 train makes one.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--status", help="candidate, reference or withdrawn; an empty text removes it.")
@click.option("--tag", "added", multiple=True, help="Tag to add; may be repeated.")
@click.option("--untag", "removed", multiple=True, help="Tag to remove; may be repeated.")
@click.option("--note", help="In place of the present note; an empty text removes it.")
@as_json
def annotate(
    run: Path, status: str | None, added: tuple[str, ...], removed: tuple[str, ...], note: str | None, as_json: bool
) -> None:
    """Set status, tags and note of a run, or show them where nothing is set.

    They are kept beside the run (.annotations/ in the folder of runs) and change nothing in it.
    """
    from her2core.runs.annotations import changed, read_annotation, write_annotation
    from her2core.runs.folder import open_run

    opened = open_run(run)
    said = changed(read_annotation(run), status=status, add=added, remove=removed, note=note)
    if status is not None or note is not None or added or removed:
        write_annotation(run, said)
    text = f"{opened.path}:{annotation_text(said) or ' no status, tags or note'}"
    answer(as_json, {"path": str(opened.path), **asdict(said)}, f"{text}\n{said.note}".rstrip())


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@as_json
def show(run: Path, as_json: bool) -> None:
    """Show a run's title, classes, and limits; with --json run.json and the model card."""
    from her2core.runs.folder import open_run

    opened = open_run(run)
    answer(as_json, {"run": opened.info, "card": opened.card}, run_text(opened))


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder to create, e.g. models/demo.")
@click.option("--without-weights", is_flag=True, help="Leave the weights out: for review, not for predictions.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("run", "wsinfer")),
    default="run",
    show_default=True,
    help="A run folder, or a model folder for WSInfer and QuPath's WSInfer extension.",
)
@as_json
def export(run: Path, to: Path, without_weights: bool, kind: str, as_json: bool) -> None:
    """Copy a finished run to another folder; an existing folder is never overwritten.

    For WSInfer the folder gets torchscript_model.pt with stain normalisation and calibration in it, config.json and a
    model card (README.md); flags, prediction sets and the out-of-distribution score are no part of it.
    """
    if kind == "wsinfer":
        _export_wsinfer(run, to, without_weights, as_json)
        return
    from her2core.runs.export import export_run

    copied = export_run(run, to, weights=not without_weights)
    answer(as_json, {"path": str(copied.path)}, f"Exported to {copied.path}.")


def _export_wsinfer(run: Path, to: Path, without_weights: bool, as_json: bool) -> None:
    if without_weights:
        raise ConfigError("weights for --format wsinfer", got="--without-weights", fix="Leave --without-weights out.")
    from her2core.inference.wsinfer_export import export_wsinfer

    found = export_wsinfer(run, to)
    lines = [
        found["accuracy"],
        f"Exported to {found['path']} for WSInfer: probabilities within {found['difference']:.2g} of her2core's on "
        "synthetic patches; what the export leaves out stands in its README.md.",
        RESEARCH,
    ]
    answer(as_json, {**found, "notice": RESEARCH}, "\n".join(lines))


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--manifest", type=click.Path(path_type=Path), help="Where the run's manifest is now.")
@as_json
def complete(run: Path, manifest: Path | None, as_json: bool) -> None:
    """Add what newer versions keep with a run: data table, findings, cost, prediction sets, out-of-distribution score.

    Weights, predictions and metrics are unchanged.
    """
    from her2core.training.artifacts import complete_run

    completed = complete_run(run, manifest=manifest)
    answer(as_json, {"path": str(completed.path)}, f"{completed.path} is complete.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--patches", type=click.IntRange(min=1), default=300, show_default=True, help="Training patches to use.")
@click.option("--seed", type=int, default=0, show_default=True, help="Determines which patches.")
@as_json
def quantize(run: Path, patches: int, seed: int, as_json: bool) -> int:
    """Convert the network to 8-bit integers for --engine openvino-int8 (extra: int8).

    Ranges of activations come from training patches of the run, whose images must be on this machine. The result is
    kept only where balanced accuracy and calibration error of the test part are no worse than the run's 95 % intervals
    and at most 5 % of its patches get another class; otherwise the exit code is 1. The coverage of prediction sets in
    8 bits is not evaluated.
    """
    from her2core.inference.int8 import quantise_run
    from her2core.runs.folder import open_run

    found = quantise_run(open_run(run), patches=patches, seed=seed)
    names = {"balanced_accuracy": "Balanced accuracy", "ece": "Expected calibration error"}
    lines = [
        f"{names[name]} of {found.test_patches} test patches: {of['float32']:.3f} in float32, {of['int8']:.3f} in "
        f"8 bits (95 % interval of the run {of['lower_95']:.3f} to {of['upper_95']:.3f})"
        for name, of in found.figures.items()
    ]
    apart = found.probabilities
    lines.append(
        f"Difference of a probability to float32: {apart['mean']:.3f} in the mean, {apart['largest']:.2f} at most; "
        f"{apart['changed_class']:.1%} of the patches get another class"
    )
    lines.append(
        "Kept: choose it by --engine openvino-int8."
        if found.offered
        else "Not kept: worse than the run's interval, or too many other classes. Use engine openvino."
    )
    answer(as_json, {**asdict(found), "offered": found.offered, "notice": RESEARCH}, "\n".join([*lines, RESEARCH]))
    return 0 if found.offered else 1


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@as_json
def sets(run: Path, as_json: bool) -> None:
    """Fit the prediction sets again from the run's own validation predictions, by patients.

    Writes them into the model card and evaluation/prediction_sets.csv; nothing is trained. Then: her2 evaluate --save.
    """
    from her2core.evidence.run_sets import refit_run_sets, sets_of_card

    fitted = refit_run_sets(run)
    found = sets_of_card(fitted.card["prediction_sets"], run_classes=fitted.classes)
    lines = [
        f"{fitted.path}: sets of a {unit}: {of.kind}{f'; {of.note}' if of.note else ''}" for unit, of in found.items()
    ]
    value = {"path": str(fitted.path), "prediction_sets": fitted.card["prediction_sets"], "notice": RESEARCH}
    answer(as_json, value, "\n".join([*lines, f"Next: her2 evaluate --save {fitted.path}", RESEARCH]))


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--patches", type=click.IntRange(min=1), default=24, show_default=True, help="Number of test patches.")
@click.option("--seed", type=int, default=0, show_default=True, help="Determines which patches.")
@click.option("--save", is_flag=True, help="Write evaluation/maps.csv into the run, for the app.")
@as_json
def maps(run: Path, patches: int, seed: int, save: bool, as_json: bool) -> None:
    """Evaluate the run's maps.

    Against synthetic truth, by deletion and insertion, by ROAD, and against the maps of random weights.
    """
    from her2core.maps.evaluation import evaluate_maps, save_map_evaluation
    from her2core.runs.folder import open_run

    opened = open_run(run)
    table = evaluate_maps(opened, patches=patches, seed=seed)
    if save:
        save_map_evaluation(opened, table)
    lines = [
        f"{r.method:18}{r.measure:28}{interval(r.value, r.lower_95, r.upper_95)}  {r.note}".rstrip()
        for r in table.itertuples()
    ]
    value = {"run": str(opened.path), "patches": patches, "maps": records(table)}
    answer(as_json, value, "\n".join([*lines, RESEARCH]))
