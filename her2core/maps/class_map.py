"""Class-activation map as a result object."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A class-activation map of one patch for one class.

    Two maps are equal if class, method and grid are; the hash leaves the arrays out.

    Parameters
    ----------
    grid : ndarray
        float32 (h, w), 0 and up, finite, one value a cell of the feature map, in units of its method (`scaled` makes
        two maps comparable). All 0 where features or gradients are not finite.
    target : str
        The class.
    method : str
        A key of maps.methods.METHODS.
    image : ndarray or None
        uint8 (px, px, 3) RGB, the network's input.

    Examples
    --------
    >>> found = ClassMap(np.array([[0, 1], [2, 4]], np.float32), "positive")
    >>> found
    ClassMap(target='positive', method='gradcam', cells=2x2, empty=False)
    >>> float(found.scaled(2)[0, 1])
    0.25
    >>> found == ClassMap(found.grid.copy(), "positive"), found == ClassMap(found.grid, "negative")
    (True, False)
    """

    grid: np.ndarray
    target: str
    method: str = "gradcam"
    image: np.ndarray | None = field(default=None)

    @property
    def empty(self) -> bool:
        """Whether the map is zero everywhere: no cell supports this class.

        A map with one value above zero everywhere is not empty; scaled, it is 1 everywhere.
        """
        return not (self.grid > 0).any()

    def scaled(self, size: int) -> np.ndarray:
        """The map at the size of a picture.

        Parameters
        ----------
        size : int
            Side in pixels.

        Returns
        -------
        ndarray
            float32 (size, size) in 0..1, bilinear, divided by the largest cell; all 0 where the map is empty.
        """
        if self.empty:
            return np.zeros((size, size), np.float32)
        grid = (self.grid / self.grid.max()).astype(np.float32)
        return np.clip(np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)), 0, 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassMap):
            return NotImplemented
        return (self.target, self.method) == (other.target, other.method) and np.array_equal(self.grid, other.grid)

    def __hash__(self) -> int:
        return hash((self.target, self.method, self.grid.shape))

    def __repr__(self) -> str:
        rows, columns = self.grid.shape
        return f"ClassMap(target={self.target!r}, method={self.method!r}, cells={rows}x{columns}, empty={self.empty})"

    def _repr_html_(self) -> str:
        """The overlay as a picture for notebooks, with a caption."""
        from her2core.maps.notebook import class_map_html

        return class_map_html(self)
