"""Spatial grids of features: (N, C, h, w) from a network's own layout."""

from __future__ import annotations

from torch import Tensor

from her2core.errors import NetworkError


def require_grid(features: Tensor) -> Tensor:
    """The features themselves, if they have a spatial grid.

    Parameters
    ----------
    features : Tensor
        Any shape.

    Returns
    -------
    Tensor
        ``features``, float (N, C, h, w).

    Raises
    ------
    NetworkError
        If they do not have four dimensions.

    Examples
    --------
    >>> import torch
    >>> require_grid(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 8, 7, 7])
    """
    if features.ndim != 4:
        raise NetworkError(
            "features with a spatial grid",
            got=f"shape {tuple(features.shape)}",
            where="feature map",
            fix="A class-activation map needs a network that keeps a spatial grid; choose another one.",
        )
    return features


def token_grid(features: Tensor, prefix: int) -> Tensor:
    """Tokens of a vision transformer arranged as the grid of patches that they came from.

    Parameters
    ----------
    features : Tensor
        Float (N, ``prefix`` + h * w, C), rows of the grid one after the other.
    prefix : int
        Number of class and register tokens in front, which have no place in the grid.

    Returns
    -------
    Tensor
        Float (N, C, h, w), a view, h = w.

    Raises
    ------
    NetworkError
        If the tokens do not form a square.

    Examples
    --------
    >>> import torch
    >>> token_grid(torch.arange(5.0).reshape(1, 5, 1), prefix=1).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """
    tokens = features[:, prefix:]
    side = round(tokens.shape[1] ** 0.5)
    if side * side != tokens.shape[1]:
        raise NetworkError(
            "tokens that form a square grid",
            got=f"{tokens.shape[1]} tokens",
            where="feature map",
            fix="Use a square input size for this network.",
        )
    return tokens.transpose(1, 2).reshape(features.shape[0], -1, side, side)
