"""Comparison of this run's test part with the patients that an earlier run, from which it starts, was trained on.

First weights of an earlier run (``network.init: run:<folder>``) have seen that run's training patches, and its
validation patches selected them. A patient of both is no new patient to the network, whatever this run's own split
says. Distilled weights have seen patches too, without their labels. The earlier run may itself have started from
another, so the chain is followed as far as the folders are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from her2core.data.manifest import UNKNOWN, Manifest
from her2core.errors import Her2Error
from her2core.runs.files import read_run_json, read_run_table
from her2core.runs.folder import DISTILLED, PATCHES, WEIGHTS, open_run
from her2core.training.distil_patches import LEFT_OUT

#: How distilled weights have seen their patches.
UNLABELLED = "(unlabelled) training"
#: Runs that started from runs that started from runs ...
_DEPTH = 8
_CANNOT = (
    "The patients that the first weights ({init}) were trained on are not known: overlap with this test part cannot be "
    "checked."
)


def start_warnings(init: str, manifest: Manifest, split: pd.DataFrame) -> list[str]:
    """Compare the test part with what the first weights were trained on.

    Parameters
    ----------
    init : str
        ``network.init``; only runs are compared.
    manifest : Manifest
        All patches of this run.
    split : DataFrame
        Columns patch_id and split.

    Returns
    -------
    list of str
        Limits that every figure of this run must state; empty for other first weights, and where no patient and no
        patch of the test part is among the earlier run's.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": ["a", "b"], "label": ["x", "y"], "patient_id": ["SYN-0001", "own"]})
    >>> manifest = build_manifest(table, root=".")
    >>> split = pd.DataFrame({"patch_id": manifest.frame["patch_id"], "split": "test"})
    >>> start_warnings("none", manifest, split)
    []
    >>> start_warnings("run:models/demo", manifest, split)[0][:57]  # models/demo started from models/tissue12
    'The patients that the first weights (run:models/tissue12)'
    """
    test = manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", "")).query("split == 'test'")
    warnings: list[str] = []
    followed: set[Path] = set()
    for _ in range(_DEPTH):
        folder = _folder(init)
        if folder is None or folder.resolve() in followed:
            break
        followed.add(folder.resolve())
        try:
            seen, before = _taught(folder) if (folder / DISTILLED).is_file() else _trained(folder)
        except (Her2Error, KeyError, TypeError):  # weights alone, or a damaged folder
            warnings.append(_CANNOT.format(init=init))
            break
        warnings += _overlap(seen, init, manifest, test)
        init = before
    return warnings


@dataclass(frozen=True)
class _Seen:
    """Patches that first weights have seen: columns patch_id, patient_id, source; whether they are drawn; how."""

    rows: pd.DataFrame
    synthetic: bool
    how: str = "training"


def _trained(folder: Path) -> tuple[_Seen, str]:
    """What an earlier run has seen, and its own first weights."""
    run = open_run(folder)
    facts = run.card["data"].get("facts")
    synthetic = bool(facts.get("synthetic")) if isinstance(facts, dict) else False
    seen = run.dataset if run.trained_on_evaluated else run.dataset.query("split != 'test'")
    return _Seen(seen, synthetic), str(run.card["network"].get("init", "none"))


def _taught(folder: Path) -> tuple[_Seen, str]:
    """What a distilled student has seen without labels, and its own first weights."""
    rows = read_run_table(folder, PATCHES)
    rows = rows[rows["part"] != LEFT_OUT]
    network = read_run_json(folder, "model.card.json")["network"]
    return _Seen(rows, bool(rows["synthetic"].all()), UNLABELLED), str(network.get("init", "none"))


def _folder(init: str) -> Path | None:
    kind, _, value = init.partition(":")
    if (
        kind == "file"
        and Path(value).name == WEIGHTS
        and any((Path(value).parent / name).is_file() for name in ("run.json", DISTILLED))
    ):
        return Path(value).parent
    return Path(value) if kind == "run" and value else None


def _overlap(seen: _Seen, init: str, manifest: Manifest, test: pd.DataFrame) -> list[str]:
    earlier = seen.rows
    if seen.synthetic != bool(manifest.facts.get("synthetic")):
        return []  # drawn patches and real tissue have no patient in common
    patches = set(test["patch_id"]) & set(earlier["patch_id"])
    same_source = set(test["source"]) & set(earlier["source"])
    if patches and same_source:
        said = f"{len(patches)} of the {len(test)} patches of this test part are among the {seen.how} patches"
        found = [f"{said} of the first weights ({init}): the figures are inflated."]
    else:
        found = []
    known = manifest.patients_known and not (earlier["patient_id"].astype(str).str.lower() == UNKNOWN).any()
    if not known:
        return found or [_CANNOT.format(init=init)]
    patients = set(test["patient_id"].astype(str))
    if both := patients & set(earlier["patient_id"].astype(str)):
        said = f"{len(both)} of the {len(patients)} patient ids of this test part are ids of {seen.how} patients"
        return [f"{said} of the first weights ({init}): of these, the figures make no claim about new patients."]
    return found
