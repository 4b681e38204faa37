"""Training of a bag model: class-balanced cross-entropy, the epoch chosen on validation, on one device.

Settings are our choice; none is taken from the paper that this project follows.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from her2core.errors import ManifestError
from her2core.evidence.calibration import fit_temperature
from her2core.mil.bags import Bags, padded
from her2core.mil.models import BagModel, Head, Pool


class MilSettings(BaseModel):
    """Settings of a bag model and its training.

    Attributes
    ----------
    pool, head, hidden, attention, dropout
        As ``models.BagModel``.
    epochs, patience : int
        Most epochs, and epochs without a better validation loss after which training ends.
    batch : int
        Bags a step.
    max_tiles : int
        Largest number of tiles drawn from a bag in an epoch of training; all are used for predictions.
    lr, weight_decay : float
        Of AdamW.

    Examples
    --------
    >>> MilSettings(pool="noisy_or").epochs
    100
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Pool = Field("attention", description="how tiles become a bag")
    head: Head = Field("nominal", description="last layer; ordinal: ordered classes")
    hidden: int = Field(128, ge=0, description="length of the embedding before pooling; 0 for none")
    attention: int = Field(64, ge=1, description="length of the attention's branches")
    dropout: float = Field(0.25, ge=0, lt=1, description="after the embedding")
    epochs: int = Field(100, ge=1, description="most epochs")
    patience: int = Field(15, ge=1, description="epochs without a better validation loss")
    batch: int = Field(16, ge=1, description="bags a step")
    max_tiles: int = Field(2048, ge=1, description="tiles drawn from a bag in an epoch of training")
    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")


@dataclass(frozen=True, eq=False)
class MilFit:
    """A trained bag model.

    Attributes
    ----------
    model : BagModel
        In evaluation mode, with the weights of the best epoch.
    centre, spread : float32 arrays (D,)
        Of the training tiles' features, by which all are scaled.
    temperature : float
        Of the scores, from validation.
    epoch : int
        The best, from 1.
    """

    model: BagModel
    centre: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    temperature: float
    epoch: int

    @torch.no_grad()
    def scores(self, bags: Bags, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Scores of some bags before the temperature, float64 (M, K), from all their tiles."""
        return np.concatenate([self.model(*self._input(bags, row)).double().numpy() for row in rows])

    def tile_weights(self, bags: Bags, row: int) -> npt.NDArray[np.float32]:
        """Weights of the tiles of one bag, float32 (N,)."""
        return self.model.tile_weights(*self._input(bags, row))[0].numpy()

    def _input(self, bags: Bags, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return padded([(bags.tiles(int(row)) - self.centre) / self.spread])


def fit_mil(
    bags: Bags, settings: MilSettings, *, train: npt.NDArray[np.int64], val: npt.NDArray[np.int64], seed: int = 0
) -> MilFit:
    """Train a bag model.

    Parameters
    ----------
    bags : Bags
    settings : MilSettings
    train, val : int64 arrays
        Rows of the bags; the test part plays no role.
    seed : int
        Of weights, order, dropout and drawn tiles. The same seed gives the same model.

    Returns
    -------
    MilFit

    Raises
    ------
    ManifestError
        Where a class has no training bag, or there is no validation bag.
    """
    counts = np.bincount(bags.labels[train], minlength=len(bags.classes))
    if not len(val) or (counts == 0).any():
        raise ManifestError(
            "training bags of every class, and validation bags",
            got=f"{counts.tolist()} and {len(val)}",
            where="bags",
            fix="Add patients, or use fewer folds.",
        )
    tiles = np.concatenate([bags.tiles(int(row)) for row in train])
    centre, spread = tiles.mean(axis=0, dtype=np.float64), tiles.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, 1.0)  # a constant feature says nothing
    scaled = {int(row): ((bags.tiles(int(row)) - centre) / spread).astype(np.float32) for row in (*train, *val)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BagModel(
            tiles.shape[1],
            len(bags.classes),
            pool=settings.pool,
            head=settings.head,
            hidden=settings.hidden,
            attention=settings.attention,
            dropout=settings.dropout,
        )
        weight = torch.tensor(len(train) / (len(counts) * counts), dtype=torch.float32)
        best, epoch = _epochs(model, scaled, bags.labels, settings, weight, train, val, np.random.default_rng(seed))
    model.load_state_dict(best)
    held = MilFit(model.eval(), centre.astype(np.float32), spread.astype(np.float32), 1.0, epoch)
    temperature = fit_temperature(held.scores(bags, val), labels=bags.labels[val])
    return MilFit(held.model, held.centre, held.spread, temperature, epoch)


def _epochs(
    model: BagModel,
    scaled: dict[int, npt.NDArray[np.float32]],
    labels: npt.NDArray[np.int64],
    settings: MilSettings,
    weight: torch.Tensor,
    train: npt.NDArray[np.int64],
    val: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[dict[str, torch.Tensor], int]:
    """Weights of the epoch with the smallest validation loss, and its number."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    targets = torch.from_numpy(labels)
    best, lowest, chosen = copy.deepcopy(model.state_dict()), np.inf, 0
    for epoch in range(1, settings.epochs + 1):
        model.train()
        order = rng.permutation(train)
        for start in range(0, len(order), settings.batch):
            rows = order[start : start + settings.batch]
            x, mask = padded([_drawn(scaled[int(row)], settings.max_tiles, rng) for row in rows])
            loss = F.cross_entropy(model(x, mask), targets[rows], weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            scores = torch.cat([model(*padded([scaled[int(row)]])) for row in val])
            loss_val = float(F.cross_entropy(scores, targets[val], weight=weight))
        if loss_val < lowest:
            best, lowest, chosen = copy.deepcopy(model.state_dict()), loss_val, epoch
        elif epoch - chosen >= settings.patience:
            break
    return best, chosen


def _drawn(tiles: npt.NDArray[np.float32], most: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return tiles if len(tiles) <= most else tiles[rng.choice(len(tiles), most, replace=False)]
