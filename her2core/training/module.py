"""Training and validation steps, metrics and optimiser as a LightningModule."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from her2core.networks.protocol import PatchNetwork
from her2core.training.config import OptimisationConfig, TrainConfig


class NetworkModule(pl.LightningModule):
    """A network under optimisation: AdamW, linear warm-up and cosine decay.

    Parameters
    ----------
    network : PatchNetwork
        Whose parameters are trained, with ``trunk_modules()``.
    optimisation : OptimisationConfig
        Rates and schedule.
    steps_per_epoch : int
        Optimiser steps of an epoch on this device.
    seed : int
        With the epoch, it seeds dropout.
    """

    network: PatchNetwork

    def __init__(
        self, network: PatchNetwork, optimisation: OptimisationConfig, *, steps_per_epoch: int, seed: int
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.optimisation, self.steps_per_epoch, self.seed = optimisation, steps_per_epoch, seed

    def on_train_epoch_start(self) -> None:
        """Seed the epoch."""
        # Dropout draws from the global generator: seeding it here makes a resumed epoch equal to an unbroken one.
        torch.manual_seed(self.seed * 100_003 + self.current_epoch * 101 + self.global_rank)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raise the error that a worker process met while it prepared this batch."""
        if isinstance(batch, Exception):
            raise batch
        return batch

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW without decay on norms and biases; the schedule steps with every batch."""
        trunk = {id(p) for m in self.network.trunk_modules() for p in m.parameters()}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.network.parameters():
            groups.setdefault((id(parameter) in trunk, parameter.ndim > 1), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": self.optimisation.lr * (self.optimisation.trunk_lr if in_trunk else 1.0),
                    "weight_decay": self.optimisation.weight_decay if is_weight else 0.0,
                }
                for (in_trunk, is_weight), parameters in groups.items()
            ]
        )
        warmup = self.optimisation.warmup_epochs * self.steps_per_epoch
        total = self.optimisation.epochs * self.steps_per_epoch

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, total - warmup))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class PatchClassifier(NetworkModule):
    """Cross-entropy with class weights; the trunk is frozen for the first epochs.

    Parameters
    ----------
    network : PatchNetwork
        From float32 (N, 3, H, W) to logits (N, K), with ``trunk_modules()``.
    settings : TrainConfig
        Learning rate, schedule, smoothing, class weights.
    class_counts : list of int
        Training patches of each class.
    steps_per_epoch : int
        Optimiser steps of an epoch on this device.
    seed : int
        With the epoch, it seeds dropout.
    """

    class_weight: Tensor

    def __init__(
        self, network: PatchNetwork, settings: TrainConfig, *, class_counts: list[int], steps_per_epoch: int, seed: int
    ) -> None:
        super().__init__(network, settings, steps_per_epoch=steps_per_epoch, seed=seed)
        self.settings = settings
        self.register_buffer("class_weight", _class_weight(class_counts, settings.class_weights), persistent=False)
        classes = len(class_counts)
        # NaN is kept, so that a diverged epoch is seen; the default drops it from the mean.
        self.train_loss, self.val_loss = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_balanced_accuracy = MulticlassAccuracy(classes, average="macro")

    def on_train_epoch_start(self) -> None:
        """Seed the epoch and freeze or unfreeze the trunk."""
        super().on_train_epoch_start()
        frozen = self.current_epoch < self.settings.freeze_epochs
        for module in self.network.trunk_modules():
            module.requires_grad_(not frozen)
            module.train(not frozen)  # a frozen trunk keeps its batch statistics too

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Compute the loss of a batch: float32 (N, 3, H, W) images and int64 (N,) classes."""
        images, targets = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(
            logits.float(), targets, weight=self.class_weight, label_smoothing=self.settings.label_smoothing
        )
        self.train_loss.update(loss.detach(), len(targets))
        self.train_accuracy.update(logits.detach(), targets)
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log loss and accuracy over the epoch's training batches."""
        self.log("train_loss", self.train_loss, logger=False)
        self.log("train_accuracy", self.train_accuracy, logger=False)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Update the validation metrics with a batch; without class weights or smoothing."""
        images, targets = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last)).float()
        self.val_loss.update(F.cross_entropy(logits, targets), len(targets))
        self.val_accuracy.update(logits, targets)
        self.val_balanced_accuracy.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        for name in ("val_loss", "val_accuracy", "val_balanced_accuracy"):
            self.log(name, getattr(self, name), prog_bar=name != "val_accuracy", logger=False)


def _class_weight(counts: list[int], how: str) -> Tensor:
    """Inverse class frequency where balanced; the mean over the training patches is 1."""
    if how == "none":
        return torch.ones(len(counts))
    total = sum(counts)
    return torch.tensor([total / (len(counts) * n) if n else 0.0 for n in counts], dtype=torch.float32)
