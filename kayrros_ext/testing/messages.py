"""What goes over the wire of the platform fake: the requests that came, and the answers that go back."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs


class BrokenError(Exception):
    """The connection is to break here: whoever sends the answer breaks it, in the way of its wire."""


@attrs.define(eq=False)
class Request:
    """A request that the fake has had.

    Attributes:
        method: in capitals.
        host: the host that it was sent to; None on loopback, where the login host and the data host are one.
        path: with its query, as it was sent.
        headers: names in lower case.
        body: as it was sent.
        operation: operationId, as in openapi.yaml; None where no operation has this path and method.
        status: HTTP status of the answer; None until there is one, and where the connection was dropped.
        fault: the fault that happened to it, in words; None where all went well.
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
        """The body, read as JSON. A ValueError where it is not."""
        return json.loads(self.body)

    @property
    def token(self) -> str | None:
        """The bearer token of the request, if it has one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def content_type(self) -> str:
        """Type of the body in lower case, without parameters; "" where the request gives none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@attrs.frozen(eq=False)
class Answer:
    """An answer, and what goes wrong on its way.

    Attributes:
        status: HTTP status.
        headers: all but those that frame the body.
        body: its bytes, or its chunks, made while they are sent.
        length: bytes of the body, where that is known before it is made.
        delay_s: seconds before the first byte of the answer.
        pause_s: seconds before each chunk of the body.
        cut: how many bytes of the body are sent before the connection breaks.
        dropped: whether the connection breaks before the first byte of the answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes | Iterable[bytes] = b""
    length: int | None = None
    delay_s: float = 0
    pause_s: float = 0
    cut: int | None = None
    dropped: bool = False

    @classmethod
    def of(cls, status: int, body: bytes | Iterable[bytes], content_type: str, **headers: str) -> "Answer":
        """An answer with a body of a type; underscores in names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        length = len(body) if isinstance(body, bytes) else None
        return cls(status, {"Content-Type": content_type, **named}, body, length)

    def chunks(self) -> Iterator[bytes]:
        """The body as it is sent.

        Raises:
            BrokenError: the connection breaks here.
        """
        pieces = [self.body] if isinstance(self.body, bytes) else self.body
        if self.cut is None:
            yield from filter(None, pieces)
            return
        yield from first_bytes(pieces, self.cut)
        raise BrokenError


def as_json(value: object, status: int = 200) -> Answer:
    """A JSON answer. That its Content-Type is application/json is assumed: the reference says */*."""
    return Answer.of(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")


def failure(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error of the platform. Its body is assumed: the reference does not document it."""
    answer = as_json({"code": code, "message": message}, status)
    return attrs.evolve(answer, headers={**answer.headers, **headers})


def page(status: int, title: str) -> Answer:
    """An error of a gateway before the platform: HTML."""
    body = f"<html>\n<head><title>{status} {title}</title></head>\n<body><h1>{status} {title}</h1></body>\n</html>\n"
    return Answer.of(status, body.encode(), "text/html")


def first_bytes(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The first bytes of a body, no more of it made than they need."""
    if count <= 0:
        return
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return
