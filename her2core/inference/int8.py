"""The network of a run in 8-bit integers by NNCF (Apache-2.0, extra ``int8``), as the engine ``openvino-int8``.

Quantised once by ``her2 runs quantize`` with training patches of the run, and kept below ``cache_folder()``: a run
folder, which may come from strangers, holds weights only. It is kept only where balanced accuracy and calibration error
of the run's test part are no worse than their 95 % intervals and nearly all classes stay the same. Prediction sets keep
the thresholds of float32; their coverage in 8 bits is not evaluated. On the method: Krishnamoorthi 2018, arXiv
1806.08342.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from her2core.errors import ConfigError, NetworkError, RunError
from her2core.extras import require_extra
from her2core.inference.engines import check_inputs
from her2core.inference.openvino_engine import (
    OpenVinoEngine,
    compile_settings,
    convert,
    import_openvino,
    name_of,
    refuse_other_devices,
    split_outputs,
    without_telemetry,
)
from her2core.inference.predictor import Predictor, load_predictor
from her2core.io.images import RGBImage
from her2core.locations import cache_folder
from her2core.runs.folder import Run
from her2core.runs.patch_images import ReadPatch, patch_images

#: Training patches that the ranges of activations are taken from, unless another number is given.
PATCHES = 300
#: Largest proportion of test patches with another most probable class: wide intervals alone would pass any network.
CHANGED = 0.05
#: Largest difference of an uncalibrated probability of the check inputs to the one found at quantisation: processors
#: may round 8-bit sums differently; damaged files differ by more.
_AGREEMENT = 0.05
#: Raised whenever what is kept changes.
_VERSION = 1
_OTHERWISE = "Quantise a run with a training and a test part, or use another engine."
_MODEL, _APART, _FACTS = "model.xml", "responses.xml", "int8.json"


@dataclass(frozen=True)
class Quantised:
    """What quantisation changed, on the test part of a run.

    Attributes
    ----------
    patches : int
        Training patches that the ranges of activations come from.
    test_patches : int
    figures : dict of str to dict
        For "balanced_accuracy" and "ece": "float32", "int8", "lower_95" and "upper_95" of the run's tables.
    probabilities : dict of str to float
        On the test part: "mean" and "largest" difference of a class's probability to float32, and "changed_class", the
        proportion of patches with another most probable class.
    """

    patches: int
    test_patches: int
    figures: dict[str, dict[str, float]]
    probabilities: dict[str, float]

    @property
    def offered(self) -> bool:
        """Whether no figure in 8 bits is worse than the run's interval of it, and at most CHANGED classes change.

        Examples
        --------
        >>> figure = {"float32": 0.80, "int8": 0.79, "lower_95": 0.70, "upper_95": 0.85}
        >>> figures = {"balanced_accuracy": figure, "ece": figure}
        >>> Quantised(300, 100, figures, {"changed_class": 0.02}).offered
        True
        """
        accuracy, error = self.figures["balanced_accuracy"], self.figures["ece"]
        within = accuracy["int8"] >= accuracy["lower_95"] and error["int8"] <= error["upper_95"]
        return within and self.probabilities["changed_class"] <= CHANGED


def quantise_run(run: Run, *, patches: int = PATCHES, seed: int = 0, base: Path | None = None) -> Quantised:
    """Quantise the network of a run, evaluate it on the test part, and keep it for the engine ``openvino-int8``.

    Parameters
    ----------
    run : Run
        With weights, evaluated on a test part whose images are on this machine.
    patches : int, default 300
        Training patches that the ranges of activations come from.
    seed : int, default 0
        Determines which.
    base : Path, optional
        Folder for the manifest's relative path; the working folder by default.

    Returns
    -------
    Quantised
        Kept only where ``offered``.

    Raises
    ------
    ConfigError
        OpenVINO or NNCF is not installed.
    RunError
        Images of the run's patches are not available, or the run has no test part or no intervals.
    """
    require_extra("int8", "openvino", "nncf")
    train, test, read = _parts(run, base or Path())
    predictor = load_predictor(run, engine="torch")
    chosen = train[np.random.default_rng(seed).permutation(len(train))[:patches]]
    main, apart = quantised_models(predictor, [read(patch) for patch in chosen])
    engine = int8_engine(main, apart)
    figures, probabilities = _figures(run, predictor, engine, read)
    found = Quantised(len(chosen), len(test), figures, probabilities)
    if found.offered:
        facts = {**asdict(found), "probabilities_of_check": _check(engine, predictor.px).tolist()}
        _keep(main, apart, _folder(run.card), facts)
    return found


def quantised_models(predictor: Predictor, images: Sequence[RGBImage]) -> tuple[Any, Any | None]:
    """The network of a predictor in 8 bits, and its responses, which stay in float32.

    Parameters
    ----------
    predictor : Predictor
        By torch, on the CPU.
    images : sequence of ndarray
        uint8 (H, W, 3) RGB; ranges of activations are taken from them.

    Returns
    -------
    main : openvino.Model
        Gives features and scores.
    apart : openvino.Model or None
        Gives responses; None for a run without an out-of-distribution detector.
    """
    ov = import_openvino()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # looks for CUDA's compiler when imported
    with without_telemetry():
        import nncf
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = convert(ov, predictor.network, predictor.px, predictor.detector is not None)
    main, apart = split_outputs(ov, model)
    prepared = (predictor.prepare(image).image for image in images)
    tensors = [predictor._pipeline.tensor(image[None]).contiguous().numpy() for image in prepared]
    with redirect_stdout(sys.stderr):  # its progress is no part of an answer
        quantised = nncf.quantize(
            main,
            nncf.Dataset(tensors),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(tensors),
            target_device=nncf.TargetDevice.CPU,
        )
    return quantised, apart


def int8_engine(main: Any, apart: Any | None, *, name: str = "") -> OpenVinoEngine:
    """The engine of ``quantised_models``; its name tells two quantisations of one network apart."""
    ov = import_openvino()
    core, settings = ov.Core(), compile_settings()
    compiled = [core.compile_model(one, "CPU", settings) if one is not None else None for one in (main, apart)]
    return OpenVinoEngine(
        compiled[0], compiled[1], f"openvino {ov.__version__.split('-')[0]}, int8 {name}".rstrip() + ", cpu"
    )


def load_int8(card: Mapping[str, Any], device: torch.device, *, responses: bool) -> OpenVinoEngine:
    """The engine of a network that ``quantise_run`` kept.

    Parameters
    ----------
    card : mapping
        The model card.
    device : torch.device
        Must be the CPU.
    responses : bool
        Whether a pass gives responses; these are in float32.

    Returns
    -------
    OpenVinoEngine

    Raises
    ------
    ConfigError
        The device is no CPU, OpenVINO is not installed, or nothing is kept for these weights.
    NetworkError
        Its probabilities of the check inputs are not those found when it was evaluated.

    Examples
    --------
    >>> load_int8({}, torch.device("meta"), responses=False)
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected device cpu with engine openvino-int8, but got 'meta'. Use engine torch.
    """
    refuse_other_devices(device, "openvino-int8")
    ov = import_openvino()
    folder, again = _folder(card), "Run: her2 runs quantize RUN"
    try:
        expected = torch.tensor(json.loads((folder / _FACTS).read_text())["probabilities_of_check"])
        core = ov.Core()
        main = core.read_model(folder / _MODEL)
        name = hashlib.sha256((folder / _MODEL).with_suffix(".bin").read_bytes()).hexdigest()[:8]
        engine = int8_engine(main, core.read_model(folder / _APART) if responses else None, name=name)
        found = _check(engine, int(card["input"]["px"]))
    except (OSError, RuntimeError, ValueError, KeyError):
        raise ConfigError(
            "a run that was quantised on this machine",
            got="none for these weights",
            where="engine openvino-int8",
            fix=again,
        ) from None
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=0, atol=_AGREEMENT):
        raise NetworkError(
            f"the probabilities that this network had when it was evaluated, within {_AGREEMENT:g}",
            got="others",
            where=folder,
            fix=again,
        )
    return engine


def _parts(run: Run, base: Path) -> tuple[np.ndarray, np.ndarray, ReadPatch]:
    """Patch ids of the training and the test part, and the reader of their images."""
    splits = run.splits
    train, test = (splits.loc[splits["split"] == part, "patch_id"].to_numpy(str) for part in ("train", "test"))
    if run.trained_on_evaluated or not len(train) or not len(test):
        got = "one trained on its evaluated patches" if run.trained_on_evaluated else "one without"
        raise RunError("a run with a training and a separate test part", got=got, where=run.name, fix=_OTHERWISE)
    images = patch_images(run, base=base)
    if images.read is None:
        raise RunError(
            "images of the run's patches",
            got="none of them",
            where=run.name,
            fix=f"{images.why_not} Run the command where the data are.",
        )
    return train, test, images.read


def _figures(
    run: Run, predictor: Predictor, engine: OpenVinoEngine, read: ReadPatch
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Figures in float32 and in 8 bits on the test part with the run's intervals; differences of probabilities."""
    low = predictor.with_engine(lambda _: engine)
    released = run.test_predictions()
    rows = released.frame["patch_id"].to_numpy(str)
    answers = low.predict((read(patch) for patch in rows), names=list(rows))
    if failed := [answer for answer in answers if answer.error is not None]:
        raise RunError("predictions of all test patches", got=str(failed[0].error), where=run.name, fix=_OTHERWISE)
    found = np.array([answer.probabilities for answer in answers])
    values = {"float32": released.probs, "int8": found}
    figures = {
        name: {k: _figure(name, p, released.labels) for k, p in values.items()} | interval
        for name, interval in _intervals(run).items()
    }
    apart = np.abs(found - released.probs)
    changed = float((found.argmax(axis=1) != released.predicted).mean())
    return figures, {"mean": float(apart.mean()), "largest": float(apart.max()), "changed_class": changed}


def _check(engine: OpenVinoEngine, px: int) -> torch.Tensor:
    return torch.softmax(engine.forward(check_inputs(px, torch.device("cpu"))).scores, dim=1)


def _intervals(run: Run) -> dict[str, dict[str, float]]:
    """Lower and upper bound of each figure by patch, from the run's tables."""
    metrics, errors = run.table("metrics"), run.table("calibration")
    rows = {
        "balanced_accuracy": metrics[(metrics["unit"] == "patch") & (metrics["metric"] == "balanced_accuracy")],
        "ece": errors[
            (errors["unit"] == "patch") & (errors["metric"] == "ece_equal_width") & (errors["scores"] == "calibrated")
        ],
    }
    found = {}
    for name, row in rows.items():
        bounds = row[["lower_95", "upper_95"]].head(1).astype(float)
        if bounds.empty or bounds.isna().any(axis=None):
            raise RunError(f"a 95 % interval of {name} by patch", got="none", where=run.name, fix=_OTHERWISE)
        found[name] = bounds.iloc[0].to_dict()
    return found


def _figure(name: str, probabilities: np.ndarray, labels: np.ndarray) -> float:
    from her2core.evidence.metrics.confusion import balanced_accuracy, confusion_matrix
    from her2core.evidence.metrics.probabilistic import expected_calibration_error

    if name == "ece":
        return expected_calibration_error(probabilities, labels=labels)
    classes = probabilities.shape[1]
    return float(balanced_accuracy(confusion_matrix(labels, predicted=probabilities.argmax(axis=1), classes=classes)))


def _folder(card: Mapping[str, Any]) -> Path:
    """Named by the whole card (preparation, temperature and classes as well as weights) and both versions."""
    stated = {"card": card, "versions": [_VERSION, *(version(name) for name in ("openvino", "torch"))]}
    return cache_folder() / "int8" / name_of(stated)


def _keep(main: Any, apart: Any | None, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the network beside its name, then exchange it for an earlier one."""
    ov = import_openvino()
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        made, earlier = temporary / "made", temporary / "earlier"
        made.mkdir()
        ov.save_model(main, made / _MODEL, compress_to_fp16=False)
        if apart is not None:
            ov.save_model(apart, made / _APART, compress_to_fp16=False)
        (made / _FACTS).write_text(json.dumps(facts, indent=2))
        if folder.exists():
            folder.rename(earlier)
        made.rename(folder)
    except (OSError, RuntimeError) as failed:  # OpenVINO says so of a full disk
        raise NetworkError(
            "a folder that can be written",
            got=str(failed).splitlines()[0],
            where=folder,
            fix="Free disk space, or set HER2_CACHE to another folder.",
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
