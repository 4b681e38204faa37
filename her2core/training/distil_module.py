"""Views of patches with the teacher's embeddings, and the student's steps as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchmetrics import MeanMetric

from her2core.data.augment import Augment
from her2core.data.tensors import to_tensor
from her2core.features.extract import frozen_features
from her2core.io.images import RGBImage, resize_rgb
from her2core.networks.heads import last_layer
from her2core.networks.protocol import PatchNetwork
from her2core.training.config import InputConfig, OptimisationConfig
from her2core.training.module import NetworkModule


class ViewDataset(Dataset[tuple[Tensor, Tensor]]):
    """Views of patches for the student, each with the teacher's embedding of the same view.

    Indexed by ``i``, or by ``(i, epoch)`` of which view ``epoch % views`` is taken. A view is drawn from ``seed``, its
    number and ``i``, so that teacher and student see the same one, whichever process prepares it.

    Parameters
    ----------
    images : uint8 array (N, px, px, 3)
        Prepared patches.
    student : InputConfig
        Size and scaling of the student's input.
    augment : Augment or None
        Random change of a patch; None for the patches as they are.
    seed : int
        Of the views.
    views : int
        Number of views.

    Attributes
    ----------
    embeddings : float32 array (views, N, D)
        What the student is to predict; set by ``taught_datasets``.
    """

    def __init__(
        self, images: npt.NDArray[np.uint8], *, student: InputConfig, augment: Augment | None, seed: int, views: int
    ) -> None:
        self.images, self.student, self.augment, self.seed, self.views = images, student, augment, seed, views
        self.embeddings = np.zeros((views, len(images), 0), np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def view(self, i: int, number: int, px: int) -> RGBImage:
        """One view of a patch, uint8 (px, px, 3)."""
        image = self.images[i]
        if self.augment is not None:
            image = self.augment(image, np.random.default_rng(np.random.SeedSequence([self.seed, number, i])))
        return image if image.shape[0] == px else resize_rgb(image, px)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        i, epoch = key if isinstance(key, tuple) else (key, 0)
        number = epoch % self.views
        image = to_tensor(self.view(i, number, self.student.px), self.student.mean, self.student.std)
        return image, torch.from_numpy(self.embeddings[number, i])


def embed_views(
    teacher: PatchNetwork,
    datasets: Sequence[ViewDataset],
    *,
    built: str,
    scaling: InputConfig,
    cache: Path,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Have the teacher embed every view, and standardise the embeddings by those of the first data set.

    Parameters
    ----------
    teacher : PatchNetwork
        Is put into evaluation mode; its weights are not changed.
    datasets : sequence of ViewDataset
        Training patches first; their ``embeddings`` are set.
    built, cache, device, progress
        As for ``frozen_features``.
    scaling : InputConfig
        Size and scaling of the teacher's input.
    """
    for data in datasets:
        views = [
            frozen_features(
                teacher,
                np.stack([data.view(i, number, scaling.px) for i in range(len(data))]),
                built=built,
                mean=scaling.mean,
                std=scaling.std,
                cache=cache,
                device=device,
                progress=progress,
            )
            for number in range(data.views)
        ]
        data.embeddings = np.stack(views)
    first = datasets[0].embeddings.reshape(-1, datasets[0].embeddings.shape[-1])
    centre, spread = first.mean(axis=0, dtype=np.float64), first.std(axis=0, dtype=np.float64)
    spread[spread < 1e-6 * max(float(spread.max()), 1e-12)] = np.inf  # nothing can be learned of a constant
    for data in datasets:
        data.embeddings = ((data.embeddings - centre) / spread).astype(np.float32)


class StudentModule(NetworkModule):
    """Regression of the teacher's standardised embedding on the student's, by the student's last layer.

    The last layer maps the student's embedding linearly to the teacher's; dropout before it is left out. It is not
    part of the weights that are kept.

    Parameters
    ----------
    network : PatchNetwork
        The student, with as many outputs as the teacher's embedding has numbers.
    optimisation : OptimisationConfig
        Rates and schedule.
    steps_per_epoch, seed
        As for ``PatchClassifier``.
    loss : {"squared", "cosine"}
        Mean squared error, or one minus the cosine of the angle.

    References
    ----------
    Hinton et al. 2015, Distilling the knowledge in a neural network, arXiv 1503.02531.
    Romero et al. 2015, FitNets: hints for thin deep nets, arXiv 1412.6550.
    Beyer et al. 2022, Knowledge distillation: a good teacher is patient and consistent, doi
    10.1109/CVPR52688.2022.01065 (teacher and student see the same view).
    """

    def __init__(
        self,
        network: PatchNetwork,
        optimisation: OptimisationConfig,
        *,
        steps_per_epoch: int,
        seed: int,
        loss: Literal["squared", "cosine"],
    ) -> None:
        super().__init__(network, optimisation, steps_per_epoch=steps_per_epoch, seed=seed)
        self.loss = loss
        self.train_loss, self.val_loss = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.val_cosine = MeanMetric(nan_strategy="disable")

    def predict(self, images: Tensor) -> Tensor:
        """Predicted embeddings, float32 (N, D), of float32 (N, 3, H, W) images."""
        features = self.network.features(images.contiguous(memory_format=torch.channels_last))
        predicted: Tensor = last_layer(self.network)(self.network.embed(features))
        return predicted.float()

    def distance(self, predicted: Tensor, taught: Tensor) -> Tensor:
        """The loss of a batch, both float32 (N, D)."""
        if self.loss == "cosine":
            return 1 - F.cosine_similarity(predicted, taught, dim=1).mean()
        return F.mse_loss(predicted, taught)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Compute the loss of a batch: float32 (N, 3, H, W) images and float32 (N, D) embeddings."""
        images, taught = batch
        loss = self.distance(self.predict(images), taught)
        self.train_loss.update(loss.detach(), len(taught))
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the loss over the epoch's training batches."""
        self.log("train_loss", self.train_loss, logger=False)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Update the metrics of the patches held out."""
        images, taught = batch
        predicted = self.predict(images)
        self.val_loss.update(self.distance(predicted, taught), len(taught))
        self.val_cosine.update(F.cosine_similarity(predicted, taught, dim=1))

    def on_validation_epoch_end(self) -> None:
        """Log them."""
        for name in ("val_loss", "val_cosine"):
            self.log(name, getattr(self, name), prog_bar=True, logger=False)
