"""The gate of a client, which holds requests back after the platform has refused one because of their rate."""

import math
import os

from kayrros_ext._config.retries import Retries

# Seconds between two looks for a slot. Threads and tasks of any event loop wait alike.
SLOT_POLL_S = 0.1


class Call:
    """A call of a client. `closings` is how many of them it has waited for."""

    closings = 0


class Gate:
    """Shared by all calls of a client, in threads and tasks. It limits nothing before the first refusal.

    A refusal closes it for a time, and halves the number of requests in flight. Each round of successes allows one more
    (additive increase, multiplicative decrease). Its operations are atomic instead of locked, which suits forked children.

    Attributes:
        in_flight: the calls that hold a slot.
        closings: how often it was closed.
        refusals: closings since the last success.
    """

    def __init__(self, retries: Retries) -> None:
        self.in_flight: set[Call] = set()
        self.closings = self.refusals = 0
        self._retries, self._limit, self._opens_at, self._process = retries, math.inf, -math.inf, os.getpid()

    def enter(self, call: Call) -> float:
        """Give a call a slot and return 0, or return the seconds after which it may ask again."""
        if self._process != os.getpid():  # the threads of the parent are not here to leave
            self._process, self.in_flight = os.getpid(), set()
        wait_s = self._opens_at - self._retries.clock()
        has_waited, call.closings = call.closings == self.closings, self.closings
        if wait_s > 0 and not has_waited:
            # With jitter, because those who wait would wake up together.
            return self._retries.backoff(max(self.refusals, 1), wait_s)
        self.in_flight.add(call)
        if len(self.in_flight) <= self._limit:
            return 0
        self.in_flight.discard(call)
        return SLOT_POLL_S

    def close(self, call: Call, seconds: float) -> None:
        """Send nothing for some seconds, because a call was refused; that call waits by itself, and longer."""
        opens_at = self._retries.clock() + seconds
        if call.closings == self.closings:  # else it is one refusal with that of a call that was in flight with it
            self._limit = max(1, min(self._limit, len(self.in_flight)) // 2)
            self.refusals += 1
        elif opens_at <= self._opens_at:
            return
        self._opens_at = max(self._opens_at, opens_at)
        self.closings += 1
        call.closings = self.closings

    def leave(self, call: Call, *, is_success: bool = False) -> None:
        """Free the slot of a call. A success of a call that was sent after the last refusal opens the gate."""
        self.in_flight.discard(call)
        if is_success and call.closings == self.closings:
            self.refusals, self._opens_at = 0, -math.inf
            self._limit += 1 / self._limit
