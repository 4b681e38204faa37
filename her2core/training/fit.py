"""Training of one network, from configuration to finished run folder. This file reads top to bottom.

configuration -> manifest -> split -> prepared patches -> network -> Lightning -> best weights -> predictions
-> temperature -> evaluation -> run folder, published by one rename as the last act.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch

from her2core.data.augment import Augment
from her2core.data.checks import check_manifest
from her2core.data.dataset import PatchDataset
from her2core.data.folds import assign_folds, fold_split
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare
from her2core.data.prepared import PreparedCohort
from her2core.data.splits import split_hash, split_manifest, split_warnings
from her2core.data.tensors import to_tensor
from her2core.evidence.calibration import fit_temperature
from her2core.evidence.evaluation import evaluate_folder
from her2core.io.files import write_json, write_parquet
from her2core.networks.foundation import FoundationNetwork
from her2core.networks.packaged import refuse_other_scaling
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network, output_grid, parameter_count
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import load_into, save_weights, start_from
from her2core.runs.folder import WEIGHTS, Run, open_run
from her2core.runs.provenance import provenance
from her2core.runs.writer import RunWriter
from her2core.stain.reference import StainReference
from her2core.training.artifacts import write_artifacts
from her2core.training.callbacks import ProgressCallback
from her2core.training.card import model_card, refuse_card, refuse_classes
from her2core.training.config import RunConfig
from her2core.training.config_errors import refuse_synthetic_claims
from her2core.training.earlier_run import start_warnings
from her2core.training.frozen import frozen_logits, train_last_layer
from her2core.training.hardware import first_process, machine
from her2core.training.interrupts import end_with_parent
from her2core.training.loop import train_network


def train(
    config: RunConfig,
    *,
    root: str | Path = "runs",
    fresh: bool = False,
    progress: bool = True,
    prepared: PreparedCohort | None = None,
) -> Run | None:
    """Train one network; an interrupted run resumes when the same configuration is trained again.

    Parameters
    ----------
    config : RunConfig
        The whole configuration.
    root : str or Path, optional
        Folder for finished runs; the unfinished one is below ``<root>/.work``.
    fresh : bool, optional
        Start over instead of resuming an unfinished run of the same configuration and data.
    progress : bool, optional
        Show Lightning's progress bar.
    prepared : PreparedCohort, optional
        Patches that other trainings prepared; studies share one.

    Returns
    -------
    Run or None
        The finished run; None in the helper processes of a run over several devices.

    Raises
    ------
    Her2Error
        For anything wrong with manifest, split, network or weights, before training starts.
    RunError
        When another process is training this configuration, its checkpoints are damaged, the loss is no finite number
        (``Diverged``), or the training was asked to stop (``Stopped``, by ``runs.drafts.request_stop``).

    Examples
    --------
    >>> from her2core import load_config
    >>> run = train(load_config("configs/own.yaml"), root="runs")  # doctest: +SKIP
    >>> run.table("metrics")  # doctest: +SKIP
    """
    # 1. The data and its split; and the provenance of this program, before it can change on disk.
    origin = provenance()
    manifest = read_manifest(config.manifest)
    refuse_synthetic_claims(config.title, config.limits, manifest.facts, where=config.manifest)
    refuse_classes(manifest, config.manifest)
    check_manifest(manifest).raise_errors(where=config.manifest)
    split = split_of(manifest, config)
    check_manifest(manifest, split).raise_errors(where=config.manifest)
    warnings = split_warnings(manifest, split, config.split.unit)
    warnings += start_warnings(config.network.init, manifest, split)

    # 2. The network and its first weights, before anything is written.
    pl.seed_everything(config.seed, verbose=False)
    network = build_network(config.network.name, len(manifest.classes), **config.network.options)
    refuse_other_scaling(config.network.init, config.input.mean, config.input.std)
    start = start_from(network, config.network.init, name=config.network.name)
    grid = output_grid(network, config.input.px)
    refuse_card(config, manifest, split, warnings, grid=grid)
    classes = len(manifest.classes)

    # 3. The unfinished run: its name follows from configuration and data, so that the same command finds it again.
    if not first_process():
        end_with_parent()
        if config.frozen:
            return None  # a last layer is fitted by one process
    with RunWriter(Path(root), _key(config, manifest), name=config.name) as writer:
        resume = writer.open(fresh=fresh) if first_process() else writer.has_checkpoint()
        if writer.published:
            return open_run(writer.published)  # its process was killed when nothing but tidying up was left
        if first_process():
            writer.write_config(config.to_yaml())
            writer.write_splits(split)
            writer.event("resumed" if resume else "started", git=origin["git"], command=origin["command"])

        # 4. The patches, prepared once: the same crop, size and stain as at serving time.
        stain = None if config.stain.method == "none" else StainReference(white=config.stain.white)
        prepare = Prepare(config.input.px, stain, method=config.stain.method)
        watch = ProgressCallback(writer, epochs=config.train.epochs, first=first_process())
        ids = {name: split.loc[split["split"] == name, "patch_id"] for name in ("train", "val", "test")}
        parts = {name: manifest.subset(wanted) for name, wanted in ids.items()}
        images = _in_memory(manifest, parts, prepare, config, watch, prepared)
        datasets = {
            n: patch_dataset(part, prepare, config, images[n], training=n == "train") for n, part in parts.items()
        }

        # 5. Training: the whole network, or its last layer alone.
        if config.frozen:
            fitted = train_last_layer(network, config, writer, datasets, watch, classes=classes)
        else:
            trained = train_network(
                network, config, writer, datasets, watch, classes=classes, resume=resume, progress=progress
            )
            if trained is None:
                return None  # a helper process of a run over several devices
            fitted = trained

        # 6. The released weights are the ones that are evaluated: float16 on disk, read back.
        sha256 = save_weights(network, writer.path / WEIGHTS)
        load_into(network, read_weights(writer.path / WEIGHTS, sha256=sha256), where=WEIGHTS)

        # 7. Predictions, temperature, card.
        tables = {n: _predict(network, datasets[n], parts[n], n, fitted.device, config) for n in ("val", "test")}
        logits = tables["val"].filter(regex="^logit_").to_numpy()
        temperature = fit_temperature(logits, labels=datasets["val"].targets)
        table = pd.concat(tables.values(), ignore_index=True)
        write_parquet(writer.path / "predictions.parquet", table)
        card = model_card(
            config,
            manifest,
            split,
            warnings,
            temperature=temperature,
            sha256=sha256,
            grid=grid,
            stain=stain,
            last_layer=fitted.last_layer,
            hub=network.description if isinstance(network, FoundationNetwork) else None,
        )

        # 8. What serving and review need without the data: data table, findings, cost, prediction sets, OOD. A single
        # fold is evaluated together with the others (study.out_of_fold).
        dataset = None
        if config.split.fold is None:
            card, dataset = write_artifacts(
                writer.path,
                card,
                network=network,
                manifest=manifest,
                split=split,
                prepare=prepare,
                table=table,
                device=fitted.device,
                serving=config.serving,
            )
        write_json(writer.path / "model.card.json", card)

        # 9. The evaluation; then the folder gets its final name.
        if config.split.fold is None:
            evaluate_folder(writer.path, card, warnings, table=table, dataset=dataset)
        info = {
            **origin,
            "config_hash": config.content_hash(),
            "manifest_hash": manifest.content_hash(),
            "split_hash": split_hash(split),
            "seed": config.seed,
            "warnings": warnings,
            "start": start,
            "parameters": parameter_count(network),
            **fitted.facts,
        }
        return open_run(writer.finish(info))


def split_of(manifest: Manifest, config: RunConfig) -> pd.DataFrame:
    """Training, validation and test by fractions, or with one fold held out, as a configuration asks.

    Parameters
    ----------
    manifest : Manifest
    config : RunConfig
        ``split`` applies.

    Returns
    -------
    DataFrame
        Columns patch_id and split.

    Raises
    ------
    SplitError
        As ``split_manifest``.
    """
    asked, fold = config.split, config.split.fold
    if fold is None:
        return split_manifest(manifest, asked.unit, fractions=asked.fractions, seed=asked.seed)
    assignment = assign_folds(manifest, asked.unit, folds=fold.folds, seed=asked.seed, smallest_site=fold.smallest_site)
    return fold_split(manifest, assignment, fold.held_out, validation=fold.validation, seed=asked.seed)


def _key(config: RunConfig, manifest: Manifest) -> str:
    here = json.dumps(machine(config.hardware), sort_keys=True)  # what `auto` means here
    content = hashlib.sha256((config.content_hash() + manifest.content_hash() + here).encode()).hexdigest()
    network = config.network.name.replace(":", "-").replace("/", "-")
    return f"{network}_{config.name}_{content[:8]}"


def _in_memory(
    manifest: Manifest,
    parts: dict[str, Manifest],
    prepare: Prepare,
    config: RunConfig,
    watch: ProgressCallback,
    prepared: PreparedCohort | None,
) -> dict[str, npt.NDArray[np.uint8] | None]:
    """Prepared patches of the parts that fit into ``hardware.cache_gb``; the others are read patch by patch."""
    largest = config.hardware.cache_gb * 1e9 / (prepare.px**2 * 3)
    if prepared is not None and len(manifest) <= largest:
        return {
            name: prepared.images(manifest, part, prepare, progress=watch.preparing) for name, part in parts.items()
        }
    return {
        name: prepare_all(part, prepare, progress=watch.preparing)[0] if len(part) <= largest else None
        for name, part in parts.items()
    }


def patch_dataset(
    part: Manifest, prepare: Prepare, config: RunConfig, images: npt.NDArray[np.uint8] | None, *, training: bool
) -> PatchDataset:
    """Patches of one part as the optimisation takes them.

    Parameters
    ----------
    part : Manifest
        Its patches.
    prepare : Prepare
        Size and stain.
    config : RunConfig
        ``seed``, ``input`` and ``train.augment`` apply.
    images : uint8 array (N, px, px, 3) or None
        The prepared patches; each is read when it is indexed where left out.
    training : bool
        Whether patches are augmented.

    Returns
    -------
    PatchDataset
    """
    settings = config.train.augment
    augment = Augment(settings.flips, settings.min_crop, settings.stain) if training else None
    return PatchDataset(
        part, prepare, images=images, augment=augment, seed=config.seed, mean=config.input.mean, std=config.input.std
    )


@torch.inference_mode()
def _predict(
    network: PatchNetwork, dataset: PatchDataset, part: Manifest, name: str, device: torch.device, config: RunConfig
) -> pd.DataFrame:
    """One row a patch: ids, split, label and the uncalibrated logits, float32."""
    network.to(device).eval()
    if config.frozen and dataset.images is not None:
        logits = frozen_logits(network, dataset.images, config, device)
    else:
        logits = np.concatenate(list(_forward(network, dataset, device, config)))
    frame = part.frame[["patch_id", "patient_id", "slide_id", "site"]].copy()
    frame["split"], frame["label"] = name, part.frame["label"]
    for name, column in zip(part.classes, logits.T, strict=True):
        frame[f"logit_{name}"] = column
    return frame


def _forward(
    network: PatchNetwork, dataset: PatchDataset, device: torch.device, config: RunConfig
) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(dataset), 64):
        keys = range(start, min(start + 64, len(dataset)))
        if dataset.images is not None:
            batch = to_tensor(dataset.images[keys.start : keys.stop], config.input.mean, config.input.std)
        else:
            batch = torch.stack([dataset[i][0] for i in keys])
        yield network(batch.to(device, memory_format=torch.channels_last)).float().cpu().numpy()
