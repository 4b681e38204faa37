"""Where did this run look on this image? A run folder or predictor and an image in, a class-activation map out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from her2core.maps.cam import ClassMap

if TYPE_CHECKING:
    from her2core.inference.predictor import ImageLike, Predictor


def explain(
    model: Predictor | str | os.PathLike,
    image: ImageLike,
    *,
    target: str | None = None,
    mpp: float | None = None,
    method: str = "gradcam",
) -> ClassMap:
    """The map of ``image`` for class ``target`` (the predicted class when left out).

    ``model`` is a Predictor, or a run folder to load one from; ``method`` a key of maps.methods.METHODS.
    Raises RunError, WeightsError, ImageError or NetworkError, as loading and Predictor.explain do.
    """
    from her2core.inference.predictor import Predictor, load_predictor

    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    return predictor.explain(image, target=target, mpp=mpp, method=method)
