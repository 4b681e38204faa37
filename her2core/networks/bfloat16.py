"""Native bfloat16 arithmetic of the processor."""

from __future__ import annotations

import torch


def native_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself; elsewhere it is emulated.

    Returns
    -------
    bool

    Examples
    --------
    >>> isinstance(native_bfloat16(), bool)
    True
    """
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.11
        return bool(torch.cpu._is_avx512_bf16_supported())
    can = torch.cpu.get_capabilities()
    return any(can.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
