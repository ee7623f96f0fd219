"""When a request is tried again, and how long before. One rule, for every operation: all of them are reads, POST too.

Tried again: a connection that fails or breaks, also half-way through a body; a timeout; the statuses 429, 502, 503 and
504. Nothing else: what the platform has refused, it will refuse again.
"""

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from kayrros_ext._config.retries import Retries
from kayrros_ext.errors import LoginError

# The platform is busy, or the gateway before it is.
STATUSES = frozenset({429, 502, 503, 504})
# Of the login: whatever else it says is about the credentials, and those are tried once.
LOGIN_STATUSES = frozenset(range(500, 600))
# Bytes that count as progress: less at a time, and a server that always breaks off would keep us for ever.
PROGRESS = 1024 * 1024
# The Pace of a request, among its extensions.
PACE = "kayrros_pace"

_log = logging.getLogger("kayrros_ext")


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
        if self.count > self._retries.max_retries or not self._may_pass(fault):
            return None
        asked_s = fault.retry_after_s if isinstance(fault, LoginError) else None
        if isinstance(fault, httpx.Response):
            asked_s = retry_after_s(fault)
        if asked_s is not None and asked_s > self._retries.retry_after_max:
            return None
        wait_s = self._retries.backoff(self.count, asked_s)
        if wait_s >= self.remaining_s:
            return None
        status = fault.status if isinstance(fault, LoginError) else getattr(fault, "status_code", None)
        reason = f"status {status}" if status else type(fault).__name__
        _log.info(
            "%s: attempt %d of %d ended in %s; the next in %.1f s",
            *(name, self.count, self._retries.max_retries + 1, reason, wait_s),
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
