"""``her2 tile`` and ``her2 slide``: whole slides to tiles, and to predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from her2core.cli.base import LazyChoice, answer, as_json, cli, engine_option
from her2core.cli.workers import work_on, worker_options
from her2core.errors import ConfigError
from her2core.extras import require_extra
from her2core.notice import RESEARCH

if TYPE_CHECKING:
    from her2core.slide.jobs import SlideJob
    from her2core.slide.result import UnitPrediction
    from her2core.slide.work import Outcome

_EDGES = ("shift", "drop", "keep")


def _slide_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name slides, their scale and their regions."""
    for option in (
        click.option("--mpp", help="Microns per pixel of the slides, or an objective (40x, 20x, 10x, 5x)."),
        click.option(
            "--table",
            type=click.Path(path_type=Path),
            help="Table of slides: slide (file name), and any of slide_id, patient_id, mpp, regions, label, site, ...",
        ),
        click.option(
            "--regions",
            type=click.Path(path_type=Path),
            help="Annotations (Aperio XML, BCNB JSON, QuPath GeoJSON): a file, or a folder with one for each slide.",
        ),
        click.option(
            "--edge", type=click.Choice(_EDGES), default="shift", show_default=True, help="Last tile of a row."
        ),
        click.option(
            "--overlap", type=click.FloatRange(0, 0.9), default=0.0, show_default=True, help="Share of a tile's side."
        ),
        click.option(
            "--min-tissue", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Share of a tile."
        ),
        click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="That read slides."),
    ):
        command = option(command)
    return worker_options(command)


@cli.command()
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--px", type=click.IntRange(8, 4096), default=224, show_default=True, help="Side of a tile in pixels.")
@click.option("--tile-mpp", default="0.5", show_default=True, help="Microns per pixel of the tiles, or an objective.")
@click.option(
    "--stain",
    type=click.Choice(("none", "slide")),
    default="none",
    show_default=True,
    help="slide: normalise by one Macenko estimate for each slide. Training normalises tiles itself.",
)
@click.option(
    "--keep-all", is_flag=True, help="Keep tiles that are nearly empty, inked, blurred or no H&E at full size."
)
@click.option("--shard", is_flag=True, help="One tar file of tiles a slide (as WebDataset), instead of a file a tile.")
@click.option("--scheme", help="Label scheme of the table's labels; recognised when left out.")
@_slide_options
@as_json
def tile(
    slides: tuple[Path, ...],
    out: Path,
    px: int,
    tile_mpp: str,
    stain: str,
    keep_all: bool,
    shard: bool,
    scheme: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Cut whole slides into tiles of an exact scale.

    SLIDES are slides, plain images, folders, or a manifest of slides (her2 data import). Each slide gets a folder with
    its tiles, its drop audit (slide.json) and a contact sheet; the same command goes on where it stopped and skips what
    is there. With labels in the table or manifest the tiles of all slides become manifest.parquet, for training and
    evaluation; otherwise tiles.parquet. A slide that cannot be used is named in failed.csv, the others are cut, and the
    exit code is 1.
    """
    from her2core.io.scale import parse_mpp
    from her2core.labels import get_scheme
    from her2core.slide.jobs import manifests_origin
    from her2core.slide.plan import TileGrid
    from her2core.slide.tiling import TileSettings, collect_tiles, tile_slide
    from her2core.slide.work import slide_folder

    scale = parse_mpp(tile_mpp)
    known = None if scheme is None else get_scheme(scheme)
    settings = TileSettings(px, scale, TileGrid(px * scale, **_grid(px * scale, options)), stain, not keep_all, shard)
    jobs, left_out, out = _jobs(slides, out, options)
    work = partial(tile_slide, settings=settings, out=out, threads=options["threads"])
    done, counts, code = work_on(
        out, jobs, work, alone=lambda job, bar: work(job, progress=bar), line=_line, **_shared(options)
    )
    said: dict[str, Any] = {"slides": len(done), "failed": counts["failed"], "left_out": left_out, "run": counts}
    lines = [*(f"left out: {sentence}" for sentence in left_out)]
    if done:
        of_data, facts = manifests_origin(slides)
        folders = [slide_folder(out, job) for job in done]
        path, manifest = collect_tiles(out, folders, scheme=known or of_data, facts=facts)
        total = counts["tiles"]
        said |= {"path": str(path), "tiles": total, "labelled": manifest is not None}
        lines.append(f"{path}: {total:,} tiles of {len(done):,} slides, {px} px at {scale:g} microns per pixel")
        if manifest is None:
            bare = [job.slide_id for job in done if not {"label", "her2_ihc"} & set(job.facts)]
            which = "without labels" if len(bare) == len(done) else f"slides without label: {', '.join(bare[:5])}"
            lines.append(f"{which}: state them in a table (--table, columns slide and label) to train on the tiles")
    answer(as_json, said, "\n".join([*lines, *_failures(out, counts), counts["summary"], RESEARCH]))
    return code


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--field-um", type=float, help="Side of a tile in microns; that of the run's patches by default.")
@click.option(
    "--rule",
    type=LazyChoice(lambda: tuple(_rules())),
    help="Aggregates tiles to slides and patients; that of the run's evaluation by default.",
)
@click.option("--batch", type=click.IntRange(1, 1024), default=16, show_default=True, help="Tiles a forward pass.")
@click.option("--dicom", is_flag=True, help="Write heatmap.dcm too: a DICOM Parametric Map (extra dicom).")
@engine_option
@_slide_options
@as_json
def slide(
    run: Path,
    slides: tuple[Path, ...],
    out: Path,
    field_um: float | None,
    rule: str | None,
    batch: int,
    dicom: bool,
    engine: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Predict whole slides tile by tile.

    SLIDES are slides, plain images, folders, or a manifest of slides. Each slide gets a folder with the table of its
    tiles (Parquet), GeoJSON for QuPath, the heatmap as picture and OME-TIFF pyramid, and its answer (slide.json);
    slides.csv and patients.csv have all answers. The same command goes on where it stopped. A slide that cannot be used
    is named in failed.csv, the others are predicted, and the exit code is 1.
    """
    import pandas as pd

    from her2core.evidence.reservation import reservation
    from her2core.inference.predictor import load_predictor
    from her2core.io.files import write_csv
    from her2core.io.periodic import PeriodicWrite
    from her2core.slide.plan import TileGrid
    from her2core.slide.predict import SlideSettings, patient_predictions, predict_slide, slide_grid
    from her2core.slide.prediction_work import PredictionWork
    from her2core.slide.result import from_dict
    from her2core.slide.work import slide_folder

    if dicom:
        require_extra("dicom", "highdicom")
    predictor = load_predictor(run, engine=engine)
    doubt = reservation(predictor.run)
    side = slide_grid(predictor, field_um).tile_um
    settings = SlideSettings(TileGrid(side, **_grid(side, options)), rule, batch, options["threads"], dicom)
    jobs, left_out, out = _jobs(slides, out, options)
    position = {job.slide_id: number for number, job in enumerate(jobs)}
    answered: dict[int, UnitPrediction] = {}
    failed: dict[str, str] = {}

    def answers() -> list[UnitPrediction]:
        return [answered[number] for number in sorted(answered)]

    table = PeriodicWrite(lambda: write_csv(out / "slides.csv", pd.DataFrame([a.row() for a in answers()])))

    def each(outcome: Outcome) -> None:
        if outcome.error:
            failed[outcome.job.slide_id] = outcome.error
            return
        answered[position[outcome.job.slide_id]] = from_dict(outcome.about["prediction"])
        table.changed()

    done, counts, code = work_on(
        out,
        jobs,
        PredictionWork(run.absolute() if options["cluster"] else run, engine, settings, out),
        alone=lambda job, bar: predict_slide(predictor, job, out, settings, progress=bar),
        line=_line,
        each=each,
        **_shared(options),
    )
    table.finish()
    lost = Counter(job.patient_id for job in jobs if job.slide_id in failed)
    patients = [
        replace(p, notes=(*p.notes, f"without {lost[p.name]} of their slides, which failed")) if lost[p.name] else p
        for p in patient_predictions(predictor, [slide_folder(out, job) for job in done], rule=rule)
    ]
    for name, found in (("slides.csv", answers()), ("patients.csv", patients)):
        if not found:  # of an earlier run, perhaps of another model
            (out / name).unlink(missing_ok=True)
    if patients:
        write_csv(out / "patients.csv", pd.DataFrame([p.row() for p in patients]))
    lines = [*(f"left out: {sentence}" for sentence in left_out), *map(_unit_line, [*answers(), *patients])]
    said = {
        "slides": [a.as_dict() for a in answers()],
        "patients": [p.as_dict() for p in patients],
        "failed": {job.slide_id: failed[job.slide_id] for job in jobs if job.slide_id in failed},
        "left_out": left_out,
        "run": counts,
        "accuracy": doubt,
    }
    answer(as_json, said, "\n".join([doubt, *lines, *_failures(out, counts), counts["summary"], RESEARCH]))
    return code


def _rules() -> list[str]:
    from her2core.evidence.aggregation_rules import RULES

    return list(RULES)


def _unit_line(found: UnitPrediction) -> str:
    """An answer as a line."""
    start = f"{found.unit} {found.name}: {found.answer}"
    numbers = []
    for i, name in enumerate(found.classes if found.probabilities else ()):
        bounds = f" [{found.lower[i]:.3f}, {found.upper[i]:.3f}]" if found.lower else ""
        numbers.append(f"{name} {found.probabilities[i]:.3f}{bounds}")
    said = [f"{found.counted:,} of {found.tiles:,} tiles count", *found.reasons, *found.notes]
    return f"{start}{' (' + ', '.join(numbers) + ')' if numbers else ''}; {'; '.join(said)}"


def _grid(tile_um: float, options: dict[str, Any]) -> dict[str, Any]:
    """Fields of a ``TileGrid`` from the options."""
    stride = tile_um * (1 - options["overlap"]) if options["overlap"] else None
    return {"stride_um": stride, "edge": options["edge"], "min_tissue": options["min_tissue"]}


def _shared(options: dict[str, Any]) -> dict[str, Any]:
    return {"workers": options["workers"], "cluster": options["cluster"]}


def _failures(out: Path, counts: dict[str, Any]) -> list[str]:
    return [f"{out / 'failed.csv'}: {counts['failed']:,} slides failed"] if counts["failed"] else []


def _jobs(slides: tuple[Path, ...], out: Path, options: dict[str, Any]) -> tuple[list[SlideJob], list[str], Path]:
    """Slides, what was left out of folders, and the folder to write to; absolute paths for a cluster."""
    from her2core.io.files import refuse_inputs
    from her2core.io.scale import parse_mpp
    from her2core.slide.jobs import absolute, slide_jobs
    from her2core.slide.work import TABLES

    for name in TABLES:
        refuse_inputs(out / name, *slides, options["table"])
    mpp = None if options["mpp"] is None else parse_mpp(options["mpp"])
    if options["regions"] is not None and not options["regions"].exists():
        raise ConfigError("a file or folder", got="none", where="--regions", fix="Check the name.")
    jobs, left_out = slide_jobs(slides, table=options["table"], mpp=mpp, regions=options["regions"])
    if options["cluster"]:
        return [absolute(job) for job in jobs], left_out, out.absolute()
    return jobs, left_out, out


def _line(outcome: Outcome) -> str:
    if outcome.error:
        return f"{outcome.job.slide_id}: failed. {outcome.error}"
    about = outcome.about
    steps = ", ".join(f"{row['left_out']:,} {row['reason']}" for row in about["audit"] if row["left_out"])
    notes = "".join(f"\n{outcome.job.slide_id}: note: {note}" for note in about["notes"])
    before = " (done before)" if outcome.reused else ""
    return (
        f"{outcome.job.slide_id}: {about['tiles']:,} of {about['audit'][0]['remaining']:,} tiles{before}"
        + (f"; left out: {steps}" if steps else "")
        + notes
    )
