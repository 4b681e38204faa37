"""How does a run get a name of its own? A finished run in; a checked copy elsewhere, renamed into place, out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from her2core.errors import RunError, WeightsError
from her2core.io.files import sha256_file, write_json
from her2core.runs.folder import SERVING, WEIGHTS, Run, open_run


def export_run(source: str | os.PathLike, target: str | os.PathLike, *, weights: bool = True) -> Run:
    """Copy a finished run to ``target``, weights verified first; ``weights=False`` leaves out what only serving
    needs, and says so.

    Raises RunError when ``target`` is there already, WeightsError when the weights are not those of the card.
    """
    run, target = open_run(source), Path(target)
    if target.exists():
        raise RunError(
            "a folder that does not exist yet", got="one that does", where=str(target), fix="Choose another name."
        )
    if run.has_weights and sha256_file(run.path / WEIGHTS) != run.card["weights_sha256"]:
        raise WeightsError(
            "the weights that the card names",
            got="other bytes",
            where=str(run.path / WEIGHTS),
            fix="Take the run again from its source.",
        )
    if target.resolve().is_relative_to(run.path.resolve()):
        raise RunError("a folder outside the run", got="one inside it", where=str(target), fix="Choose another place.")
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(run.path, part, ignore=None if weights else shutil.ignore_patterns(*SERVING))
        if not weights:
            write_json(part / "run.json", {**run.info, "weights_released": False})
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_run(target)
