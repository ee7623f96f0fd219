"""Requests that reach the platform fake, and responses that go back."""

import json
from collections.abc import Iterable
from typing import Any

import attrs


class RefusedError(Exception):
    """The request gets this error response instead of what it asked for."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = error_response(status, code, message)


@attrs.define(eq=False)
class Request:
    """A request that the fake received.

    Example:
        >>> login, request = platform.requests[0], platform.requests[-1]
        >>> login.content_type, login.json["email"], request.operation, request.token[:5]
        ('application/json', 'analyst@example.com', 'getDatasetResults', 'fake-')

    Attributes:
        method: in capitals.
        host: the host it was sent to; None on loopback, where the login host and the data host are one.
        path: with its query, as it was sent.
        headers: names in lower case.
        body: as it was sent.
        operation: operationId, as in openapi.yaml; None if no operation has this path and method.
        status: HTTP status of the response; None before there is one, and if the connection was dropped.
        fault: description of the fault that affected it; None if there was none.
    """

    method: str
    host: str | None
    path: str
    headers: dict[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    operation: str | None = None
    status: int | None = None
    fault: str | None = None

    @property
    def json(self) -> Any:
        """The body, parsed as JSON. Raises ValueError if it is not JSON."""
        return json.loads(self.body)

    @property
    def token(self) -> str | None:
        """The bearer token of the request, if it has one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def content_type(self) -> str:
        """Type of the body in lower case, without parameters; "" if the request has no Content-Type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@attrs.frozen(eq=False)
class Response:
    """A response, and how it is delivered.

    Example:
        >>> late = Fault("late and empty", lambda response: Response(204, {}, delay_s=0.01))

    Attributes:
        status: HTTP status.
        headers: all except those that frame the body.
        body: its chunks, none of them empty; they may be generated while they are sent. Where the connection breaks,
            the next one raises httpx.RemoteProtocolError.
        length: bytes of the body, if known before it is sent.
        delay_s: seconds before the first byte of the response.
        pause_s: seconds before each chunk of the body.
        dropped: whether the connection breaks before the first byte of the response.
    """

    status: int
    headers: dict[str, str]
    body: Iterable[bytes] = ()
    length: int | None = None
    delay_s: float = 0
    pause_s: float = 0
    dropped: bool = False


def bytes_response(status: int, body: bytes, content_type: str) -> Response:
    """Return a response with these bytes as its body, if its status allows one."""
    body = b"" if status in {204, 205, 304} else body
    return Response(status, {"Content-Type": content_type}, [body] if body else [], len(body))


def json_response(value: object, status: int = 200) -> Response:
    """Return a JSON response. The Content-Type application/json is assumed, because the reference says */*."""
    return bytes_response(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")


def error_response(status: int, code: str, message: str, **headers: str) -> Response:
    """Return an error of the platform. Its body is assumed, because the reference does not document it."""
    response = json_response({"code": code, "message": message}, status)
    return attrs.evolve(response, headers=response.headers | headers)


def html_response(status: int, title: str) -> Response:
    """Return the error page of a gateway in front of the platform."""
    body = f"<html>\n<head><title>{status} {title}</title></head>\n<body><h1>{status} {title}</h1></body>\n</html>\n"
    return bytes_response(status, body.encode(), "text/html")
