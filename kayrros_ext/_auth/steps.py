"""Steps of the login flow that are no requests, for threads and for tasks: to wait for a turn, to look on the disk."""

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import httpx

from kayrros_ext.errors import TransportError


class Step(Protocol):
    """What the flow wants done, in a thread or in a task, and is sent the outcome of."""

    def wait(self) -> Any:
        """Do it as a thread."""

    async def wait_async(self) -> Any:
        """Do it as a task, and let the other tasks run meanwhile."""


class Turn:
    """A lock that threads and tasks share: one login at a time, whoever wants it.

    Nobody waits longer than a login can take. Where one hangs until its timeout, those behind it do not each add theirs.

    Args:
        timeout: of the login.
        before_s: seconds that may pass before it, for other processes.
    """

    def __init__(self, timeout: httpx.Timeout, before_s: float = 0) -> None:
        parts = (timeout.connect, timeout.read, before_s)
        # A lock takes no longer wait than TIMEOUT_MAX, which is centuries.
        self._patience_s = None if None in parts else min(sum(part or 0 for part in parts), threading.TIMEOUT_MAX)
        self._locks: dict[int, threading.Lock] = {}
        self._thread_of_task: tuple[int, int] | None = None

    @property
    def _lock(self) -> threading.Lock:
        """That of this process: after a fork, nobody in the child would ever give back what a thread of the parent has."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def wait(self) -> bool:
        """Wait as a thread. False: not waited for, since the holder is a task that this thread keeps from running."""
        if self._thread_of_task == (os.getpid(), threading.get_ident()):
            return False
        if not self._lock.acquire(timeout=-1 if self._patience_s is None else self._patience_s):
            raise self._out_of_patience()
        return True

    async def wait_async(self) -> bool:
        """Wait as a task, and let the other tasks run meanwhile."""
        import anyio  # httpx's own, which loads it for async clients alone

        with anyio.move_on_after(self._patience_s):
            while not self._lock.acquire(blocking=False):
                await anyio.sleep(0.01)
            self._thread_of_task = os.getpid(), threading.get_ident()
            return True
        raise self._out_of_patience()

    def release(self) -> None:
        """Let the next one in."""
        self._thread_of_task = None
        self._lock.release()

    def _out_of_patience(self) -> TransportError:
        return TransportError(
            f"login: another call's login had no answer in {self._patience_s:g} seconds. Check the network and "
            "KAYRROS_AUTH_URL; where the host is only slow, give Kayrros a longer timeout.",
            operation="login",
        )


@attrs.frozen
class Doing:
    """Something short on disk, or in the keyring, which may be longer: tasks do it in a thread."""

    do: Callable[[], Any]

    def wait(self) -> Any:
        """Do it here."""
        return self.do()

    async def wait_async(self) -> Any:
        """Do it in a thread."""
        import anyio.to_thread

        return await anyio.to_thread.run_sync(self.do)
