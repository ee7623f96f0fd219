"""Record the traffic of a test, and fail the test if a request of the client or a response of the fake breaks openapi.yaml.

A folder opts in by importing `traffic` and `pytest_pyfunc_call` in its conftest.py. The record holds the requests that leave
httpx and the responses read from it, in process and on loopback, in threads and in tasks. For other processes, such as the
command, it holds the requests that reach a fake served by this one, and its responses. A test that breaks the contract on
purpose gives the reason: `@pytest.mark.off_contract("the gateway's own page")`. A response spoiled by an injected fault
needs no mark.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import attrs
import httpx
import pytest

from kayrros_ext.testing import Platform
from kayrros_ext.testing.http import Request, Response
from kayrros_ext.testing.transport import Transport
from tests.support.traffic import LARGEST_BODY, Exchange

# A header that tells the fake which exchange it answers, so that a fault is noted there. Client and fake do not see it.
NUMBER = "x-exchange"
TRAFFIC = pytest.StashKey["Traffic"]()


class Traffic:
    """The exchanges of a test, in the order of their requests."""

    # Of all tests, because a thread of the one before may still wait for its answer.
    _numbers = itertools.count()

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._numbered: dict[str, Exchange] = {}
        self._served: set[bytes] = set()
        self._judged = 0

    def judge(self) -> list[str]:
        """Return the violations of the exchanges since the last call."""
        new, self._judged = self.exchanges[self._judged :], len(self.exchanges)
        return [violation for exchange in new for violation in exchange.violations()]

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Record everything that passes the transports of the fake and of httpx."""
        for kind in (Transport, httpx.HTTPTransport):
            monkeypatch.setattr(kind, "handle_request", self._sync(kind.handle_request))
        for async_kind in (Transport, httpx.AsyncHTTPTransport):
            monkeypatch.setattr(async_kind, "handle_async_request", self._async(async_kind.handle_async_request))
        monkeypatch.setattr(Platform, "serve", self._serve(Platform.serve))
        monkeypatch.setattr(Platform, "handle", self._handle(Platform.handle))

    def _sync(self, send: Callable[[Any, httpx.Request], httpx.Response]) -> Callable[..., httpx.Response]:
        def sent(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._exchange(transport, request) as exchange:
                return _record_body(exchange, send(transport, request))

        return sent

    def _async(self, send: Callable[[Any, httpx.Request], Any]) -> Callable[..., Any]:
        async def sent(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._exchange(transport, request) as exchange:
                return _record_body(exchange, await send(transport, request))

        return sent

    @contextlib.contextmanager
    def _exchange(self, transport: Any, request: httpx.Request) -> Iterator[Exchange]:
        by_fake = isinstance(transport, Transport) or request.url.netloc in self._served
        exchange = Exchange.from_request(request, by_fake=by_fake)
        self.exchanges.append(exchange)
        if not by_fake:
            yield exchange
            return
        number = str(next(self._numbers))
        self._numbered[number] = exchange
        request.headers[NUMBER] = number
        try:
            yield exchange
        finally:
            del request.headers[NUMBER]

    def _serve(self, serve: Callable[..., Any]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def served(platform: Platform, **settings: Any) -> Iterator[str]:
            with serve(platform, **settings) as url:
                self._served.add(httpx.URL(url).netloc)
                yield url

        return served

    def _handle(self, handle: Callable[[Platform, Request], Response]) -> Callable[[Platform, Request], Response]:
        def handled(platform: Platform, request: Request) -> Response:
            exchange = self._numbered.get(request.headers.pop(NUMBER, ""))
            response = handle(platform, request)
            if exchange:
                exchange.fault = request.fault
                return response
            return self._record_served(request, response)

        return handled

    def _record_served(self, request: Request, response: Response) -> Response:
        """Record an exchange with another process, or with a bare socket of a test, as the fake sees it."""
        host = f"https://{request.host}" if request.host else "http://127.0.0.1"
        try:
            sent = httpx.Request(request.method, host + request.path, headers=request.headers, content=request.body)
        except httpx.InvalidURL:  # our client never sends such a path
            return response
        headers = httpx.Headers(response.headers)
        status = None if response.dropped else response.status
        exchange = Exchange(sent, by_fake=True, fault=request.fault, status=status, headers=headers)
        self.exchanges.append(exchange)
        return attrs.evolve(response, body=_RecordedBody(response.body, exchange))


def _record_body(exchange: Exchange, response: httpx.Response) -> httpx.Response:
    """Return the response; its body is copied to the exchange as it is read."""
    exchange.status, exchange.headers = response.status_code, response.headers
    response.stream = _RecordedBody(response.stream, exchange)
    return response


class _RecordedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is copied while it is read, up to the size that is validated."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange
        self._content = bytearray()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._copy(chunk)
            yield chunk
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._copy(chunk)
            yield chunk
        self._end()

    def _copy(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= LARGEST_BODY:
            self._content += chunk

    def _end(self) -> None:
        if self._size <= LARGEST_BODY:
            self._exchange.body = bytes(self._content)

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "off_contract(reason): the traffic breaks openapi.yaml on purpose")


@pytest.fixture(autouse=True)
def traffic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """Record the traffic of the test, from the setup of its fixtures to their teardown."""
    recorded = request.node.stash[TRAFFIC] = Traffic()
    recorded.watch(monkeypatch)
    yield recorded
    if (violations := recorded.judge()) and not _reason(request.node):
        pytest.fail("\n".join(violations), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the traffic as part of the call, so that the test fails rather than its teardown."""
    result = yield
    violations = pyfuncitem.stash[TRAFFIC].judge()
    if _reason(pyfuncitem):
        violations = [] if violations else ["no traffic breaks the contract: take the mark off_contract away"]
    if violations:
        pytest.fail("\n".join(violations), pytrace=False)
    return result


def _reason(item: pytest.Item) -> str | None:
    """Return why a test may break the contract; None without the mark."""
    mark = item.get_closest_marker("off_contract")
    if mark is None:
        return None
    reason = " ".join(map(str, mark.args))
    if len(reason.split()) < 3:
        pytest.fail("the mark off_contract says why, in words", pytrace=False)
    return reason
