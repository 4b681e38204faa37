"""Lightning's hardware options from a configuration and this machine."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from her2core.errors import ConfigError
from her2core.networks.bfloat16 import native_bfloat16
from her2core.training.config import HardwareConfig

LOG = logging.getLogger("her2core")
SLOW = (
    "this processor has no bfloat16 units and emulates bf16-mixed, which is much slower than 32-bit: "
    "set hardware.precision to 32-true (--set hardware.precision=32-true; results may differ by rounding)"
)


def devices(hardware: HardwareConfig) -> int | str:
    """Number of devices on this machine, as Lightning takes it.

    Parameters
    ----------
    hardware : HardwareConfig

    Returns
    -------
    int or "auto"
        On a CPU, ``auto`` means one process.

    Examples
    --------
    >>> devices(HardwareConfig(accelerator="cpu")), devices(HardwareConfig(accelerator="cpu", devices=2))
    (1, 2)
    """
    on_gpu = hardware.accelerator == "gpu" or (hardware.accelerator == "auto" and torch.cuda.is_available())
    return hardware.devices if hardware.devices != "auto" or on_gpu else 1


def several_devices(hardware: HardwareConfig) -> bool:
    """Tell whether Lightning starts this command again for further devices.

    Parameters
    ----------
    hardware : HardwareConfig

    Returns
    -------
    bool

    Examples
    --------
    >>> several_devices(HardwareConfig(accelerator="cpu", devices=2))
    True
    """
    asked = devices(hardware)
    return hardware.nodes > 1 or (asked if isinstance(asked, int) else torch.cuda.device_count()) > 1


def first_process() -> bool:
    """Tell whether this is the run's first process; False in those started for its further devices.

    Returns
    -------
    bool

    Examples
    --------
    >>> first_process()
    True
    """
    from pytorch_lightning.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) in (0, None)


def one_device(hardware: HardwareConfig) -> torch.device:
    """Choose the device of a computation in a single process.

    Parameters
    ----------
    hardware : HardwareConfig

    Returns
    -------
    torch.device

    Raises
    ------
    ConfigError
        For a GPU that is asked for and not available.

    Examples
    --------
    >>> one_device(HardwareConfig(accelerator="cpu"))
    device(type='cpu')
    """
    available = torch.cuda.is_available()
    if hardware.accelerator == "gpu" and not available:
        raise ConfigError(
            "a GPU", got="none that torch can use", where="hardware.accelerator", fix="Set it to auto or cpu."
        )
    return torch.device("cuda" if available and hardware.accelerator != "cpu" else "cpu")


def strategy(hardware: HardwareConfig, *, frozen: bool = False) -> str:
    """Lightning's strategy; a frozen trunk leaves parameters without gradient, which plain DDP refuses.

    Parameters
    ----------
    hardware : HardwareConfig
    frozen : bool, default False
        Whether the trunk is frozen for some epochs.

    Returns
    -------
    str

    Examples
    --------
    >>> strategy(HardwareConfig(strategy="ddp"), frozen=True)
    'ddp_find_unused_parameters_true'
    """
    return "ddp_find_unused_parameters_true" if hardware.strategy == "ddp" and frozen else hardware.strategy


def precision(hardware: HardwareConfig) -> Literal["32-true", "16-mixed", "bf16-mixed"]:
    """Lightning's precision, with ``auto`` decided; a named one is used, with a warning where it is slow.

    Parameters
    ----------
    hardware : HardwareConfig

    Returns
    -------
    str

    Examples
    --------
    >>> precision(HardwareConfig(accelerator="cpu"))
    '32-true'
    """
    if hardware.precision == "bf16-mixed" and _on_cpu(hardware) and not native_bfloat16():
        LOG.warning(SLOW)
    return _precision(hardware)


def machine(hardware: HardwareConfig) -> dict[str, str | int]:
    """Resolve what ``auto`` means on this machine, as far as it changes the weights.

    Parameters
    ----------
    hardware : HardwareConfig

    Returns
    -------
    dict
        ``accelerator``, ``precision`` and ``processes``, over which a step's batch is spread.

    Examples
    --------
    >>> machine(HardwareConfig(accelerator="cpu", devices=2))
    {'accelerator': 'cpu', 'precision': '32-true', 'processes': 2}
    """
    asked = devices(hardware)
    processes = hardware.nodes * (asked if isinstance(asked, int) else torch.cuda.device_count())
    return {
        "accelerator": "cpu" if _on_cpu(hardware) else "gpu",
        "precision": _precision(hardware),
        "processes": processes,
    }


def _on_cpu(hardware: HardwareConfig) -> bool:
    return hardware.accelerator == "cpu" or not torch.cuda.is_available()


def _precision(hardware: HardwareConfig) -> Literal["32-true", "16-mixed", "bf16-mixed"]:
    if hardware.precision != "auto":
        return hardware.precision
    if _on_cpu(hardware):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
