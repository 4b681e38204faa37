"""How is a last layer found on frozen features? Features of training and validation in; the layer and its history out.

No gradient reaches the rest of the network and no patch is augmented: each is seen once, as it will be served. What is
tried (inverse penalties, numbers of neighbours) is judged by ``train.monitor`` on validation; the test part plays no
part. The layer goes into the network, which is then saved, evaluated and served as any other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn

from her2core.errors import NetworkError
from her2core.networks.heads import NearestNeighbours, last_layer, replace_last_layer
from her2core.training.config import RunConfig

_ITERATIONS = 2000


@dataclass(frozen=True)
class FrozenFit:
    """``history``: one row a value tried (tried, train_loss, train_accuracy, val_loss, val_accuracy,
    val_balanced_accuracy); ``best``: the row that was taken; ``layer``: what the card says of a last layer that is not
    the network's own, or None."""

    history: pd.DataFrame
    best: int
    layer: dict | None


def fit_last_layer(
    network: nn.Module,
    config: RunConfig,
    *,
    train: np.ndarray,
    train_labels: np.ndarray,
    val: np.ndarray,
    val_labels: np.ndarray,
    classes: int,
) -> FrozenFit:
    """Find the last layer, put it into ``network``, and tell what was tried.

    ``train`` and ``val`` float32 (N, C) features, their labels int64 (N,). Raises NetworkError where a class has no
    training patch, a feature is no finite number, or the network does not end in a linear layer.
    """
    if (held := len(np.unique(train_labels))) < classes:
        raise NetworkError(
            f"training patches of all {classes} classes",
            got=f"of {held}",
            where="training",
            fix="Add data, or split with another seed.",
        )
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        raise NetworkError(
            "features that are finite numbers",
            got="others",
            where="frozen features",
            fix="Look at the network's first weights, and at input.mean and std.",
        )
    last_layer(network)
    fit = _linear if config.frozen.head == "linear" else _neighbours
    tried = list(dict.fromkeys(config.frozen.tried))
    layers = [fit(train, train_labels, value, classes, config) for value in tried]
    rows = []
    for value, layer in zip(tried, layers, strict=True):
        trained, judged = _judge(layer, train, train_labels), _judge(layer, val, val_labels)
        rows.append(
            {
                "tried": value,
                "train_loss": trained[0],
                "train_accuracy": trained[1],
                "val_loss": judged[0],
                "val_accuracy": judged[1],
                "val_balanced_accuracy": judged[2],
            }
        )
    history = pd.DataFrame(rows)
    monitor = config.train.monitor
    best = int(history[monitor].idxmin() if monitor == "val_loss" else history[monitor].idxmax())
    layer = layers[best]
    replace_last_layer(network, layer)
    return FrozenFit(history, best, layer.options() if isinstance(layer, NearestNeighbours) else None)


def _linear(x: np.ndarray, labels: np.ndarray, inverse_penalty: float, classes: int, config: RunConfig) -> nn.Linear:
    """Logistic regression on features scaled to deviation 1; the scaling is folded into weights and bias."""
    centre, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    alive = spread[spread > 0]
    spread = spread + (1e-6 * np.median(alive) if len(alive) else 1.0)  # a feature that never varies has no weight
    balanced = "balanced" if config.train.class_weights == "balanced" else None
    model = LogisticRegression(
        C=float(inverse_penalty), max_iter=_ITERATIONS, class_weight=balanced, random_state=config.seed
    )
    with warnings.catch_warnings():
        # One value of many: where it has not converged, validation judges it as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - centre) / spread, labels)
    weight, bias = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn gives the second class's score alone
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    weight = weight / spread
    layer = nn.Linear(x.shape[1], classes)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias - weight @ centre))
    return layer


def _neighbours(x: np.ndarray, labels: np.ndarray, k: float, classes: int, config: RunConfig) -> NearestNeighbours:
    layer = NearestNeighbours(len(x), x.shape[1], classes, neighbours=int(k))
    layer.place(torch.from_numpy(x), torch.from_numpy(labels), balanced=config.train.class_weights == "balanced")
    return layer


@torch.no_grad()
def _judge(layer: nn.Module, x: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Log loss, accuracy, balanced accuracy."""
    scores = torch.cat([layer(part) for part in torch.from_numpy(x).split(1024)]).double()
    probabilities = torch.softmax(scores, dim=1).numpy()
    predicted = probabilities.argmax(axis=1)
    loss = log_loss(labels, probabilities, labels=range(probabilities.shape[1]))
    return float(loss), float((predicted == labels).mean()), float(balanced_accuracy_score(labels, predicted))
