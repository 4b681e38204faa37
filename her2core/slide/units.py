"""Lengths on a slide as types: microns, pixels of level 0, pixels of a level, pixels of a tile.

A number without its unit is the usual cause of tiles cut at another magnification. Each unit is a frozen dataclass with
closed arithmetic: lengths of one unit add up to that unit, other combinations raise TypeError. Only a ``Scale`` or a
``Level`` turns one unit into another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, overload

from her2core.errors import ConfigError


@dataclass(frozen=True, order=True)
class _Length:
    """A length; only lengths of the same type can be compared, added or divided by each other."""

    value: float

    def __add__(self, other: Self) -> Self:
        return self._with(self.value + other.value) if self._same(other) else NotImplemented

    def __sub__(self, other: Self) -> Self:
        return self._with(self.value - other.value) if self._same(other) else NotImplemented

    def __mul__(self, factor: float) -> Self:
        return self._with(self.value * factor) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__

    @overload
    def __truediv__(self, other: float) -> Self: ...
    @overload
    def __truediv__(self, other: Self) -> float: ...
    def __truediv__(self, other: Self | float) -> Self | float:
        if isinstance(other, _Length):
            return self.value / other.value if self._same(other) else NotImplemented
        return self._with(self.value / other) if isinstance(other, int | float) else NotImplemented

    def _same(self, other: object) -> bool:
        return type(self) is type(other)

    def _with(self, value: float) -> Self:
        return replace(self, value=value)


@dataclass(frozen=True, order=True)
class Microns(_Length):
    """A length in microns.

    Examples
    --------
    >>> Microns(50.0) + 2 * Microns(10.0)
    Microns(value=70.0)
    >>> Microns(50.0) + Level0Pixels(100.0)
    Traceback (most recent call last):
        ...
    TypeError: unsupported operand type(s) for +: 'Microns' and 'Level0Pixels'
    """


@dataclass(frozen=True, order=True)
class Level0Pixels(_Length):
    """A length in pixels of a slide's finest level.

    Examples
    --------
    >>> Level0Pixels(200.0) / Level0Pixels(50.0)
    4.0
    """


@dataclass(frozen=True, order=True)
class TilePixels(_Length):
    """A length in pixels of a tile at its target scale.

    Examples
    --------
    >>> TilePixels(224.0) < TilePixels(256.0)
    True
    """


@dataclass(frozen=True, order=True)
class LevelPixels(_Length):
    """A length in pixels of one level; pixels of different levels do not mix.

    Parameters
    ----------
    value : float
    level : int
        0 is the finest.

    Examples
    --------
    >>> LevelPixels(8.0, 1) - LevelPixels(2.0, 1)
    LevelPixels(value=6.0, level=1)
    >>> LevelPixels(8.0, 1) - LevelPixels(2.0, 2)
    Traceback (most recent call last):
        ...
    TypeError: unsupported operand type(s) for -: 'LevelPixels' and 'LevelPixels'
    """

    level: int

    def _same(self, other: object) -> bool:
        return isinstance(other, LevelPixels) and other.level == self.level


@dataclass(frozen=True)
class Scale:
    """Microns per pixel of a slide's level 0, or of a tile.

    Parameters
    ----------
    mpp : float
        Above 0.

    Raises
    ------
    ConfigError
        For any other number.

    Examples
    --------
    >>> Scale(0.25).level0(Microns(50.0)), Scale(0.25).microns(Level0Pixels(8.0)), Scale(0.5).tile(Microns(112.0))
    (Level0Pixels(value=200.0), Microns(value=2.0), TilePixels(value=224.0))
    """

    mpp: float

    def __post_init__(self) -> None:
        if not 0 < self.mpp < float("inf"):
            raise ConfigError("microns per pixel above 0", got=repr(self.mpp), where="mpp", fix="State the scale.")

    def level0(self, length: Microns) -> Level0Pixels:
        """A length in level-0 pixels of a slide at this scale."""
        return Level0Pixels(length.value / self.mpp)

    def tile(self, length: Microns) -> TilePixels:
        """A length in pixels of a tile at this scale."""
        return TilePixels(length.value / self.mpp)

    def microns(self, length: Level0Pixels | TilePixels) -> Microns:
        """A length in microns."""
        return Microns(length.value * self.mpp)


@dataclass(frozen=True)
class Level:
    """One level of a slide's pyramid.

    Parameters
    ----------
    number : int
        0 is the finest.
    width, height : int
        In pixels of this level.
    downsample : float
        Level-0 pixels per pixel of this level.

    Examples
    --------
    >>> level = Level(1, 500, 400, 4.0)
    >>> level.pixels(Level0Pixels(200.0)), level.level0(LevelPixels(50.0, 1))
    (LevelPixels(value=50.0, level=1), Level0Pixels(value=200.0))
    """

    number: int
    width: int
    height: int
    downsample: float

    def pixels(self, length: Level0Pixels) -> LevelPixels:
        """A length in pixels of this level."""
        return LevelPixels(length.value / self.downsample, self.number)

    def level0(self, length: LevelPixels) -> Level0Pixels:
        """A length in pixels of level 0.

        Raises
        ------
        ConfigError
            The length is of another level.
        """
        if length.level != self.number:
            raise ConfigError(
                f"pixels of level {self.number}", got=f"pixels of level {length.level}", fix="Convert by their own."
            )
        return Level0Pixels(length.value * self.downsample)
