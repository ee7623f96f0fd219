"""The platform fake in process: an httpx transport, for sync and async clients, without a socket."""

import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from kayrros_ext.testing.messages import Answer, BrokenError, Request
from kayrros_ext.testing.operations import DATA_HOST, LOGIN_HOST

# What httpx says where a real server does the same.
_DROPPED = "Server disconnected without sending a response."
_CUT = "peer closed connection without sending complete message body"


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes requests for the two hosts of Kayrros to the fake; there is no other host.

    Waits as it is told to, up to the read timeout of the request, then raises httpx.ReadTimeout: in threads with `sleep`,
    in tasks with anyio, so that the event loop goes on.

    Args:
        handle: the fake.
        sleep: waits so many seconds, in threads.
    """

    def __init__(self, handle: Callable[[Request], Answer], *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._handle = handle
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, its body made while it is read."""
        request.read()
        answer = self._answer(request)
        waiting = _Waiting(request, self._sleep)
        waiting.wait(answer.delay_s)
        return _response(answer, waiting)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, in a task."""
        await request.aread()
        answer = self._answer(request)
        waiting = _Waiting(request, self._sleep)
        await waiting.await_(answer.delay_s)
        return _response(answer, waiting)

    def _answer(self, request: httpx.Request) -> Answer:
        if request.url.host not in {DATA_HOST, LOGIN_HOST}:
            raise httpx.ConnectError(f"The platform fake is {DATA_HOST} and {LOGIN_HOST}, and no other host")
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.raw_path.decode("ascii")
        return self._handle(Request(request.method, request.url.host, path, headers, request.content))


class _Waiting:
    """Waits for a request, as long as its read timeout allows."""

    def __init__(self, request: httpx.Request, sleep: Callable[[float], object]) -> None:
        self._most_s = request.extensions.get("timeout", {}).get("read")
        self._sleep = sleep

    def wait(self, seconds: float) -> None:
        if seconds:
            self._sleep(self._at_most(seconds))
        self._check(seconds)

    async def await_(self, seconds: float) -> None:
        import anyio  # httpx's own, which loads it for async clients alone

        await anyio.sleep(self._at_most(seconds))
        self._check(seconds)

    def _at_most(self, seconds: float) -> float:
        return seconds if self._most_s is None else min(seconds, self._most_s)

    def _check(self, seconds: float) -> None:
        if self._most_s is not None and seconds > self._most_s:
            raise httpx.ReadTimeout("The read operation timed out")


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer, made while it is read."""

    def __init__(self, answer: Answer, waiting: _Waiting) -> None:
        self._answer = answer
        self._waiting = waiting

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._answer.chunks():
                self._waiting.wait(self._answer.pause_s)
                yield chunk
        except BrokenError:
            raise httpx.RemoteProtocolError(_CUT) from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._answer.chunks():
                await self._waiting.await_(self._answer.pause_s)  # also where it is 0: others get their turn
                yield chunk
        except BrokenError:
            raise httpx.RemoteProtocolError(_CUT) from None


def _response(answer: Answer, waiting: _Waiting) -> httpx.Response:
    if answer.dropped:
        raise httpx.RemoteProtocolError(_DROPPED)
    headers = dict(answer.headers)
    if answer.length is not None:
        headers["Content-Length"] = str(answer.length)
    return httpx.Response(answer.status, headers=headers, stream=_Body(answer, waiting))
