"""Optimisation of a whole network by Lightning, resumable, ending with the best epoch's weights."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.errors import Her2Error, NetworkError, RunError, WeightsError
from her2core.networks.protocol import PatchNetwork
from her2core.networks.weight_files import read_weights
from her2core.networks.weights import load_into
from her2core.runs.writer import RunWriter
from her2core.training.callbacks import BEST, CheckpointCallback, ProgressCallback, Stopped
from her2core.training.config import HardwareConfig, OptimisationConfig, RunConfig
from her2core.training.hardware import devices, precision, strategy
from her2core.training.interrupts import end_with_parent
from her2core.training.module import NetworkModule, PatchClassifier


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
    RunError
        When a worker process was killed, the loss is no finite number, or the best epoch's weights are damaged.
    """
    counts = np.bincount(datasets["train"].targets, minlength=classes).tolist()

    def module(steps: int) -> PatchClassifier:
        return PatchClassifier(network, config.train, class_counts=counts, steps_per_epoch=steps, seed=config.seed)

    settings = LoopSettings(config.train, config.hardware, config.seed, config.train.monitor)
    frozen = config.train.freeze_epochs > 0
    return optimise(module, settings, writer, datasets, watch, resume=resume, progress=progress, frozen=frozen)


@dataclass(frozen=True)
class LoopSettings:
    """What the optimisation of any network needs to know.

    Attributes
    ----------
    train : OptimisationConfig
        Epochs, batch size, patience.
    hardware : HardwareConfig
    seed : int
        Of the order of patches.
    monitor : str
        The logged metric that selects the best epoch; ``val_loss`` is minimised, others are maximised.
    """

    train: OptimisationConfig
    hardware: HardwareConfig
    seed: int
    monitor: str


def optimise(
    module: Callable[[int], NetworkModule],
    settings: LoopSettings,
    writer: RunWriter,
    datasets: Mapping[str, Dataset[Any]],
    watch: ProgressCallback,
    *,
    resume: bool,
    progress: bool,
    frozen: bool = False,
) -> Fitted | None:
    """Run Lightning's loop; afterwards the module's network has the best epoch's weights.

    Parameters
    ----------
    module : callable
        Makes the module from the number of optimiser steps of an epoch.
    settings : LoopSettings
    writer : RunWriter
        Receives history, events and checkpoints.
    datasets : mapping
        ``train`` and ``val``, which give pairs of tensors and have a length; ``train`` is indexed by (row, epoch).
    watch : ProgressCallback
        Reports the progress and ends the training when that is requested.
    resume : bool
        Continue from the writer's checkpoint.
    progress : bool
        Show Lightning's progress bar.
    frozen : bool, default False
        Whether the trunk is frozen for some epochs.

    Returns
    -------
    Fitted or None
        None in a helper process of a run over several devices.

    Raises
    ------
    NetworkError, Stopped, RunError
        As ``train_network``.
    """
    trainer, keep = _trainer(settings, writer, watch, progress, frozen=frozen)
    loaders = batches(settings, datasets, trainer)
    made = module(len(loaders[0]))
    with warnings.catch_warnings():
        # The number of workers is a setting; the other is Lightning 2.6 calling what torch 2.14 deprecates.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
        # A checkpoint holds tensors and numbers only; read as such, it cannot run code.
        checkpoint = writer.checkpoints.newest() if resume else None
        try:
            trainer.fit(made, *loaders, ckpt_path=checkpoint, weights_only=True)
        except Stopped:
            if trainer.is_global_zero:
                raise
            return None  # the first process reports it; a helper that failed would make Lightning kill the first
        except RuntimeError as failed:
            if "DataLoader worker" not in str(failed):
                raise
            raise RunError(
                "worker processes that live as long as the training",
                got="one that was killed, perhaps for lack of memory",
                where="hardware.workers",
                fix="Set hardware.workers lower; the same command resumes.",
            ) from None
    if not trainer.is_global_zero:
        return None
    keep.write_history()  # where the training was over already, the file may be of a killed process
    try:
        best = read_weights(writer.checkpoints.folder / BEST, sha256=keep.best_sha256)
    except WeightsError as damaged:
        raise RunError(
            "the best epoch's weights as they were written",
            got=damaged.got,
            where=writer.checkpoints.folder / BEST,
            fix="Start over: the same command with --fresh.",
        ) from None
    load_into(made.network, best, where="best epoch")
    facts = {"best_epoch": keep.best_epoch, "epochs_trained": trainer.current_epoch, settings.monitor: keep.best}
    return Fitted(trainer.strategy.root_device, facts)


def _trainer(
    settings: LoopSettings, writer: RunWriter, watch: ProgressCallback, progress: bool, *, frozen: bool
) -> tuple[pl.Trainer, CheckpointCallback]:
    hardware, monitor = settings.hardware, settings.monitor
    keep = CheckpointCallback(writer, monitor)
    stop = EarlyStopping(monitor, patience=settings.train.patience, mode="min" if monitor == "val_loss" else "max")
    bar: list[pl.Callback] = [TQDMProgressBar()] if progress else []
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=settings.train.epochs,
        accelerator=hardware.accelerator,
        devices=devices(hardware),
        num_nodes=hardware.nodes,
        strategy=strategy(hardware, frozen=frozen),
        precision=precision(hardware),
        callbacks=[_OwnSignals(), stop, keep, watch, *bar],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # EpochSampler assigns the patches to processes itself, reproducibly
        default_root_dir=str(writer.path),
    )
    return trainer, keep


class _OwnSignals(pl.Callback):
    """Puts back the handlers that were there before Lightning's.

    Lightning's handler of SIGTERM takes part in a collective, which can wait for ever, and leaves with exit code 0.
    """

    def __init__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGTERM)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)


def batches(
    settings: LoopSettings, datasets: Mapping[str, Dataset[Any]], trainer: pl.Trainer
) -> tuple[DataLoader, DataLoader]:
    """Loaders of training and validation batches for the process of a trainer.

    Parameters
    ----------
    settings : LoopSettings
    datasets : mapping
        ``train`` and ``val``.
    trainer : pl.Trainer
        Tells rank, number of processes and epoch.

    Returns
    -------
    tuple of DataLoader
        Of training patches in the epoch's order, and of validation patches in batches twice as large.

    Raises
    ------
    NetworkError
        For fewer than two training patches a process.
    """
    size, rank, world_size = settings.train.batch_size, trainer.global_rank, trainer.world_size
    train, val = datasets["train"], datasets["val"]
    patches, held_out = len(cast("Sized", train)), len(cast("Sized", val))
    sampler = EpochSampler(
        patches,
        seed=settings.seed,
        batch_size=size,
        rank=rank,
        world_size=world_size,
        epoch=lambda: trainer.fit_loop.epoch_progress.current.processed,  # type: ignore[attr-defined]  # Lightning's stubs
    )
    if len(sampler) < 2:
        raise NetworkError(
            "at least two training patches for each process",
            got=f"{patches} in all",
            where="training",
            fix="Add data or use fewer devices.",
        )
    mine = Subset(val, range(rank, held_out, world_size))
    return _loader(train, size, settings, sampler=sampler), _loader(mine, size * 2, settings)


def _loader(
    dataset: Dataset, batch_size: int, settings: LoopSettings, *, sampler: EpochSampler | None = None
) -> DataLoader:
    return DataLoader(
        dataset if settings.hardware.workers == 0 else _Carrying(dataset),
        batch_size,
        sampler=sampler,
        num_workers=settings.hardware.workers,
        collate_fn=_collate,
        worker_init_fn=partial(_start_worker, parent=os.getpid()),
        # An iterator draws a number. From the global generator, that would change the dropout of a resumed epoch.
        generator=torch.Generator().manual_seed(settings.seed),
    )


class _Carrying(Dataset[Any]):
    """A data set whose errors are values: a worker process cannot raise one as it is in the training process."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(cast("Sized", self.dataset))

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key]
        except (Her2Error, OSError) as failed:
            return failed


def _collate(items: list[Any]) -> Any:
    """A batch, or the first error among its patches."""
    return next((item for item in items if isinstance(item, Exception)), None) or default_collate(items)


def _start_worker(number: int, *, parent: int) -> None:
    end_with_parent(parent)
