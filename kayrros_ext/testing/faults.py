"""Faults of responses, and rules that select the requests that they happen to."""

from collections.abc import Callable, Iterable, Iterator
from http import client

import attrs
import httpx

from kayrros_ext.testing import arguments
from kayrros_ext.testing.arguments import Kind
from kayrros_ext.testing.http import Request, Response, bytes_response, error_response, html_response
from kayrros_ext.testing.operations import OPERATIONS

# The header of a gzip stream, followed by garbage.
_BAD_GZIP = b"\x1f\x8b\x08\x00this is not a deflate stream"


@attrs.frozen(eq=False)
class Fault:
    """Something that goes wrong with a response. Make one with a method of the class, such as `Fault.status(503)`.

    Example:
        >>> faults = [Fault.status(429, retry_after=1), Fault.html(502), Fault.body(b"?")]
        >>> faults += [Fault.cut(), Fault.truncated(), Fault.dropped(), Fault.bad_gzip()]
        >>> faults += [Fault.late(60), Fault.slow(pause_s=0.1)]
        >>> rules = [platform.fail_next(fault) for fault in faults]
        >>> faults[3]
        Fault(description='connection breaks after 10 bytes')

    Attributes:
        description: the fault in words, as `Request.fault` shows it.
        damage: takes the response as it should be and returns the one to send.
        replaces_response: whether a gateway responds instead, so that the platform does nothing: no login is counted.
    """

    description: str = attrs.field(validator=arguments.TEXT)
    damage: Callable[[Response], Response] = attrs.field(validator=arguments.FUNCTION, repr=False)
    replaces_response: bool = attrs.field(default=False, repr=False)

    @classmethod
    def status(cls, status: int, *, retry_after: int | str | None = None) -> "Fault":
        """An error status with a JSON body, as the platform would send it.

        Args:
            status: 300 to 599, in the IANA list or not.
            retry_after: header Retry-After: seconds, or an HTTP date.
        """
        arguments.ERROR_STATUS.check("status", status)
        headers = {}
        if retry_after is not None:
            headers["Retry-After"] = str(arguments.RETRY_AFTER.check("retry_after", retry_after))
        code = _title(status).upper().replace(" ", "_")
        response = error_response(status, code, "A fault was asked for", **headers)
        return cls(f"status {status}", lambda _: response, replaces_response=True)

    @classmethod
    def html(cls, status: int) -> "Fault":
        """The HTML page of a gateway; with status 200, the sign-in page of a proxy."""
        response = html_response(status, _title(status))
        return cls(f"HTML with status {status}", lambda _: response, replaces_response=True)

    @classmethod
    def body(cls, body: bytes, *, status: int = 200, content_type: str = "application/json") -> "Fault":
        """Any bytes at all in place of the response."""
        content_type = arguments.HEADER.check("content_type", content_type)
        arguments.STATUS.check("status", status)
        response = bytes_response(status, arguments.BYTES.check("body", body), content_type)
        return cls(f"{len(body)} bytes", lambda _: response, replaces_response=True)

    @classmethod
    def truncated(cls, keep: int = 10) -> "Fault":
        """A body that ends after `keep` bytes, in a response that is complete as far as HTTP can tell."""
        arguments.COUNT_OR_0.check("keep", keep)
        return cls(
            f"body ends after {keep} bytes",
            lambda response: _with_body(response, b"".join(_first_bytes(response.body, keep))),
        )

    @classmethod
    def cut(cls, after: int = 10) -> "Fault":
        """The connection breaks after `after` bytes of a body that promised more."""
        arguments.COUNT_OR_0.check("after", after)

        def damage(response: Response) -> Response:
            # A shorter body would arrive complete, so the response promises a byte more than it sends.
            length = None if response.length is None else max(response.length, after + 1)
            return attrs.evolve(response, body=_cut(response.body, after), length=length)

        return cls(f"connection breaks after {after} bytes", damage)

    @classmethod
    def dropped(cls) -> "Fault":
        """The connection breaks before any response; the platform has carried out the request."""
        return cls("connection dropped", lambda response: attrs.evolve(response, dropped=True))

    @classmethod
    def late(cls, delay_s: float) -> "Fault":
        """The response begins `delay_s` seconds later."""
        arguments.SECONDS.check("delay_s", delay_s)
        return cls(f"{delay_s:g} s late", lambda response: attrs.evolve(response, delay_s=delay_s))

    @classmethod
    def slow(cls, *, pause_s: float, chunk_bytes: int = 1024) -> "Fault":
        """A body in chunks of at most `chunk_bytes`, `pause_s` seconds before each."""
        arguments.SECONDS.check("pause_s", pause_s)
        arguments.COUNT.check("chunk_bytes", chunk_bytes)
        return cls(
            f"{pause_s:g} s before every {chunk_bytes} bytes",
            lambda response: attrs.evolve(response, body=_rechunk(response.body, chunk_bytes), pause_s=pause_s),
        )

    @classmethod
    def bad_gzip(cls) -> "Fault":
        """A body that claims to be gzip and is not."""
        gzip = {"Content-Encoding": "gzip"}
        return cls("malformed gzip", lambda response: _with_body(response, _BAD_GZIP, **gzip))


Failure = Fault | int
_FAULT = Kind(
    lambda fault: isinstance(fault, Fault), "a status such as 503, or a Fault such as Fault.status(429, retry_after=1)"
)


@attrs.define(eq=False, on_setattr=attrs.setters.NO_OP)  # because it counts `times` down to 0
class Rule:
    """A fault, and the requests that it happens to.

    Example:
        >>> rule = platform.fail_next(503, times=2)
        >>> rule.applies_to(platform.requests[-1]), rule.count, rule.times
        (True, 1, 1)

    Attributes:
        fault: what goes wrong.
        matches: whether it goes wrong for a request.
        operation: operationId of these requests; None for any.
        times: how many more requests it happens to; None for all.
        skip: how many more matching requests it spares.
        count: how many requests it has happened to.
    """

    fault: Fault = attrs.field(validator=_FAULT)
    matches: Callable[[Request], bool] = attrs.field(validator=arguments.FUNCTION)
    operation: str | None = attrs.field(default=None, validator=arguments.one_of(item.id for item in OPERATIONS))
    times: int | None = attrs.field(default=None, validator=arguments.COUNT)
    skip: int = attrs.field(default=0, validator=arguments.COUNT_OR_0)
    count: int = 0

    def applies_to(self, request: Request) -> bool:
        """Decide whether the fault happens to this request, and count it."""
        if self.times == 0 or self.operation not in {None, request.operation} or not self.matches(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.count += 1
        return True


def _with_body(response: Response, body: bytes, **headers: str) -> Response:
    return attrs.evolve(response, headers=response.headers | headers, body=[body] if body else [], length=len(body))


def _cut(chunks: Iterable[bytes], after: int) -> Iterator[bytes]:
    yield from _first_bytes(chunks, after)
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _first_bytes(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks if count else ():
        yield chunk[:count]
        count -= len(chunk)
        if count <= 0:
            return


def _rechunk(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _title(status: int) -> str:
    return client.responses.get(
        arguments.STATUS.check("status", status), "Unknown"
    )  # gateways send statuses outside the IANA list
