"""The body of an answer, block after block, as fast as the socket gives it.

httpx hands a body through its parser of HTTP, 64 KiB at a time and copied twice. That a body of known length is nothing
but its bytes needs no parser: after what it has read ahead, they come from the socket into blocks that are used again.
"""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from kayrros_ext._http.body import pieces
from kayrros_ext._http.retry import PACE, Pace

# Bytes, and the block that was taken for them.
Block = tuple["bytes | memoryview[Any]", bytearray]


def read_blocks(response: httpx.Response, take: Callable[[], bytearray]) -> Iterator[Block]:
    """The body of a streamed answer. Where it breaks off, what came is given first.

    Args:
        response: the answer, its body not yet read.
        take: gives a block to fill.

    Raises:
        httpx.RequestError: it broke off, or is not what it says.
    """
    plain = _socket(response)
    if plain is None:
        for piece in pieces(response):
            yield piece, take()
        return
    parsed = response.iter_raw()
    # The first piece is all that the parser has read ahead: of a body with a length it gives all that it has.
    first = next(parsed, b"")
    yield first, take()
    rest = int(response.headers["Content-Length"]) - len(first)
    if rest:
        yield from _received(plain, rest, response.request, take)
    else:
        yield from ((piece, take()) for piece in parsed)  # none: but now the connection may serve the next request


def _received(
    plain: socket.socket, rest: int, request: httpx.Request, take: Callable[[], bytearray]
) -> Iterator[Block]:
    plain.settimeout(request.extensions.get("timeout", {}).get("read"))
    pace: Pace | None = request.extensions.get(PACE)
    while rest:
        block = take()
        wanted, used = memoryview(block)[:rest], 0
        fault: httpx.RequestError | None = None
        while used < len(wanted) and not fault:
            try:
                count = plain.recv_into(wanted[used:])
                used += count
                if pace:
                    pace.add(count)
            except httpx.ReadTimeout as error:
                error.request, fault = request, error
            except TimeoutError as error:
                fault = httpx.ReadTimeout(str(error), request=request)
            except OSError as error:
                fault = httpx.ReadError(str(error), request=request)
            else:
                if not count:
                    words = f"the body ends {rest - used} bytes before its length"
                    fault = httpx.RemoteProtocolError(words, request=request)
        yield wanted[:used], block
        if fault:
            raise fault
        rest -= used


def _socket(response: httpx.Response) -> socket.socket | None:
    """The socket, where what is left of the body is what it gives, byte for byte; as httpx documents its extensions."""
    headers, stream = response.headers, response.extensions.get("network_stream")
    framed = headers.get("Content-Length", "").isdecimal() and "Transfer-Encoding" not in headers
    as_it_is = headers.get("Content-Encoding", "identity").strip().lower() == "identity"
    if stream is None or not (framed and as_it_is) or response.extensions.get("http_version") != b"HTTP/1.1":
        return None
    plain, tls = stream.get_extra_info("socket"), stream.get_extra_info("ssl_object")
    # TLS inside TLS, through a proxy: this socket gives what is still encrypted.
    return plain if isinstance(plain, socket.socket) and tls in (None, plain) else None
