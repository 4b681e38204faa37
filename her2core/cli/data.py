"""``her2 data``: import, generate, check and split data sets."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from her2core.cli.base import answer, as_json, cli, pairs
from her2core.cli.text import manifest_facts, manifest_text
from her2core.data.split_units import PARTS, UNIT_NAMES, Unit
from her2core.errors import ConfigError, SplitError
from her2core.io.text import printable_path


@cli.group()
def data() -> None:
    """Import, generate, check and split data sets."""


def _list_options(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the importers' options and leave; they are looked up only then, so that the help stays fast."""
    if not asked or ctx.resilient_parsing:
        return
    from her2core.data.importers import IMPORTERS, importer_options

    formatter = ctx.make_formatter()
    for name in IMPORTERS:
        rows = [(f"{own}=", text) for own, text in importer_options(name).items() if own not in _BY_OPTION]
        with formatter.section(f"--set for {name}"):
            formatter.write_dl(rows)
    click.echo(formatter.getvalue().rstrip())
    ctx.exit()


#: Options of importers that have an option of the command, or are not for it.
_BY_OPTION = ("columns", "progress")


@data.command("import")
@click.argument("importer")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Manifest to write (.parquet or .csv).")
@click.option("--map", "mapping", multiple=True, metavar="COLUMN=YOURS", help="For table: manifest column and yours.")
@click.option(
    "--images", type=click.Path(path_type=Path), help="For table: folder of its relative paths; its own by default."
)
@click.option(
    "--allow-missing",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Accept up to N image files that are missing or empty. Images are not decoded: her2 data check --contents.",
)
@click.option(
    "--findings",
    type=click.Path(path_type=Path),
    help="Table of conflicts, missing files and cases without label (.csv); beside the manifest by default.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the importer (--options); may be repeated.",
)
@click.option(
    "--options",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_options,
    help="List what --set takes for each importer, and exit.",
)
@as_json
def import_(
    importer: str,
    root: Path,
    out: Path,
    mapping: tuple[str, ...],
    images: Path | None,
    allow_missing: int,
    findings: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Read a data set and write its manifest.

    IMPORTER is folder or table for your own data, or the public data set: her2st, tcga_brca, warwick, bci, herohe,
    yale, bcnb or mist. ROOT is the folder or file to read. Licence, terms and what the data rule out are printed;
    conflicts, missing files and cases without label go to a table. Images that a row names and that do not exist or are
    empty are counted, and refused beyond --allow-missing.
    """
    from her2core.data.importers import import_dataset
    from her2core.io.files import write_csv

    options: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in pairs(overrides, parse=True).items()
    }
    if mapping:
        options["columns"] = pairs(mapping)
    if images is not None:
        options["images"] = images if importer == "table" else str(images)
    place = findings or out.with_suffix(".findings.csv")
    _check_places(out, place)
    _refuse_others(out, place, root)
    manifest = import_dataset(importer, root, **{"allow_missing": allow_missing, **options})
    facts, text = manifest_facts(manifest, out), manifest_text(manifest, out)
    if len(manifest.findings) or findings or place.exists():  # an earlier import's table would be mistaken for this one
        write_csv(place, manifest.findings)
        facts["findings"] = str(place)
        text += f"\n  findings: {len(manifest.findings):,} rows in {place}"
    manifest.write(out)
    answer(as_json, facts, text)


def _refuse_others(out: Path, findings: Path, root: Path) -> None:
    """Refuse to replace files that are no earlier import's: tables of the data set may have the same names."""
    from her2core.data.manifest import FINDING_COLUMNS
    from her2core.data.manifest_files import is_manifest
    from her2core.io.files import refuse_inputs

    refuse_inputs(out, root)
    other = [] if not out.is_file() or is_manifest(out) else [("--out", out)]
    if findings.is_file():
        with findings.open(encoding="utf-8-sig", errors="replace") as file:
            if file.readline(1000).strip() != ",".join(FINDING_COLUMNS):
                other.append(("--findings", findings))
    for option, path in other:
        raise ConfigError(
            "a new name, or that of an earlier import",
            got="a file of something else",
            where=f"{option} {printable_path(path)}",
            fix="Choose another name: nothing was written.",
        )


def _check_places(out: Path, findings: Path) -> None:
    """Refuse places that cannot be written before a long import, so that none is left with half of its files."""
    from her2core.io.files import check_replaceable

    for path, option, endings in ((out, "--out", (".parquet", ".csv")), (findings, "--findings", (".csv",))):
        if path.suffix not in endings:
            raise ConfigError(
                f"a name ending in {' or '.join(endings)}", got=path.name, where=option, fix="Choose another name."
            )
        check_replaceable(path)
        if path.is_dir():
            raise ConfigError("the name of a file", got="a folder", where=f"{option} {path}", fix="Add a file name.")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise ConfigError("a folder", got="a file", where=f"{option} {above}", fix="Choose another place.")
        try:
            tempfile.TemporaryFile(dir=above).close()
        except OSError as refused:
            raise OSError(refused.errno, refused.strerror, str(above)) from None
    if out.resolve() == findings.resolve():
        raise ConfigError(
            "two different files", got=str(out), where="--out and --findings", fix="Choose another name for one."
        )


@data.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the cohort to.")
@click.option("--patients", default=120, show_default=True, help="Number of patients.")
@click.option("--patches", "patches_per_patient", default=25, show_default=True, help="Patches of each patient.")
@click.option("--px", default=128, show_default=True, help="Side of a patch in pixels.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same pixels.")
@click.option("--sites", default=2, show_default=True, help="Sites, each with its own stain; a split by site needs 3.")
@click.option("--class-effect", default=1.0, show_default=True, help="How much the classes differ; 0: not at all.")
@click.option("--workers", default=2, show_default=True, help="Processes that render patches.")
@as_json
def demo(out: Path, as_json: bool, **spec: Any) -> None:
    """Generate the synthetic cohort; its patches are marked as synthetic everywhere."""
    from her2core.data.importers import import_dataset

    total = spec["patients"] * spec["patches_per_patient"]
    with click.progressbar(length=total, label="synthetic patches", file=sys.stderr) as bar:
        manifest = import_dataset("demo", out, progress=lambda done, _: bar.update(done - bar.pos), **spec)
    manifest.write(out / "manifest.parquet")
    answer(
        as_json, manifest_facts(manifest, out / "manifest.parquet"), manifest_text(manifest, out / "manifest.parquet")
    )


@data.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--split",
    "split_path",
    type=click.Path(path_type=Path),
    help="Split table to check for leakage; by default the manifest's own column split, if it has one.",
)
@click.option(
    "--contents",
    is_flag=True,
    help="Read every image: identical images, near-duplicates, classes predictable from colour.",
)
@click.option(
    "--half-width",
    type=float,
    metavar="PROPORTION",
    help="Half-width wanted of each class's 95 % interval, such as 0.1.",
)
@as_json
def check(manifest: Path, split_path: Path | None, contents: bool, half_width: float | None, as_json: bool) -> int:
    """Check whether a data set supports the claims made from it.

    The exit code is 1 when a finding is an error.
    """
    from her2core.data.checks import check_manifest, patients_for_half_width
    from her2core.data.manifest import read_manifest
    from her2core.io.tables import read_table

    needed = None if half_width is None else patients_for_half_width(half_width)
    split = read_table(split_path).frame if split_path else None
    if split is not None and not {"patch_id", "split"} <= set(split):
        raise SplitError(
            "columns patch_id and split",
            got=", ".join(map(str, split)),
            where=str(split_path),
            fix="her2 data split writes such a table.",
        )
    table = read_manifest(manifest)
    if split is None and "split" in table.frame and table.frame["split"].isin(PARTS).all():
        split = table.frame[["patch_id", "split"]]
    with click.progressbar(length=len(table), label="patches read", file=sys.stderr, hidden=not contents) as bar:
        report = check_manifest(
            table, split, contents=contents, half_width=half_width, progress=lambda done, _: bar.update(done - bar.pos)
        )
    text = report.text()
    if needed is not None:
        text += f"\nA half-width of {half_width:g} needs {needed} tested patients of each class (Wilson, 95 %)."
    answer(as_json, report.as_dicts(), text)
    return 1 if report.errors else 0


@data.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--unit", type=click.Choice(UNIT_NAMES), default="patient", show_default=True, help="What stays together."
)
@click.option("--seed", default=0, show_default=True, help="Determines which of the possible splits.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Split table to write (.parquet).")
@as_json
def split(manifest: Path, unit: Unit, seed: int, out: Path, as_json: bool) -> None:
    """Split the patches into train, val and test (60/20/20), by patient by default."""
    from her2core.data.manifest import read_manifest
    from her2core.data.splits import split_manifest, split_warnings
    from her2core.io.files import refuse_inputs, write_parquet

    if out.suffix != ".parquet":
        raise ConfigError("a name ending in .parquet", got=out.name, where="--out", fix="Choose another name.")
    refuse_inputs(out, manifest)
    table = read_manifest(manifest)
    result = split_manifest(table, unit, seed=seed)
    write_parquet(out, result)
    warnings = split_warnings(table, result, unit)
    counts = {k: int(v) for k, v in result["split"].value_counts().items()}
    lines = [f"{out}: " + ", ".join(f"{counts[p]} {p}" for p in ("train", "val", "test")), *warnings]
    answer(as_json, {"path": str(out), "patches": counts, "warnings": warnings}, "\n".join(lines))
