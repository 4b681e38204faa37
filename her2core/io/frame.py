"""Borders of a picture that are no tissue: bars of a viewer, frames, and the dark rim of an eyepiece.

A screenshot or a photograph through a microscope shows more than the tissue. A border is what reaches the edge of the
picture and is either dark throughout or of one exact colour along a straight line; saturated glass is of one
colour as well, but tissue does not begin along a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from her2core.io.images import RGBImage, check_rgb

#: Grey levels up to which a pixel is dark; share of a row that has one exact colour; sides shorter than this share of
#: the picture are no border, and a part smaller than this share of it is no tissue (our choices).
DARK, ONE_COLOUR, SMALLEST_BORDER, SMALLEST_PART = 40, 0.7, 0.02, 0.1
#: Where a bar ends, the share falls by so much within some rows, and stays so for some (our choices).
DROP, BLURRED, BEYOND = 0.25, 2, 6
#: Rows of a block of JPEG with reduced colours.
BLOCK = 16
#: Longest side from which a picture may be a screenshot or a photograph, in pixels (our choice).
SMALLEST_PICTURE = 400
#: Longest side, in pixels, of the reduced pictures in which a dark rim and bars are looked for.
_VIEW, _LOOKED_AT = 256, 2000


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels: rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def crop(self, image: RGBImage) -> RGBImage:
        """The part, uint8 (height, width, 3), as a copy."""
        return np.ascontiguousarray(image[self.top : self.bottom, self.left : self.right])


def without_border(image: RGBImage) -> Box:
    """The largest part of a picture without a border.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3) RGB.

    Returns
    -------
    Box
        The whole picture where it has no border, where nothing else would be left, or where its longer side is less
        than SMALLEST_PICTURE: patches are cut out of slides without borders.

    Raises
    ------
    ImageError
        For an array of another form.

    Examples
    --------
    >>> tissue = np.random.default_rng(0).integers(120, 220, (400, 600, 3), np.uint8)
    >>> without_border(tissue)
    Box(top=0, bottom=400, left=0, right=600)
    >>> screenshot = np.full((460, 600, 3), 240, np.uint8)
    >>> screenshot[60:] = tissue
    >>> without_border(screenshot)
    Box(top=60, bottom=460, left=0, right=600)
    """
    check_rgb(image)
    if max(image.shape[:2]) < SMALLEST_PICTURE:
        return Box(0, image.shape[0], 0, image.shape[1])
    bars = _without_bars(image)
    inner = _without_rim(bars.crop(image))
    found = Box(bars.top + inner.top, bars.top + inner.bottom, bars.left + inner.left, bars.left + inner.right)
    large = np.prod(found.size) >= SMALLEST_PART * np.prod(image.shape[:2])
    return found if large else Box(0, image.shape[0], 0, image.shape[1])


def _without_bars(image: RGBImage) -> Box:
    """Without rows and columns of one colour at the edges; of a large picture every ``step``-th is looked at."""
    height, width = image.shape[:2]
    step = -(-max(height, width) // _LOOKED_AT)
    red, green, blue = np.moveaxis(image[::step, ::step].astype(np.uint32), 2, 0)
    packed = red << 16 | green << 8 | blue
    top, bottom = _ends(packed)
    left, right = _ends(packed[top:bottom].T) if top < bottom else (0, 0)
    if left == right:
        return Box(0, height, 0, width)
    return Box(top * step, min(height, bottom * step), left * step, min(width, right * step))


def _ends(packed: npt.NDArray[np.uint32]) -> tuple[int, int]:
    """First row after the bar at the beginning, and the first of the bar at the end."""
    length = len(packed)
    least = max(2, round(SMALLEST_BORDER * length))
    first = _bar(packed)
    last = _bar(packed[::-1])
    return (first if first >= least else 0), length - (last if last >= least else 0)


def _bar(packed: npt.NDArray[np.uint32]) -> int:
    """Rows of all bars from the beginning; a viewer has one below the other, and JPEG blurs the rows between them."""
    end = 0
    while True:
        tried = ((skip, _one_bar(packed[end + skip :])) for skip in range(BLOCK + 1))
        skip, more = next(((skip, more) for skip, more in tried if more), (0, 0))
        if not more:
            return end
        end += skip + more


def _one_bar(packed: npt.NDArray[np.uint32]) -> int:
    """Rows from the beginning, of the colour of the first, to where that colour becomes rarer from one row to the next.

    Saturated glass is of one colour as well, but tissue does not begin along a straight line.
    """
    if len(packed) <= BEYOND + BLURRED:
        return 0
    values, counts = np.unique(packed[0], return_counts=True)
    share = (packed == values[counts.argmax()]).mean(axis=1)
    if share[0] < ONE_COLOUR:
        return 0
    found = []
    for blurred in range(BLURRED + 1):
        beyond = np.lib.stride_tricks.sliding_window_view(share[1 + blurred :], BEYOND).max(axis=1)
        before = share[: len(beyond)]
        ends = np.flatnonzero((before >= ONE_COLOUR) & (before - beyond >= DROP))
        found += [int(ends[0]) + 1 + blurred] if len(ends) else []
    return min(found, default=0)


def _without_rim(image: RGBImage) -> Box:
    """The largest upright rectangle without dark pixels that reach the edge."""
    height, width = image.shape[:2]
    scale = min(1.0, _VIEW / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    dark = (small.max(axis=2) <= DARK).astype(np.uint8)
    _, parts = cv2.connectedComponents(np.pad(dark, 1, constant_values=1), connectivity=4)
    rim = (parts == parts[0, 0])[1:-1, 1:-1]
    if rim.mean() < SMALLEST_BORDER:
        return Box(0, height, 0, width)
    top, bottom, left, right = _largest_rectangle(~rim)
    y, x = height / size[1], width / size[0]
    return Box(int(np.ceil(top * y)), int(bottom * y), int(np.ceil(left * x)), int(right * x))


def _largest_rectangle(free: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Largest upright rectangle of true pixels: top, bottom, left, right, ends excluded; all 0 where there is none."""
    best, found = 0, (0, 0, 0, 0)
    heights = np.zeros(free.shape[1], int)
    for row, line in enumerate(free):
        heights = np.where(line, heights + 1, 0)
        waiting: list[tuple[int, int]] = []  # left end and height of rectangles that can still grow
        for column, height in enumerate([*heights.tolist(), 0]):
            left = column
            while waiting and waiting[-1][1] >= height:
                left, tall = waiting.pop()
                if tall * (column - left) > best:
                    best, found = tall * (column - left), (row + 1 - tall, row + 1, left, column)
            waiting.append((left, height))
    return found
