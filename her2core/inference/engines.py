"""Engines of a predictor: what computes the forward pass, chosen for the machine and checked against torch.

One pass gives the features, from which maps follow, the scores, and the responses that the out-of-distribution score
needs. Every engine but torch in float32 is compared with it when it is loaded, on the same fixed inputs each time; one
that differs by more than TOLERANCE is not used. The engine in 8 bits is compared by its figures on a test part
(int8.py). The engines on a GPU are untested: no such machine was available.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from her2core.errors import ConfigError, NetworkError
from her2core.extras import has_modules
from her2core.inference.engine_names import AUTO, is_address
from her2core.locations import cache_folder
from her2core.networks.bfloat16 import native_bfloat16
from her2core.networks.protocol import PatchNetwork
from her2core.ood.descriptor import response_statistics

LOG = logging.getLogger("her2core")
#: Largest difference to torch in float32, over the largest absolute value of the same output.
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}


class Forward(NamedTuple):
    """Outputs of one pass through the network, for N patches.

    Attributes
    ----------
    features : Tensor
        float32 (N, ...), as ``network.features`` gives them.
    scores : Tensor
        float32 (N, K), before softmax and uncalibrated.
    responses : Tensor or None
        float32 (N, R), as ``ood.descriptor.response_statistics`` gives them; None where no detector needs them.
    """

    features: Tensor
    scores: Tensor
    responses: Tensor | None


class Engine(Protocol):
    """What computes the forward pass; threads may share one.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> example_predictor().engine.startswith("torch")
    True
    """

    def forward(self, batch: Tensor) -> Forward:
        """The outputs for network inputs, float32 (N, 3, px, px) in any memory format."""
        ...

    def describe(self) -> str:
        """Library, version, precision and device, as every prediction states them."""
        ...


class TorchEngine:
    """Forward pass by PyTorch, channels last.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode, on ``device``.
    device : torch.device
    responses : bool
        Whether a pass gives responses.
    bfloat16 : bool, default False
        Whether features and scores are computed under bfloat16 autocast; responses stay in float32.
    compiled : bool, default False
        Whether torch.compile compiles features and head.
    instead_of : str, default ""
        Engine that was refused.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("resnet50", 3).eval()
    >>> found = TorchEngine(network, torch.device("cpu"), responses=False).forward(torch.zeros(2, 3, 64, 64))
    >>> found.features.shape, found.scores.shape, found.responses
    (torch.Size([2, 2048, 4, 4]), torch.Size([2, 3]), None)
    """

    def __init__(
        self,
        network: PatchNetwork,
        device: torch.device,
        *,
        responses: bool,
        bfloat16: bool = False,
        compiled: bool = False,
        instead_of: str = "",
    ) -> None:
        self._network, self._device, self._responses = network, device, responses
        self._bfloat16, self._compiled, self._instead_of = bfloat16, compiled, instead_of
        self._pass: Callable[[Tensor], tuple[Tensor, Tensor]] = self._features_and_scores
        if compiled:
            self._pass = torch.compile(self._features_and_scores)

    @torch.no_grad()
    def forward(self, batch: Tensor) -> Forward:
        """The outputs for network inputs, float32 (N, 3, px, px) in any memory format."""
        batch = batch.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            features, scores = self._pass(batch)
        features, scores = features.float(), scores.float()
        found = response_statistics(self._network, features, batch) if self._responses else None
        return Forward(features, scores, found)

    def describe(self) -> str:
        """Library, version, precision and device, as every prediction states them."""
        how = ", compiled" if self._compiled else ""
        precision = "bfloat16" if self._bfloat16 else "float32"
        text = f"torch {torch.__version__}{how}, {precision}, {self._device}"
        return f"{text} (instead of {self._instead_of}, which was refused)" if self._instead_of else text

    def _features_and_scores(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        features = self._network.features(batch)
        return features, self._network.head(features)


def load_engine(
    asked: str, network: PatchNetwork, card: Mapping[str, Any], device: torch.device, *, responses: bool
) -> Engine:
    """The engine of a name, checked against torch in float32.

    Parameters
    ----------
    asked : str
        What engine_names.engine_name returns. With "auto" an engine that cannot be made or fails its check is replaced
        by the next best, with a warning in the log and in the description of the engine.
    network : PatchNetwork
        In evaluation mode, on ``device``.
    card : mapping
        The model card: input size, network and hash of its weights.
    device : torch.device
    responses : bool
        Whether a pass gives responses.

    Returns
    -------
    Engine

    Raises
    ------
    ConfigError
        A named engine cannot be had on this machine.
    NetworkError
        A named engine cannot run this network, or fails its check.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("resnet50", 3).eval()
    >>> engine = load_engine("torch", network, {"input": {"px": 64}}, torch.device("cpu"), responses=True)
    >>> engine.forward(torch.zeros(1, 3, 64, 64)).responses.shape
    torch.Size([1, 256])
    """
    refused = ""
    for name in _candidates(device) if asked == AUTO else (asked,):
        if name == "torch":
            break
        try:
            return _checked(name, network, card, device, responses)
        except NetworkError as failed:
            if asked != AUTO:
                raise
            LOG.warning("The engine %s is not used. %s", name, failed.sentence)
            refused = refused or name
    return TorchEngine(network, device, responses=responses, instead_of=refused)


def check_inputs(px: int, device: torch.device) -> Tensor:
    """The fixed network inputs on which engines are compared: smooth structure with noise, the same each time.

    Parameters
    ----------
    px : int
        Side in pixels.
    device : torch.device

    Returns
    -------
    Tensor
        float32 (2, 3, px, px), of about the range of standardised pixels.

    Examples
    --------
    >>> check_inputs(64, torch.device("cpu")).shape
    torch.Size([2, 3, 64, 64])
    """
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.randn(2, 3, 9, 9, generator=generator), size=(px, px), mode="bilinear")
    return (smooth + 0.5 * torch.randn(2, 3, px, px, generator=generator)).to(device)


def largest_difference(found: Forward, reference: Forward) -> float:
    """Largest difference between two passes, relative to the largest absolute value of each output.

    Scores below 1 are compared as they are: a difference of log-odds decides what it changes in a probability, however
    small the scores of a strongly regularised layer are.

    Parameters
    ----------
    found, reference : Forward

    Returns
    -------
    float
        0 and up; infinity where a number is not finite, or the outputs have other shapes.

    Examples
    --------
    >>> one = Forward(torch.ones(1, 2), torch.ones(1, 2), None)
    >>> largest_difference(one._replace(scores=torch.tensor([[1.0, 1.5]])), one)
    0.5
    """
    largest = 0.0
    for own, right, smallest in zip(found, reference, (1e-6, 1.0, 1e-6), strict=True):
        if own is None or right is None:
            continue
        if own.shape != right.shape or not (own.isfinite().all() and right.isfinite().all()):
            return float("inf")
        largest = max(largest, float((own - right).abs().max() / right.abs().max().clamp_min(smallest)))
    return largest


def _candidates(device: torch.device) -> tuple[str, ...]:
    """Engines for "auto", the best first. On a GPU torch in float32 alone, as the others are untested there."""
    if device.type != "cpu" or not has_modules("openvino"):
        return ("torch",)
    return ("openvino-bf16", "openvino", "torch") if native_bfloat16() else ("openvino", "torch")


def _checked(
    name: str, network: PatchNetwork, card: Mapping[str, Any], device: torch.device, responses: bool
) -> Engine:
    if name == "openvino-int8":  # evaluated on the run's test part when it was made
        from her2core.inference.int8 import load_int8

        return load_int8(card, device, responses=responses)
    reference = TorchEngine(network, device, responses=responses)
    low = name.endswith("bf16") or (name == "torch-compiled" and device.type == "cuda")
    allowed = TOLERANCE["bfloat16" if low else "float32"]
    inputs = check_inputs(int(card["input"]["px"]), device)
    engine: Engine
    try:
        if is_address(name):
            from her2core.inference.remote_engine import remote_engine

            engine = remote_engine(name, str(card["weights_sha256"]), responses=responses)
            if "int8" in engine.describe():  # evaluated where it was made, for the run as it is there
                raise NetworkError(
                    "a server with an engine in float32 or bfloat16",
                    got=engine.describe(),
                    where=name,
                    fix="Ask that server for predictions, or start it with another engine.",
                )
            allowed = TOLERANCE["bfloat16" if "bfloat16" in engine.describe() else "float32"]
        elif name.startswith("openvino"):
            from her2core.inference.openvino_engine import load_openvino

            engine = load_openvino(network, card, device, responses=responses, bfloat16=low)
        else:
            compiled = name == "torch-compiled"
            engine = TorchEngine(network, device, responses=responses, bfloat16=low, compiled=compiled)
        difference = largest_difference(engine.forward(inputs), reference.forward(inputs))
    except (ConfigError, NetworkError):
        raise
    except Exception as failed:  # tracers, converters and compilers raise a dozen kinds: none of them is our caller's
        got = f"{type(failed).__name__}: {(str(failed).splitlines() or [''])[0][:160]}"
        raise NetworkError("a network that this engine can run", got=got, where=name, fix="Use engine torch.") from None
    if not difference <= allowed:
        coarse = low and difference < 1  # beyond that it is no rounding
        damaged = f"Use engine torch, or delete {cache_folder() / 'engines'}, whose files may be damaged."
        raise NetworkError(
            f"an engine within {allowed:g} of torch in float32 (relative to each output's largest value)",
            got=f"a difference of {difference:.2g} on the check's inputs",
            where=name,
            fix="Use engine openvino or torch: bfloat16 is too coarse for this network." if coarse else damaged,
        )
    return engine
