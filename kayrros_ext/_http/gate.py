"""The gate of a client, which holds requests back after the platform has refused one because of their rate."""

import math
import os

from kayrros_ext._config.retries import Retries

# Seconds between two looks for a slot. Threads and tasks of any event loop wait alike.
SLOT_POLL_S = 0.1


class Gate:
    """Shared by all calls of a client, in threads and tasks. It limits nothing before the first refusal.

    A refusal closes it for a time, and halves the number of requests in flight. Each round of successes allows one more
    (additive increase, multiplicative decrease). Its operations are atomic instead of locked, which suits forked children.

    Attributes:
        in_flight: the calls that hold a slot.
        closings: how often it was closed; a call remembers the number that it has waited for.
        refusals: closings since the last success.
        is_temporary: whether a success came after a refusal.
    """

    def __init__(self, retries: Retries) -> None:
        self.in_flight: set[object] = set()
        self.closings = self.refusals = 0
        self.is_temporary = False
        self._retries, self._limit, self._opens_at, self._process = retries, math.inf, -math.inf, os.getpid()

    def enter(self, call: object, closings: int) -> float:
        """Give a call a slot and return 0, or return the seconds after which it may ask again."""
        if self._process != os.getpid():  # the threads of the parent are not here to leave
            self._process, self.in_flight = os.getpid(), set()
        wait_s = self._opens_at - self._retries.clock()
        if closings != self.closings and wait_s > 0:
            # With jitter, because those who wait would wake up together.
            return self._retries.backoff(max(self.refusals, 1), wait_s)
        self.in_flight.add(call)
        if len(self.in_flight) <= self._limit:
            return 0
        self.in_flight.discard(call)
        return SLOT_POLL_S

    def close(self, closings: int, seconds: float) -> int:
        """Send nothing for some seconds; return the closings that the refused call, which waits longer, has waited for."""
        opens_at, is_first = self._retries.clock() + seconds, closings == self.closings
        if is_first:  # of those that were in flight together, which are one refusal
            self._limit = max(1, min(self._limit, len(self.in_flight)) // 2)
            self.refusals += 1
        elif opens_at <= self._opens_at:
            return closings
        self._opens_at = max(self._opens_at, opens_at)
        self.closings += 1
        return self.closings

    def succeed(self, closings: int) -> None:
        """Count a success, unless the call was sent before the last refusal."""
        if closings == self.closings:
            self.refusals, self._opens_at, self.is_temporary = 0, -math.inf, True
            self._limit += 1 / self._limit
