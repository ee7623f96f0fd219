"""Retries and the framing of responses, over real sockets and two hosts: each row of docs/reliability.md once."""

import asyncio
import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from kayrros_ext import APIError, ContractError, Kayrros, LoginError, Retries, TransportError
from kayrros_ext.testing import Fault, Platform
from kayrros_ext.testing.http import Request
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.faults.test_streams import sending
from tests.support.server import DATASET, Server, StubResponse, as_json
from tests.support.server import Request as Seen

ID = UUID(DATASET)
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def platform() -> Platform:
    """The examples."""
    platform = Platform()
    platform.add_examples()
    return platform


@attrs.frozen
class Client:
    """Settings of a client of two hosts, and the waits that it makes: none of them real."""

    settings: dict[str, Any]
    waits: list[float] = attrs.field(factory=list)

    def connect(self, **settings: Any) -> Kayrros:
        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        retries = Retries(jitter=lambda _, most: most, sleep=self.waits.append, sleep_async=sleep)
        return Kayrros(**{**self.settings, "retries": retries, "timeout": 10, **settings})


@pytest.fixture
def two_hosts(platform: Platform) -> Iterator[Client]:
    """The platform on two ports: one for the data, one for the login."""
    with platform.serve() as data, platform.serve() as login:
        account = {"email": platform.account.email, "password": platform.account.password}
        yield Client({**account, "base_url": data, "auth_url": login})


def statuses(platform: Platform, operation: str) -> list[int | None]:
    return [seen.status for seen in platform.requests if seen.operation == operation]


FAULTS = {
    "429": Fault.status(429),
    "502": Fault.html(502),
    "503": Fault.status(503),
    "504": Fault.html(504),
    "dropped": Fault.dropped(),
    "cut": Fault.cut(20),
    "late": Fault.late(0.4),
    "gzip": Fault.bad_gzip(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_temporary_failure_is_retried(name: str, platform: Platform, two_hosts: Client) -> None:
    """Every operation retries, GET and POST, sync and async. The last error has the number of attempts."""
    collection = next(iter(platform.collections))
    reads: dict[str, Callable[[Kayrros], object]] = {
        "getDatasetMetadata": lambda kayrros: kayrros.metadata(DATASET).id == ID,
        "listCollections": lambda kayrros: len(kayrros.collections()) == len(platform.collections),
        "listCollectionDatasets": lambda kayrros: len(kayrros.datasets(collection)) == 1,
        "getDatasetResults": lambda kayrros: kayrros.results(DATASET).table.num_rows == 72,
    }
    if name in {"504", "late"}:
        del reads["getDatasetResults"]  # a results request that is too large is split, not tried again
    timeout = {"timeout": 0.15} if name == "late" else {}
    with two_hosts.connect(**timeout) as kayrros:
        for operation, read in reads.items():
            platform.fail_next(FAULTS[name], operation=operation)
            assert read(kayrros), operation
            assert len(statuses(platform, operation)) == 2, operation
    assert [1] * len(reads) == two_hosts.waits

    async def in_a_task() -> object:
        async with two_hosts.connect(**timeout) as kayrros:
            platform.fail_next(FAULTS[name], operation="getDatasetMetadata")
            return await get_dataset_metadata.asyncio(ID, client=kayrros.client)

    assert isinstance(asyncio.run(in_a_task()), DatasetMetadata)
    if name not in {"late", "429"}:
        platform.fail_next(FAULTS[name], times=None)
        token = platform.give_token()
        settings = {**two_hosts.settings, "token": token}
        with (
            attrs.evolve(two_hosts, settings=settings).connect() as kayrros,
            pytest.raises(APIError if name.isdecimal() else TransportError, match="after 5 attempts"),
        ):
            kayrros.metadata(DATASET)


@pytest.mark.parametrize("status", [400, 404, 405, 409, 418, 500])
def test_a_refusal_is_not_retried(status: int, platform: Platform, two_hosts: Client) -> None:
    """A 500, and a 4xx other than 429, is not retried."""
    platform.fail_next(status, operation="getDatasetMetadata")
    with two_hosts.connect() as kayrros, pytest.raises(APIError, match=str(status)):
        kayrros.metadata(DATASET)
    assert (statuses(platform, "getDatasetMetadata"), two_hosts.waits) == ([status], [])


def test_retry_after_is_honoured(platform: Platform, two_hosts: Client) -> None:
    """It is in seconds or a date. Beyond two minutes or the total timeout, the error has the wait."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with two_hosts.connect() as kayrros:
        for asked in (7, date):
            platform.fail_next(Fault.status(503, retry_after=asked), operation="getDatasetMetadata")
        kayrros.metadata(DATASET)
        platform.fail_next(Fault.status(429, retry_after=121), operation="getDatasetMetadata")
        with pytest.raises(APIError, match="asks to wait 121 seconds") as caught:
            kayrros.metadata(DATASET)
        assert caught.value.retry_after_s == 121
    platform.fail_next(Fault.status(503, retry_after=30), operation="getDatasetMetadata")
    with two_hosts.connect(total_timeout=30) as kayrros, pytest.raises(APIError, match="asks to wait 30 seconds"):
        kayrros.metadata(DATASET)
    assert [8, pytest.approx(101, abs=3)] == two_hosts.waits


def test_a_login_is_retried_after_a_temporary_failure(
    platform: Platform, two_hosts: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Connection faults, 5xx and 429, cut bodies among them; never what is about the credentials.

    It waits as long as it is asked to, and the log says that it was the login.
    """
    for fault in (Fault.dropped(), Fault.status(500), Fault.status(429, retry_after=7), Fault.cut(5)):
        platform.fail_next(fault, operation="login")
    with caplog.at_level(logging.INFO, "kayrros_ext"), two_hosts.connect() as kayrros:
        kayrros.metadata(DATASET)
    assert two_hosts.waits == [1, 2, 8, 4]
    messages = [record.getMessage() for record in caplog.records if record.name == "kayrros_ext"]
    assert messages[2:3] == ["login: status 429, retrying in 8.0 s, the platform limits requests"]
    assert [line.startswith("login: ") for line in messages] == [True] * 4
    for status in (400, 401, 403, 423, 429, 503):
        before = len(platform.requests)
        platform.fail_next(Fault.status(status, retry_after=121), operation="login")
        with two_hosts.connect() as kayrros, pytest.raises(LoginError, match=f"{status}.*to wait 121 s") as caught:
            kayrros.metadata(DATASET)
        assert (len(platform.requests) - before, caught.value.retry_after_s) == (1, 121)
    assert two_hosts.waits == [1, 2, 8, 4]


BODY = json.dumps({"name": "Tanks"}).encode()
PACKED = gzip.compress(BODY)


def framed(body: bytes, length: int, *headers: bytes) -> list[bytes]:
    return [b"".join([JSON, *headers, b"Content-Length: %d\r\n\r\n" % length, body])]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (framed(BODY, len(BODY) + 1), "peer closed connection|body ends after"),
        (framed(BODY[:-1], len(BODY)), "peer closed connection|body ends after"),
        (framed(PACKED[:-9], len(PACKED), b"Content-Encoding: gzip\r\n"), "peer closed connection|body ends after"),
        (framed(b"no gzip", 7, b"Content-Encoding: gzip\r\n"), "DecodingError"),
        ([JSON + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n'], "peer closed connection|incomplete chunked"),
        ([JSON[:20]], "disconnected"),
        ([b"\x15\x03\x01\x00\x02\x02"], "RemoteProtocolError"),
    ],
)
def test_a_truncated_response_is_retried(broken: list[bytes], message: str) -> None:
    """The last error describes the truncation."""
    with sending([broken, framed(BODY, len(BODY)), broken, broken]) as url:
        with Kayrros(token="a-token", base_url=url, retries=Retries(1, backoff_initial=0)) as kayrros:
            assert kayrros.metadata(DATASET).name == "Tanks"
        with (
            Kayrros(token="a-token", base_url=url, retries=Retries(1, backoff_initial=0)) as kayrros,
            pytest.raises(TransportError, match=message) as caught,
        ):
            kayrros.metadata(DATASET)
    assert caught.value.attempts == 2


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"<html><title>Sign in</title>", {"Content-Type": "text/html"}, "'text/html', not application/json.*Sign in"),
        (b"<html><title>Sign in</title>", {"Content-Type": "application/json"}, "Sign in"),
        (BODY[:-1], {"Content-Type": "application/json"}, "not what the contract says.*It begins"),
        (b"[]", {"Content-Type": "application/json"}, "array"),
    ],
)
def test_a_response_that_breaks_the_contract_is_an_error(
    body: bytes,
    headers: dict[str, str],
    message: str,
    start: Callable[..., Server],
    connect: Callable[..., Kayrros],
) -> None:
    """It is not retried, because it would come again. The error shows the response."""
    server = start(lambda _: StubResponse(200, body, headers))
    kayrros = connect(server, token="a-token")
    for call in (kayrros.metadata, kayrros.results):
        with pytest.raises(ContractError, match=rf"(?s){message}"):
            call(DATASET)
    assert len(server.requests) == 2


BOMB = """
import sys
from pathlib import Path
from kayrros_ext import ContractError, Kayrros, LoginError

def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

with Kayrros(token="a-token", base_url=sys.argv[1], max_body=4_000_000) as kayrros:
    before = held("VmRSS")
    for call in (lambda: kayrros.metadata(sys.argv[2]), kayrros.collections):
        try:
            call()
        except ContractError as error:
            assert error.is_too_large, error
        else:
            raise AssertionError
for url in (sys.argv[1], sys.argv[1] + "/fails"):
    with Kayrros(email="e", password="a-password", base_url=url, auth_url=url, retries=0) as kayrros:
        try:
            kayrros.metadata(sys.argv[2])
        except LoginError:
            pass
        else:
            raise AssertionError
print((held("VmHWM") - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_bomb_takes_no_more_memory_than_its_limit(start: Callable[..., Server]) -> None:
    """100 MB of blanks in half a MB, with a limit of 4 MB: the peak of its process grows by 64 MB at most.

    httpx decodes what it reads at once, 64 KiB, which is up to 64 MB.

    As the response to a call, and to a login, whether it succeeds or fails.
    """
    bomb = gzip.compress(b" " * 100_000_000, 1)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    server = start(lambda request: StubResponse(500 if request.path.startswith("/fails") else 200, bomb, headers))
    command = [sys.executable, "-c", BOMB, server.url, DATASET]
    grown_mb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown_mb <= 64


def test_no_cookie_reaches_the_other_host(start: Callable[..., Server]) -> None:
    """No host gets a cookie."""

    def answer(request: Seen) -> StubResponse:
        reply = as_json({"token": "a-token", "name": "Tanks"})
        return attrs.evolve(reply, headers={**reply.headers, "Set-Cookie": "a=b; Path=/"})

    data, login = start(answer), start(answer)
    with Kayrros(email="e", password="p", base_url=data.url, auth_url=login.url) as kayrros:
        kayrros.metadata(DATASET)
        kayrros.metadata(DATASET)
    assert (len(login.requests), len(data.requests)) == (1, 2)
    assert not [request for request in [*data.requests, *login.requests] if "cookie" in request.headers]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_made_by_fork_has_connections_of_its_own(
    start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """A child that used its parent's connection would read responses meant for it."""
    connections: list[int] = []

    def answer(_: Seen) -> StubResponse:
        connections.append(threading.get_ident())  # the server has a thread for each connection
        return as_json({"token": "a-token", "name": "Tanks"})

    kayrros = connect(start(answer), token="a-token", retries=0, timeout=5)
    kayrros.metadata(DATASET)
    if not (child := os.fork()):
        try:
            kayrros.metadata(DATASET)
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    kayrros.metadata(DATASET)
    before, of_child, after = connections
    assert before == after != of_child


MANY, CALLS, USES = 32, 6, 180


def test_tokens_may_expire_under_many_threads_and_tasks(platform: Platform, two_hosts: Client) -> None:
    """32 threads and 32 tasks make 384 calls. Each token costs one login, and no call is lost."""
    used: dict[str | None, int] = {}
    expiries, lock = [0], threading.Lock()

    def expire(request: Request) -> bool:
        """Each token expires with its 180th use."""
        if request.operation == "getDatasetMetadata":
            with lock:
                used[request.token] = used.get(request.token, 0) + 1
                if used[request.token] == USES:
                    expiries[0] += 1
                    platform.expire_tokens()
        return False

    platform.fail_when(expire, 500)

    async def tasks(kayrros: Kayrros) -> list[object]:
        async with kayrros:
            read = get_dataset_metadata.asyncio
            return [
                metadata
                for _ in range(CALLS)
                for metadata in await asyncio.gather(*(read(ID, client=kayrros.client) for _ in range(MANY)))
            ]

    with ThreadPoolExecutor(MANY + 1) as pool, two_hosts.connect() as kayrros:
        in_tasks = pool.submit(lambda: asyncio.run(tasks(kayrros)))
        in_threads = [pool.submit(lambda: [kayrros.metadata(DATASET) for _ in range(CALLS)]) for _ in range(MANY)]
        results = [*in_tasks.result(), *(metadata for thread in in_threads for metadata in thread.result())]
    assert [metadata.id for metadata in results if isinstance(metadata, DatasetMetadata)] == [ID] * (2 * MANY * CALLS)
    assert expiries[0] >= 2
    assert expiries[0] + 1 == platform.logins
