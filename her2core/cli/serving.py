"""``her2 predict``, ``explain``, ``app`` and ``doctor``: use of a finished run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from her2core.cli.base import MODELS, RUNS, answer, as_json, cli, engine_option
from her2core.cli.text import prediction_text
from her2core.errors import ConfigError, RunError
from her2core.notice import RESEARCH


@cli.command()
@as_json
def doctor(as_json: bool) -> int:
    """Check this machine and the released runs.

    Every FAIL and WARN comes with a fix; the exit code is 1 when something failed.
    """
    from her2core.doctor import diagnose

    checks = diagnose(MODELS, RUNS)
    answer(
        as_json,
        [c.as_dict() for c in checks],
        "\n".join(f"{c.status:4}  {c.name}: {c.found}{'  ->  ' + c.fix if c.fix else ''}" for c in checks),
    )
    return 1 if any(c.status == "FAIL" for c in checks) else 0


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--mpp", help="Microns per pixel, or an objective (40x, 20x, 10x, 5x); each file's own by default.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the predictions to this CSV file.")
@click.option(
    "--heatmaps",
    type=click.Path(path_type=Path),
    help="Also write the heatmap (PNG) and the tiles (CSV) of each field into this folder.",
)
@engine_option
@as_json
def predict(
    run: Path,
    images: tuple[Path, ...],
    mpp: str | None,
    out: Path | None,
    heatmaps: Path | None,
    engine: str | None,
    as_json: bool,
) -> int:
    """Predict class probabilities of patches and fields.

    IMAGES are files, zips or folders. An image larger than one and a half fields of view of the training patches is
    predicted tile by tile where its microns per pixel are known. A file that cannot be read is named, the others are
    predicted, and the exit code is 1.
    """
    from itertools import islice

    from her2core.cli.field_files import FieldFiles
    from her2core.cli.predicting import STEP, AnswerFile, Sources, answer_row, predictions
    from her2core.evidence.reservation import reservation
    from her2core.inference.field import FieldPrediction
    from her2core.inference.predictor import load_predictor
    from her2core.io.scale import parse_mpp

    fields = FieldFiles(heatmaps)
    scale = None if mpp is None else parse_mpp(mpp)
    sources = Sources(images)
    predictor = load_predictor(run, engine=engine)
    click.echo(reservation(predictor.run), err=as_json)
    patches = iter(sources)
    plain, lines, failed = [], [], False
    with AnswerFile(out) as file, click.progressbar(length=len(sources), label="patches", file=sys.stderr) as bar:
        while chunk := list(islice(patches, STEP)):
            found = predictions(predictor, chunk, mpp=scale)
            answers = [a.as_dict() for a, _ in found]
            file.add([answer_row(a, notes, predictor.classes) for a, (_, notes) in zip(answers, found, strict=True)])
            plain += [{**a, "notes": [*notes, *kept.notes]} for a, (kept, notes) in zip(answers, found, strict=True)]
            lines += [prediction_text(a, notes) for a, notes in found]
            failed = failed or any(a.get("error") for a in answers)
            for patch, (kept, _) in zip(chunk, found, strict=True):
                if isinstance(kept, FieldPrediction) and patch.source is not None:
                    fields.add(kept, patch.source)
            bar.update(len(chunk))
    left_out = [f"left out: {sentence}" for sentence in sources.left_out]
    beside = [*left_out, *(f"note: {sentence}" for sentence in sources.notes), *fields.lines]
    if as_json and beside:
        click.echo("\n".join(beside), err=True)
    answer(as_json, plain, "\n".join([*lines, *beside, RESEARCH]))
    return 1 if failed else 0


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--target", help="Class to explain; the most probable one by default.")
@click.option("--method", default="gradcam", show_default=True, help="Map method: gradcam, layercam, ...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Overlay to write (.png).")
@engine_option
@as_json
def explain(
    run: Path, image: Path, target: str | None, method: str, out: Path, engine: str | None, as_json: bool
) -> None:
    """Draw a class-activation map over a patch.

    Where the patch has no reliable answer the map shows raw output of the network, and the text says so.
    """
    import numpy as np

    from her2core.evidence.reservation import reservation
    from her2core.inference.predictor import load_predictor
    from her2core.io.files import write_via_temporary
    from her2core.io.images import encode_png
    from her2core.maps.methods import find_method
    from her2core.maps.overlay import overlay, with_caption

    if out.suffix.lower() != ".png":
        raise ConfigError("a name ending in .png", got=out.name, where="--out", fix="Choose another name.")
    predictor = load_predictor(run, engine=engine)
    label = find_method(method).label
    analysis = predictor.analyse(image)
    prediction, found = analysis.prediction, analysis.class_map(target, method=method)
    picture = with_caption(overlay(np.asarray(found.image), found, size=448), f"{label} for {found.target}. {RESEARCH}")
    write_via_temporary(out, lambda t: t.write_bytes(encode_png(picture)))
    doubt = reservation(predictor.run)
    text = (
        f"{doubt}\n{out}: {label} for {found.target}, {found.grid.shape[0]} x {found.grid.shape[1]} cells. {RESEARCH}"
    )
    text += f" Nothing in this patch supports {found.target}." if found.empty else ""
    text += "".join(f"\nnote: {note}" for note in prediction.notes if note not in prediction.reasons)
    if not prediction.reliable:
        text += f"\n{prediction.answer}: {'; '.join(prediction.reasons)}"
    answer(
        as_json,
        {
            "path": str(out),
            "target": found.target,
            "method": found.method,
            "grid": found.grid.tolist(),
            "flags": list(prediction.flags),
            "answer": prediction.answer,
            "reliable": prediction.reliable,
            "reasons": prediction.reasons,
            "usable": prediction.usable,
            "engine": prediction.engine,
            "accuracy": doubt,
            "notice": RESEARCH,
        },
        text,
    )


@cli.command()
@click.option(
    "--runs",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of runs to show; may be repeated. Default: HER2_RUNS, or models and runs.",
)
@click.option("--port", default=8501, show_default=True, help="Port to listen on.")
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Address to listen on; the default is this machine only."
)
@as_json
def app(roots: tuple[Path, ...], port: int, address: str, as_json: bool) -> int:
    """Start the app in the browser.

    Runs are those of --runs, of the variable HER2_RUNS (folders separated as in PATH), or below models and runs: in a
    checkout its own, otherwise of the current folder.
    """
    import subprocess

    from her2core.extras import require_extra
    from her2core.locations import RUNS_VARIABLE, app_folder, run_folders

    require_extra("app", "streamlit", "plotly", "jinja2", "typst")
    for root in roots:
        if not root.is_dir():
            raise RunError("a folder of runs", got="no such folder", where=root, fix="Check the name.")
    page = app_folder() / "app.py"
    folders = [root.absolute() for root in roots] or list(run_folders())
    environment = {**os.environ, RUNS_VARIABLE: os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-m", "streamlit", "run", str(page), "--server.port", str(port)]
    if as_json:
        answer(True, {"url": f"http://{address}:{port}", "app": str(page), "runs": [str(f) for f in folders]}, "")
    command += ["--server.address", address]
    if os.name == "nt":
        return subprocess.call(command, env=environment)
    os.execve(sys.executable, command, environment)  # the server gets the signals sent to this process
