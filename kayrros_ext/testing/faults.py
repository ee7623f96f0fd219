"""Faults: what can go wrong with an answer, and which answers it goes wrong with."""

import http
import random
from collections.abc import Callable, Iterable, Iterator

import attrs

from kayrros_ext.testing.messages import Answer, Request, failure, first_bytes, page

# What gateways call statuses that Python's list does not have.
_TITLES = {499: "Client Closed Request", 520: "Web Server Returned an Unknown Error"}
# The header of a gzip stream, and then none.
_NOT_GZIP = b"\x1f\x8b\x08\x00" + b"this is not a deflate stream"


@attrs.frozen(eq=False)
class Fault:
    """Something that goes wrong with an answer. Make one with a method of the class, such as `Fault.status(503)`.

    Attributes:
        words: what it is, for people.
        damage: the answer as it should be, to the answer as it is.
        instead: whether the platform does not see the request at all: a gateway answers, no login is counted.
    """

    words: str
    damage: Callable[[Answer], Answer] = attrs.field(repr=False)
    instead: bool = attrs.field(default=False, repr=False)

    @classmethod
    def status(cls, status: int, *, retry_after: int | str | None = None) -> "Fault":
        """An error status with a JSON body, as the platform would send it.

        Args:
            status: any number of three digits, in the IANA list or not.
            retry_after: header Retry-After: seconds, or an HTTP date.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        code = _title(status).upper().replace(" ", "_")
        return cls(
            f"status {status}", lambda _: failure(status, code, "A fault was asked for", **headers), instead=True
        )

    @classmethod
    def html(cls, status: int) -> "Fault":
        """The HTML page of a gateway; also with status 200, as a proxy's sign-in page has it."""
        return cls(f"HTML with status {status}", lambda _: page(status, _title(status)), instead=True)

    @classmethod
    def body(cls, body: bytes, *, status: int = 200, content_type: str = "application/json") -> "Fault":
        """Any bytes at all in place of the answer."""
        return cls(f"{len(body)} bytes", lambda _: Answer.of(status, body, content_type), instead=True)

    @classmethod
    def truncated(cls, keep: int = 10) -> "Fault":
        """A body that ends after `keep` bytes, in an answer that is whole as far as HTTP can tell."""

        def damage(answer: Answer) -> Answer:
            kept = b"".join(first_bytes(_pieces(answer), keep))
            return attrs.evolve(answer, body=kept, length=len(kept))

        return cls(f"body ends after {keep} bytes", damage)

    @classmethod
    def cut(cls, after: int = 10) -> "Fault":
        """The connection breaks after `after` bytes of the body, which promised more."""

        def damage(answer: Answer) -> Answer:
            # A body that is no longer than that would arrive whole: so it promises a byte more than it has.
            length = None if answer.length is None else max(answer.length, after + 1)
            return attrs.evolve(answer, cut=after, length=length)

        return cls(f"connection breaks after {after} bytes", damage)

    @classmethod
    def dropped(cls) -> "Fault":
        """The connection breaks before any answer; the platform has done what was asked."""
        return cls("connection dropped", lambda answer: attrs.evolve(answer, dropped=True))

    @classmethod
    def late(cls, delay_s: float) -> "Fault":
        """The answer begins `delay_s` seconds later."""
        return cls(f"{delay_s:g} s late", lambda answer: attrs.evolve(answer, delay_s=answer.delay_s + delay_s))

    @classmethod
    def slow(cls, *, pause_s: float, chunk_bytes: int = 1024) -> "Fault":
        """A body in chunks of at most `chunk_bytes`, `pause_s` seconds before each."""

        def damage(answer: Answer) -> Answer:
            return attrs.evolve(answer, body=_Rechunked(_pieces(answer), chunk_bytes), pause_s=pause_s)

        return cls(f"{pause_s:g} s before every {chunk_bytes} bytes", damage)

    @classmethod
    def bad_gzip(cls) -> "Fault":
        """A body that says it is gzip, and is not."""

        def damage(answer: Answer) -> Answer:
            headers = {**answer.headers, "Content-Encoding": "gzip"}
            return attrs.evolve(answer, body=_NOT_GZIP, length=len(_NOT_GZIP), headers=headers)

        return cls("malformed gzip", damage)


@attrs.frozen
class _Rechunked:
    pieces: Iterable[bytes]
    size: int

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            yield from (piece[start : start + self.size] for start in range(0, len(piece), self.size))


@attrs.define(eq=False)
class Rule:
    """A fault, and the requests that it happens to.

    Attributes:
        fault: what goes wrong.
        matches: whether it goes wrong for a request.
        times: how many requests it is still for; None without end.
        skip: how many requests that match go well before.
        happened: how many it has happened to.
    """

    fault: Fault
    matches: Callable[[Request], bool]
    times: int | None = 1
    skip: int = 0
    happened: int = 0

    def takes(self, request: Request) -> bool:
        """Whether the fault happens to this request; counts it if so."""
        if self.times == 0 or not self.matches(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.happened += 1
        return True


def at_random(probability: float, seed: int) -> Callable[[Request], bool]:
    """A predicate that holds for a share of the requests; the same ones for the same seed and order."""
    draw = random.Random(seed).random  # noqa: S311 - repeatable is the point  # nosec B311
    return lambda _: draw() < probability


def _pieces(answer: Answer) -> Iterable[bytes]:
    return [answer.body] if isinstance(answer.body, bytes) else answer.body


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return _TITLES.get(status, "Unknown")
