"""Windows of TCGA fields, and the annotated cells in each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from her2core.errors import ManifestError

#: Column of the manifest -> class in the cell files (Abousamra et al. 2021).
CELLS = {"lymphocytes": 1, "tumour_cells": 2, "stromal_cells": 3}
#: x, y, width, height in pixels.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Cells:
    """Annotated cells of one field.

    Attributes
    ----------
    table : int array (N, 3)
        Row, column, class.
    """

    table: npt.NDArray[np.int64]

    def within(self, window: Window) -> dict[str, int]:
        """Count the cells in a window.

        Parameters
        ----------
        window : tuple of int
            x, y, width, height in pixels; the right and lower borders do not belong to it.

        Returns
        -------
        dict of str to int
            For each name of ``CELLS``.

        Examples
        --------
        >>> Cells(np.array([[0, 9, 2], [5, 10, 2], [5, 1, 1]])).within((0, 0, 10, 10))
        {'lymphocytes': 1, 'tumour_cells': 1, 'stromal_cells': 0}
        """
        x, y, width, height = window
        row, column, kind = self.table.T
        inside = (column >= x) & (column < x + width) & (row >= y) & (row < y + height)
        return {name: int((inside & (kind == number)).sum()) for name, number in CELLS.items()}


def cell_counts(path: Path) -> Cells | None:
    """Read a cell file.

    Parameters
    ----------
    path : Path
        One cell a line: row, column, class.

    Returns
    -------
    Cells or None
        None where there is no such file.

    Raises
    ------
    ManifestError
        For lines of another form.

    Examples
    --------
    >>> cell_counts(Path("no-such-file.txt")) is None
    True
    """
    if not path.is_file():
        return None
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    known = {str(number) for number in CELLS.values()}
    for number, line in enumerate(lines, start=1):
        if len(line) != 3 or not all(part.isascii() and part.isdigit() for part in line) or line[2] not in known:
            raise ManifestError(
                "a cell as `row column class`, the class 1, 2 or 3",
                got=" ".join(line)[:60],
                where=f"{path}, cell {number}",
                fix="Use the file unchanged.",
            )
    return Cells(np.array(lines, dtype=np.int64).reshape(-1, 3))


def windows_of(
    size: tuple[int, int], mpp: float, window_um: float | None, overlap: float, *, where: str = "image"
) -> list[Window | None]:
    """Square windows that cover an image evenly.

    Parameters
    ----------
    size : tuple of int
        Width and height in pixels.
    mpp : float
        Microns per pixel.
    window_um : float or None
        Side of a window in microns; None for the whole image.
    overlap : float
        Smallest share of the side that neighbours overlap.
    where : str
        The image, for messages.

    Returns
    -------
    list of tuple or None
        x, y, width, height; a single None where the row is the whole image.

    Raises
    ------
    ManifestError
        For an image without a scale, and a window larger than the image.

    Examples
    --------
    >>> windows_of((100, 50), 0.5, 25.0, 0.0)
    [(0, 0, 50, 50), (50, 0, 50, 50)]
    >>> [x for x, *_ in windows_of((120, 50), 0.5, 25.0, 0.0)]
    [0, 35, 70]
    """
    if window_um is None:
        return [None]
    px = 0 if math.isnan(mpp) else round(window_um / mpp)
    if not 0 < px <= min(size):
        raise ManifestError(
            "images with a scale that hold a window" if px == 0 else f"images of at least {px} px a side",
            got="no scale, or a window below one pixel" if px == 0 else f"{size[0]} x {size[1]} px",
            where=where,
            fix="Set mpp, or another window_um.",
        )
    across, down = (_starts(side, px, overlap) for side in size)
    return [(x, y, px, px) for y in down for x in across]


def _starts(side: int, px: int, overlap: float) -> list[int]:
    """First pixels of the windows of one direction, from border to border."""
    number = math.ceil((side - px) / max(1.0, px * (1 - overlap))) + 1
    return [round(float(start)) for start in np.linspace(0, side - px, number)]
