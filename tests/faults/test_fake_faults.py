"""Faults of the platform fake: the same in process, sync and async, as over a real socket."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import trio
import trio.testing

from kayrros_ext import APIError, ContractError, Kayrros, KayrrosError, MockError, TransportError
from kayrros_ext._config.settings import BASE_URL
from kayrros_ext.testing import Fault, Platform, StaticFile
from kayrros_openapi.api.datasets import get_dataset_metadata, get_dataset_results
from kayrros_openapi.models import DatasetMetadata
from tests.support.server import DATASET

ID = UUID(DATASET)
METADATA, RESULTS = "getDatasetMetadata", "getDatasetResults"


@pytest.fixture
def platform() -> Platform:
    """Return a fake with the three examples whose waits take no time."""
    platform = Platform(sleep=lambda _: None)
    platform.add_examples()
    return platform


@pytest.fixture(params=["in process", "loopback"])
def client(request: pytest.FixtureRequest, platform: Platform) -> Iterator[Kayrros]:
    """Yield a client of the fake without retries."""
    with contextlib.ExitStack() as stack:
        where = {} if request.param == "in process" else {"base_url": stack.enter_context(platform.serve())}
        yield stack.enter_context(platform.connect(timeout=20, retries=0, **where))


FAULTS: dict[str, tuple[Fault, type[KayrrosError], str]] = {
    "429": (Fault.status(429, retry_after=7), APIError, "429"),
    "502": (Fault.status(502), APIError, "502"),
    "520": (Fault.status(520), APIError, "520"),
    "503 HTML": (Fault.html(503), APIError, "503 Service Unavailable"),
    "200 HTML": (Fault.html(200), ContractError, "not application/json"),
    "truncated": (
        Fault.truncated(20),
        ContractError,
        "not what the contract says",
    ),
    "empty": (
        Fault.body(b""),
        ContractError,
        "not what the contract says",
    ),
    "bytes": (
        Fault.body(b"\xff\xfe"),
        ContractError,
        "not what the contract says",
    ),
    "cut": (Fault.cut(20), TransportError, "RemoteProtocolError|ReadError"),
    "cut beyond its end": (Fault.cut(10_000_000), TransportError, "RemoteProtocolError|ReadError"),
    "dropped": (Fault.dropped(), TransportError, "RemoteProtocolError|ReadError"),
    "gzip": (Fault.bad_gzip(), TransportError, "DecodingError"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("operation", [METADATA, RESULTS])
@pytest.mark.parametrize("client", ["in process", "loopback"], indirect=True)
def test_fail_next_happens_once(name: str, operation: str, client: Kayrros, platform: Platform) -> None:
    """A fault affects the next request of its operation, and no other."""
    fault, error, message = FAULTS[name]
    calls: dict[str, Callable[[str], object]] = {METADATA: client.metadata, RESULTS: client.results}
    rule = platform.fail_next(fault, operation=operation)
    # Where a gateway fails, results are asked for in parts, and come.
    comes = operation == RESULTS and name in {"502", "503 HTML"}
    with contextlib.nullcontext() if comes else pytest.raises(error, match=message):
        calls[operation](DATASET)
    assert (rule.count, rule.times) == (1, 0)
    platform.requests.clear()
    calls[operation](DATASET)
    calls[operation](DATASET)
    assert [seen.status for seen in platform.requests if seen.operation == operation] == [200, 200]


def test_fault_in_a_chunked_response(client: Kayrros, platform: Platform) -> None:
    """A response of unknown length can be cut and truncated too."""
    dataset = platform.generate(assets=200, dates=200)
    for fault, error in [(Fault.cut(300_000), TransportError), (Fault.truncated(300_000), ContractError)]:
        platform.fail_next(fault, operation=RESULTS)
        with pytest.raises(error):
            client.results(dataset.id)
    assert client.results(dataset.id).table.num_rows == 80_000


def test_cut_download_leaves_no_file(client: Kayrros, platform: Platform, tmp_path: Path) -> None:
    """A download whose connection breaks leaves no file."""
    platform.add(id=DATASET, file=StaticFile(3_000_000))
    platform.fail_next(Fault.cut(2_000_000), operation="downloadStaticDataset")
    with pytest.raises(TransportError):
        client.download(DATASET, tmp_path)
    assert not list(tmp_path.iterdir())
    assert client.download(DATASET, tmp_path).path.stat().st_size == 3_000_000


def test_login_can_fail(client: Kayrros, platform: Platform) -> None:
    """An error status replaces the login, which is not counted; a dropped login has happened."""
    platform.fail_next(503, operation="login")
    platform.fail_next(Fault.dropped(), operation="login")
    with pytest.raises(KayrrosError, match="503"):
        client.metadata(DATASET)
    assert platform.logins == 0
    with pytest.raises(TransportError):
        client.metadata(DATASET)
    assert platform.logins == 1
    assert [seen.status for seen in platform.requests] == [503, None]


def outcomes(platform: Platform, count: int) -> list[int | None]:
    """Return the statuses of a number of metadata requests."""
    headers = {"Authorization": f"Bearer {platform.give_token()}"}
    with httpx.Client(transport=platform.transport(), base_url=BASE_URL, headers=headers) as client:
        for _ in range(count):
            client.get(f"/v1/collection/dataset/summary/{DATASET}")
    return [seen.status for seen in platform.requests]


def test_first_matching_rule_applies(platform: Platform) -> None:
    """The first matching rule applies; `skip` spares requests, `times` ends the rule."""
    platform.fail_next(502, times=2, skip=1)
    platform.fail_next(520, operation=METADATA)
    platform.fail_next(503, times=None, operation=RESULTS)
    assert outcomes(platform, 4) == [520, 502, 502, 200]


def test_fail_when_a_predicate_is_true(platform: Platform) -> None:
    """A predicate applies until its rule is removed."""
    platform.fail_when(lambda request: request.method == "GET", 504)
    assert outcomes(platform, 3) == [504] * 3
    platform.faults.clear()
    assert outcomes(platform, 1) == [504, 504, 504, 200]


def test_random_faults_follow_the_seed() -> None:
    """The same seed gives the same faults, about as many as the probability says."""

    def run(seed: int) -> list[int | None]:
        platform = Platform()
        platform.add_examples()
        platform.fail_at_random(503, probability=0.3, seed=seed)
        return outcomes(platform, 100)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 15 < run(1).count(503) < 45


def test_statuses_without_a_body_have_none(platform: Platform) -> None:
    """A fault with the status 204, 205 or 304 has no body."""
    for fault in (Fault.html(204), Fault.status(304), Fault.body(b"x", status=205)):
        platform.fail_next(fault)
        with httpx.Client(transport=platform.transport(), base_url=BASE_URL) as client:
            assert client.get("/").content == b""


def test_requests_beyond_the_rate_get_a_429() -> None:
    """More than the allowed requests in a second, by the fake's clock, get a 429 with Retry-After: 1."""
    now = 100.0
    platform = Platform(max_requests_per_second=2, clock=lambda: now)
    platform.add(id=DATASET)
    platform.fail_next(503, skip=2)
    headers = {"Authorization": f"Bearer {platform.give_token()}"}
    with httpx.Client(transport=platform.transport(), base_url=BASE_URL, headers=headers) as client:
        for now, status in [(100, 200), (100.5, 200), (100.9, 429), (101, 503), (101.4, 429), (101.5, 200), (103, 200)]:  # noqa: B007 - the clock
            answer = client.get(f"/v1/collection/dataset/summary/{DATASET}")
            assert (answer.status_code, answer.headers.get("retry-after")) == (status, "1" if status == 429 else None)
    assert [request.fault for request in platform.requests if request.status == 429] == ["status 429"] * 2


def test_a_client_waits_for_the_rate() -> None:
    """By a clock that its waits move on, a client gets all results in spite of the limit, and no test sleeps."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    platform = Platform(max_requests_per_second=2, max_rows=100, clock=lambda: now, sleep=sleep)
    dataset = platform.generate(assets=10, dates=30)
    with platform.connect(concurrency=1) as kayrros:
        assert kayrros.results(dataset.id).table.num_rows == 600
    accepted = [request for request in platform.requests if request.status != 429]
    assert len(accepted) < len(platform.requests)
    assert now >= (len(accepted) - 2) // 2


def test_retry_after_is_sent(platform: Platform) -> None:
    """Retry-After is sent as passed, also as a date."""
    platform.fail_next(Fault.status(429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"))
    with httpx.Client(transport=platform.transport(), base_url=BASE_URL) as client:
        assert client.get("/").headers["retry-after"] == "Fri, 31 Dec 1999 23:59:59 GMT"


def test_waits_use_the_sleep_argument() -> None:
    """Latency and pauses call `sleep`, so that no test waits."""
    waits: list[float] = []
    platform = Platform(latency_s=3, sleep=waits.append)
    platform.add(id=DATASET, file=b"x" * 25)
    with platform.connect(token=platform.give_token()) as kayrros:
        kayrros.metadata(DATASET)
        assert waits == [3]
        platform.latency_s = 0
        platform.fail_next(Fault.late(4))
        kayrros.metadata(DATASET)
        assert waits == [3, 4]
        platform.fail_next(Fault.slow(pause_s=0.5, chunk_bytes=10))
        with kayrros.client.get_httpx_client().stream("GET", f"/v1/collection/dataset/download/{DATASET}") as answer:
            assert list(answer.iter_raw()) == [b"x" * 10, b"x" * 10, b"x" * 5]
    assert waits == [3, 4, 0.5, 0.5, 0.5]


def test_waits_on_loopback_use_the_sleep_argument() -> None:
    """The server waits with `sleep` too."""
    waits: list[float] = []
    platform = Platform(latency_s=3, sleep=waits.append)
    platform.add(id=DATASET, metadata={"description": "x" * 1000})
    platform.fail_next(Fault.slow(pause_s=0.5, chunk_bytes=700))
    with platform.serve() as url, platform.connect(base_url=url, token=platform.give_token()) as kayrros:
        kayrros.metadata(DATASET)
    assert waits == [3, 0.5, 0.5]


def test_late_response_is_a_timeout() -> None:
    """A wait beyond the read timeout raises ReadTimeout, before the response and inside its body."""
    waits: list[float] = []
    platform = Platform(sleep=waits.append)
    platform.add_examples()
    with platform.connect(token=platform.give_token(), timeout=5, retries=0) as kayrros:
        for fault in (Fault.late(60), Fault.slow(pause_s=60)):
            platform.fail_next(fault)
            with pytest.raises(TransportError, match="ReadTimeout"):
                kayrros.metadata(DATASET)
    assert waits == [5, 5]


def test_wait_does_not_block_the_event_loop() -> None:
    """A hundred tasks wait an hour concurrently, by the clock of trio's tests."""
    platform = Platform(latency_s=3600)

    async def main() -> float:
        began = trio.current_time()
        # Without Kayrros, whose worker thread for tokens lets trio's clock jump.
        async with (
            httpx.AsyncClient(transport=platform.transport(), timeout=10_000) as client,
            trio.open_nursery() as tasks,
        ):
            for _ in range(100):
                tasks.start_soon(client.get, BASE_URL)
        return trio.current_time() - began

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == pytest.approx(3600)
    assert len(platform.requests) == 100


async def _ask(kayrros: Kayrros) -> None:
    assert isinstance(await get_dataset_metadata.asyncio(ID, client=kayrros.client), DatasetMetadata)


def test_async_clients_get_the_same(platform: Platform) -> None:
    """Responses, faults and token renewals work in tasks."""
    dataset = platform.generate(assets=30, dates=30)

    async def main() -> None:
        async with platform.connect(retries=0) as kayrros:
            assert await asyncio.gather(*(_ask(kayrros) for _ in range(20))) == [None] * 20
            assert platform.logins == 1
            platform.expire_tokens()
            results: Any = await get_dataset_results.asyncio(UUID(dataset.id), client=kayrros.client)
            assert len(results.assets) == 30
            assert platform.logins == 2
            for fault in (Fault.cut(10), Fault.dropped()):
                platform.fail_next(fault)
                with pytest.raises(TransportError, match="RemoteProtocolError"):
                    await _ask(kayrros)

    asyncio.run(main())


def test_long_response_lets_other_tasks_run(platform: Platform) -> None:
    """Other tasks run between two chunks."""
    dataset = platform.generate(assets=100, dates=1000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        headers = {"Authorization": f"Bearer {platform.give_token()}"}
        other = asyncio.create_task(count())
        async with httpx.AsyncClient(transport=platform.transport(), base_url=BASE_URL, headers=headers) as client:
            answer = await client.post(f"/v1/processingresult/dataset/{dataset.id}")
        other.cancel()
        assert turns > len(answer.content) / 1_000_000

    asyncio.run(main())


def test_transport_has_no_other_host(platform: Platform) -> None:
    """A request to any other host fails, also to one of this machine."""
    with (
        Kayrros(token="a-token", base_url="http://127.0.0.1:1", transport=platform.transport(), retries=0) as kayrros,
        pytest.raises(TransportError, match="no other host"),
    ):
        kayrros.metadata(DATASET)


class Raw:
    """Answers as they stand on the wire."""

    def __init__(self, url: str) -> None:
        self.host, _, port = url.removeprefix("http://").partition(":")
        self.port = int(port)

    def exchange(self, request: bytes) -> bytes:
        import socket

        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def test_server_speaks_http(platform: Platform) -> None:
    """Keep-alive, chunks for unknown lengths, none for HTTP/1.0, no body for HEAD, 400 for invalid framing."""
    token = platform.give_token().encode()
    dataset = platform.generate().id.encode()
    with platform.serve() as url:
        raw = Raw(url)
        results = (
            b"POST /v1/processingresult/dataset/"
            + dataset
            + b" HTTP/1.%d\r\nAuthorization: Bearer "
            + token
            + b"\r\n\r\n"
        )
        two = raw.exchange((results % 1) * 2)
        assert (
            2 == two.count(b"HTTP/1.1 200") == two.count(b"Transfer-Encoding: chunked") == two.count(b"\r\n0\r\n\r\n")
        )
        old = raw.exchange(results % 0)
        assert b"chunked" not in old
        assert old.endswith(b"]}]}]}")
        assert raw.exchange(b"HEAD / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")
        for head in (b"Content-Length: x", b"Transfer-Encoding: chunked"):
            assert raw.exchange(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_server_stops_with_its_block(platform: Platform) -> None:
    """Open connections close, and the port is free."""
    with httpx.Client(trust_env=False) as client:
        with platform.serve() as url:
            assert client.get(url).status_code == 404
        with pytest.raises(httpx.TransportError):
            client.get(url)


def test_port_that_is_taken_is_a_mock_error(platform: Platform) -> None:
    """A port that is taken raises MockError."""
    with (
        platform.serve() as url,
        pytest.raises(MockError, match="Choose another"),
        platform.serve(port=int(url.rpartition(":")[2])),
    ):
        pass


def test_environment_points_to_the_server(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """environment() configures a Kayrros of another program."""
    with platform.serve() as url:
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        with Kayrros() as kayrros:
            assert kayrros.metadata(DATASET).id == ID


def test_first_request_takes_under_50_ms() -> None:
    """Set-up, metadata and the end of a user's test; the best of five runs, because machines are busy."""

    def run() -> float:
        began = time.perf_counter()
        platform = Platform()
        dataset = platform.generate()
        with platform.connect() as kayrros:
            kayrros.metadata(dataset.id)
        return time.perf_counter() - began

    assert min(run() for _ in range(5)) < 0.05
