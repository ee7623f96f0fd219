"""A plugin of the suite: every exchange with the platform fake, and every request of the client, held to openapi.yaml.

What is recorded is what leaves httpx and what is read from it again, in process and on loopback, in threads and in tasks;
and of other processes, such as the command, what reaches a fake that this one serves, and what it answers.
A test in which either side breaks the contract fails. One that breaks it on purpose says why:
`@pytest.mark.off_contract("the gateway's own page")`. An answer that a fault has spoiled needs no such word.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import attrs
import httpx
import pytest

from kayrros_ext.testing import Platform
from kayrros_ext.testing.messages import Answer, Request
from kayrros_ext.testing.transport import Transport
from tests.support.traffic import LARGEST_BODY, Exchange

# Tells the fake which exchange it answers, so that its fault is that of the exchange. Neither client nor fake sees it.
NUMBER = "x-exchange"
TRAFFIC = pytest.StashKey["Traffic"]()


class Traffic:
    """The exchanges of a test, in the order of their requests."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._numbered: dict[str, Exchange] = {}
        self._numbers = itertools.count()
        self._served: set[bytes] = set()
        self._judged = 0

    def judge(self) -> list[str]:
        """The violations since the last time."""
        new, self._judged = self.exchanges[self._judged :], len(self.exchanges)
        return [words for exchange in new for words in exchange.violations()]

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Record all that goes through the fake's transport and through those of httpx."""
        for kind in (Transport, httpx.HTTPTransport):
            monkeypatch.setattr(kind, "handle_request", self._sync(kind.handle_request))
        for async_kind in (Transport, httpx.AsyncHTTPTransport):
            monkeypatch.setattr(async_kind, "handle_async_request", self._async(async_kind.handle_async_request))
        monkeypatch.setattr(Platform, "serve", self._serve(Platform.serve))
        monkeypatch.setattr(Platform, "handle", self._handle(Platform.handle))

    def _sync(self, send: Callable[[Any, httpx.Request], httpx.Response]) -> Callable[..., httpx.Response]:
        def sent(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._exchange(transport, request) as exchange:
                return _noted(exchange, send(transport, request))

        return sent

    def _async(self, send: Callable[[Any, httpx.Request], Any]) -> Callable[..., Any]:
        async def sent(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._exchange(transport, request) as exchange:
                return _noted(exchange, await send(transport, request))

        return sent

    @contextlib.contextmanager
    def _exchange(self, transport: Any, request: httpx.Request) -> Iterator[Exchange]:
        by_fake = isinstance(transport, Transport) or request.url.netloc in self._served
        exchange = Exchange.of(request, by_fake=by_fake)
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

    def _handle(self, handle: Callable[[Platform, Request], Answer]) -> Callable[[Platform, Request], Answer]:
        def handled(platform: Platform, request: Request) -> Answer:
            exchange = self._numbered.get(request.headers.pop(NUMBER, ""))
            answer = handle(platform, request)
            if exchange:
                exchange.fault = request.fault
                return answer
            return self._noted_here(request, answer)

        return handled

    def _noted_here(self, request: Request, answer: Answer) -> Answer:
        """An exchange with another process, or with a bare socket of a test: what the fake sees of it."""
        host = f"https://{request.host}" if request.host else "http://127.0.0.1"
        try:
            sent = httpx.Request(request.method, host + request.path, headers=request.headers, content=request.body)
        except httpx.InvalidURL:  # no client of ours writes such a path
            return answer
        headers = httpx.Headers(answer.headers)
        status = None if answer.dropped else answer.status
        exchange = Exchange(sent, by_fake=True, fault=request.fault, status=status, headers=headers)
        self.exchanges.append(exchange)
        return attrs.evolve(
            answer, body=_Noting([answer.body] if isinstance(answer.body, bytes) else answer.body, exchange)
        )


def _noted(exchange: Exchange, response: httpx.Response) -> httpx.Response:
    """The response, whose body goes into the exchange as it is read."""
    exchange.status, exchange.headers = response.status_code, response.headers
    response.stream = _Noting(response.stream, exchange)
    return response


class _Noting(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is kept while it is read, as long as it is no larger than what is validated."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange
        self._kept = bytearray()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._keep(chunk)
            yield chunk
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._keep(chunk)
            yield chunk
        self._end()

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= LARGEST_BODY:
            self._kept += chunk

    def _end(self) -> None:
        if self._size <= LARGEST_BODY:
            self._exchange.body = bytes(self._kept)

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "off_contract(reason): what is sent or answered is not what openapi.yaml says")


@pytest.fixture(autouse=True)
def traffic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """All that is exchanged while the test runs, from its fixtures' beginning to their end."""
    recorded = request.node.stash[TRAFFIC] = Traffic()
    recorded.watch(monkeypatch)
    yield recorded
    if (found := recorded.judge()) and not _reason(request.node):
        pytest.fail("\n".join(found), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge the traffic as a part of the test, so that it is the test that fails."""
    done = yield
    found = pyfuncitem.stash[TRAFFIC].judge()
    if _reason(pyfuncitem):
        found = [] if found else ["all that was sent and answered is the contract: take the mark off_contract away"]
    if found:
        pytest.fail("\n".join(found), pytrace=False)
    return done


def _reason(item: pytest.Item) -> str | None:
    """Why a test is off the contract, in words; None where it is not."""
    mark = item.get_closest_marker("off_contract")
    if mark is None:
        return None
    reason = " ".join(map(str, mark.args))
    if len(reason.split()) < 3:
        pytest.fail("the mark off_contract says why, in words", pytrace=False)
    return reason
