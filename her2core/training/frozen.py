"""Last layers fitted on frozen features: logistic regression or k nearest neighbours.

No gradient reaches the rest of the network and no patch is augmented. Candidates (inverse regularisation strengths,
numbers of neighbours) are compared by ``train.monitor`` on validation; the test part plays no role. The layer becomes
part of the network, which is then saved, evaluated and served as any other.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn

from her2core.data.dataset import PatchDataset
from her2core.errors import ConfigError, NetworkError
from her2core.features.extract import frozen_features
from her2core.networks.heads import NearestNeighbours, fitted_last_layer, last_layer, replace_last_layer
from her2core.networks.protocol import PatchNetwork
from her2core.runs.writer import RunWriter
from her2core.training.callbacks import ProgressCallback
from her2core.training.config import FrozenConfig, RunConfig
from her2core.training.hardware import one_device
from her2core.training.loop import Fitted

_ITERATIONS = 2000


@dataclass(frozen=True)
class FrozenFit:
    """A fitted last layer.

    Attributes
    ----------
    history : DataFrame
        One row a candidate: tried, train_loss, train_accuracy, val_loss, val_accuracy, val_balanced_accuracy.
    best : int
        The row that was selected.
    layer : dict or None
        For the card: options of a last layer that is not the network's own.
    """

    history: pd.DataFrame
    best: int
    layer: dict[str, Any] | None


def train_last_layer(
    network: PatchNetwork,
    config: RunConfig,
    writer: RunWriter,
    datasets: Mapping[str, PatchDataset],
    watch: ProgressCallback,
    *,
    classes: int,
) -> Fitted:
    """Fit only the last layer, on one device; features computed before are read from the cache.

    Parameters
    ----------
    network : PatchNetwork
        With its first weights; its last layer is replaced.
    config : RunConfig
        ``frozen``, ``train.monitor``, ``train.class_weights`` and ``hardware`` apply.
    writer : RunWriter
        Receives history and events.
    datasets : mapping
        ``train`` and ``val``, in memory.
    watch : ProgressCallback
        Reports the progress.
    classes : int
        Number of classes.

    Returns
    -------
    Fitted

    Raises
    ------
    ConfigError
        For patches that do not fit into ``hardware.cache_gb``.
    NetworkError
        As ``fit_last_layer``.
    """
    device = one_device(config.hardware)
    features = {
        name: frozen_embeddings(network, _images(datasets[name]), config, device, watch.extracting)
        for name in ("train", "val")
    }
    fit = fit_last_layer(
        network,
        config,
        train=features["train"],
        train_labels=datasets["train"].targets,
        val=features["val"],
        val_labels=datasets["val"].targets,
        classes=classes,
    )
    writer.write_history(fit.history)
    selected = fit.history.iloc[fit.best]
    facts = {
        "frozen": _section(config).head,
        "chosen": float(selected["tried"]),
        "tried": fit.history["tried"].tolist(),
        config.train.monitor: float(selected[config.train.monitor]),
    }
    writer.event("fitted", **facts)
    return Fitted(device, facts, fit.layer)


@torch.inference_mode()
def frozen_logits(
    network: PatchNetwork, images: NDArray[np.uint8], config: RunConfig, device: torch.device
) -> NDArray[np.float32]:
    """Logits of patches from cached embeddings: the folds of a study differ in their last layer alone.

    Parameters
    ----------
    network : PatchNetwork
        With its fitted last layer.
    images : ndarray
        uint8 (N, px, px, 3) RGB, prepared.
    config : RunConfig
        ``network``, ``input`` and ``hardware`` apply.
    device : torch.device

    Returns
    -------
    ndarray
        float32 (N, K).
    """
    features = torch.from_numpy(frozen_embeddings(network, images, config, device))
    layer = fitted_last_layer(network).eval()
    return np.concatenate([layer(block.to(device)).float().cpu().numpy() for block in features.split(1024)])


def fit_last_layer(
    network: PatchNetwork,
    config: RunConfig,
    *,
    train: NDArray[np.float32],
    train_labels: NDArray[np.int64],
    val: NDArray[np.float32],
    val_labels: NDArray[np.int64],
    classes: int,
) -> FrozenFit:
    """Fit every candidate, select one on validation, and put it into the network.

    Parameters
    ----------
    network : PatchNetwork
        Any of networks.registry; its last layer is replaced.
    config : RunConfig
        With a ``frozen`` section.
    train, val : float32 (N, C)
        Features.
    train_labels, val_labels : int64 (N,)
        Classes by number.
    classes : int
        Number of classes.

    Returns
    -------
    FrozenFit

    Raises
    ------
    NetworkError
        Where a class has no training patch, a feature is not finite, or the network does not end in a linear layer.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:resnet10t", 2)
    >>> x, y = np.eye(512, dtype=np.float32)[:8], np.arange(8) % 2
    >>> config = RunConfig(name="own", manifest="m.csv", frozen={"head": "linear", "tried": [0.1, 1.0]})
    >>> fit = fit_last_layer(network, config, train=x, train_labels=y, val=x, val_labels=y, classes=2)
    >>> fit.history["tried"].tolist()
    [0.1, 1.0]
    """
    if (present := len(np.unique(train_labels))) < classes:
        raise NetworkError(
            f"training patches of all {classes} classes",
            got=f"of {present}",
            where="training",
            fix="Add data, or split with another seed.",
        )
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        raise NetworkError(
            "features that are finite numbers",
            got="others",
            where="frozen features",
            fix="Check the network's first weights, and input.mean and std.",
        )
    last_layer(network)
    fit = _linear if _section(config).head == "linear" else _neighbours
    tried = list(dict.fromkeys(_section(config).tried))
    layers = [fit(train, train_labels, value, classes, config) for value in tried]
    history = pd.DataFrame(
        [
            {"tried": value, **_scores(layer, train, train_labels, "train"), **_scores(layer, val, val_labels, "val")}
            for value, layer in zip(tried, layers, strict=True)
        ]
    ).drop(columns="train_balanced_accuracy")
    monitor = config.train.monitor
    best = int(history[monitor].idxmin() if monitor == "val_loss" else history[monitor].idxmax())
    layer = layers[best]
    replace_last_layer(network, layer)
    return FrozenFit(history, best, layer.options() if isinstance(layer, NearestNeighbours) else None)


def frozen_embeddings(
    network: PatchNetwork,
    images: NDArray[np.uint8],
    config: RunConfig,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Embeddings of prepared patches, from the cache of ``hardware.features`` where they were computed before.

    Parameters
    ----------
    network : PatchNetwork
        With its first weights.
    images : ndarray
        uint8 (N, px, px, 3) RGB, prepared.
    config : RunConfig
        ``network``, ``input`` and ``hardware`` apply.
    device : torch.device
    progress : callable, optional
        Called with (done, total) patches.

    Returns
    -------
    ndarray
        float32 (N, D).
    """
    return frozen_features(
        network,
        images,
        built=json.dumps([config.network.name, config.network.options], sort_keys=True),
        mean=config.input.mean,
        std=config.input.std,
        cache=config.hardware.features,
        device=device,
        progress=progress,
    )


def _section(config: RunConfig) -> FrozenConfig:
    return config.frozen or FrozenConfig()


def _images(dataset: PatchDataset) -> NDArray[np.uint8]:
    if dataset.images is None:
        raise ConfigError(
            "patches that fit into `hardware.cache_gb`",
            got=f"{len(dataset)} patches",
            where="frozen features",
            fix="Raise hardware.cache_gb.",
        )
    return dataset.images


def _linear(
    x: NDArray[np.float32], labels: NDArray[np.int64], strength: float, classes: int, config: RunConfig
) -> nn.Linear:
    """Logistic regression on features scaled to unit deviation; the scaling is folded into weights and bias."""
    centre, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    varying = spread[spread > 0]
    spread = spread + (1e-6 * np.median(varying) if len(varying) else 1.0)  # a constant feature gets no weight
    balanced = "balanced" if config.train.class_weights == "balanced" else None
    model = LogisticRegression(C=float(strength), max_iter=_ITERATIONS, class_weight=balanced, random_state=config.seed)
    with warnings.catch_warnings():
        # One candidate of many: where it has not converged, validation scores it as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - centre) / spread, labels)
    weight, bias = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn gives the second class's logit alone
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    weight = weight / spread
    layer = nn.Linear(x.shape[1], classes)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias - weight @ centre))
    return layer


def _neighbours(
    x: NDArray[np.float32], labels: NDArray[np.int64], k: float, classes: int, config: RunConfig
) -> NearestNeighbours:
    layer = NearestNeighbours(len(x), x.shape[1], classes, neighbours=int(k))
    layer.set_references(
        torch.from_numpy(x), torch.from_numpy(labels), balanced=config.train.class_weights == "balanced"
    )
    return layer


@torch.no_grad()
def _scores(layer: nn.Module, x: NDArray[np.float32], labels: NDArray[np.int64], part: str) -> dict[str, float]:
    logits = torch.cat([layer(block) for block in torch.from_numpy(x).split(1024)]).double()
    probabilities = torch.softmax(logits, dim=1).numpy()
    predicted = probabilities.argmax(axis=1)
    return {
        f"{part}_loss": float(log_loss(labels, probabilities, labels=range(probabilities.shape[1]))),
        f"{part}_accuracy": float((predicted == labels).mean()),
        f"{part}_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
    }
