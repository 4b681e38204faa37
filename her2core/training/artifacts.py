"""What must a finished run hold to be served and reviewed without its data? A run folder and its data in; files out.

    dataset.parquet            the manifest's rows without paths, with their part of the split
    checks.json                the coded findings on manifest and split
    ood.safetensors    how the training patches look (her2core.ood)
    evaluation/cost.json       parameters, FLOPs, measured time
    evaluation/prediction_sets.csv   how often the test patches' true class is in the set
    model.card.json            + prediction_sets, ood

Training writes them into the draft; ``complete_run`` gives them to a run that was finished before they existed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from torch import nn

from her2core.data.checks import check_manifest
from her2core.data.manifest import WINDOW, Manifest, read_manifest
from her2core.data.prepare import Prepare
from her2core.errors import RunError
from her2core.evidence.conformal import coverage_table, fit_prediction_sets
from her2core.evidence.predictions import calibrated_predictions
from her2core.io.files import write_json, write_parquet, write_via_temporary
from her2core.networks.cost import network_cost
from her2core.networks.from_card import network_of
from her2core.ood import FILE as OOD_FILE
from her2core.ood import fit_ood
from her2core.runs.folder import WEIGHTS, Run, open_run
from her2core.runs.provenance import provenance
from her2core.stain.macenko import StainReference

#: Patches up to which their contents are checked too (copies, near-duplicates, colour): seconds for thousands, minutes
#: for tens of thousands, for which ``her2 data check --contents`` is there.
CHECKED_CONTENTS = 6000


def write_artifacts(
    folder: Path,
    card: dict[str, Any],
    *,
    network: nn.Module,
    manifest: Manifest,
    split: pd.DataFrame,
    prepare: Prepare,
    table: pd.DataFrame,
    device: str | torch.device = "cpu",
    serving: bool = True,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Write all of them into ``folder``, where weights and predictions are, and give the card with what was added.

    ``network`` carries the released weights; ``split`` has patch_id and split. The card is not written here.
    ``serving=False`` leaves ood out, which takes longest and which only serving needs. Nothing is
    written before all of it is known. Raises a Her2Error for patches that cannot be read, or too few of them.
    """
    hidden = [c for c in ("path", "split", *WINDOW) if c in manifest.frame]
    dataset = manifest.frame.drop(columns=hidden).merge(split[["patch_id", "split"]], on="patch_id", how="left")
    read = len(manifest) <= CHECKED_CONTENTS
    findings = [finding.as_dict() for finding in check_manifest(manifest, split, contents=read)]

    known = None
    if serving:
        parts = {name: manifest.subset(split.loc[split["split"] == name, "patch_id"]) for name in ("train", "val")}
        mean, std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])
        known = fit_ood(network, **parts, prepare=prepare, mean=mean, std=std, device=device)

    predictions = calibrated_predictions(table, card)
    val, test = predictions.part("val"), predictions.part("test")
    sets = fit_prediction_sets(val.probs, labels=val.labels, classes=predictions.classes)
    covered = coverage_table(sets, test)

    here = provenance()
    cost = {
        **network_cost(network, card["input"]["px"]),
        "weights_bytes": (folder / WEIGHTS).stat().st_size,
        "hardware": here["hardware"],
        "measured": here["created"],
    }

    write_parquet(folder / "dataset.parquet", dataset)
    write_json(folder / "checks.json", findings)
    write_json(folder / "evaluation" / "cost.json", cost)
    write_via_temporary(
        folder / "evaluation" / "prediction_sets.csv", lambda t: covered.to_csv(t, index=False, float_format="%.6f")
    )
    card = {**card, "prediction_sets": sets.as_dict()}
    if known is not None:
        card["ood"] = {"sha256": known.save(folder / OOD_FILE), **known.facts()}
    return card, dataset


def complete_run(path: str | os.PathLike, *, manifest: str | os.PathLike | None = None) -> Run:
    """Give a finished run the companions it lacks; weights, predictions and metrics stay. The card is written last.

    ``manifest`` is where the run's manifest lies now; the path in its configuration when left out. Raises RunError
    when it is another data set or its files are missing, or the run was released without weights; another Her2Error for
    a manifest or weights that cannot be read.
    """
    run = open_run(path)
    if not run.has_weights:
        raise RunError(
            "a run with its weights",
            got="one released without",
            where=str(run.path),
            fix="Complete the run where it was trained, then export it.",
        )
    manifest = Path(manifest or _configured_manifest(run))
    data = read_manifest(manifest)
    if data.content_hash() != run.info.get("manifest_hash"):
        raise RunError(
            "the manifest that this run was trained on",
            got="one with other rows",
            where=str(manifest),
            fix="Import the data set again as it was.",
        )
    if missing := data.missing_files():
        raise RunError(
            "every file that the manifest names",
            got=f"{len(missing)} missing",
            where=str(manifest),
            fix="Put them back, or import the data set where it lies.",
        )
    card = run.card
    reference = card["stain"]["reference"]
    stain = None if reference is None else StainReference.from_dict(reference)
    prepare = Prepare(card["input"]["px"], stain)
    network = network_of(card, run.path / WEIGHTS)
    card, _ = write_artifacts(
        run.path, card, network=network, manifest=data, split=run.splits, prepare=prepare, table=run.predictions
    )
    write_json(run.path / "model.card.json", card)
    return open_run(run.path)


def _configured_manifest(run: Run) -> str:
    try:
        config = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    named = config.get("manifest") if isinstance(config, dict) else None
    if not isinstance(named, str):
        raise RunError(
            "a configuration that names the manifest",
            got="one that does not",
            where=str(run.path / "config.yaml"),
            fix="Say where it lies: --manifest PATH.",
        )
    return named
