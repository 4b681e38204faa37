"""Predictor of a finished run: images to predictions and class-activation maps, safe to share between threads.

Nothing here changes after loading: parameters require no gradient, the network has no hooks, and a map is taken between
features and head. So concurrent calls cannot affect each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import overload

import numpy as np

from her2core.errors import RunError
from her2core.inference.analysis import PatchAnalysis, class_index
from her2core.inference.arguments import (
    checked_batch,
    checked_device,
    checked_mpp,
    checked_names,
    image_list,
    is_one_image,
)
from her2core.inference.engine_names import engine_name
from her2core.inference.engines import Engine
from her2core.inference.images import ImageLike
from her2core.inference.pipeline import Pipeline
from her2core.inference.prediction import Prediction
from her2core.inference.reading_ahead import ready_patches
from her2core.maps.class_map import ClassMap
from her2core.maps.methods import find_method
from her2core.networks.from_card import network_from_card
from her2core.networks.protocol import PatchNetwork
from her2core.ood import FILE as OOD_FILE
from her2core.ood import OODDetector, read_ood_detector
from her2core.runs.folder import WEIGHTS, Run, open_run

Several = Iterable[ImageLike]


class Predictor:
    """A finished run with its network loaded; get one with `load_predictor`.

    Parameters
    ----------
    run : Run
        Gives classes, input, stain reference, temperature and prediction sets by its card.
    network : PatchNetwork
        With the run's weights; it is put into evaluation mode and must not be changed afterwards.
    ood : OODDetector, optional
        The run's detector.
    device : str, default "cpu"
        Where the network runs, as torch names it.
    engine : str, default "torch"
        What computes the forward pass, as inference.engine_names.engine_name takes it.

    Attributes
    ----------
    run : Run
    classes : tuple of str
        In the order of probabilities.
    model_id : str
        The run's name and the first 12 digits of its weights' SHA-256.
    px : int
        Side of the network's input in pixels.
    prepare : Prepare
        Crop, size and stain normalisation.
    engine : str
        What computes the forward pass: library, version, precision and device.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> predictor = example_predictor()
    >>> predictor
    Predictor(model='example@000000000000', classes=('negative', 'equivocal', 'positive'), px=64, device='cpu')
    >>> patch = np.full((64, 64, 3), 180, np.uint8)
    >>> predictor.predict(patch).classes
    ('negative', 'equivocal', 'positive')
    >>> [p.name for p in predictor.predict([patch, patch], names=["a", "b"])]
    ['a', 'b']
    """

    def __init__(
        self,
        run: Run,
        network: PatchNetwork,
        *,
        ood: OODDetector | None = None,
        device: str = "cpu",
        engine: str = "torch",
    ) -> None:
        self.run = run
        self._pipeline = Pipeline(run, network, ood, checked_device(device), engine_name(engine))
        self.classes, self.model_id = self._pipeline.classes, self._pipeline.model_id
        self.engine = self._pipeline.engine
        self.px, self.prepare, self.device = self._pipeline.px, self._pipeline.prepare, self._pipeline.device

    def __repr__(self) -> str:
        facts = {"model": self.model_id, "classes": self.classes, "px": self.px, "device": str(self.device)}
        return f"Predictor({', '.join(f'{k}={v!r}' for k, v in facts.items())})"

    @property
    def network(self) -> PatchNetwork:
        """The network, in evaluation mode and shared by all callers: never change it."""
        return self._pipeline.network

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, each (3,), by which pixels in 0..1 are scaled."""
        return self._pipeline.mean, self._pipeline.std

    @property
    def detector(self) -> OODDetector | None:
        """The out-of-distribution detector; None for a run without one."""
        return self._pipeline.detector

    def with_engine(self, wrap: Callable[[Engine], Engine]) -> Predictor:
        """The same predictor, its network shared, with ``wrap`` applied to its engine, as BatchedEngine for threads."""
        other = copy(self)
        other._pipeline = self._pipeline.with_engine(wrap)
        other.engine = other._pipeline.engine
        return other

    @overload  # str is a Sequence[str], and one path is one image: the first signature comes first
    def predict(  # type: ignore[overload-overlap]
        self, images: ImageLike, *, names: str | None = None, mpp: float | None = None, batch: int = 16
    ) -> Prediction: ...
    @overload
    def predict(
        self, images: Several, *, names: Sequence[str] | None = None, mpp: float | None = None, batch: int = 16
    ) -> list[Prediction]: ...
    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        names: str | Sequence[str] | None = None,
        mpp: float | None = None,
        batch: int = 16,
    ) -> Prediction | list[Prediction]:
        """Predictions for one image or many.

        Parameters
        ----------
        images : image, or iterable of images
            An image is a path (str or PathLike), an encoded image (bytes), uint8 (H, W, 3) RGB (ndarray), or a PIL
            image. A string or one array is one image.
        names : str, or sequence of str, optional
            What to call them in results; file names or numbers by default.
        mpp : float, optional
            Microns per pixel, above 0; each file's own by default. A field of view unlike training's is flagged.
        batch : int, default 16
            Images a forward pass, 1 and up. Each is normalised by itself; batching changes probabilities by rounding
            only (under 1e-5).

        Returns
        -------
        Prediction, or list of Prediction
            One for one image, a list in the same order for several. An image that cannot be read, or whose scores are
            not finite, has its ``error`` and the others are predicted.

        Raises
        ------
        ConfigError
            For ``names``, ``mpp`` or ``batch`` out of range, or ``images`` of another type.

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> predictor = example_predictor()
        >>> predictor.predict(np.full((64, 64, 3), 255, np.uint8)).flags
        ('blank',)
        >>> predictor.predict(["absent.png"])[0].error.split(",")[0]
        'absent.png: her2core needs a readable file'
        """
        found = [a.prediction for a in self._analyse(images, names, mpp, batch, keep=False)]
        return found[0] if is_one_image(images) else found

    @overload
    def analyse(  # type: ignore[overload-overlap]
        self, images: ImageLike, *, names: str | None = None, mpp: float | None = None, batch: int = 16
    ) -> PatchAnalysis: ...
    @overload
    def analyse(
        self, images: Several, *, names: Sequence[str] | None = None, mpp: float | None = None, batch: int = 16
    ) -> list[PatchAnalysis]: ...
    def analyse(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        names: str | Sequence[str] | None = None,
        mpp: float | None = None,
        batch: int = 16,
    ) -> PatchAnalysis | list[PatchAnalysis]:
        """Predictions with the features kept, so that maps by any method need no further pass through the network.

        Parameters
        ----------
        images, names, mpp, batch
            As for `predict`.

        Returns
        -------
        PatchAnalysis, or list of PatchAnalysis

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> analysis = example_predictor().analyse(np.full((64, 64, 3), 180, np.uint8))
        >>> sorted(analysis.class_maps(method="gradcam_plusplus"))
        ['equivocal', 'negative', 'positive']
        """
        found = list(self._analyse(images, names, mpp, batch, keep=True))
        return found[0] if is_one_image(images) else found

    def explain(
        self, image: ImageLike, *, target: str | None = None, mpp: float | None = None, method: str = "gradcam"
    ) -> ClassMap:
        """Class-activation map of one image.

        Parameters
        ----------
        image, mpp
            As for `predict`.
        target : str, optional
            The class; the predicted one by default.
        method : str, default "gradcam"
            A key of maps.methods.METHODS.

        Returns
        -------
        ClassMap

        Raises
        ------
        ConfigError
            For an unknown method or class, or ``mpp`` out of range.
        ImageError
            If the image cannot be read.
        NetworkError
            If features have no spatial grid, or scores are not finite.

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> example_predictor().explain(np.full((64, 64, 3), 180, np.uint8), target="negative").target
        'negative'
        """
        find_method(method)
        if target is not None:
            class_index(self.classes, target)
        return self.analyse(image, mpp=mpp).class_map(target, method=method)

    def predict_and_explain(
        self,
        image: ImageLike,
        *,
        name: str | None = None,
        targets: Sequence[str] | None = None,
        mpp: float | None = None,
        method: str = "gradcam",
    ) -> tuple[Prediction, dict[str, ClassMap]]:
        """Prediction and class-activation maps of one image from one pass through the network.

        Parameters
        ----------
        image, mpp, method
            As for `explain`.
        name : str, optional
            What to call it.
        targets : sequence of str, optional
            Classes; all by default.

        Returns
        -------
        prediction : Prediction
        maps : dict of str to ClassMap
            By class; empty where the prediction has an error.

        Raises
        ------
        ConfigError
            For an unknown method or class, or ``mpp`` out of range.
        NetworkError
            If features have no spatial grid.

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> patch = np.full((64, 64, 3), 180, np.uint8)
        >>> prediction, maps = example_predictor().predict_and_explain(patch, targets=["positive"])
        >>> maps["positive"].target
        'positive'
        """
        find_method(method)
        for target in targets or ():
            class_index(self.classes, target)
        analysis = self.analyse(image, names=name, mpp=mpp)
        if analysis.prediction.error is not None:
            return analysis.prediction, {}
        began = time.perf_counter()
        maps = analysis.class_maps(targets, method=method)
        spent = {**analysis.prediction.milliseconds, "maps": round(1e3 * (time.perf_counter() - began), 2)}
        return replace(analysis.prediction, milliseconds=spent), maps

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of images that are prepared already.

        Parameters
        ----------
        images : ndarray
            uint8 (N, px, px, 3) RGB.

        Returns
        -------
        ndarray
            float64 (N, K), rows sum to 1.

        Raises
        ------
        ImageError
            For an array of another form.
        NetworkError
            If scores are not finite.

        Examples
        --------
        >>> from her2core.inference.example import example_predictor
        >>> example_predictor().predict_proba(np.zeros((2, 64, 64, 3), np.uint8)).sum(axis=1).round(6).tolist()
        [1.0, 1.0]
        """
        return self._pipeline.predict_proba(images)

    def _analyse(
        self,
        images: ImageLike | Iterable[ImageLike],
        names: str | Sequence[str] | None,
        mpp: float | None,
        batch: int,
        *,
        keep: bool,
    ) -> Iterator[PatchAnalysis]:
        """Analyses in order, batch by batch; without features unless ``keep``."""
        several, batch, mpp = image_list(images), checked_batch(batch), checked_mpp(mpp)
        called = checked_names(names, several, one=is_one_image(images))
        ready = ready_patches(partial(self._pipeline.ready, mpp=mpp), several, called, batch)
        while patches := list(islice(ready, batch)):
            yield from self._pipeline.analyse(patches, keep=keep)


def load_predictor(run: Run | str | os.PathLike[str], *, device: str = "cpu", engine: str | None = None) -> Predictor:
    """Load a finished run for predictions, its weights verified against its card.

    Parameters
    ----------
    run : Run, str or PathLike
        A run, or its folder.
    device : str, default "cpu"
        Where the network runs, as torch names it: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    engine : str, optional
        A key of inference.engine_names.ENGINES, or the address of a server of the same weights, as
        ``http://host:8080``; by default what HER2_ENGINE names, or the best for this machine.

    Returns
    -------
    Predictor

    Raises
    ------
    RunError
        For a folder that is not a finished run, or one without weights.
    WeightsError
        For weights that are missing, pickled, altered, not finite, or made for another network.
    ConfigError, NetworkError
        For a device that is not there, or a named engine that cannot be had here or differs too much from torch.

    Examples
    --------
    >>> load_predictor("absent")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    her2core.errors.RunError: Expected ...
    """
    name, run = engine_name(engine), run if isinstance(run, Run) else open_run(run)
    if not run.has_weights:
        raise RunError(
            "a run with its weights",
            got="one released for review only",
            where=run.name,
            fix="Train it again from its config.yaml, or choose another run.",
        )
    network = network_from_card(run.card, run.path / WEIGHTS)
    known = run.card.get("ood")
    ood = read_ood_detector(run.path / OOD_FILE, sha256=known["sha256"]) if known else None
    return Predictor(run, network, ood=ood, device=device, engine=name)
