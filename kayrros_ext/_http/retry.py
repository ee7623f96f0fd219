"""When a request is sent again. One rule for every operation, because all of them are reads, POST too.

Retried: a connection that fails or breaks, also in the middle of a body; a timeout; the statuses 429, 502, 503 and 504.
Nothing else, because the platform would reject it again. A refusal with a Retry-After (429, 503) is not counted, and holds
back all calls of the client (Gate).
"""

import contextlib
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from kayrros_ext._config.settings import is_loopback

_Error = TypeVar("_Error", bound=BaseException)

# The platform is busy, or the gateway in front of it is.
RETRY_STATUSES = frozenset({429, 502, 503, 504})
# Of a login. Any other 4xx is about the credentials, and those are tried once.
LOGIN_RETRY_STATUSES = frozenset({429, *range(500, 600)})


def is_retryable(error: Exception, failures: int, *, has_answered: bool) -> bool:
    """Return whether a request that has failed before, `failures` times, may succeed after an httpx error.

    `has_answered` tells whether the host has answered another request.
    """
    if isinstance(error, httpx.ProxyError):
        return not str(error).startswith("4")  # the proxy refuses, for example without its password
    if not has_answered and (unresolved := find_cause(error, socket.gaierror)):
        return unresolved.errno == socket.EAI_AGAIN and not failures  # a busy name server, or nobody is online
    if not has_answered and is_refused_locally(error):
        return False
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    if find_cause(error, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, httpx.TransportError | httpx.DecodingError)


def is_refused_locally(error: Exception) -> bool:
    """Return whether nothing listens at a port of this machine."""
    request = getattr(error, "_request", None)
    return bool(request and is_loopback(request.url) and find_cause(error, ConnectionRefusedError))


def find_cause(error: BaseException | None, kind: type[_Error]) -> _Error | None:
    """Return the error of a kind among an error and its causes, such as that of a certificate; or None."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


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
