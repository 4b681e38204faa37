"""The ``her2`` command: words in, answers and exit codes out. 0 done, 1 something you can mend, 2 our fault.

Every command imports what it needs when it runs, so that ``her2 --help`` answers at once.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import click
import yaml

from her2core import __version__
from her2core.errors import ConfigError, Her2Error, ImageError, RunError, SplitError
from her2core.wording import (
    RESEARCH,
    evidence_text,
    manifest_facts,
    manifest_text,
    prediction_text,
    run_text,
    write_answers,
)

MODELS, RUNS = Path("models"), Path("runs")
as_json = click.option("--json", "as_json", is_flag=True, help="Answer as one JSON document.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a field; may be repeated."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="her2core")
def cli() -> None:
    """HER2 status from H&E patches, with evidence that can be checked. Research use only."""


@cli.command()
@as_json
def doctor(as_json: bool) -> int:
    """Check this machine and the released runs; FAIL and WARN say what to do."""
    from her2core.doctor import diagnose

    checks = diagnose(MODELS, RUNS)
    _answer(
        as_json,
        [c.as_dict() for c in checks],
        "\n".join(f"{c.status:4}  {c.name}: {c.found}{'  ->  ' + c.fix if c.fix else ''}" for c in checks),
    )
    return 1 if any(c.status == "FAIL" for c in checks) else 0


@cli.group()
def data() -> None:
    """Import, make, check and split data sets."""


@data.command("import")
@click.argument("importer")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Manifest to write (.parquet or .csv).")
@click.option(
    "--map", "mapping", multiple=True, metavar="COLUMN=YOURS", help="table: a manifest column and yours for it."
)
@set_option
@as_json
def import_(importer: str, root: Path, out: Path, mapping, overrides, as_json: bool) -> None:
    """Read a data set as it comes (folder, table, her2st) and write its manifest."""
    from her2core.data.importers import import_dataset

    options = _pairs(overrides, parse=True)
    if mapping:
        options["columns"] = _pairs(mapping)
    manifest = import_dataset(importer, root, **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    manifest.write(out)
    _answer(as_json, manifest_facts(manifest, out), manifest_text(manifest, out))


@data.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the cohort to.")
@click.option("--patients", default=120, show_default=True)
@click.option("--patches", "patches_per_patient", default=25, show_default=True, help="Patches a patient.")
@click.option("--px", default=128, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=2, show_default=True)
@as_json
def demo(out: Path, as_json: bool, **spec) -> None:
    """Draw the synthetic cohort. Its patches are synthetic and are called so everywhere."""
    from her2core.data.importers import import_dataset

    total = spec["patients"] * spec["patches_per_patient"]
    with click.progressbar(length=total, label="synthetic patches", file=sys.stderr) as bar:
        manifest = import_dataset("demo", out, progress=lambda done, _: bar.update(done - bar.pos), **spec)
    manifest.write(out / "manifest.parquet")
    _answer(
        as_json, manifest_facts(manifest, out / "manifest.parquet"), manifest_text(manifest, out / "manifest.parquet")
    )


@data.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--split", "split_path", type=click.Path(path_type=Path), help="A split table, to look for leaks across it."
)
@click.option("--contents", is_flag=True, help="Read every file, to find the same image under two names.")
@as_json
def check(manifest: Path, split_path: Path | None, contents: bool, as_json: bool) -> int:
    """Coded checks on a manifest; exit 1 when one is an error."""
    from her2core.data.checks import check_manifest
    from her2core.data.files import read_table
    from her2core.data.manifest import read_manifest

    split = read_table(split_path)[0] if split_path else None
    if split is not None and not {"patch_id", "split"} <= set(split):
        raise SplitError(expected="columns patch_id and split", got=", ".join(map(str, split)), where=str(split_path),
                         fix="her2 data split writes such a table.")  # fmt: skip
    findings = check_manifest(read_manifest(manifest), split, contents=contents)
    _answer(as_json, [f.as_dict() for f in findings], "\n".join(map(str, findings)) or "Nothing found.")
    return 1 if any(f.severity == "error" for f in findings) else 0


@data.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--unit", default="patient", show_default=True, help="patient, slide, site, patch_random or predefined.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Split table to write (.parquet).")
@as_json
def split(manifest: Path, unit: str, seed: int, out: Path, as_json: bool) -> None:
    """Deal the patches out to train, val and test (60/20/20), by patient unless told otherwise."""
    from her2core.data.files import write_parquet
    from her2core.data.manifest import read_manifest
    from her2core.data.splits import split_manifest, split_warnings

    if out.suffix != ".parquet":
        raise ConfigError(expected="a name ending in .parquet", got=out.name, where="--out", fix="Choose another name.")
    table = read_manifest(manifest)
    result = split_manifest(table, unit, seed=seed)
    write_parquet(out, result)
    warnings = split_warnings(table, result, unit)
    counts = {k: int(v) for k, v in result["split"].value_counts().items()}
    lines = [f"{out}: " + ", ".join(f"{counts[p]} {p}" for p in ("train", "val", "test")), *warnings]
    _answer(as_json, {"path": str(out), "patches": counts, "warnings": warnings}, "\n".join(lines))


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@set_option
@click.option("--runs", "root", type=click.Path(path_type=Path), default=RUNS, show_default=True)
@click.option("--fresh", is_flag=True, help="Start over instead of resuming the unfinished run of this configuration.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@as_json
def train(config: Path, overrides, root: Path, fresh: bool, quiet: bool, as_json: bool) -> None:
    """Train one network. Killed, it resumes when the same command is given again."""
    from her2core.training.config import load_config
    from her2core.training.fit import train as fit

    run = fit(load_config(config, overrides), root=root, fresh=fresh, progress=not quiet)
    if run is not None:  # helper processes of a run over several devices have nothing to say
        _answer(as_json, {"run": str(run.path), "warnings": list(run.warnings)}, run_text(run))


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--part", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("--resamples", type=click.IntRange(min=100), default=2000, show_default=True)
@click.option("--save", is_flag=True, help="Write the test part's tables into the run folder, for the dashboard.")
@as_json
def evaluate(source: Path, part: str, resamples: int, save: bool, as_json: bool) -> None:
    """Metrics with 95 % intervals that resample patients, for a run folder or any predictions table."""
    from her2core.evidence.evaluation import evaluate as assess
    from her2core.evidence.evaluation import evaluate_folder
    from her2core.runs.folder import open_run

    if save:
        run = open_run(source)
        found, part = evaluate_folder(run.path, run.card, list(run.warnings)), "test"
    else:
        found = assess(source, part=part, resamples=resamples)
    rows = found.metrics.astype(object).where(found.metrics.notna(), None).to_dict("records")
    units = found.units.astype(object).where(found.units.notna(), None).to_dict("records")
    confusion = found.confusion.astype(object).where(found.confusion.notna(), None).to_dict("records")
    value = {"part": part, "metrics": rows, "confusion": confusion, "units": units, "warnings": list(found.warnings),
             "notice": RESEARCH}  # fmt: skip
    _answer(as_json, value, evidence_text(found))


@cli.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@as_json
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Paired differences of two runs tested on the same patches."""
    from her2core.evidence.compare import compare_runs

    result = compare_runs(first, second)
    lines = [f"first: {result.first}", f"second: {result.second} ({result.note})"]
    lines += [
        f"  {r.metric}: {r.first:.3f} and {r.second:.3f}, difference {r.difference:+.3f} "
        f"[{r.low:+.3f}, {r.high:+.3f}]: "
        f"{r.statement}"
        for r in result.table.itertuples()
    ]
    value = {
        "first": result.first,
        "second": result.second,
        "note": result.note,
        "table": result.table.to_dict("records"),
    }
    _answer(as_json, value, "\n".join(lines))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--mpp", type=float, help="Microns per pixel of the images, where known.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the answers as a CSV table.")
@as_json
def predict(run: Path, images: tuple[Path, ...], mpp: float | None, out: Path | None, as_json: bool) -> int:
    """Class probabilities of patches (files or folders); a file that cannot be read is named and the rest go on."""
    from her2core.predict import load_predictor

    files = _image_files(images)
    predictor = load_predictor(run)
    answers = []
    with click.progressbar(length=len(files), label="patches", file=sys.stderr) as bar:
        for start in range(0, len(files), 64):
            batch = files[start : start + 64]
            answers += predictor.predict(batch, names=[str(p) for p in batch], mpp=mpp)
            bar.update(len(batch))
    plain = [a.as_dict() for a in answers]
    if out:
        write_answers(plain, predictor.classes, out)
    _answer(as_json, plain, "\n".join([prediction_text(a) for a in answers] + [RESEARCH]))
    return 1 if any(a.error for a in answers) else 0


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--target", help="Class to map; the predicted one when left out.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Overlay to write (.png).")
@as_json
def explain(run: Path, image: Path, target: str | None, out: Path, as_json: bool) -> None:
    """Where the network looked: the class-activation map laid over the patch, as a PNG."""
    from her2core.data.files import write_via_temporary
    from her2core.data.images import encode_png
    from her2core.maps.overlay import overlay, stamped
    from her2core.predict import load_predictor

    if out.suffix.lower() != ".png":
        raise ConfigError(expected="a name ending in .png", got=out.name, where="--out", fix="Choose another name.")
    predictor = load_predictor(run)
    found = predictor.explain(image, target=target)
    (answer,) = predictor.predict([image])
    picture = stamped(overlay(found.image, found, size=448), f"Grad-CAM for {found.target}. {RESEARCH}")
    write_via_temporary(out, lambda t: t.write_bytes(encode_png(picture)))
    text = f"{out}: Grad-CAM for {found.target}, {found.grid.shape[0]} x {found.grid.shape[1]} cells. {RESEARCH}"
    text += f" Nothing in this patch speaks for {found.target}." if found.empty else ""
    text += "".join(f"\nnote: {note}" for note in answer.notes)
    _answer(
        as_json,
        {
            "path": str(out),
            "target": found.target,
            "grid": found.grid.tolist(),
            "flags": list(answer.flags),
            "usable": answer.usable,
            "notice": RESEARCH,
        },
        text,
    )


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
            raise RunError(expected="a folder of runs", got="no such folder", where=str(root), fix="Check the name.")
    found, problems = list_runs(*(roots or (MODELS, RUNS)))
    value = {"runs": [{"path": str(r.path), "title": r.card.get("title")} for r in found], "problems": problems}
    lines = [f"{r.path}: {r.card.get('title', '')}" for r in found] + [f"not a run: {p}" for p in problems]
    _answer(as_json, value, "\n".join(lines) or "No finished run. her2 train makes one.")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@as_json
def show(run: Path, as_json: bool) -> None:
    """What a run is, on what data, and what it cannot claim."""
    from her2core.runs.folder import open_run

    opened = open_run(run)
    _answer(as_json, {"run": opened.info, "card": opened.card}, run_text(opened))


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder to make, e.g. models/demo.")
@as_json
def export(run: Path, to: Path, as_json: bool) -> None:
    """Copy a finished run under a name of your own; an existing folder is never overwritten."""
    from her2core.runs.export import export_run

    copied = export_run(run, to)
    _answer(as_json, {"path": str(copied.path)}, f"{copied.path} is there.")


@cli.command()
@click.option("--port", default=8501, show_default=True)
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Where to listen; the default is this machine only."
)
def app(port: int, address: str) -> int:
    """Open the dashboard (streamlit run app.py)."""
    import subprocess

    page = Path("app.py")
    if not page.is_file():
        raise ConfigError(expected="app.py in this folder", got="none", where=str(Path.cwd()),
                          fix="Start it in the repository's folder.")  # fmt: skip
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--server.port", str(port)]
    return subprocess.call([*command, "--server.address", address])


def main() -> None:
    """Run the command and leave with its exit code."""
    wants_json = "--json" in sys.argv
    try:
        code = cli.main(standalone_mode=False)
    except Her2Error as refused:
        _fail(wants_json, str(refused), 1, where=refused.where, fix=refused.fix)
    except click.ClickException as misused:
        _fail(wants_json, misused.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail(wants_json, "Stopped.", 1)
    except (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError) as refused:
        _fail(wants_json, f"The system refused: {refused}. Choose a place that can be written.", 1)
    except Exception as broken:
        traceback.print_exc()
        _fail(wants_json, f"This is a fault of her2core, not yours: {type(broken).__name__}: {broken}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(wants_json: bool, message: str, code: int, **parts: Any) -> None:
    click.echo(json.dumps({"error": message, **parts}) if wants_json else f"her2: {message}", err=not wants_json)
    sys.exit(code)


def _answer(wants_json: bool, value: Any, text: str) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, default=str) if wants_json else text)


def _pairs(words, *, parse: bool = False) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(expected="NAME=VALUE", got=repr(word), where="options", fix="Put an equals sign between.")
        try:
            pairs[name] = yaml.safe_load(value) if parse else value
        except yaml.YAMLError:
            raise ConfigError(
                expected="a YAML value", got=repr(value), where=name, fix="Quote it, or close its brackets."
            ) from None
    return pairs


def _image_files(paths: tuple[Path, ...]) -> list[Path]:
    from her2core.data.images import SUFFIXES

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            files.append(path)
    if not files:
        raise ImageError(expected="at least one image", got="none", where=", ".join(map(str, paths)),
                         fix=f"Name files or a folder with {', '.join(SUFFIXES)}.")  # fmt: skip
    return files


if __name__ == "__main__":
    main()
