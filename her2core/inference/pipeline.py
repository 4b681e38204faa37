"""Steps from images to predictions: prepared patches, features, scores, calibrated probabilities, flags."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from her2core.data.prepare import Prepare, Prepared
from her2core.data.tensors import to_tensor
from her2core.errors import Her2Error, ImageError, NetworkError
from her2core.evidence.conformal import PredictionSets
from her2core.inference.analysis import PatchAnalysis
from her2core.inference.engines import Engine, Forward, load_engine
from her2core.inference.images import ImageLike
from her2core.inference.prediction import Prediction
from her2core.io.images import as_decoded
from her2core.networks.protocol import PatchNetwork
from her2core.ood import OODDetector
from her2core.ood.descriptor import combined_descriptors, stain_statistics
from her2core.runs.folder import Run


@dataclass(frozen=True, eq=False)
class ReadyPatch:
    """A patch before its pass through the network: all that can be computed without it.

    Attributes
    ----------
    name : str
    prepared : Prepared or None
        None where the image was refused.
    statistics : ndarray or None
        ``ood.descriptor.stain_statistics``; None without a detector.
    refused : Her2Error or None
    milliseconds : float
        Time spent.
    """

    name: str
    prepared: Prepared | None
    statistics: np.ndarray | None = None
    refused: Her2Error | None = None
    milliseconds: float = 0.0


class Pipeline:
    """The steps of a predictor with the settings of its run; nothing in it changes.

    Parameters
    ----------
    run : Run
        Its card gives classes, input, stain reference, temperature and prediction sets.
    network : PatchNetwork
        Is moved to ``device`` and put into evaluation mode without gradients.
    ood : OODDetector or None
    device : torch.device
    engine : str
        As inference.engine_names.engine_name returns it.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> pipeline = example_predictor()._pipeline
    >>> ready = pipeline.ready(np.full((64, 64, 3), 255, np.uint8), "a", mpp=None)
    >>> [analysis] = pipeline.analyse([ready], keep=False)
    >>> analysis.prediction.flags
    ('blank',)
    """

    def __init__(
        self, run: Run, network: PatchNetwork, ood: OODDetector | None, device: torch.device, engine: str
    ) -> None:
        card = run.card
        self.classes = run.classes
        self.model_id = f"{run.name}@{card['weights_sha256'][:12]}"
        self.px = int(card["input"]["px"])
        self.prepare = Prepare.from_card(card)
        self.mean, self.std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self._temperature = float(card["temperature"])
        sets = card.get("prediction_sets")
        self._sets = PredictionSets.from_card(sets, run_classes=run.classes) if sets else None
        self.detector = ood
        self._engine: Engine = load_engine(engine, self.network, card, device, responses=ood is not None)
        self.engine = self._engine.describe()

    def with_engine(self, wrap: Callable[[Engine], Engine]) -> Pipeline:
        """The same steps with ``wrap`` applied to the engine."""
        other = copy(self)
        other._engine = wrap(self._engine)
        other.engine = other._engine.describe()
        return other

    def ready(self, image: ImageLike, name: str, *, mpp: float | None) -> ReadyPatch:
        """Decode and prepare one image; threads may do this at the same time.

        Parameters
        ----------
        image : image
        name : str
        mpp : float or None
            Microns per pixel; what its file states where None.

        Returns
        -------
        ReadyPatch
            One that cannot be read has its error.
        """
        began = time.perf_counter()
        try:
            decoded = as_decoded(image, name=name)
            prepared = self.prepare(decoded.pixels, mpp=mpp or decoded.mpp, flags=decoded.flags)
        except Her2Error as refused:
            return ReadyPatch(name, None, refused=refused)
        statistics = stain_statistics(prepared.raw) if self.detector is not None else None
        return ReadyPatch(name, prepared, statistics, milliseconds=1e3 * (time.perf_counter() - began))

    def analyse(self, patches: Sequence[ReadyPatch], *, keep: bool) -> list[PatchAnalysis]:
        """Analyses of one batch in order; an image that cannot be predicted has the error.

        Parameters
        ----------
        patches : sequence of ReadyPatch
        keep : bool
            Whether analyses carry their features.

        Returns
        -------
        list of PatchAnalysis
        """
        found: dict[int, PatchAnalysis] = {}
        good: list[tuple[int, Prepared]] = []
        for i, patch in enumerate(patches):
            if patch.prepared is None:
                found[i] = self._refused(patch.name, patch.refused or not_finite(patch.name))
            else:
                good.append((i, patch.prepared))
        if good:
            began = time.perf_counter()
            features, logits, responses = self.forward(self.tensor(np.stack([p.image for _, p in good])))
            probabilities = self.probabilities(logits)
            scores = self._ood_scores(responses, [patches[i] for i, _ in good])
            share = 1e3 * (time.perf_counter() - began) / len(good)
            for row, (i, prepared) in enumerate(good):
                name = patches[i].name
                if not np.isfinite(probabilities[row]).all():
                    found[i] = self._refused(name, not_finite(name))
                    continue
                spent = {"prepare": patches[i].milliseconds, "network": share}
                prediction = self._prediction(name, prepared, probabilities[row], scores[row], spent)
                # A copy: a slice would keep the features of the whole batch in memory.
                own = features[row : row + 1].clone() if keep else None
                found[i] = PatchAnalysis(prediction, self.network, own)
        return [found[i] for i in range(len(patches))]

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (N, K), of prepared images, uint8 (N, px, px, 3).

        Raises
        ------
        ImageError
            For an array of another form.
        NetworkError
            If a score is not finite.
        """
        probabilities = self.probabilities(self.forward(self.tensor(images)).scores)
        if not np.isfinite(probabilities).all():
            raise not_finite("predict_proba")
        return probabilities

    def tensor(self, images: np.ndarray) -> Tensor:
        """Network input, float32 (N, 3, px, px), of prepared images, uint8 (N, px, px, 3)."""
        if images.dtype != np.uint8 or images.shape[1:] != (self.px, self.px, 3):
            raise ImageError(
                f"prepared images, uint8 (N, {self.px}, {self.px}, 3)",
                got=f"{images.dtype} {images.shape}",
                fix="Use predict, which prepares them.",
            )
        return to_tensor(images, self.mean, self.std).to(self.device)

    def forward(self, batch: Tensor) -> Forward:
        """Features, uncalibrated scores and responses of a network input, by the engine."""
        return self._engine.forward(batch)

    def probabilities(self, logits: Tensor) -> np.ndarray:
        """Calibrated probabilities, float64 (N, K); a row of NaN where a score is not finite."""
        probabilities = torch.softmax(logits.double() / self._temperature, dim=1)
        finite = logits.isfinite().all(dim=1, keepdim=True)
        return torch.where(finite, probabilities, torch.nan).cpu().numpy()

    def _ood_scores(self, responses: Tensor | None, patches: Sequence[ReadyPatch]) -> list[float | None]:
        """In units of the threshold; None without a detector or assessable tissue."""
        if self.detector is None or responses is None:
            return [None] * len(patches)
        statistics = np.stack([patch.statistics for patch in patches if patch.statistics is not None])
        scores = self.detector.score(combined_descriptors(responses, statistics)) / self.detector.threshold
        usable = [patch.prepared is not None and patch.prepared.usable for patch in patches]
        return [float(score) if tissue else None for tissue, score in zip(usable, scores, strict=True)]

    def _prediction(
        self, name: str, prepared: Prepared, probabilities: np.ndarray, ood_score: float | None, spent: dict[str, float]
    ) -> Prediction:
        sets = self._sets
        unlike = ("out_of_distribution",) if ood_score is not None and ood_score > 1 else ()
        return Prediction(
            name=name,
            classes=self.classes,
            probabilities=tuple(float(p) for p in probabilities),
            flags=(*prepared.flags, *unlike),
            prediction_set=sets.names(sets.sets(probabilities[None])[0]) if sets and sets.given else None,
            coverage=sets.coverage if sets and sets.given else None,
            set_note=sets.note if sets else "",
            ood_score=ood_score,
            milliseconds={k: round(v, 2) for k, v in spent.items()},
            model=self.model_id,
            engine=self.engine,
            image=prepared.image,
            raw=prepared.raw,
        )

    def _refused(self, name: str, refused: Her2Error) -> PatchAnalysis:
        prediction = Prediction(name, self.classes, (), (), {}, self.model_id, error=refused.sentence)
        return PatchAnalysis(prediction, self.network, _refused=refused)


def not_finite(name: str) -> NetworkError:
    """The error for scores that are NaN or infinite: the largest of them would still be some class.

    Parameters
    ----------
    name : str
        The patch.

    Returns
    -------
    NetworkError

    Examples
    --------
    >>> print(not_finite("a.png").got)
    NaN or infinity
    """
    return NetworkError(
        "a finite score for each class",
        got="NaN or infinity",
        where=name,
        fix="The network's weights are damaged, or its training diverged: copy the run again, or train again with a "
        "lower learning rate.",
    )
