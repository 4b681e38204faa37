"""How does a configuration become a finished run? This file tells the whole story, top to bottom.

configuration -> manifest -> split -> prepared patches -> network -> Lightning -> best weights -> predictions
-> temperature -> evaluation -> a run folder, renamed into sight as the very last act.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader, Subset

from her2core.data.augment import Augment
from her2core.data.checks import check_manifest
from her2core.data.dataset import EpochSampler, PatchDataset, to_tensor
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare
from her2core.data.splits import split_manifest, split_warnings
from her2core.errors import ConfigError, ManifestError, NetworkError
from her2core.evidence.calibration import fit_temperature
from her2core.evidence.evaluation import evaluate_folder
from her2core.features.extract import frozen_features
from her2core.io.files import write_json, write_parquet
from her2core.networks.packaged import refuse_other_scaling
from her2core.networks.registry import build_network, output_grid, parameter_count
from her2core.networks.weights import load_into, read_weights, save_weights, start_from
from her2core.runs.folder import Run, RunDraft
from her2core.runs.provenance import provenance
from her2core.stain.macenko import StainReference
from her2core.training.artifacts import write_artifacts
from her2core.training.callbacks import BEST, LAST, CheckpointCallback, ProgressCallback, Stopped
from her2core.training.card import model_card
from her2core.training.config import RunConfig
from her2core.training.frozen import fit_last_layer
from her2core.training.hardware import devices, first_process, one_device, precision, strategy
from her2core.training.module import PatchClassifier


def train(config: RunConfig, *, root: str | Path = "runs", fresh: bool = False, progress: bool = True) -> Run | None:
    """Train one network; a killed run goes on where it stopped when the same configuration is trained again.

    Parameters
    ----------
    config : the whole configuration.
    root : folder for finished runs; the draft grows in ``<root>/.work``.
    fresh : start over instead of resuming an unfinished draft of the same configuration and data.
    progress : show Lightning's progress bar.

    Returns the finished run; None in the helper processes of a run over several devices. Raises a Her2Error for
    anything wrong with manifest, split, network or weights, before training starts, and ``Stopped`` (a RunError) when
    somebody asked it to stop (``runs.drafts.request_stop``).
    """
    # 1. The data, and who is on which side; and what program this is, before anybody can change it under us.
    origin = provenance()
    manifest = read_manifest(config.manifest)
    _refuse_broken(manifest)
    split = split_manifest(manifest, config.split.unit, fractions=config.split.fractions, seed=config.split.seed)
    notes = split_warnings(manifest, split, config.split.unit)

    # 2. The network and its first weights, before anything is written or waited for.
    pl.seed_everything(config.seed, verbose=False)
    network = build_network(config.network.name, len(manifest.classes), **config.network.options)
    refuse_other_scaling(config.network.init, config.input.mean, config.input.std)
    start = start_from(network, config.network.init, name=config.network.name)
    grid = output_grid(network, config.input.px)

    # 3. The draft: its name follows from configuration and data, so that the same command finds it again.
    content = hashlib.sha256((config.content_hash() + manifest.content_hash()).encode()).hexdigest()
    network_name = config.network.name.replace(":", "-").replace("/", "-")
    draft = RunDraft(Path(root), f"{network_name}_{config.name}_{content[:8]}")
    if config.frozen and not first_process():
        return None  # a last layer is found by one process
    resume = _claim(draft, fresh)
    if first_process():
        draft.write_config(config.to_yaml())
        draft.write_splits(split)
        draft.event("resumed" if resume else "started", git=origin["git"], command=origin["command"])

    # 4. The patches, prepared once: same crop, size and stain as they will have when the model serves.
    stain = StainReference(white=config.stain.white) if config.stain.method == "macenko" else None
    prepare = Prepare(config.input.px, stain)
    watch = ProgressCallback(draft, epochs=config.train.epochs, first=first_process())
    parts = {name: manifest.subset(split.loc[split["split"] == name, "patch_id"]) for name in ("train", "val", "test")}
    datasets = {name: _dataset(part, prepare, config, watch, training=name == "train") for name, part in parts.items()}

    # 5. Training: the whole network, or its last layer alone.
    fitted = (_fit_last if config.frozen else _fit_whole)(
        config, draft, network, datasets, watch, classes=len(manifest.classes), resume=resume, progress=progress
    )
    if fitted is None:
        return None  # a helper process of a run over several devices

    # 6. The weights that are released are the ones that are evaluated: float16 on disk, read back.
    sha256 = save_weights(network, draft.path / "model.safetensors")
    load_into(network, read_weights(draft.path / "model.safetensors", sha256=sha256), where="model.safetensors")

    # 7. Predictions, temperature, card.
    device = fitted.device
    tables = {name: _predict(network, datasets[name], parts[name], name, device, config) for name in ("val", "test")}
    scores = tables["val"].filter(regex="^logit_").to_numpy()
    temperature = fit_temperature(scores, labels=datasets["val"].targets)
    table = pd.concat(tables.values(), ignore_index=True)
    write_parquet(draft.path / "predictions.parquet", table)
    card = model_card(
        config,
        manifest,
        split,
        notes,
        temperature=temperature,
        sha256=sha256,
        grid=grid,
        stain=stain,
        last_layer=fitted.last_layer,
    )

    # 8. What a reader needs who has the folder and not the data: data table, checks, cost, sets, ood.
    card, dataset = write_artifacts(
        draft.path,
        card,
        network=network,
        manifest=manifest,
        split=split,
        prepare=prepare,
        table=table,
        device=device,
        serving=config.serving,
    )
    write_json(draft.path / "model.card.json", card)

    # 9. Its evidence; then into sight.
    info = {
        **origin,
        "config_hash": config.content_hash(),
        "manifest_hash": manifest.content_hash(),
        "split_hash": _split_hash(split),
        "seed": config.seed,
        "warnings": notes,
        "start": start,
        "parameters": parameter_count(network),
        **fitted.facts,
    }
    evaluate_folder(draft.path, card, notes, table=table, dataset=dataset)
    return draft.finish(info)


@dataclass(frozen=True)
class Fitted:
    """``device``: where the network is now; ``facts``: what run.json tells of the training; ``last_layer``: what the
    card says of a last layer that is not the network's own."""

    device: torch.device
    facts: dict[str, Any]
    last_layer: dict[str, Any] | None = None


def _fit_whole(config, draft, network, datasets, watch, *, classes: int, resume: bool, progress: bool) -> Fitted | None:
    """Lightning's loop; the network carries the best epoch's weights afterwards. None in a helper process."""
    trainer, module, keep, loaders = _training(config, draft, network, datasets, classes, progress, watch)
    with warnings.catch_warnings():
        # The number of workers is a setting of ours; the other is Lightning 2.6 calling what torch 2.14 deprecates.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
        # A checkpoint holds tensors and numbers only; read as such, it cannot run code.
        checkpoint = str(draft.checkpoints / LAST) if resume else None
        try:
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        except Stopped:
            if trainer.is_global_zero:
                raise
            return None  # the first process says it; a helper that failed would have Lightning kill the first
    if not trainer.is_global_zero:
        return None
    load_into(network, read_weights(draft.checkpoints / BEST), where="best epoch")
    facts = {"best_epoch": keep.best_epoch, "epochs_trained": trainer.current_epoch, config.train.monitor: keep.best}
    return Fitted(trainer.strategy.root_device, facts)


def _fit_last(config, draft, network, datasets, watch, *, classes: int, resume: bool, progress: bool) -> Fitted:
    """The last layer on frozen features, on one device; vectors that are known are not computed again."""
    device = one_device(config.hardware)
    built = json.dumps([config.network.name, config.network.options], sort_keys=True)
    scaling = {"built": built, "mean": config.input.mean, "std": config.input.std}
    vectors = {
        name: frozen_features(
            network,
            _images(datasets[name]),
            **scaling,
            cache=config.hardware.features,
            device=device,
            progress=watch.extracting,
        )
        for name in ("train", "val")
    }
    fit = fit_last_layer(
        network,
        config,
        train=vectors["train"],
        train_labels=datasets["train"].targets,
        val=vectors["val"],
        val_labels=datasets["val"].targets,
        classes=classes,
    )
    draft.write_history(fit.history)
    chosen = fit.history.iloc[fit.best]
    facts = {
        "frozen": config.frozen.head,
        "chosen": float(chosen["tried"]),
        "tried": fit.history["tried"].tolist(),
        config.train.monitor: float(chosen[config.train.monitor]),
    }
    draft.event("fitted", **facts)
    return Fitted(device, facts, fit.layer)


def _images(dataset: PatchDataset) -> np.ndarray:
    if dataset.images is None:
        raise ConfigError(
            "patches that fit into hardware.cache_gb",
            got=f"{len(dataset)} patches",
            where="frozen features",
            fix="Raise hardware.cache_gb.",
        )
    return dataset.images


def _refuse_broken(manifest: Manifest) -> None:
    for finding in check_manifest(manifest):
        if finding.severity == "error":
            raise ManifestError(finding.expected, got=finding.got, where="manifest", fix=finding.fix)


def _claim(draft: RunDraft, fresh: bool) -> bool:
    """The first process claims the draft; the others of the same run only look whether there is a checkpoint."""
    if first_process():
        return draft.open(fresh=fresh)
    return (draft.checkpoints / LAST).is_file()


def _dataset(
    part: Manifest, prepare: Prepare, config: RunConfig, watch: ProgressCallback, *, training: bool
) -> PatchDataset:
    """In memory where it fits into ``hardware.cache_gb``, read patch by patch otherwise."""
    settings = config.train.augment
    augment = Augment(settings.flips, settings.min_crop, settings.stain) if training else None
    size = len(part) * prepare.px**2 * 3 / 1e9
    images = prepare_all(part, prepare, progress=watch.preparing)[0] if size <= config.hardware.cache_gb else None
    return PatchDataset(
        part, prepare, images=images, augment=augment, seed=config.seed, mean=config.input.mean, std=config.input.std
    )


def _training(
    config: RunConfig,
    draft: RunDraft,
    network: nn.Module,
    datasets,
    classes: int,
    progress: bool,
    watch: ProgressCallback,
):
    hardware, settings = config.hardware, config.train
    keep = CheckpointCallback(draft, settings.monitor)
    stop = EarlyStopping(
        settings.monitor, patience=settings.patience, mode="min" if settings.monitor == "val_loss" else "max"
    )
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=hardware.accelerator,
        devices=devices(hardware),
        num_nodes=hardware.nodes,
        strategy=strategy(config),
        precision=precision(hardware),
        callbacks=[stop, keep, watch, *([TQDMProgressBar()] if progress else [])],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # EpochSampler deals out the shares itself, reproducibly
        default_root_dir=str(draft.path),
    )
    rank, world = trainer.global_rank, trainer.world_size
    sampler = EpochSampler(
        len(datasets["train"]), seed=config.seed, batch_size=settings.batch_size, rank=rank, world_size=world
    )
    if len(sampler) < 2:
        raise NetworkError(
            "at least two training patches for each process",
            got=f"{len(datasets['train'])} in all",
            where="training",
            fix="Add data or use fewer devices.",
        )
    mine = Subset(datasets["val"], range(rank, len(datasets["val"]), world))
    loaders = (
        DataLoader(datasets["train"], settings.batch_size, sampler=sampler, num_workers=hardware.workers),
        DataLoader(mine, settings.batch_size * 2, num_workers=hardware.workers),
    )
    counts = np.bincount(datasets["train"].targets, minlength=classes).tolist()
    module = PatchClassifier(network, settings, class_counts=counts, steps_per_epoch=len(loaders[0]), seed=config.seed)
    return trainer, module, keep, loaders


@torch.inference_mode()
def _predict(network, dataset: PatchDataset, part: Manifest, name: str, device, config: RunConfig) -> pd.DataFrame:
    """One row a patch: ids, split, label and the uncalibrated scores, in float32."""
    network.to(device).eval()
    rows = []
    for start in range(0, len(dataset), 64):
        keys = range(start, min(start + 64, len(dataset)))
        if dataset.images is not None:
            batch = to_tensor(dataset.images[keys.start : keys.stop], config.input.mean, config.input.std)
        else:
            batch = torch.stack([dataset[i][0] for i in keys])
        rows.append(network(batch.to(device, memory_format=torch.channels_last)).float().cpu().numpy())
    frame = part.frame[["patch_id", "patient_id", "slide_id", "site"]].copy()
    frame["split"], frame["label"] = name, part.frame["label"]
    for i, scores in enumerate(np.concatenate(rows).T):
        frame[f"logit_{part.classes[i]}"] = scores
    return frame


def _split_hash(split: pd.DataFrame) -> str:
    text = split.sort_values("patch_id").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
