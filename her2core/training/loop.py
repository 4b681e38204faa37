"""Optimisation of a whole network by Lightning, resumable, ending with the best epoch's weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from torch.utils.data import DataLoader, Subset

from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.errors import NetworkError
from her2core.networks.protocol import PatchNetwork
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import load_into
from her2core.runs.writer import LAST, RunWriter
from her2core.training.callbacks import BEST, CheckpointCallback, ProgressCallback, Stopped
from her2core.training.config import RunConfig
from her2core.training.hardware import devices, precision, strategy
from her2core.training.module import PatchClassifier


@dataclass(frozen=True)
class Fitted:
    """What a training adds to the run's records.

    Attributes
    ----------
    device : torch.device
        Where the network is now.
    facts : dict
        For run.json: best epoch or selected candidate, and the monitored value.
    last_layer : dict or None
        For the card: options of a last layer that is not the network's own (``networks.heads``).
    """

    device: torch.device
    facts: dict[str, Any]
    last_layer: dict[str, Any] | None = None


def train_network(
    network: PatchNetwork,
    config: RunConfig,
    writer: RunWriter,
    datasets: Mapping[str, PatchDataset],
    watch: ProgressCallback,
    *,
    classes: int,
    resume: bool,
    progress: bool,
) -> Fitted | None:
    """Train all parameters; afterwards the network has the best epoch's weights.

    Parameters
    ----------
    network : PatchNetwork
        With its first weights; changed in place.
    config : RunConfig
        ``train`` and ``hardware`` apply.
    writer : RunWriter
        Receives history, events and checkpoints.
    datasets : mapping
        ``train`` and ``val``.
    watch : ProgressCallback
        Reports the progress and ends the training when that is requested.
    classes : int
        Number of classes.
    resume : bool
        Continue from the writer's checkpoint.
    progress : bool
        Show Lightning's progress bar.

    Returns
    -------
    Fitted or None
        None in a helper process of a run over several devices.

    Raises
    ------
    NetworkError
        For fewer than two training patches a process.
    Stopped
        When the training was asked to stop.
    """
    trainer, keep = _trainer(config, writer, watch, progress)
    loaders = _loaders(config, datasets, rank=trainer.global_rank, world_size=trainer.world_size)
    counts = np.bincount(datasets["train"].targets, minlength=classes).tolist()
    module = PatchClassifier(
        network, config.train, class_counts=counts, steps_per_epoch=len(loaders[0]), seed=config.seed
    )
    with warnings.catch_warnings():
        # The number of workers is a setting; the other is Lightning 2.6 calling what torch 2.14 deprecates.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
        # A checkpoint holds tensors and numbers only; read as such, it cannot run code.
        checkpoint = str(writer.checkpoints / LAST) if resume else None
        try:
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        except Stopped:
            if trainer.is_global_zero:
                raise
            return None  # the first process reports it; a helper that failed would make Lightning kill the first
    if not trainer.is_global_zero:
        return None
    load_into(network, read_weights(writer.checkpoints / BEST), where="best epoch")
    facts = {"best_epoch": keep.best_epoch, "epochs_trained": trainer.current_epoch, config.train.monitor: keep.best}
    return Fitted(trainer.strategy.root_device, facts)


def _trainer(
    config: RunConfig, writer: RunWriter, watch: ProgressCallback, progress: bool
) -> tuple[pl.Trainer, CheckpointCallback]:
    hardware, settings = config.hardware, config.train
    keep = CheckpointCallback(writer, settings.monitor)
    stop = EarlyStopping(
        settings.monitor, patience=settings.patience, mode="min" if settings.monitor == "val_loss" else "max"
    )
    bar: list[pl.Callback] = [TQDMProgressBar()] if progress else []
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=hardware.accelerator,
        devices=devices(hardware),
        num_nodes=hardware.nodes,
        strategy=strategy(config),
        precision=precision(hardware),
        callbacks=[stop, keep, watch, *bar],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # EpochSampler assigns the patches to processes itself, reproducibly
        default_root_dir=str(writer.path),
    )
    return trainer, keep


def _loaders(
    config: RunConfig, datasets: Mapping[str, PatchDataset], *, rank: int, world_size: int
) -> tuple[DataLoader, DataLoader]:
    settings, workers = config.train, config.hardware.workers
    train, val = datasets["train"], datasets["val"]
    sampler = EpochSampler(
        len(train), seed=config.seed, batch_size=settings.batch_size, rank=rank, world_size=world_size
    )
    if len(sampler) < 2:
        raise NetworkError(
            "at least two training patches for each process",
            got=f"{len(train)} in all",
            where="training",
            fix="Add data or use fewer devices.",
        )
    mine = Subset(val, range(rank, len(val), world_size))
    return (
        DataLoader(train, settings.batch_size, sampler=sampler, num_workers=workers),
        DataLoader(mine, settings.batch_size * 2, num_workers=workers),
    )
