"""A transport of the user's own, in the client that has a sync half and an async half."""

import httpx

from kayrros_ext.errors import UsageError


def in_both_worlds(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> httpx.BaseTransport:
    """A transport that both halves of a client take, and close, whichever of them this one is made for.

    Raises:
        UsageError: it is made for neither.
    """
    sync = transport if isinstance(transport, httpx.BaseTransport) else None
    asynchronous = transport if isinstance(transport, httpx.AsyncBaseTransport) else None
    if sync and asynchronous:
        return sync
    if not (sync or asynchronous):
        raise UsageError(f"transport is {transport!r}. Give an httpx.BaseTransport or an httpx.AsyncBaseTransport.")
    return _Halved(sync, asynchronous)


class _Halved(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Half a transport, and for the other half an error that says so."""

    def __init__(self, sync: httpx.BaseTransport | None, asynchronous: httpx.AsyncBaseTransport | None) -> None:
        self._sync = sync
        self._async = asynchronous

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._sync is None:
            raise UsageError("The transport that was given is for asyncio calls alone. Await an asyncio function.")
        return self._sync.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._async is None:
            raise UsageError("The transport that was given is for sync calls alone. Give one for asyncio calls.")
        return await self._async.handle_async_request(request)

    def close(self) -> None:
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        if self._async is not None:
            await self._async.aclose()
