"""Names of the engines of a predictor, without importing one."""

from __future__ import annotations

import os

from her2core.errors import ConfigError

#: Environment variable: the engine where the caller names none.
VARIABLE = "HER2_ENGINE"
AUTO = "auto"
#: Environment variable: the token that a server (``her2 serve``) asks for.
TOKEN = "HER2_SERVE_TOKEN"
#: Engines by name, in words.
ENGINES: dict[str, str] = {
    AUTO: "OpenVINO on a CPU where it is installed, in bfloat16 where the processor has it; otherwise torch",
    "torch": "PyTorch in float32",
    "torch-bf16": "PyTorch with bfloat16 autocast",
    "torch-compiled": "PyTorch compiled by torch.compile, in float32; on a GPU with bfloat16 autocast",
    "openvino": "OpenVINO in float32, on a CPU",
    "openvino-bf16": "OpenVINO in bfloat16, on a CPU that has it",
    "openvino-int8": "OpenVINO in 8-bit integers, for a run quantised on this machine by `her2 runs quantize`",
}


#: What an address of a server begins with.
_ADDRESSES = ("http://", "https://")


def is_address(name: str) -> bool:
    """Whether an engine's name is the address of a server.

    Examples
    --------
    >>> is_address("http://host:8080"), is_address("torch")
    (True, False)
    """
    return name.startswith(_ADDRESSES)


def engine_name(asked: str | None) -> str:
    """The engine that is asked for: by the caller, by the variable HER2_ENGINE, or "auto".

    Parameters
    ----------
    asked : str or None

    Returns
    -------
    str
        A key of ENGINES, or the address of a server (``her2 serve``) of the same weights, as ``http://host:8080``.

    Raises
    ------
    ConfigError
        There is no such engine.

    Examples
    --------
    >>> engine_name("torch")
    'torch'
    """
    name = asked or os.environ.get(VARIABLE) or AUTO
    if name not in ENGINES and not is_address(name):
        raise ConfigError(
            f"an engine out of {', '.join(ENGINES)}, or the address of a server (http://host:8080)",
            got=repr(name),
            where="argument `engine`" if asked else VARIABLE,
            fix="Choose one.",
        )
    return name
