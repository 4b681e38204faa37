"""What does this run say about these images? Images in, one frozen Prediction each out. Threads may share it.

Nothing in here changes after loading: parameters ask for no gradient, the network carries no hooks, and a map is taken
on the seam between features and head. So concurrent calls cannot reach into each other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from her2core.data.dataset import to_tensor
from her2core.data.prepare import FLAGS, UNUSABLE, Prepare, Prepared
from her2core.errors import Her2Error, ImageError, NetworkError, RunError
from her2core.evidence.conformal import PredictionSets
from her2core.io.images import read_image
from her2core.maps.cam import ClassMap, class_map
from her2core.networks.from_card import network_of
from her2core.ood import FILE as OOD_FILE
from her2core.ood import OODDetector, describe, read_ood_detector
from her2core.runs.folder import WEIGHTS, Run, open_run
from her2core.stain.macenko import StainReference

ImageLike = np.ndarray | bytes | str | os.PathLike


@dataclass(frozen=True)
class Prediction:
    """One patch's answer. Either ``probabilities`` or ``error`` is filled; ``usable`` is False where the patch holds
    nothing to judge (blank, black ...), and then the probabilities should not be shown as a finding.

    ``probabilities`` are calibrated, in the order of ``classes``; ``flags`` are keys of data.prepare.FLAGS.
    ``prediction_set`` holds the classes that are credible at ``coverage`` (it may be empty); None where the run has no
    such sets. ``ood_score`` is the distance to the training data in units of its threshold: above 1 the flag
    "out_of_distribution" stands; None where the run cannot say, or there is nothing to judge. ``milliseconds`` says
    where
    the time went; ``model`` is the run's name and the first 12 digits of its weights' hash.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    flags: tuple[str, ...]
    milliseconds: dict[str, float]
    model: str
    research_use_only: bool = True
    prediction_set: tuple[str, ...] | None = None
    coverage: float | None = None
    ood_score: float | None = None
    error: str | None = None
    image: np.ndarray | None = field(default=None, repr=False, compare=False)
    raw: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str | None:
        """The most probable class; None where there is an error."""
        return self.classes[int(np.argmax(self.probabilities))] if self.probabilities else None

    @property
    def usable(self) -> bool:
        return self.error is None and not set(self.flags) & set(UNUSABLE)

    @property
    def notes(self) -> list[str]:
        """The flags as sentences for people."""
        return [FLAGS[f] for f in self.flags]

    def as_dict(self) -> dict:
        """JSON-ready, without the pixels."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("image", "raw", "probabilities", "classes")}
        return {
            **plain,
            "flags": list(self.flags),
            "prediction_set": None if self.prediction_set is None else list(self.prediction_set),
            "label": self.label,
            "usable": self.usable,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=False)),
        }


class Predictor:
    """A finished run, loaded once. Get one with ``load_predictor``."""

    def __init__(self, run: Run, network: nn.Module, *, ood: OODDetector | None = None, device: str = "cpu") -> None:
        card = run.card
        self.run, self.device = run, torch.device(device)
        self.classes = run.classes
        self.model_id = f"{run.name}@{card['weights_sha256'][:12]}"
        self.px = int(card["input"]["px"])
        reference = card["stain"]["reference"]
        stain = None if reference is None else StainReference.from_dict(reference)
        self.prepare = Prepare(self.px, stain, card["input"].get("field_um"))
        self._mean, self._std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])
        self._temperature = float(card["temperature"])
        held = card.get("prediction_sets")
        self._sets = PredictionSets.from_card(held, run_classes=run.classes) if held else None
        self._ood = ood
        self._network = network.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def predict(
        self,
        images: Sequence[ImageLike],
        *,
        names: Sequence[str] | None = None,
        mpp: float | None = None,
        batch: int = 16,
    ) -> list[Prediction]:
        """One Prediction an image, in order; an image that cannot be read gets its ``error`` and the others go on.

        Parameters
        ----------
        images : uint8 (H, W, 3) RGB arrays, encoded bytes, or paths.
        names : what to call them in answers; made from the paths, or numbered, when left out.
        mpp : microns per pixel of the images where known; a field of view unlike training's is then flagged.
        batch : images through the network at once. Each is normalised and judged alone; batching changes the
            probabilities by rounding only (under 1e-5).
        """
        names = list(names) if names is not None else [_name(image, i) for i, image in enumerate(images)]
        if len(names) != len(images):
            raise ImageError(
                f"{len(images)} names", got=str(len(names)), where="predict", fix="Give one name an image."
            )
        results: list[Prediction] = []
        for start in range(0, len(images), batch):
            results += self._batch(images[start : start + batch], names[start : start + batch], mpp)
        return results

    def explain(
        self, image: ImageLike, *, target: str | None = None, mpp: float | None = None, method: str = "gradcam"
    ) -> ClassMap:
        """The map of class ``target`` (the predicted one when left out), by a method of maps.methods.METHODS.

        Raises ImageError or NetworkError.
        """
        prepared = self.prepare(_pixels(image, "image"), mpp=mpp)
        features = self._features(self._tensor([prepared]))
        logits = self._head(features)
        index = int(logits[0].argmax()) if target is None else self._index(target)
        return class_map(self._network, features, index, name=self.classes[index], image=prepared.image, method=method)

    def predict_and_explain(
        self,
        image: ImageLike,
        *,
        name: str = "patch",
        targets: Sequence[str] | None = None,
        mpp: float | None = None,
        method: str = "gradcam",
    ) -> tuple[Prediction, dict[str, ClassMap]]:
        """A prediction and the maps of ``targets`` (all classes when left out) from one pass through the trunk.

        ``method`` is a key of maps.methods.METHODS; NetworkError for any other.
        """
        began = time.perf_counter()
        try:
            pixels = _pixels(image, name)
        except ImageError as refused:
            return self._failed(name, refused), {}
        prepared = self.prepare(pixels, mpp=mpp)
        ready = time.perf_counter()
        batch = self._tensor([prepared])
        features = self._features(batch)
        probs = self._probabilities(self._head(features))[0]
        (strange,) = self._ood_score(features, [prepared], batch)
        done = time.perf_counter()
        indices = range(len(self.classes)) if targets is None else [self._index(t) for t in targets]
        maps = {
            self.classes[i]: class_map(
                self._network, features, i, name=self.classes[i], image=prepared.image, method=method
            )
            for i in indices
        }
        spent = {
            "prepare": 1e3 * (ready - began),
            "network": 1e3 * (done - ready),
            "maps": 1e3 * (time.perf_counter() - done),
        }
        return self._answer(name, prepared, probs, strange, spent), maps

    @property
    def network(self) -> nn.Module:
        """The network itself, in evaluation mode and shared by all callers: never change it."""
        return self._network

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, each (3,), that pixels in 0..1 are scaled by."""
        return self._mean, self._std

    def predict_proba(self, seen: np.ndarray) -> np.ndarray:
        """float64 (N, K) calibrated probabilities of uint8 (N, px, px, 3) images that are prepared already."""
        batch = to_tensor(seen, self._mean, self._std).to(self.device, memory_format=torch.channels_last)
        return self._probabilities(self._head(self._features(batch)))

    def _batch(self, images, names, mpp) -> list[Prediction]:
        began = time.perf_counter()
        answers: dict[int, Prediction] = {}
        prepared: dict[int, Prepared] = {}
        for i, (image, name) in enumerate(zip(images, names, strict=True)):
            try:
                prepared[i] = self.prepare(_pixels(image, name), mpp=mpp)
            except Her2Error as refused:
                answers[i] = self._failed(name, refused)
        ready = time.perf_counter()
        if prepared:
            ordered = list(prepared.values())
            tensor = self._tensor(ordered)
            features = self._features(tensor)
            probs = self._probabilities(self._head(features))
            strange = self._ood_score(features, ordered, tensor)
            share = 1e3 / len(prepared)
            spent = {"prepare": share * (ready - began), "network": share * (time.perf_counter() - ready)}
            for i, row, far in zip(prepared, probs, strange, strict=True):
                answers[i] = self._answer(names[i], prepared[i], row, far, spent)
        return [answers[i] for i in range(len(images))]

    def _tensor(self, prepared: list[Prepared]) -> Tensor:
        batch = to_tensor(np.stack([p.image for p in prepared]), self._mean, self._std)
        return batch.to(self.device, memory_format=torch.channels_last)

    @torch.no_grad()
    def _features(self, batch: Tensor) -> Tensor:
        return self._network.features(batch)

    @torch.no_grad()
    def _head(self, features: Tensor) -> Tensor:
        return self._network.head(features)

    def _probabilities(self, logits: Tensor) -> np.ndarray:
        return torch.softmax(logits.double() / self._temperature, dim=1).cpu().numpy()

    def _ood_score(self, features: Tensor, prepared: list[Prepared], batch: Tensor) -> list[float | None]:
        """Distance to the training data in units of the threshold, where the run can say and there is a patch."""
        if self._ood is None:
            return [None] * len(prepared)
        scores = self._ood.score(describe(self._network, features, prepared, batch))
        return [
            None if set(p.flags) & set(UNUSABLE) else float(s / self._ood.threshold)
            for p, s in zip(prepared, scores, strict=True)
        ]

    def _answer(
        self, name: str, prepared: Prepared, probs: np.ndarray, strange: float | None, spent: dict[str, float]
    ) -> Prediction:
        unlike = ("out_of_distribution",) if strange is not None and strange > 1 else ()
        return Prediction(
            name=name,
            classes=self.classes,
            probabilities=tuple(float(p) for p in probs),
            flags=(*prepared.flags, *unlike),
            prediction_set=self._sets.names(self._sets.sets(probs[None])[0]) if self._sets else None,
            coverage=self._sets.coverage if self._sets else None,
            ood_score=strange,
            milliseconds={k: round(v, 2) for k, v in spent.items()},
            model=self.model_id,
            image=prepared.image,
            raw=prepared.raw,
        )

    def _failed(self, name: str, refused: Her2Error) -> Prediction:
        return Prediction(name, self.classes, (), (), {}, self.model_id, error=str(refused))

    def _index(self, target: str) -> int:
        if target not in self.classes:
            raise NetworkError(
                f"a class out of {', '.join(self.classes)}", got=repr(target), where="map", fix="Choose one."
            )
        return self.classes.index(target)


def load_predictor(run: Run | str | os.PathLike, *, device: str = "cpu") -> Predictor:
    """Load a run's weights, verified against its card, for predictions.

    Raises RunError for a folder that is not a finished run and WeightsError for weights that are missing, pickled,
    tampered with or made for another network.
    """
    run = run if isinstance(run, Run) else open_run(run)
    card = run.card
    if not run.has_weights:
        raise RunError(
            "a run with its weights",
            got="one released for review only",
            where=run.name,
            fix="Train it again from its config.yaml, or choose another run.",
        )
    network = network_of(card, run.path / WEIGHTS)
    known = card.get("ood")
    ood = read_ood_detector(run.path / OOD_FILE, sha256=known["sha256"]) if known else None
    return Predictor(run, network, ood=ood, device=device)


def _pixels(image: ImageLike, name: str) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        return read_image(image, name=None if isinstance(image, str | os.PathLike) else name)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 8:
        raise ImageError(
            "uint8 (H, W, 3) RGB with sides of 8 px or more",
            got=f"{image.dtype} {image.shape}",
            where=name,
            fix="Convert the array, or give the file itself.",
        )
    return image


def _name(image: ImageLike, i: int) -> str:
    return Path(image).name if isinstance(image, str | os.PathLike) else f"image {i + 1}"
