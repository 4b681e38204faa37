"""Steps of the command-line tests: strict JSON, and copies of a run with changes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from her2core.data.synthetic import CohortSpec

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


def strict_json(text: str):
    """One JSON document and nothing else; NaN and Infinity are no JSON."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def copy_of(run, target: Path, **changes: str | bytes) -> Path:
    """A run that shares its files with the fixture's, but for those in ``changes`` (with __ for a dot)."""
    shutil.copytree(run.path, target, copy_function=os.link)
    for name, content in changes.items():
        file = target / name.replace("__", ".")
        file.unlink()
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def relabelled(run, target: Path, change) -> Path:
    """A copy of a run in which ``change`` was applied to the table of predictions."""
    copy = copy_of(run, target)
    frame = change(run.predictions.copy())
    (copy / "predictions.parquet").unlink()
    frame.to_parquet(copy / "predictions.parquet", index=False)
    return copy
