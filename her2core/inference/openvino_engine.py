"""Forward pass by OpenVINO on a CPU.

The network is converted once and kept below ``cache_folder()``, under a name made of its weights' hash and all else
that decides the result. OpenVINO's package for telemetry, which reports every import unless the user opted out, is
never loaded: nothing here opens a connection.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from her2core.errors import ConfigError
from her2core.extras import require_extra
from her2core.inference.engines import Forward
from her2core.locations import cache_folder
from her2core.networks.bfloat16 import native_bfloat16
from her2core.networks.protocol import PatchNetwork
from her2core.ood.descriptor import response_statistics

#: Raised whenever `_Outputs` changes, so that converted networks of earlier versions are not used.
_VERSION = 2
#: Converted networks that are kept; those not used for the longest time go first.
_KEPT = 8
_MODEL = "model.xml"


class OpenVinoEngine:
    """Forward pass by OpenVINO; each thread that calls at the same time has a request of its own.

    Parameters
    ----------
    main : openvino.CompiledModel
        Gives features and scores and, unless ``apart``, responses.
    apart : openvino.CompiledModel or None
        Gives responses in float32 beside a main model of lower precision.
    description : str
        As ``describe`` returns it.

    Examples
    --------
    >>> import torch
    >>> from her2core.networks.registry import build_network
    >>> network = build_network("timm:test_resnet", 3).eval()
    >>> card = {"input": {"px": 64}, "network": {}, "weights_sha256": "", "classes": list("abc")}
    >>> engine = load_openvino(network, card, torch.device("cpu"), responses=True, store=False)
    >>> engine.forward(torch.zeros(2, 3, 64, 64)).scores.shape
    torch.Size([2, 3])
    """

    def __init__(self, main: Any, apart: Any | None, description: str) -> None:
        self._main, self._apart, self._description = main, apart, description
        self._idle: dict[Any, deque[Any]] = {main: deque(), apart: deque()}

    def forward(self, batch: Tensor) -> Forward:
        """The outputs for network inputs, float32 (N, 3, px, px) in any memory format."""
        images = batch.detach().contiguous().numpy()
        features, scores, *rest = self._run(self._main, images)
        if self._apart is not None:
            rest = self._run(self._apart, images)
        return Forward(features, scores, rest[0] if rest else None)

    def describe(self) -> str:
        """Library, version, precision and device, as every prediction states them."""
        return self._description

    def _run(self, model: Any, images: Any) -> list[Tensor]:
        idle = self._idle[model]
        try:
            request = idle.pop()
        except IndexError:
            request = model.create_infer_request()
        found = request.infer({0: images}, share_inputs=True)
        outputs = [torch.from_numpy(found[i]) for i in range(len(model.outputs))]
        idle.append(request)
        return outputs


class _Outputs(nn.Module):
    """All outputs of a pass as one module, for the tracer."""

    def __init__(self, network: PatchNetwork, responses: bool) -> None:
        super().__init__()
        self.network, self.responses = network, responses

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        features = self.network.features(batch)
        found = (features, self.network.head(features))
        return (*found, response_statistics(self.network, features, batch)) if self.responses else found


def load_openvino(
    network: PatchNetwork,
    card: Mapping[str, Any],
    device: torch.device,
    *,
    responses: bool,
    bfloat16: bool = False,
    store: bool = True,
) -> OpenVinoEngine:
    """A network converted for OpenVINO, from the cache where it is there.

    Parameters
    ----------
    network : PatchNetwork
        In evaluation mode, on the CPU.
    card : mapping
        The model card: input size, network, classes and hash of its weights.
    device : torch.device
        Must be the CPU.
    responses : bool
        Whether a pass gives responses.
    bfloat16 : bool, default False
        Whether features and scores are computed in bfloat16. Responses never are: the detector measures small
        differences in them.
    store : bool, default True
        Whether the cache is read and written.

    Returns
    -------
    OpenVinoEngine

    Raises
    ------
    ConfigError
        OpenVINO is not installed, the device is no CPU, or the processor has no bfloat16.

    Examples
    --------
    >>> load_openvino(None, {}, torch.device("meta"), responses=False)
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected device cpu with engine openvino, but got 'meta'. Use engine torch.
    """
    refuse_other_devices(device, "openvino")
    if bfloat16 and not native_bfloat16():
        raise ConfigError(
            "a processor with bfloat16 for engine openvino-bf16", got="one without", fix="Use engine openvino."
        )
    ov = import_openvino()
    px = int(card["input"]["px"])
    core = ov.Core()
    folder = cache_folder() / "engines" / _key(card, responses, ov.__version__) if store else None
    model = _stored(core, folder) if folder is not None else None
    if model is None:
        model = convert(ov, network, px, responses)
        if folder is not None:
            _keep(ov, model, folder)
    description = f"openvino {ov.__version__.split('-')[0]}, {'bfloat16' if bfloat16 else 'float32'}, cpu"
    single = compile_settings()
    if not bfloat16:
        return OpenVinoEngine(core.compile_model(model, "CPU", single), None, description)
    main, apart = split_outputs(ov, model)
    low = core.compile_model(main, "CPU", compile_settings("bf16"))
    return OpenVinoEngine(low, core.compile_model(apart, "CPU", single) if apart else None, description)


def split_outputs(ov: ModuleType, model: Any) -> tuple[Any, Any | None]:
    """Divide a converted network into two that can be compiled in different precisions.

    Parameters
    ----------
    ov : module
        ``openvino``.
    model : openvino.Model
        With outputs features, scores and perhaps responses.

    Returns
    -------
    main : openvino.Model
        Gives features and scores.
    apart : openvino.Model or None
        Gives responses.
    """
    results, inputs = model.get_results(), model.get_parameters()
    apart = ov.Model(results[2:], inputs, "responses").clone() if len(results) > 2 else None
    return ov.Model(results[:2], inputs, "features_and_scores").clone(), apart


def compile_settings(precision: str = "f32") -> dict[str, Any]:
    """Settings of ``openvino.Core.compile_model`` for floating-point operations in this precision (f32, bf16).

    As many threads as torch uses, so that one setting (OMP_NUM_THREADS, torch.set_num_threads) holds for both.

    Examples
    --------
    >>> compile_settings("bf16")["INFERENCE_PRECISION_HINT"]
    'bf16'
    """
    return {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": precision,
    }


_IMPORT = threading.Lock()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Hide the package openvino_telemetry from the imports of this block; OpenVINO and NNCF then use stubs of it.

    Needed as long as openvino/tools/ovc/__init__.py sends an event on import unless the user opted out (2026.4 does).

    Examples
    --------
    >>> with without_telemetry():
    ...     "openvino_telemetry" in sys.modules
    True
    """
    with _IMPORT:
        absent = "openvino_telemetry" not in sys.modules
        if absent:
            sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # the import system's word for absent
        try:
            yield
        finally:
            if absent:
                del sys.modules["openvino_telemetry"]


def import_openvino() -> ModuleType:
    """The module ``openvino``, without its telemetry.

    Raises
    ------
    ConfigError
        It is not installed.

    Examples
    --------
    >>> import_openvino().__name__
    'openvino'
    """
    require_extra("openvino", "openvino")
    with without_telemetry():
        import openvino
    return openvino


def convert(ov: ModuleType, network: PatchNetwork, px: int, responses: bool) -> Any:
    """The ``openvino.Model`` of a network, for any number of patches; its outputs are those of a pass."""
    with warnings.catch_warnings():
        # torch 2.14 deprecates the tracer that OpenVINO 2026.4 uses; its successor takes four times as long.
        warnings.simplefilter("ignore")
        model = ov.convert_model(_Outputs(network, responses).eval(), example_input=torch.zeros(2, 3, px, px))
    model.reshape([-1, 3, px, px])
    return model


def _key(card: Mapping[str, Any], responses: bool, version: str) -> str:
    """Everything that decides the converted network, hashed."""
    parts = {
        "weights": card["weights_sha256"],
        "network": card["network"],
        "classes": len(card["classes"]),
        "px": int(card["input"]["px"]),
        "responses": responses,
        "versions": [_VERSION, version, torch.__version__],
    }
    return name_of(parts)


def name_of(parts: Mapping[str, Any]) -> str:
    """Name of a folder made of everything that decides its content.

    Examples
    --------
    >>> len(name_of({"px": 112})), name_of({"px": 112}) == name_of({"px": 224})
    (32, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def refuse_other_devices(device: torch.device, engine: str) -> None:
    """Refuse what is no CPU.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> refuse_other_devices(torch.device("cpu"), "openvino")
    """
    if device.type != "cpu":
        raise ConfigError(f"device cpu with engine {engine}", got=repr(str(device)), fix="Use engine torch.")


def _stored(core: Any, folder: Path) -> Any | None:
    """The converted network of a folder; None where there is none, or a damaged one, which is removed."""
    if not (folder / _MODEL).is_file():
        return None
    with suppress(OSError):  # a cache that cannot be written, as in a container, is as good
        os.utime(folder)
    try:
        return core.read_model(folder / _MODEL)
    except (OSError, RuntimeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _keep(ov: ModuleType, model: Any, folder: Path) -> None:
    """Store a converted network under its name at once; a cache that cannot be written costs time only."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError:
        return
    try:
        ov.save_model(model, temporary / _MODEL, compress_to_fp16=False)
        temporary.rename(folder)
    except (OSError, RuntimeError):  # a full disk, or another process was first
        pass
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    stored = sorted((f for f in folder.parent.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in stored[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
