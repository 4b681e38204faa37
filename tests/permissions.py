"""Permissions of files that bind the superuser too, for tests that run as one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import pytest

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def permissions_bind() -> Iterator[None]:
    """Within the block the calling thread may do only what the permissions of files allow its user."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of files are POSIX's")
    if os.geteuid():
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("the superuser may read and write everything here")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; lower and upper half
    if libc.capget(header, sets):
        pytest.skip("capabilities cannot be read here")
    effective = sets[0]
    sets[0] = effective & ~_OVERRIDES
    if libc.capset(header, sets):
        pytest.skip("capabilities cannot be given up here")
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0
