"""Final model after cross-validation: trained on all patients, with the out-of-fold predictions as its evidence.

The one setting of the last layer is the one that most folds chose, the stronger regularisation where two are as
frequent; the temperature is fitted to the out-of-fold scores, and the prediction sets to the out-of-fold probabilities.
These are our choices: the paper does not cross-validate. No patient is left to test this one model on; the evidence is
of models trained in the same way, each on fewer patients (Varma & Simon 2006, doi 10.1186/1471-2105-7-91).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl

from her2core.data.baseline_features import baseline_features
from her2core.data.folds import NEVER_TESTED
from her2core.data.image_properties import FILE as PROPERTIES_FILE
from her2core.data.image_properties import image_properties
from her2core.data.manifest import Manifest
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare
from her2core.errors import ConfigError, StudyError
from her2core.evidence.calibration import fit_temperature
from her2core.evidence.evaluation import evaluate_folder
from her2core.evidence.out_of_fold import out_of_fold_note
from her2core.evidence.run_sets import out_of_fold_sets, sets_entry
from her2core.io.files import write_csv, write_json, write_parquet
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network, parameter_count
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import load_into, save_weights, start_from
from her2core.ood import FILE as OOD_FILE
from her2core.ood.fitting import fit_ood
from her2core.runs.folder import SCHEMA_VERSION, WEIGHTS, Run, open_run
from her2core.runs.provenance import provenance
from her2core.study.crossval import Repetition
from her2core.study.crossval_tables import FOLDS
from her2core.study.jobs import finished
from her2core.study.out_of_fold import StudyData, finished_repetition
from her2core.training.artifacts import run_cost
from her2core.training.config import RunConfig
from her2core.training.frozen import fit_last_layer, frozen_embeddings
from her2core.training.hardware import one_device

#: The fold whose patients give the threshold of the out-of-distribution detector; the others are its reference.
_THRESHOLD_FOLD = 0


def train_final(
    repetition: Repetition, root: str | os.PathLike[str], target: str | os.PathLike[str], *, data: StudyData, title: str
) -> Run:
    """Train the last layer on all patches of a study, and publish it with the out-of-fold evidence by one rename.

    Parameters
    ----------
    repetition : Repetition
        Network, design and seed, with all folds trained; of a frozen network.
    root : str or path
        The study's folder, in which the trained folds still are.
    target : str or path
        The run folder, which does not exist yet.
    data : StudyData
        The cohort.
    title : str
        Of the card.

    Returns
    -------
    Run
        ``trained_on_evaluated`` is True.

    Raises
    ------
    ConfigError
        Where ``target`` exists.
    StudyError
        For a network that is trained whole, folds that are not trained, or a design whose folds share patients.
    Her2Error
        For patches or first weights that cannot be read.
    """
    target = Path(target)
    if target.exists():
        raise ConfigError("a folder that does not exist yet", got="one that does", where=target, fix="Name another.")
    evidence, folds = _finished(repetition, root)
    chosen, share = most_frequent([float(run.info["chosen"]) for run in folds])
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(evidence.path, part)
        said = f"inverse regularisation strength {chosen:g}, chosen in {share} of {len(folds)} folds"
        _write(part, evidence, repetition, data, chosen=chosen, said=said, title=title)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_run(target)


def most_frequent(values: Sequence[float]) -> tuple[float, int]:
    """Find the most frequent value, the smallest of equals, and how often it is there.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    value : float
    count : int

    Examples
    --------
    >>> most_frequent([1.0, 0.01, 0.1, 0.01, 1.0])
    (0.01, 2)
    """
    counts = Counter(values)
    best = max(counts.values())
    return min(value for value, count in counts.items() if count == best), best


def _finished(repetition: Repetition, root: str | os.PathLike[str]) -> tuple[Run, list[Run]]:
    """The out-of-fold run and the runs of its folds."""
    frozen = repetition.jobs[0].config.frozen
    if frozen is None or frozen.head != "linear":
        raise StudyError(
            "a linear layer on frozen features (`frozen: {head: linear}`)",
            got="a network trained in another way, whose last epoch only a validation part can choose",
            where=repetition.group,
            fix="Name a group of such a network, or train the network with her2 train on one split.",
        )
    if not (repetition.assignment.table["fold"] != NEVER_TESTED).all() or repetition.design.unit == "patch_random":
        raise StudyError(
            "a design in which every patient is tested by a model that never saw them",
            got=repetition.design.name,
            where=repetition.group,
            fix="Name a group of the design patient.",
        )
    evidence = finished_repetition(repetition, root)
    folds = [finished(job, Path(root) / FOLDS) for job in repetition.jobs]
    trained = [run for run in folds if run is not None and "chosen" in run.info]
    if evidence is None or len(trained) < len(folds):
        raise StudyError(
            f"{len(folds)} trained folds and their out-of-fold run",
            got=f"{len(trained)}" if evidence else "none of the latter",
            where=Path(root) / repetition.name,
            fix="Run: her2 study cv, which resumes.",
        )
    return evidence, trained


def _write(
    folder: Path, evidence: Run, repetition: Repetition, data: StudyData, *, chosen: float, said: str, title: str
) -> None:
    """Add weights, detector, sets, card and evaluation to a copy of the out-of-fold run."""
    config, manifest, origin = repetition.jobs[0].config, data.manifest, provenance()
    pl.seed_everything(config.seed, verbose=False)
    network = build_network(config.network.name, len(manifest.classes), **config.network.options)
    start = start_from(network, config.network.init, name=config.network.name)
    prepare = Prepare.from_card(evidence.card)
    _fit(network, config, manifest, prepare, chosen)
    sha256 = save_weights(network, folder / WEIGHTS)
    load_into(network, read_weights(folder / WEIGHTS, sha256=sha256), where=WEIGHTS)

    table = evidence.predictions
    raw = table.filter(regex="^logit_").to_numpy()
    codes = _codes(table["label"], evidence.classes)
    sets, coverage = out_of_fold_sets(evidence.test_predictions(), evidence.test_folds())
    write_csv(folder / "evaluation" / "prediction_sets.csv", coverage, float_format="%.6f")

    held = table.loc[table["fold"] == _THRESHOLD_FOLD, "patch_id"]
    rest = table.loc[table["fold"] != _THRESHOLD_FOLD, "patch_id"]
    device = one_device(config.hardware)
    detector = fit_ood(
        network,
        train=manifest.subset(rest),
        val=manifest.subset(held),
        prepare=prepare,
        mean=config.input.mean,
        std=config.input.std,
        device=device,
    )
    _, features = baseline_features(manifest, evidence.splits, contents=data.contents)
    if (properties := image_properties(features)) is not None:
        write_parquet(folder / PROPERTIES_FILE, properties)
    write_json(folder / "evaluation" / "cost.json", run_cost(network, config.input.px, folder))

    models = {**evidence.card["out_of_fold"], "final": {**_counts(manifest), "setting": said}}
    card: dict[str, Any] = {
        **evidence.card,
        "title": title,
        "limits": _limits(evidence, models),
        "temperature": fit_temperature(raw, labels=codes),
        "weights_sha256": sha256,
        "prediction_sets": sets_entry(sets),
        "ood": {"sha256": detector.save(folder / OOD_FILE), **detector.facts()},
        "out_of_fold": models,
    }
    write_json(folder / "model.card.json", card)
    evaluate_folder(folder, card, evidence.warnings, table=table, dataset=evidence.dataset)
    info = {
        **evidence.info,
        **origin,
        "schema_version": SCHEMA_VERSION,
        "weights_released": True,
        "start": start,
        "parameters": parameter_count(network),
        "frozen": "linear",
        "chosen": chosen,
        "tried": [chosen],
    }
    write_json(folder / "run.json", info)


def _fit(network: PatchNetwork, config: RunConfig, manifest: Manifest, prepare: Prepare, chosen: float) -> None:
    """Fit the last layer to all patches, with the one setting that is left."""
    images = prepare_all(manifest, prepare)[0]
    features = frozen_embeddings(network, images, config, one_device(config.hardware))
    labels = _codes(manifest.frame["label"], manifest.classes)
    assert config.frozen is not None
    one = config.model_copy(update={"frozen": config.frozen.model_copy(update={"tried": (chosen,)})})
    every = {"train": features, "train_labels": labels, "val": features, "val_labels": labels}
    fit_last_layer(network, one, classes=len(manifest.classes), **every)


def _codes(labels: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    return labels.map({name: k for k, name in enumerate(classes)}).to_numpy(np.int64)


def _counts(manifest: Manifest) -> dict[str, int]:
    patients = {"patients": int(manifest.frame["patient_id"].nunique())} if manifest.patients_known else {}
    return {"patches": len(manifest), **patients}


def _limits(evidence: Run, models: dict[str, Any]) -> list[str]:
    """Limits of the study, then the note of the final model instead of that of the folds."""
    before = out_of_fold_note(evidence.card)
    return [*(one for one in evidence.card["limits"] if one != before), out_of_fold_note({"out_of_fold": models})]
