"""``her2 distill``: a student taught by a pretrained teacher, without labels."""

from __future__ import annotations

import json
from pathlib import Path

import click

from her2core.cli.base import answer, as_json, cli, set_option
from her2core.notice import RESEARCH


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@set_option
@click.option("--name", help="Name of the folder of weights; short for --set name=NAME.")
@click.option(
    "--weights",
    "root",
    type=click.Path(path_type=Path),
    default=Path("weights"),
    show_default=True,
    help="Folder in which the folder of weights is created.",
)
@click.option("--fresh", is_flag=True, help="Start over instead of resuming the unfinished one.")
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
@as_json
def distill(
    config: Path, overrides: tuple[str, ...], name: str | None, root: Path, fresh: bool, quiet: bool, as_json: bool
) -> None:
    """Teach a network the features of a pretrained one, on patches without labels.

    CONFIG is a YAML file; the result is a folder of first weights for her2 train (network.init: run:FOLDER). An
    interrupted distillation resumes with the same command.
    """
    from her2core.io.documents import parse_json
    from her2core.training.distil_config import load_distillation
    from her2core.training.distillation import distill as teach
    from her2core.training.interrupts import Interrupted, exit_by_signal

    if name is not None:
        overrides = (*overrides, f"name={json.dumps(name)}")
    try:
        with exit_by_signal():
            folder = teach(load_distillation(config, overrides), root=root, fresh=fresh, progress=not quiet)
    except Interrupted:
        click.echo("Stopped by a signal. The same command resumes the distillation.", err=True)
        raise
    if folder is None:  # a helper process of several devices
        return
    card = parse_json((folder / "model.card.json").read_bytes())
    patches = card["data"]["patches"]
    value = {
        "weights": str(folder),
        "title": card["title"],
        "patches": patches,
        "labels": card["labels"],
        "limits": card["limits"],
        "notice": RESEARCH,
    }
    lines = [
        card["title"],
        f"{patches['train']} patches taught on, {patches['val']} held out, {patches['left out']} left out; labels: "
        + card["labels"],
        *(f"limit: {said}" for said in card["limits"]),
        f"First weights of a training: network.init: run:{folder}",
        RESEARCH,
    ]
    answer(as_json, value, "\n".join(lines))
