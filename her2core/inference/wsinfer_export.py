"""A run as a model folder of WSInfer (Kaczmarzyk et al. 2024, doi 10.1038/s41698-024-00499-9), which QuPath reads too.

WSInfer cuts patches of ``patch_size_pixels`` at ``spacing_um_px``, resizes them and gives a network of TorchScript
pixels in 0..1; it has no step for stains, so that stain normalisation, scaling and temperature are part of the network
here: the softmax that WSInfer applies gives the run's calibrated probabilities. The export is compared with
``Predictor`` before it is written. Flags, prediction sets and the out-of-distribution score are no part of it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ConfigError, NetworkError
from her2core.evidence.reservation import reservation
from her2core.inference.predictor import Predictor, load_predictor
from her2core.io.files import write_json, write_text
from her2core.networks.protocol import PatchNetwork
from her2core.notice import NOT_HER2, NOTICE
from her2core.runs.export import new_folder
from her2core.stain.tensors import PlainNormalizer

#: Names that WSInfer and QuPath's extension look for.
NETWORK, CONFIG, CARD = "torchscript_model.pt", "config.json", "README.md"
#: Version of WSInfer's schema of config.json (wsinfer-zoo 0.6, schemas/model-config.schema.json).
SPEC = "1.0"
#: Largest difference from ``Predictor`` on the check's patches, as a share of the range that probabilities have over
#: them: one grey level in rounding after stain normalisation costs less (our choice; released runs have up to 0.001).
TOLERANCE = 0.01
#: Pillow's number of the filter by which her2core resamples; torchvision's Resize, and so WSInfer, takes it as well.
_LANCZOS = int(Image.Resampling.LANCZOS)
#: Facts of the training data that the card passes on.
_OF_THE_DATA = ("licence", "terms", "citation")
#: Patches of the check.
_CHECKED = 8


class WsinferNetwork(nn.Module):
    """A network from pixels in 0..1 to calibrated log-odds, with stain normalisation and scaling in it.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode.
    stain : PlainNormalizer or None
        None leaves the stain as it is.
    mean, std : sequence of three floats
        By which pixels in 0..1 are scaled.
    temperature : float
        Of calibration.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3).eval()
    >>> model = WsinferNetwork(network, PlainNormalizer(), (0.5,) * 3, (0.5,) * 3, 1.0)
    >>> model(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: PatchNetwork,
        stain: PlainNormalizer | None,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float,
    ) -> None:
        super().__init__()
        self.network, self.stain, self.temperature = network, stain, temperature
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Log-odds, float32 (N, K), of pixels in 0..1, float32 (N, 3, px, px)."""
        pixels = (images * 255).round().clamp(0, 255)
        if self.stain is not None:
            normalized, good = self.stain(pixels.to(torch.uint8))
            pixels = torch.where(good[:, None, None, None], normalized.float(), pixels)
        scaled = (pixels / 255 - self.mean) / self.std
        return self.network.head(self.network.features(scaled)) / self.temperature


def export_wsinfer(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> dict[str, Any]:
    """Write a run as a model folder of WSInfer.

    Parameters
    ----------
    source : str or path
        The run folder.
    target : str or path
        The folder to make, with torchscript_model.pt, config.json and README.md (the model card); nothing is ever
        overwritten.

    Returns
    -------
    dict
        ``path``, ``config``, ``difference`` (the largest of a probability from Predictor), ``share`` (the same as a
        share of the range of probabilities) and ``accuracy``.

    Raises
    ------
    RunError
        ``target`` exists.
    ConfigError
        The run states no field of view.
    NetworkError
        The network cannot be traced, or the exported one gives other probabilities.
    """
    predictor = load_predictor(source, engine="torch")
    target = new_folder(predictor.run, target)
    config = wsinfer_config(predictor.run.card)
    traced = traced_network(predictor)
    difference, share = difference_from(predictor, traced)
    if not share <= TOLERANCE:
        raise NetworkError(
            f"an exported network within {TOLERANCE:.0%} of the range of its probabilities",
            got=f"a difference of {share:.1%}",
            where=predictor.model_id,
            fix="Report it: this network changes under tracing.",
        )
    part = target.parent / f".{target.name}.{os.getpid()}.part"
    try:
        part.mkdir(parents=True)
        _save(traced, part / NETWORK)
        write_json(part / CONFIG, config)
        write_text(part / CARD, model_card(predictor, config, difference, share))
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    accuracy = reservation(predictor.run)
    return {"path": str(target), "config": config, "difference": difference, "share": share, "accuracy": accuracy}


def wsinfer_config(card: Mapping[str, Any]) -> dict[str, Any]:
    """The content of config.json.

    Parameters
    ----------
    card : mapping
        The run's model card.

    Returns
    -------
    dict
        By WSInfer's schema: patches of the run's field of view with the pixels of the network's input.

    Raises
    ------
    ConfigError
        The card states no field of view.

    Examples
    --------
    >>> card = {"classes": ["low", "high"], "network": {"name": "timm:resnet18"}}
    >>> config = wsinfer_config({**card, "input": {"px": 112, "field_um": 56.0}})
    >>> config["architecture"], config["patch_size_pixels"], config["spacing_um_px"], config["num_classes"]
    ('resnet18', 112, 0.5, 2)
    """
    px, field = int(card["input"]["px"]), card["input"].get("field_um")
    if not field:
        raise ConfigError(
            "a run that states the field of view of its training patches",
            got="one that does not",
            where="input.field_um of its model card",
            fix="Train with a manifest that has microns per pixel (mpp).",
        )
    return {
        "spec_version": SPEC,
        "architecture": str(card["network"]["name"]).removeprefix("timm:"),
        "num_classes": len(card["classes"]),
        "class_names": list(card["classes"]),
        "patch_size_pixels": px,
        "spacing_um_px": round(float(field) / px, 6),
        "transform": [{"name": "Resize", "arguments": {"size": px, "interpolation": _LANCZOS}}, {"name": "ToTensor"}],
    }


def traced_network(predictor: Predictor) -> torch.jit.ScriptModule:
    """The network with its preparation as TorchScript, for inputs of the run's size and any number of them.

    Parameters
    ----------
    predictor : Predictor
        Of engine torch, on the CPU.

    Returns
    -------
    torch.jit.ScriptModule

    Raises
    ------
    NetworkError
        It cannot be traced.
    """
    prepare = predictor.prepare
    plain = prepare.stain is None or prepare.method == "none"
    stain = None if plain else PlainNormalizer(prepare.stain)
    model = WsinferNetwork(predictor.network, stain, *predictor.scaling, float(predictor.run.card["temperature"]))
    example = _as_wsinfer(check_patches(predictor.px)[:2])
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of the tracer, which torch 2.14 deprecates and WSInfer needs, and of sizes that it takes as fixed.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(model.eval(), example, check_trace=False)
    except Exception as failed:  # the tracer raises a dozen kinds
        got = f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:160]}"
        raise NetworkError(
            "a network that torch can trace", got=got, where=predictor.model_id, fix="Export another network."
        ) from None
    assert isinstance(traced, torch.jit.ScriptModule)  # for the type checker: a module was traced
    return traced


def difference_from(
    predictor: Predictor, traced: nn.Module, images: Sequence[np.ndarray] | None = None
) -> tuple[float, float]:
    """Largest difference of a probability between an exported network, as WSInfer calls it, and the run.

    Parameters
    ----------
    predictor : Predictor
    traced : Module
        From ``traced_network``.
    images : sequence of uint8 arrays (px, px, 3), optional
        Patches of the run's size; synthetic ones when left out.

    Returns
    -------
    difference : float
        0 to 1.
    share : float
        Of the largest range that a class's probability has over the patches: a strongly regularised layer gives nearly
        the same probabilities to all, which any network would match.
    """
    patches = check_patches(predictor.px) if images is None else list(images)
    with torch.no_grad():
        found = torch.softmax(traced(_as_wsinfer(patches)), dim=1).numpy()
    right = np.array([prediction.probabilities for prediction in predictor.predict(patches)])
    difference = float(np.abs(found - right).max())
    return difference, difference / max(1e-9, float(np.ptp(right, axis=0).max()))


def model_card(predictor: Predictor, config: Mapping[str, Any], difference: float, share: float) -> str:
    """The model card as Markdown: what it is, whether it can be believed, its limits, and what the export leaves out.

    Parameters
    ----------
    predictor : Predictor
    config : mapping
        From ``wsinfer_config``.
    difference : float
        From ``difference_from``.
    share : float
        Likewise.

    Returns
    -------
    str
    """
    card = predictor.run.card
    facts = card["data"].get("facts", {})
    side = config["patch_size_pixels"] * config["spacing_um_px"]
    stain = predictor.prepare.method if predictor.prepare.stain is not None else "none"
    lines = [
        f"# {card['title']}",
        "",
        f"**{NOTICE}**",
        "",
        f"**{reservation(predictor.run)}**",
        "",
        f"- Model: `{predictor.model_id}`, exported by her2core for WSInfer and QuPath's WSInfer extension.",
        f"- Classes: {', '.join(predictor.classes)}. {card['scheme']['meaning']}.",
        *([] if card["scheme"]["is_her2"] else [f"- **{NOT_HER2.format(card['scheme']['meaning'])}**"]),
        *(f"- {name.capitalize()} of the training data: {facts[name]}" for name in _OF_THE_DATA if facts.get(name)),
        f"- Patches: {side:g} x {side:g} microns at {config['spacing_um_px']:g} microns per pixel.",
        f"- Within the network: stain normalisation ({stain}), scaling, temperature of calibration.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card.get("limits", ())),
        "",
        "## What the export leaves out",
        "",
        "- Quality flags, the out-of-distribution score and prediction sets: blank, blurred and inked patches and "
        "tissue unlike the training patches get probabilities like any other, and nothing says so. `her2 slide` does.",
        "- Answers by slide and patient with their intervals, and the rule by which tiles count.",
        "- A patch whose stain cannot be estimated is given to the network as it is, as her2core does; near the "
        "thresholds of these tests the two may decide differently.",
        "- Slides are resampled by Lanczos in her2core and WSInfer; QuPath uses another filter, by which probabilities "
        "differ.",
        "",
        "## Agreement",
        "",
        f"Largest difference of a probability from her2core on {_CHECKED} synthetic patches of the network's size, "
        f"before this folder was written: {difference:.2g}, or {share:.2g} of the range of probabilities over them (at "
        f"most {TOLERANCE:g} is allowed). On real patches it may be larger; of the released runs it was at most 0.012 "
        "(benchmarks/results/wsinfer_export.json).",
    ]
    return "\n".join(lines) + "\n"


def check_patches(px: int) -> list[np.ndarray]:
    """Synthetic H&E patches on which an export is compared, the same each time.

    Parameters
    ----------
    px : int
        Side in pixels.

    Returns
    -------
    list of uint8 arrays (px, px, 3)

    Examples
    --------
    >>> len(check_patches(64))
    8
    """
    spec = CohortSpec(patients=_CHECKED, patches_per_patient=1, px=px)
    return [render_patch(spec, number).image for number in range(_CHECKED)]


def _save(traced: torch.jit.ScriptModule, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.14 deprecates the format that WSInfer needs
        traced.save(str(path))


def _as_wsinfer(patches: Sequence[np.ndarray]) -> Tensor:
    """Pixels as WSInfer's ToTensor gives them: float32 (N, 3, px, px) in 0..1."""
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).contiguous().float() / 255
