"""Comparison of this run's test part with the patients that an earlier run, from which it starts, was trained on.

First weights of an earlier run (``network.init: run:<folder>``) have seen that run's training patches, and its
validation patches selected them. A patient of both is no new patient to the network, whatever this run's own split
says. The earlier run may itself have started from another, so the chain is followed as far as the folders are there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from her2core.data.manifest import UNKNOWN, Manifest
from her2core.errors import Her2Error
from her2core.runs.folder import WEIGHTS, Run, open_run

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
    seen: set[Path] = set()
    for _ in range(_DEPTH):
        folder = _folder(init)
        if folder is None or folder.resolve() in seen:
            break
        seen.add(folder.resolve())
        try:
            run = open_run(folder)
            warnings += _overlap(run, init, manifest, test)
        except Her2Error:  # weights alone
            warnings.append(_CANNOT.format(init=init))
            break
        init = str(run.card["network"].get("init", "none"))
    return warnings


def _folder(init: str) -> Path | None:
    kind, _, value = init.partition(":")
    if kind == "file" and Path(value).name == WEIGHTS and (Path(value).parent / "run.json").is_file():
        return Path(value).parent
    return Path(value) if kind == "run" and value else None


def _overlap(run: Run, init: str, manifest: Manifest, test: pd.DataFrame) -> list[str]:
    earlier = run.dataset.query("split != 'test'")
    facts = run.card["data"].get("facts")
    synthetic = bool(facts.get("synthetic")) if isinstance(facts, dict) else False
    if synthetic != bool(manifest.facts.get("synthetic")):
        return []  # drawn patches and real tissue have no patient in common
    patches = set(test["patch_id"]) & set(earlier["patch_id"])
    same_source = set(test["source"]) & set(earlier["source"])
    if patches and same_source:
        said = f"{len(patches)} of the {len(test)} patches of this test part are among the training patches"
        found = [f"{said} of the first weights ({init}): the figures are inflated."]
    else:
        found = []
    known = manifest.patients_known and not (earlier["patient_id"].astype(str).str.lower() == UNKNOWN).any()
    if not known:
        return found or [_CANNOT.format(init=init)]
    patients = set(test["patient_id"].astype(str))
    if both := patients & set(earlier["patient_id"].astype(str)):
        said = f"{len(both)} of the {len(patients)} patient ids of this test part are ids of training patients"
        return [f"{said} of the first weights ({init}): of these, the figures make no claim about new patients."]
    return found
