"""Measurement of a few steps of a training, from which its time is estimated.

The steps are those of the training itself: the manifest's own patches, loader, augmentation, network, loss, optimiser,
precision and device. The first step, which allocates memory and chooses algorithms, is left out.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from her2core.data.checks import check_manifest
from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare
from her2core.errors import ConfigError
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network, output_grid
from her2core.networks.weights import start_from
from her2core.stain.reference import StainReference
from her2core.training.config import RunConfig
from her2core.training.estimate import Estimate
from her2core.training.fit import patch_dataset, split_of
from her2core.training.hardware import machine, precision
from her2core.training.loop import LoopSettings, batches
from her2core.training.module import PatchClassifier

#: Training steps that are measured, after one that is not; no further one begins after so many seconds.
STEPS, LONGEST = 4, 20.0


def estimate_training(config: RunConfig) -> Estimate:
    """Measure a few steps of a training, on one device, and estimate how long it takes.

    Nothing is written, and no run is made.

    Parameters
    ----------
    config : RunConfig
        The training.

    Returns
    -------
    Estimate

    Raises
    ------
    ConfigError
        For a last layer on frozen features, which has no steps.
    Her2Error
        As ``train`` for anything wrong with manifest, split, network or first weights.

    Examples
    --------
    >>> from her2core import load_config
    >>> estimate_training(load_config("configs/own.yaml")).seconds  # doctest: +SKIP
    """
    if config.frozen:
        raise ConfigError(
            "a training of the whole network",
            got="one of its last layer on frozen features",
            where="frozen",
            fix="It has no training steps that could be measured; one pass over the patches is most of its time.",
        )
    manifest = read_manifest(config.manifest)
    check_manifest(manifest).raise_errors(where=config.manifest)
    split = split_of(manifest, config)
    pl.seed_everything(config.seed, verbose=False)
    network = build_network(config.network.name, len(manifest.classes), **config.network.options)
    start_from(network, config.network.init, name=config.network.name)
    output_grid(network, config.input.px)

    parts = {name: manifest.subset(split.loc[split["split"] == name, "patch_id"]) for name in ("train", "val")}
    size, processes = config.train.batch_size, int(machine(config.hardware)["processes"])
    steps = math.ceil(len(EpochSampler(len(parts["train"]), seed=0, batch_size=size, world_size=processes)) / size)
    wanted = {"train": size * (1 + STEPS), "val": 2 * size}
    few = {name: _spread(part, wanted[name]) for name, part in parts.items()}
    began = time.perf_counter()
    datasets = {name: _dataset(part, config, training=name == "train") for name, part in few.items()}
    prepared = (time.perf_counter() - began) / sum(map(len, few.values()))
    counts = parts["train"].frame["label"].value_counts().reindex(list(manifest.classes), fill_value=0).tolist()
    timer, device = _measure(network, config, datasets, counts)
    return Estimate(
        prepare_seconds=prepared * len(manifest),
        step_seconds=median(timer.steps),
        steps=steps,
        validation_seconds=timer.validation_per_patch * len(parts["val"]) / processes,
        epochs=config.train.epochs,
        measured=len(timer.steps),
        patches=len(manifest),
        network=config.network.name,
        batch_size=min(size, len(few["train"])),
        px=config.input.px,
        device=device,
        threads=torch.get_num_threads(),
        precision=precision(config.hardware),
    )


def _measure(
    network: PatchNetwork, config: RunConfig, datasets: Mapping[str, PatchDataset], counts: list[int]
) -> tuple[_Timer, str]:
    """Times of the steps and of the validation of a short training, and its device."""
    timer = _Timer()
    train = config.train.model_copy(update={"freeze_epochs": 0})  # a frozen trunk takes less time, for some epochs
    hardware = config.hardware.model_copy(update={"devices": 1, "nodes": 1, "strategy": "auto"})
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # As in loop.optimise; small data sets have fewer batches than Lightning logs at.
        warnings.filterwarnings("ignore", message=".*(does not have many workers|LeafSpec.*is deprecated).*")
        trainer = pl.Trainer(
            max_epochs=1 + STEPS,
            accelerator=hardware.accelerator,
            devices=1,
            precision=precision(hardware),
            callbacks=[timer],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        settings = LoopSettings(train, hardware, config.seed, train.monitor)
        loaders = batches(settings, datasets, trainer)
        module = PatchClassifier(network, train, class_counts=counts, steps_per_epoch=len(loaders[0]), seed=config.seed)
        trainer.fit(module, *loaders)
    return timer, trainer.strategy.root_device.type


class _Timer(pl.Callback):
    """Seconds of each training step but the first, its batch's loading included, and of validation."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._began = self._since = time.perf_counter()
        self._warm = False
        self._validation: list[tuple[float, int]] = []

    @property
    def validation_per_patch(self) -> float:
        """Seconds, of the fastest epoch's validation: the first also warms up."""
        return min((seconds / patches for seconds, patches in self._validation), default=0.0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        float(outputs["loss"])  # waits for the device
        now = time.perf_counter()
        if self._warm:
            self.steps.append(now - self._since)
        self._warm, self._since = True, now
        if len(self.steps) >= STEPS or (self.steps and now - self._began > LONGEST):
            trainer.should_stop = True

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._since = time.perf_counter()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self._validation.append((time.perf_counter() - self._since, len(batch[1])))


def _spread(part: Manifest, wanted: int) -> Manifest:
    """At most so many patches, evenly spaced over the table, so that several slides are among them."""
    ids: pd.Series = part.frame["patch_id"]
    places = np.unique(np.linspace(0, len(ids) - 1, min(wanted, len(ids))).astype(int))
    return part.subset(ids.iloc[places])


def _dataset(part: Manifest, config: RunConfig, *, training: bool) -> PatchDataset:
    stain = None if config.stain.method == "none" else StainReference(white=config.stain.white)
    prepare = Prepare(config.input.px, stain, method=config.stain.method)
    return patch_dataset(part, prepare, config, prepare_all(part, prepare)[0], training=training)
