"""Grid of square tiles over a slide, laid out in microns, with named policies for the last tile of a row or column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from her2core.errors import ConfigError
from her2core.slide.units import Microns

#: Edge policy -> what happens to the tile that does not fit, for people.
POLICIES: Mapping[str, str] = {
    "shift": "the last tile is moved back so that it ends at the edge, and overlaps its neighbour",
    "drop": "what is left of the last tile is not used",
    "keep": "the last tile goes beyond the edge and is filled with white",
}
#: Microns by which a tile may miss an edge by rounding.
_SLACK = 1e-6


def grid_starts(length: Microns, tile: Microns, stride: Microns, *, policy: str) -> npt.NDArray[np.float64]:
    """Starts of the tiles along one side of a slide.

    Parameters
    ----------
    length : Microns
        The slide's side.
    tile : Microns
        Side of a tile.
    stride : Microns
        Distance between starts; ``tile`` for tiles without overlap.
    policy : {'shift', 'drop', 'keep'}
        A key of POLICIES.

    Returns
    -------
    float64 array (N,)
        In microns, ascending; empty where no tile fits ('drop' and 'shift').

    Raises
    ------
    ConfigError
        For an unknown policy, or a tile or stride that is not above 0, or a stride larger than the tile.

    Examples
    --------
    >>> [grid_starts(Microns(250.0), Microns(100.0), Microns(100.0), policy=p).tolist() for p in POLICIES]
    [[0.0, 100.0, 150.0], [0.0, 100.0], [0.0, 100.0, 200.0]]
    >>> grid_starts(Microns(200), Microns(100), Microns(50), policy="shift").tolist()
    [0.0, 50.0, 100.0]
    """
    if policy not in POLICIES:
        raise ConfigError(
            f"an edge policy out of {', '.join(POLICIES)}", got=repr(policy), where="edge", fix="Choose one."
        )
    if not (tile > Microns(0) and Microns(0) < stride <= tile):
        raise ConfigError(
            "a tile above 0 microns and a stride above 0 up to its side",
            got=f"a tile of {tile.value:g} and a stride of {stride.value:g} microns",
            where="grid",
            fix="Correct one of them.",
        )
    if length.value + _SLACK < tile.value:
        return np.zeros(1 if policy == "keep" else 0)
    whole = int((length - tile).value / stride.value + _SLACK) + 1
    starts = np.arange(whole, dtype=np.float64) * stride.value
    if starts[-1] + tile.value < length.value - _SLACK:
        last = {"keep": starts[-1] + stride.value, "shift": (length - tile).value}.get(policy)
        starts = starts if last is None else np.append(starts, last)
    return starts
