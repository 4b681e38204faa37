"""What does Lightning run on, and in which precision? A configuration and this machine in; Lightning's words out."""

from __future__ import annotations

import logging

import torch

from her2core.errors import ConfigError
from her2core.training.config import HardwareConfig, RunConfig

LOG = logging.getLogger("her2core")
SLOW = (
    "this processor has no bfloat16 units and emulates bf16-mixed, which is slower than 32-bit by far: "
    "set hardware.precision to 32-true (--set hardware.precision=32-true; the result may differ by rounding)"
)


def devices(hardware: HardwareConfig) -> int | str:
    on_gpu = hardware.accelerator == "gpu" or (hardware.accelerator == "auto" and torch.cuda.is_available())
    return hardware.devices if hardware.devices != "auto" or on_gpu else 1


def several_devices(hardware: HardwareConfig) -> bool:
    """Whether Lightning starts this command again, once for each further device."""
    asked = devices(hardware)
    return hardware.nodes > 1 or (torch.cuda.device_count() if asked == "auto" else asked) > 1


def first_process() -> bool:
    """False in the processes that were started for further devices of the same run."""
    from pytorch_lightning.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) in (0, None)


def one_device(hardware: HardwareConfig) -> torch.device:
    """Where a single process computes. Raises ConfigError for a GPU that is asked for and not there."""
    there = torch.cuda.is_available()
    if hardware.accelerator == "gpu" and not there:
        raise ConfigError(
            "a GPU", got="none that torch can use", where="hardware.accelerator", fix="Set it to auto or cpu."
        )
    return torch.device("cuda" if there and hardware.accelerator != "cpu" else "cpu")


def strategy(config: RunConfig) -> str:
    # A trunk that is frozen at first leaves parameters without gradient, which plain DDP refuses.
    frozen_ddp = config.hardware.strategy == "ddp" and config.train.freeze_epochs > 0
    return "ddp_find_unused_parameters_true" if frozen_ddp else config.hardware.strategy


def precision(hardware: HardwareConfig) -> str:
    """The configuration's, with ``auto`` decided; what is asked for by name is done, and told where it is slow."""
    on_cpu = hardware.accelerator == "cpu" or not torch.cuda.is_available()
    if hardware.precision == "bf16-mixed" and on_cpu and not native_bfloat16():
        LOG.warning(SLOW)
    if hardware.precision != "auto":
        return hardware.precision
    if on_cpu:
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; elsewhere it is emulated."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.11
        return torch.cpu._is_avx512_bf16_supported()
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
