"""Models of bags: gated attention, and mean, top-k and noisy-or pooling, with a nominal or an ordinal last layer.

A bag is the tiles of a patient (or slide), of which the label is known for the bag alone. All models take padded bags
float32 (B, N, D) with a mask bool (B, N) and give logarithms of class probabilities up to a constant (B, K).

- ``attention``: tiles are embedded, weighted by gated attention (Ilse et al. 2018, equation 9), summed and classified.
- ``mean``: the same with equal weights.
- ``top_k``: tiles are classified; a class's probability is its mean over the tenth of the tiles with the highest.
- ``noisy_or``: tiles are classified; a class is present as soon as one tile shows it.

The last two are the rules of ``evidence.aggregation_rules``, learnt through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from her2core.errors import NetworkError
from her2core.evidence.aggregation_rules import TOP_PROPORTION

Pool = Literal["attention", "mean", "top_k", "noisy_or"]
Head = Literal["nominal", "ordinal"]
_SMALLEST, _SMALLEST_GAP = 1e-12, 1e-6


class GatedAttention(nn.Module):
    """Attention weights of the tiles of each bag.

    Parameters
    ----------
    features : int
        Length D of a tile's embedding.
    hidden : int
        Length of both branches.

    References
    ----------
    Ilse, Tomczak & Welling 2018, Attention-based Deep Multiple Instance Learning, ICML, arXiv 1802.04712.

    Examples
    --------
    >>> weights = GatedAttention(4, 2)(torch.ones(1, 3, 4), torch.tensor([[True, True, False]]))
    >>> weights.detach().round(decimals=2).tolist()
    [[0.5, 0.5, 0.0]]
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weights float32 (B, N) that sum to one over the tiles of a bag; zero where the mask is False."""
        score = self.score(torch.tanh(self.value(x)) * torch.sigmoid(self.gate(x))).squeeze(-1)
        return torch.softmax(score.masked_fill(~mask, -torch.inf), dim=1)


class OrdinalLayer(nn.Module):
    """Last layer of ordered classes: one score and ordered thresholds (proportional odds).

    Parameters
    ----------
    features : int
        Length of its input.
    classes : int
        At least two, in their order.

    References
    ----------
    McCullagh 1980, Regression Models for Ordinal Data, J R Stat Soc B 42:109.

    Examples
    --------
    >>> log_probabilities = OrdinalLayer(4, 3)(torch.zeros(2, 4))
    >>> log_probabilities.exp().sum(dim=1).round(decimals=4).tolist()
    [1.0, 1.0]
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        self.first = nn.Parameter(torch.tensor(-1.0))
        self.steps = nn.Parameter(torch.ones(classes - 2))

    def thresholds(self) -> Tensor:
        """Thresholds between neighbouring classes, ascending, float32 (K - 1,)."""
        return torch.cat([self.first[None], self.first + self._gaps().cumsum(dim=0)])

    def _gaps(self) -> Tensor:
        return F.softplus(self.steps) + _SMALLEST_GAP

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of class probabilities, float32 (..., K)."""
        above = self.score(x) - self.thresholds()  # log odds of a class above each threshold, descending
        lowest, highest = F.logsigmoid(-above[..., :1]), F.logsigmoid(above[..., -1:])
        low, high = above[..., 1:], above[..., :-1]
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), where a - b is the gap of two thresholds.
        between = F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(-self._gaps()))
        return torch.cat([lowest, between, highest], dim=-1)


class BagModel(nn.Module):
    """Classifier of bags.

    Parameters
    ----------
    features : int
        Length D of a tile's features.
    classes : int
        Number K of classes.
    pool : {"attention", "mean", "top_k", "noisy_or"}
        How tiles become a bag.
    head : {"nominal", "ordinal"}
        Last layer.
    hidden : int
        Length of the embedding (linear, ReLU) before pooling; 0 for none.
    attention : int
        Length of the attention's branches.
    dropout : float
        After the embedding, while training.

    Examples
    --------
    >>> model = BagModel(8, 3, pool="attention").eval()
    >>> model(torch.zeros(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        pool: Pool = "attention",
        head: Head = "nominal",
        hidden: int = 128,
        attention: int = 64,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise NetworkError(
                f"a pool out of {', '.join(POOLS)}", got=repr(pool), where="bag model", fix="Use one of these."
            )
        self.pool = pool
        width = hidden or features
        embed = [nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout)] if hidden else []
        self.embed = nn.Sequential(*embed)
        self.attention = GatedAttention(width, attention) if pool == "attention" else None
        self.head = OrdinalLayer(width, classes) if head == "ordinal" else nn.Linear(width, classes)

    def weights(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Weight of each tile in its bag, float32 (B, N): attention, or equal weights."""
        if self.attention is not None:
            return self.attention(embedded, mask)
        return mask / mask.sum(dim=1, keepdim=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Logarithms of class probabilities up to a constant, float32 (B, K)."""
        embedded = self.embed(x)
        rule = POOLS[self.pool]
        if rule is None:
            return self.head((self.weights(embedded, mask)[..., None] * embedded).sum(dim=1))
        return torch.log(rule(torch.softmax(self.head(embedded), dim=-1), mask).clamp(min=_SMALLEST))

    @torch.no_grad()
    def tile_weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Weight of each tile, float32 (B, N): where the model looked, and no evidence of what is there."""
        return self.weights(self.embed(x), mask)


def _top_k(probabilities: Tensor, mask: Tensor) -> Tensor:
    count = mask.sum(dim=1)
    kept = torch.ceil(TOP_PROPORTION * count - 1e-9).clamp(min=1)
    ranked = probabilities.masked_fill(~mask[..., None], -1.0).sort(dim=1, descending=True).values
    high = torch.arange(ranked.shape[1], device=mask.device)[None, :] < kept[:, None]
    return (ranked * high[..., None]).sum(dim=1) / kept[:, None]


def _noisy_or(probabilities: Tensor, mask: Tensor) -> Tensor:
    absent = torch.log1p(-probabilities.clamp(max=1 - 1e-6)).masked_fill(~mask[..., None], 0.0)
    return -torch.expm1(absent.sum(dim=1))


#: Pool -> rule from tile probabilities (B, N, K) and mask (B, N) to those of the bag; None where embeddings are pooled.
POOLS: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "attention": None,
    "mean": None,
    "top_k": _top_k,
    "noisy_or": _noisy_or,
}
