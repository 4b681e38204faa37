"""Memory for intermediate results that each thread keeps, so that it is not asked of the system again for each patch.

At 224 px the first touch of fresh memory takes longer than the arithmetic of a normalisation.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

#: Numbers above which memory is not kept: three channels of 800 px, 8 MB in float32.
_LARGEST = 2**21


class _Kept(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[tuple[str, type], npt.NDArray[Any]] = {}


_KEPT = _Kept()


def scratch(name: str, *shape: int, dtype: type = np.float32) -> npt.NDArray[Any]:
    """An array of undefined content; the next call with the same name and type in this thread takes its memory.

    Parameters
    ----------
    name : str
        What it is for.
    *shape : int
        At least one number.
    dtype : type, default numpy.float32

    Returns
    -------
    array of ``shape``

    Examples
    --------
    >>> first = scratch("example", 2, 3)
    >>> first.shape, np.shares_memory(first, scratch("example", 4)), np.shares_memory(first, scratch("other", 4))
    ((2, 3), True, False)
    """
    size = math.prod(shape)
    if size > _LARGEST:
        return np.empty(shape, dtype)
    kept = _KEPT.arrays.get((name, dtype))
    if kept is None or kept.size < size:
        kept = _KEPT.arrays[name, dtype] = np.empty(size, dtype)
    return kept[:size].reshape(shape)
