"""The body of an answer as it comes off the wire: decoded, complete, and no larger than it may be.

httpx takes a gzip stream that breaks off for a whole one, and unpacks as much as it is sent. So bodies are unpacked here.
"""

import contextlib
import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from kayrros_ext._http.retry import PACE, Pace

# Bytes that are unpacked at once: a bomb is seen after so many.
STEP = 1024 * 1024
# Enough for any error; what a gateway sends instead may have no end.
ERROR_LIMIT = 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class TooLargeError(Exception):
    """The body is larger than it may be."""


class Body:
    """The body of one answer: give it what comes, in order, and say when it ends.

    Args:
        response: the answer, for its headers.
        limit: most bytes that it may have, decoded; None for any number.

    Raises:
        httpx.DecodingError: its coding is one that was not asked for.
    """

    def __init__(self, response: httpx.Response, limit: int | None = None) -> None:
        self._limit = limit
        self._pace: Pace | None = response.request.extensions.get(PACE)
        self._size = self._received = 0
        length = response.headers.get("Content-Length", "")
        self._length = int(length) if length.isdecimal() and response.request.method != "HEAD" else None
        codings = [word.strip().lower() for word in response.headers.get("Content-Encoding", "").split(",")]
        codings = [word.removeprefix("x-") for word in codings if word not in {"", "identity"}]
        # Of two codings on top of each other, a small piece could become a very large one.
        if codings not in ([], ["gzip"]):
            raise httpx.DecodingError(f"the body is encoded as {', '.join(codings)!r:.80}, which was not asked for")
        self._unpack = zlib.decompressobj(_GZIP) if codings else None

    def add(self, raw: bytes) -> Iterator[bytes]:
        """What a piece off the wire holds, in pieces.

        Raises:
            httpx.DecodingError: it is not what Content-Encoding says.
            httpx.ReadTimeout: it comes too slowly.
            TooLargeError: with it, the body is larger than it may be.
        """
        self._received += len(raw)
        if self._pace:
            self._pace.add(len(raw))
        if self._unpack is None:
            yield self._counted(raw)
            return
        piece = b""
        while raw or len(piece) == STEP:  # a full piece: zlib may hold more, with all of its input read
            if self._unpack.eof:
                if not raw:
                    return
                self._unpack = zlib.decompressobj(_GZIP)  # another member follows; zlib reads one at a time
            try:
                piece = self._unpack.decompress(raw, STEP)
            except zlib.error as error:
                raise httpx.DecodingError(f"the compressed body is broken ({error})") from None
            yield self._counted(piece)
            raw = self._unpack.unconsumed_tail or self._unpack.unused_data

    def end(self) -> None:
        """That was all.

        Raises:
            httpx.RemoteProtocolError: there should have been more.
        """
        if self._length is not None and self._received < self._length:
            raise httpx.RemoteProtocolError(f"the body ends after {self._received} of {self._length} bytes")
        if self._unpack is not None and self._received and not self._unpack.eof:
            raise httpx.RemoteProtocolError("the compressed body breaks off")

    def _counted(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise TooLargeError(f"it has more than {self._limit:,} bytes")
        return piece


def pieces(response: httpx.Response, limit: int | None = None) -> Iterator[bytes]:
    """The body of a streamed answer, as it comes.

    Raises:
        httpx.RequestError: it broke off, or is not what it says.
        TooLargeError: it is larger than `limit`.
    """
    if response.is_stream_consumed:  # a transport of the user's own may give whole answers
        yield response.content
        return
    with _of(response):
        body = Body(response, limit)
        for raw in response.iter_raw():
            yield from body.add(raw)
        body.end()


async def pieces_async(response: httpx.Response, limit: int | None = None) -> AsyncIterator[bytes]:
    """The same, of an answer to an async client."""
    if response.is_stream_consumed:
        yield response.content
        return
    with _of(response):
        body = Body(response, limit)
        async for raw in response.aiter_raw():
            for piece in body.add(raw):
                yield piece
        body.end()


@contextlib.contextmanager
def _of(response: httpx.Response) -> Iterator[None]:
    """An error names the request, which may be that of a login."""
    try:
        yield
    except httpx.RequestError as error:
        error.request = response.request
        raise


def beginning(response: httpx.Response, passed_over: type[Exception] = httpx.HTTPError) -> bytes:
    """The first bytes of a body, at most ERROR_LIMIT, however it goes on: of an error, that it broke off is the lesser news.

    Args:
        response: the answer, its body not yet read.
        passed_over: what may happen to it on the way, beside that it is too large.
    """
    found: list[bytes] = []
    with contextlib.suppress(passed_over, TooLargeError):
        found.extend(pieces(response, ERROR_LIMIT))
    return b"".join(found)[:ERROR_LIMIT]


async def beginning_async(response: httpx.Response, passed_over: type[Exception] = httpx.HTTPError) -> bytes:
    """The same, of an answer to an async client."""
    found: list[bytes] = []
    with contextlib.suppress(passed_over, TooLargeError):
        async for piece in pieces_async(response, ERROR_LIMIT):
            found.append(piece)  # noqa: PERF401 - what came before it broke off is wanted
    return b"".join(found)[:ERROR_LIMIT]
