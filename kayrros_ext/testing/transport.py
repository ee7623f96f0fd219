"""The platform fake in process: an httpx transport, for sync and async clients, without a socket."""

import math
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from kayrros_ext.testing.http import Request, Response
from kayrros_ext.testing.operations import DATA_HOST, LOGIN_HOST


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Sends requests for the two hosts of Kayrros to the fake. No other host exists.

    It waits as the fake's response says, up to the read timeout of the request, and then raises httpx.ReadTimeout.
    Threads wait with `sleep`. Tasks wait with anyio, so that the event loop goes on.

    Example:
        >>> import httpx
        >>> with httpx.Client(transport=platform.transport()) as client:
        ...     client.get("https://platform.api.kayrros.com/v1/no/such/path").status_code
        404
    """

    def __init__(self, respond: Callable[[Request], Response], *, sleep: Callable[[float], object]) -> None:
        self._respond, self._sleep = respond, sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, whose body is generated while it is read."""
        request.read()
        body = _Body(request, self._receive(request), self._sleep)
        body.wait(body.response.delay_s)
        return body.to_httpx()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response in a task."""
        await request.aread()
        body = _Body(request, self._receive(request), self._sleep)
        await body.wait_async(body.response.delay_s)
        return body.to_httpx()

    def _receive(self, request: httpx.Request) -> Response:
        if request.url.host not in {DATA_HOST, LOGIN_HOST}:
            raise httpx.ConnectError(f"The platform fake is only {DATA_HOST} and {LOGIN_HOST}, and no other host")
        path = request.url.raw_path.decode("ascii")
        return self._respond(Request(request.method, request.url.host, path, dict(request.headers), request.content))


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, and the waits before its parts. Errors are those of httpx with a real server."""

    def __init__(self, request: httpx.Request, response: Response, sleep: Callable[[float], object]) -> None:
        self.response, self._sleep = response, sleep
        timeout_s = request.extensions.get("timeout", {}).get("read")
        self._timeout_s = math.inf if timeout_s is None else timeout_s

    def wait(self, seconds: float) -> None:
        if seconds:
            self._sleep(min(seconds, self._timeout_s))
        self._check_timeout(seconds)

    async def wait_async(self, seconds: float) -> None:
        import anyio  # which httpx loads only for async clients

        await anyio.sleep(min(seconds, self._timeout_s))  # of 0 too, so that other tasks run between two chunks
        self._check_timeout(seconds)

    def _check_timeout(self, seconds: float) -> None:
        if seconds > self._timeout_s:
            raise httpx.ReadTimeout("The read operation timed out")

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.response.body:
            self.wait(self.response.pause_s)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.response.body:
            await self.wait_async(self.response.pause_s)
            yield chunk

    def to_httpx(self) -> httpx.Response:
        if self.response.dropped:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        headers = dict(self.response.headers)
        if self.response.length is not None:
            headers["Content-Length"] = str(self.response.length)
        return httpx.Response(self.response.status, headers=headers, stream=self)
