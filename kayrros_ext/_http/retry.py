"""When a request is sent again. One rule for every operation, because all of them are reads, POST too.

Retried: a connection that fails or breaks, also in the middle of a body; a timeout; the statuses 429, 502, 503 and 504.
Nothing else, because the platform would reject it again. A refusal of a busy platform (429, or 503 with Retry-After) holds
back all calls of the client (gate.py).
"""

import contextlib
import logging
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from kayrros_ext._config.retries import Retries

# The platform is busy, or the gateway in front of it is.
RETRY_STATUSES = frozenset({429, 502, 503, 504})
# Of a login. Any other 4xx is about the credentials, and those are tried once.
LOGIN_RETRY_STATUSES = frozenset({429, *range(500, 600)})

_log = logging.getLogger("kayrros_ext")


def is_retryable(error: Exception) -> bool:
    """Return whether the same request may succeed after an httpx error."""
    if isinstance(error, httpx.ProxyError):
        return not str(error).startswith("4")  # the proxy refuses, for example without its password
    never = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError) or is_certificate_error(error)
    return isinstance(error, httpx.TransportError | httpx.DecodingError) and not never


def is_certificate_error(error: BaseException | None) -> bool:
    """Return whether the server's certificate failed verification."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that Retry-After asks for, in either of its forms; None without a valid one."""
    header = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", header):  # whole by the RFC, but some servers send fractions
        return float(header[:12])
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        # By the server's clock where it sends its date, because ours may be wrong.
        date = response.headers.get("Date")
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    return None


def next_delay(
    retries: Retries,
    attempt: int,
    remaining_s: float,
    asked_s: float | None,
    reason: str,
    *,
    refusals: int | None = None,
) -> float | None:
    """Return the seconds to wait after an attempt, counted from 1, or 0 if it is not counted; None when it was the last.

    `asked_s` is from Retry-After; `reason` goes into the log. The backoff grows with the refusals of the client, if any.
    """
    most = retries.max_retries
    if attempt > most or not most or (asked_s or 0) > retries.retry_after_max:
        return None
    delay = retries.backoff(refusals or attempt, asked_s)
    if delay >= remaining_s:
        return None
    count = f"Attempt {attempt} of {most + 1}" if attempt else "The platform limits requests"
    _log.info("%s. %s, retrying in %.1f s", reason, count, delay)
    return delay
