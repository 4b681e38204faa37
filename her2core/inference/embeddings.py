"""Embeddings of patches by a run's own network: what its last layer sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from her2core.inference.predictor import Predictor

Floats = NDArray[np.float32]


def embedding_steps(
    predictor: Predictor,
    ids: Sequence[str],
    read: Callable[[str], NDArray[np.uint8]],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    batch: int = 16,
) -> Iterator[tuple[list[tuple[str, Floats]], int, int]]:
    """Embed patches batch by batch, as ``inference.background.Job`` takes it.

    Parameters
    ----------
    predictor : Predictor
    ids : sequence of str
        Which patches.
    read : callable
        From an id to the patch, uint8 (H, W, 3) RGB; it is prepared as for a prediction.
    cancelled : callable
        Asked before each batch; nothing more is embedded once it is true.
    batch : int
        Patches of a forward pass.

    Yields
    ------
    found : list of (str, ndarray of float32, shape (D,))
        Ids and embeddings of one batch.
    done, total : int

    Raises
    ------
    Her2Error
        For a patch that cannot be read or prepared.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> steps = embedding_steps(example_predictor(), ["a", "b"], lambda name: np.full((64, 64, 3), 180, np.uint8))
    >>> [(found, done, total)] = list(steps)
    >>> [name for name, _ in found], found[0][1].dtype, done, total
    (['a', 'b'], dtype('float32'), 2, 2)
    """
    pipeline = predictor._pipeline
    for start in range(0, len(ids), batch):
        if cancelled():
            return
        names = list(ids[start : start + batch])
        images = np.stack([predictor.prepare(read(name)).image for name in names])
        with torch.no_grad():
            features = pipeline.forward(pipeline.tensor(images)).features
            vectors = pipeline.network.embed(features).float().cpu().numpy()
        yield list(zip(names, vectors, strict=True)), start + len(names), len(ids)
