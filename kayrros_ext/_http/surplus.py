"""An answer longer than it says: what is too much of it must not be read as the answer to the next request.

httpcore keeps a connection whose answer was whole, and with it what came beyond. There it would wait for the next request,
of another dataset, as the beginning of its answer. So such a connection is closed, as curl does; the answer itself is good.

Nor is a connection kept whose client was closed amid the request, by another thread: httpcore forgets one that is still
being made, and it would stay open.
"""

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx

# From the stream of a response to the connection below it. None of this is public, and of what was read ahead nothing public
# tells. So where it can't be looked into, for another httpcore, say, the connection is closed: slower, and as safe.
_INSIDE = ("_stream", "_httpcore_stream", "_connection", "_inner")


class Guarded(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer, and at its end a look at what is left on the connection."""

    def __init__(self, response: httpx.Response, client: httpx.Client | httpx.AsyncClient | None) -> None:
        self._client = client
        self._inner: Any = response.stream
        # HTTP/2 has frames, and none of this.
        is_http_1 = response.extensions.get("http_version") in {b"HTTP/1.0", b"HTTP/1.1"}
        self._network = response.extensions.get("network_stream") if is_http_1 else None

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner
        if self._network and _has_surplus(self._inner):
            self._network.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            yield piece
        if self._network and _has_surplus(self._inner):
            await self._network.aclose()

    def close(self) -> None:
        """Give the connection back; httpcore does not use one again that is closed."""
        self._inner.close()
        if self._network and self._is_over():
            self._network.close()

    async def aclose(self) -> None:
        """The same, for tasks."""
        await self._inner.aclose()
        if self._network and self._is_over():
            await self._network.aclose()

    def _is_over(self) -> bool:
        return self._client is None or self._client.is_closed


def guard(client: httpx.Client) -> Callable[[httpx.Response], None]:
    """A response hook that watches over the end of an answer."""
    known = weakref.ref(client)  # which holds its hooks

    def watch(response: httpx.Response) -> None:
        response.stream = Guarded(response, known())

    return watch


def guard_async(client: httpx.AsyncClient) -> Callable[[httpx.Response], Awaitable[None]]:
    """The same, of httpx.AsyncClient."""
    known = weakref.ref(client)

    async def watch(response: httpx.Response) -> None:
        response.stream = Guarded(response, known())

    return watch


def _has_surplus(stream: Any) -> bool:
    """Whether something is left, or may be."""
    while stream is not None and not hasattr(stream, "_h11_state"):
        stream = next((getattr(stream, name) for name in _INSIDE if hasattr(stream, name)), None)
    return stream is None or bool(stream._h11_state.trailing_data[0])
