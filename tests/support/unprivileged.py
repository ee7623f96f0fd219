"""Run as a user without root's rights, so that file modes apply."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import pytest

# Linux capabilities that let root read, write and enter whatever the modes are.
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CAPABILITIES_VERSION_3 = 0x20080522


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root's rights over files for a while; other users have none.

    The user stays the same, because another one may not read root's Python, and a failed import spoils later tests.
    """
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root's rights can only be dropped on Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    header, capabilities = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, capabilities) == 0, os.strerror(ctypes.get_errno())
    before = capabilities[0]  # the effective ones, of the first 32
    capabilities[0] = before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    assert libc.capset(header, capabilities) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        capabilities[0] = before
        assert libc.capset(header, capabilities) == 0, os.strerror(ctypes.get_errno())
