"""Class-activation maps of a run, in one call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from her2core.maps.class_map import ClassMap

if TYPE_CHECKING:
    from her2core.inference.images import ImageLike
    from her2core.inference.predictor import Predictor
    from her2core.runs.folder import Run


def explain(
    model: Predictor | Run | str | os.PathLike[str],
    image: ImageLike,
    *,
    target: str | None = None,
    mpp: float | None = None,
    method: str = "gradcam",
) -> ClassMap:
    """Class-activation map of one patch.

    Parameters
    ----------
    model : Predictor, Run, str or PathLike
        A loaded predictor, or a finished run with its weights to load one from.
    image : str, PathLike, bytes, ndarray or PIL.Image.Image
        A path, an encoded image, uint8 (H, W, 3) RGB, or a PIL image.
    target : str, optional
        The class; the predicted one by default.
    mpp : float, optional
        Microns per pixel of the image, above 0; the file's own by default.
    method : str, default "gradcam"
        A key of maps.methods.METHODS.

    Returns
    -------
    ClassMap

    Raises
    ------
    ConfigError
        For an unknown method, class or ``mpp``.
    ImageError
        For an image that cannot be read.
    NetworkError
        For a network whose features have no spatial grid, or scores that are not finite.
    RunError, WeightsError
        If the run cannot be loaded.

    References
    ----------
    Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74 (Grad-CAM); maps.methods names those of the others.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> found = explain(example_predictor(), np.full((64, 64, 3), 180, np.uint8), target="positive")
    >>> found.target, found.method, found.grid.shape
    ('positive', 'gradcam', (2, 2))
    """
    from her2core.inference.predictor import Predictor, load_predictor

    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    return predictor.explain(image, target=target, mpp=mpp, method=method)
