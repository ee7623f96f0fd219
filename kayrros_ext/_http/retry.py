"""When a request is tried again, and how long before. One rule, for every operation: all of them are reads, POST too.

Tried again: a connection that fails or breaks, also half-way through a body; a timeout; the statuses 429, 502, 503 and
504. Nothing else: what the platform has refused, it will refuse again.
"""

import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs
import httpx

from kayrros_ext.errors import ConfigurationError, LoginError

# The platform is busy, or the gateway before it is.
STATUSES = frozenset({429, 502, 503, 504})
# Of the login: whatever else it says is about the credentials, and those are tried once.
LOGIN_STATUSES = frozenset(range(500, 600))
DEFAULT_COUNT = 4
# Bytes that count as progress: less at a time, and a server that always breaks off would keep us for ever.
PROGRESS = 1024 * 1024
# The Pace of a request, among its extensions.
PACE = "kayrros_pace"

_log = logging.getLogger("kayrros_ext")


async def _sleep_async(seconds: float) -> None:
    import anyio  # httpx's own, which loads it for async clients alone

    await anyio.sleep(seconds)


@attrs.frozen
class Retries:
    """How often a read is tried again, and how long it waits: full jitter, up to a bound that doubles each time.

    Attributes:
        count: at most so many times after the first; 0 for never.
        first_wait_s: the bound before the first.
        longest_wait_s: the bound stays here. Minutes are what a gateway that restarts needs (assumed).
        longest_retry_after_s: Retry-After is waited for up to here. What asks for more is an error that says so.
        sleep: waits so many seconds, in threads.
        sleep_async: the same, in tasks.
        draw: a number between two numbers, by chance.
        clock: seconds that only grow.
    """

    count: int = DEFAULT_COUNT
    first_wait_s: float = 1
    longest_wait_s: float = 30
    longest_retry_after_s: float = 120
    sleep: Callable[[float], object] = attrs.field(default=time.sleep, repr=False)
    sleep_async: Callable[[float], Awaitable[object]] = attrs.field(default=_sleep_async, repr=False)
    draw: Callable[[float, float], float] = attrs.field(default=random.uniform, repr=False)
    clock: Callable[[], float] = attrs.field(default=time.monotonic, repr=False)

    @classmethod
    def of(cls, value: "int | Retries") -> "Retries":
        """Retries of a count.

        Raises:
            ConfigurationError: it is neither a count nor Retries.
        """
        if isinstance(value, Retries):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigurationError(f"retries is {value!r}. Give a number of times, 0 for never, or Retries.")
        return cls(value)

    def wait_s(self, attempt: int, asked_s: float | None) -> float:
        """Seconds to wait after an attempt, counted from 1; what the server asked for is a lower bound."""
        # An exponent has its bound too: 2 ** 2000 is no float.
        bound = min(self.longest_wait_s, self.first_wait_s * 2 ** min(attempt - 1, 64))
        return self.draw(0, bound) if asked_s is None else asked_s


class Pace:
    """Whether a body makes progress: a mebibyte in the time that is left, and then one in each total time.

    A byte now and then is as good as silence, and no timeout between bytes would ever say so.

    Args:
        left_s: seconds for the first.
        total_s: seconds for each further one.
        clock: seconds that only grow.
    """

    def __init__(self, left_s: float, total_s: float, clock: Callable[[], float]) -> None:
        self._total_s, self._clock = total_s, clock
        self._end_s, self._count = clock() + left_s, 0

    def add(self, count: int) -> None:
        """So many bytes have come.

        Raises:
            httpx.ReadTimeout: too few, for the time that it took.
        """
        self._count += count
        if self._count >= PROGRESS:
            self._end_s, self._count = self._clock() + self._total_s, 0
        elif self._clock() > self._end_s:
            raise httpx.ReadTimeout("less than a mebibyte came within total_timeout")


class Attempts:
    """The attempts of one request: whether there is another, and when.

    Args:
        retries: the rule.
        total_s: seconds from the first attempt in which others may begin.
        statuses: those that are tried again.
    """

    def __init__(self, retries: Retries, total_s: float, statuses: frozenset[int] = STATUSES) -> None:
        self._retries, self._total_s, self._statuses = retries, total_s, statuses
        self._began_s = retries.clock()
        self.count = 0

    @property
    def remaining_s(self) -> float:
        """Seconds that are left of the total."""
        return self._began_s + self._total_s - self._retries.clock()

    def begin(self, request: httpx.Request) -> None:
        """The next attempt, which is counted: no timeout of it is beyond what is left of the total, and it has a pace."""
        self.count += 1
        left = max(self.remaining_s, 0.001)
        timeout = request.extensions.get("timeout", {})
        timeout = {part: left if seconds is None else min(seconds, left) for part, seconds in timeout.items()}
        pace = Pace(left, self._total_s, self._retries.clock)
        request.extensions = {**request.extensions, "timeout": timeout, PACE: pace}

    def wait_after(self, fault: httpx.Response | Exception, name: str) -> float | None:
        """Seconds to wait before the next attempt; None where there is none.

        Args:
            fault: what the last one ended in.
            name: operationId, for the log.
        """
        if self.count > self._retries.count or not self._may_pass(fault):
            return None
        asked_s = fault.retry_after_s if isinstance(fault, LoginError) else None
        if isinstance(fault, httpx.Response):
            asked_s = retry_after_s(fault)
        if asked_s is not None and asked_s > self._retries.longest_retry_after_s:
            return None
        wait_s = self._retries.wait_s(self.count, asked_s)
        if wait_s >= self.remaining_s:
            return None
        status = fault.status if isinstance(fault, LoginError) else getattr(fault, "status_code", None)
        reason = f"status {status}" if status else type(fault).__name__
        _log.info(
            "%s: attempt %d of %d ended in %s; the next in %.1f s",
            *(name, self.count, self._retries.count + 1, reason, wait_s),
        )
        return wait_s

    def _may_pass(self, fault: httpx.Response | Exception) -> bool:
        if isinstance(fault, httpx.Response):
            return fault.status_code in self._statuses
        if isinstance(fault, LoginError):
            return fault.status in LOGIN_STATUSES
        if isinstance(fault, httpx.ProxyError):
            return not str(fault).startswith("4")  # the proxy refuses, say for want of a password
        if isinstance(fault, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.TooManyRedirects):
            return False
        return isinstance(fault, httpx.TransportError | httpx.DecodingError) and not is_distrust(fault)


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that a server asks to wait, of either form of Retry-After; None where it does not."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdecimal() and asked.isascii():
        return float(asked[:12])  # more is for ever, and thousands of digits are no number
    try:
        until = parsedate_to_datetime(asked)
        # By the server's own clock where it gives one: ours may be wrong.
        now = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def is_distrust(error: BaseException | None) -> bool:
    """Whether a certificate was not to be trusted: it won't be in a minute."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
