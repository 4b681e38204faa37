"""Prediction of a patch with its features kept, from which any map follows without another forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from her2core.errors import ConfigError, Her2Error
from her2core.inference.prediction import Prediction
from her2core.maps.cam import class_map
from her2core.maps.class_map import ClassMap
from her2core.networks.protocol import PatchNetwork


@dataclass(frozen=True, eq=False, repr=False)
class PatchAnalysis:
    """One patch after its one pass through the network; get one with ``Predictor.analyse``.

    Attributes
    ----------
    prediction : Prediction
        What ``Predictor.predict`` returns for the patch.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> analysis = example_predictor().analyse(np.full((64, 64, 3), 180, np.uint8), names="a")
    >>> analysis.prediction.name
    'a'
    >>> [found.method for found in (analysis.class_map("positive"), analysis.class_map("positive", method="layercam"))]
    ['gradcam', 'layercam']
    """

    prediction: Prediction
    _network: PatchNetwork
    _features: Tensor | None = None
    _refused: Her2Error | None = None

    def class_map(self, target: str | None = None, *, method: str = "gradcam") -> ClassMap:
        """The map of one class.

        Parameters
        ----------
        target : str, optional
            The class; the most probable one by default.
        method : str, default "gradcam"
            A key of maps.methods.METHODS.

        Returns
        -------
        ClassMap

        Raises
        ------
        ConfigError
            For an unknown class or method.
        NetworkError
            For a network whose features have no spatial grid.
        Her2Error
            What ``prediction.error`` says, where there is no prediction.
        """
        if self._refused is not None or self._features is None or self.prediction.most_probable is None:
            raise self._refused or ConfigError("a patch with a prediction", got="none", fix="Check prediction.error.")
        name = self.prediction.most_probable if target is None else target
        index = class_index(self.prediction.classes, name)
        return class_map(self._network, self._features, index, name=name, image=self.prediction.image, method=method)

    def class_maps(self, targets: Sequence[str] | None = None, *, method: str = "gradcam") -> dict[str, ClassMap]:
        """The maps of several classes by name, of all by default; parameters and errors are those of `class_map`."""
        return {name: self.class_map(name, method=method) for name in targets or self.prediction.classes}

    def __repr__(self) -> str:
        return f"PatchAnalysis({self.prediction!r})"


def class_index(classes: Sequence[str], target: str) -> int:
    """Position of a class.

    Parameters
    ----------
    classes : sequence of str
    target : str

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        For an unknown class.

    Examples
    --------
    >>> class_index(("negative", "positive"), "positive")
    1
    """
    if target not in classes:
        raise ConfigError(f"argument `target` to be one of {', '.join(map(repr, classes))}", got=repr(target), fix="")
    return list(classes).index(target)
