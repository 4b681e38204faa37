"""Seconds by stage of a piece of work, collected without handing a clock through every function."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")
_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Collect the seconds of the stages inside.

    Yields
    ------
    dict of str to float
        Stage -> seconds, filled by ``stage``, ``waiting`` and ``add_seconds`` in the same thread.

    Examples
    --------
    >>> with measured() as seconds:
    ...     with stage("plan"):
    ...         pass
    >>> list(seconds)
    ['plan']
    """
    found: dict[str, float] = {}
    token = _seconds.set(found)
    try:
        yield found
    finally:
        _seconds.reset(token)


def add_seconds(name: str, seconds: float) -> None:
    """Add to a stage; without effect outside of ``measured``.

    Parameters
    ----------
    name : str
        The stage.
    seconds : float

    Examples
    --------
    >>> with measured() as seconds:
    ...     add_seconds("network", 0.5)
    ...     add_seconds("network", 0.25)
    >>> seconds
    {'network': 0.75}
    """
    if (found := _seconds.get()) is not None:
        found[name] = found.get(name, 0.0) + seconds


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time what is inside as a stage.

    Parameters
    ----------
    name : str
        The stage.

    Examples
    --------
    >>> with stage("plan"):  # outside of ``measured`` nothing is kept
    ...     pass
    """
    began = time.perf_counter()
    try:
        yield
    finally:
        add_seconds(name, time.perf_counter() - began)


def waiting(name: str, items: Iterable[_T]) -> Iterator[_T]:
    """Pass items on, and time how long each was waited for as a stage.

    Parameters
    ----------
    name : str
        The stage.
    items : iterable

    Yields
    ------
    object
        The items.

    Examples
    --------
    >>> with measured() as seconds:
    ...     list(waiting("read", [1, 2])), list(seconds)
    ([1, 2], ['read'])
    """
    source = iter(items)
    while True:
        with stage(name):
            try:
                item = next(source)
            except StopIteration:
                return
        yield item
