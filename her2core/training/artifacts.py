"""Artifacts with which a finished run is served and reviewed without its data.

    dataset.parquet                  the manifest's rows without paths, with their split
    image_properties.parquet         colours and file properties of the patches, for external validation (serving only)
    checks.json                      how every check of manifest and split ended
    ood.safetensors                  the out-of-distribution detector (her2core.ood)
    evaluation/cost.json             parameters, FLOPs, measured time
    evaluation/prediction_sets.csv   coverage of the prediction sets on the test part
    evaluation/baselines.csv         what is reached without looking at the tissue
    model.card.json                  + prediction_sets, ood

Training writes them into the unfinished run; ``complete_run`` adds them to a run that an older version finished.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from her2core.data.baseline_features import baseline_features
from her2core.data.checks import check_manifest
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.image_properties import FILE as PROPERTIES_FILE
from her2core.data.image_properties import image_properties
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.prepare import Prepare
from her2core.errors import RunError
from her2core.evidence.baselines import BaselineData
from her2core.evidence.predictions import calibrated_predictions
from her2core.evidence.run_sets import fit_run_sets, run_coverage, sets_entry
from her2core.io.files import write_csv, write_json, write_parquet
from her2core.networks.cost import network_cost
from her2core.networks.from_card import network_from_card
from her2core.networks.protocol import PatchNetwork
from her2core.ood import FILE as OOD_FILE
from her2core.ood.fitting import fit_ood
from her2core.runs.folder import WEIGHTS, Run, open_run
from her2core.runs.provenance import provenance
from her2core.training.baselines import folds_of, write_baselines
from her2core.training.embeddings import patch_embeddings

#: Up to this many patches their pixels are checked too (copies, near-duplicates, colour): seconds for thousands,
#: minutes for tens of thousands, for which there is ``her2 data check --contents``.
CHECKED_CONTENTS = 6000


def write_artifacts(
    folder: Path,
    card: dict[str, Any],
    *,
    network: PatchNetwork,
    manifest: Manifest,
    split: pd.DataFrame,
    prepare: Prepare,
    table: pd.DataFrame,
    device: str | torch.device = "cpu",
    serving: bool = True,
    contents: Contents | None = None,
    cost: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Write all artifacts but the card; nothing is written before all of them are computed.

    Parameters
    ----------
    folder : Path
        The run folder, in which the weights are.
    card : dict
        The model card so far.
    network : PatchNetwork
        With the released weights.
    manifest : Manifest
        All patches.
    split : DataFrame
        Columns patch_id and split.
    prepare : Prepare
        Crop, size and stain of the network's input.
    table : DataFrame
        The content of predictions.parquet.
    device : str or torch.device, optional
        Where features are computed.
    serving : bool, optional
        False leaves out the out-of-distribution detector, which takes longest and only serving needs.
    contents : Contents, optional
        What was read from all images before.
    cost : dict, optional
        What was measured before; measured now when left out.

    Returns
    -------
    card : dict
        The card with ``prediction_sets`` and ``ood``, for the caller to write last.
    dataset : DataFrame
        The content of dataset.parquet.

    Raises
    ------
    Her2Error
        For patches that cannot be read, or too few of them.
    """
    dataset = manifest.data_table(split)
    if contents is None and len(manifest) <= CHECKED_CONTENTS:
        contents = read_contents(manifest)
    mean, std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])
    embeddings = None
    if manifest.frame["site"].nunique() > 1:
        parts = manifest.frame["patch_id"].map(split.set_index("patch_id")["split"])
        unseen = parts.isin(("val", "test")).to_numpy()
        embeddings = patch_embeddings(network, manifest, unseen, prepare=prepare, mean=mean, std=std, device=device)
    checks = check_manifest(manifest, split, contents=contents or False, embeddings=embeddings)
    baselines = BaselineData(*baseline_features(manifest, split, contents=contents))

    detector = None
    if serving:
        train, val = (manifest.subset(split.loc[split["split"] == part, "patch_id"]) for part in ("train", "val"))
        detector = fit_ood(network, train=train, val=val, prepare=prepare, mean=mean, std=std, device=device)

    predictions = calibrated_predictions(table, card)
    sets = fit_run_sets(predictions.part("val"))
    coverage = run_coverage(sets, predictions.part("test"))

    if cost is None:
        cost = run_cost(network, card["input"]["px"], folder)

    write_baselines(folder, predictions, baselines)
    write_parquet(folder / "dataset.parquet", dataset)
    if (properties := image_properties(baselines.features)) is not None:
        write_parquet(folder / PROPERTIES_FILE, properties)
    write_json(folder / "checks.json", checks.as_dicts())
    write_json(folder / "evaluation" / "cost.json", cost)
    write_csv(folder / "evaluation" / "prediction_sets.csv", coverage, float_format="%.6f")
    card = {**card, "prediction_sets": sets_entry(sets)}
    if detector is not None:
        card["ood"] = {"sha256": detector.save(folder / OOD_FILE), **detector.facts()}
    return card, dataset


def run_cost(network: PatchNetwork, px: int, folder: Path) -> dict[str, Any]:
    """Measure the computational cost of a run: the content of evaluation/cost.json.

    Parameters
    ----------
    network : PatchNetwork
    px : int
        Side of its input in pixels.
    folder : Path
        The run folder, in which the weights are.

    Returns
    -------
    dict
        As ``network_cost``, with weights_bytes, hardware and the time of the measurement.
    """
    here = provenance()
    return {
        **network_cost(network, px),
        "weights_bytes": (folder / WEIGHTS).stat().st_size,
        "hardware": here["hardware"],
        "measured": here["created"],
    }


def complete_run(
    path: str | os.PathLike[str], *, manifest: str | os.PathLike[str] | None = None, contents: Contents | None = None
) -> Run:
    """Add the artifacts that an older version did not write; weights, predictions and measured costs are unchanged.

    A run of out-of-fold predictions, or any other without weights, gets those that need none: outcomes of the checks,
    baselines, the data table.

    Parameters
    ----------
    path : str or path
        The run folder.
    manifest : str or path, optional
        Where the run's manifest is now; the path in its configuration when left out.
    contents : Contents, optional
        What was read from all its images before.

    Returns
    -------
    Run

    Raises
    ------
    RunError
        When the manifest has other rows or misses files.
    Her2Error
        For a manifest or weights that cannot be read.
    """
    run = open_run(path)
    manifest = Path(manifest or run.config["manifest"])
    data = read_manifest(manifest)
    if data.content_hash() != run.info.get("manifest_hash"):
        raise RunError(
            "the manifest that this run was trained on",
            got="one with other rows",
            where=manifest,
            fix="Import the data set again as it was.",
        )
    if missing := data.missing_files():
        raise RunError(
            "every file that the manifest names",
            got=f"{len(missing)} missing",
            where=manifest,
            fix="Restore them, or import the data set from where it is now.",
        )
    if contents is None and len(data) <= CHECKED_CONTENTS:
        contents = read_contents(data)
    if "out_of_fold" in run.card or not run.has_weights:
        checks = check_manifest(data, run.splits, contents=contents or False)
        found = BaselineData(*baseline_features(data, run.splits, contents=contents), folds_of(run.splits))
        write_baselines(run.path, run.calibrated_predictions, found)
        write_parquet(run.path / "dataset.parquet", data.data_table(run.splits))
        write_json(run.path / "checks.json", checks.as_dicts())
        return open_run(run.path)
    card, measured = run.card, run.cost
    card, _ = write_artifacts(
        run.path,
        card,
        network=network_from_card(card, run.path / WEIGHTS),
        manifest=data,
        split=run.splits,
        prepare=Prepare.from_card(card),
        table=run.predictions,
        contents=contents,
        cost=measured,
    )
    write_json(run.path / "model.card.json", card)
    return open_run(run.path)
