"""A platform that limits the rate of requests, over real sockets; the waits of the client pass 50 times as fast."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from kayrros_ext import APIError, Kayrros, LoginError, Retries, UsageError
from kayrros_ext._http.client import ApiClient
from kayrros_ext.testing import Dataset, Fault, Platform
from kayrros_ext.testing.http import Request
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.server import RateLimit

SPEED = 50


REFUSALS = {
    "429": Fault.status(429, retry_after=1),
    "503": Fault.status(503, retry_after=1),
    "without the header": Fault.status(429),
    "0": Fault.status(429, retry_after=0),
    "past": Fault.status(429, retry_after=formatdate(0, usegmt=True)),
}


def clock() -> float:
    return time.monotonic() * SPEED


async def sleep_async(seconds: float) -> None:
    await asyncio.sleep(seconds / SPEED)


def fast(**settings: Any) -> Retries:
    """Return retries whose seconds are short ones, as those of `clock` are."""
    sleep = {"sleep": lambda seconds: time.sleep(seconds / SPEED), "sleep_async": sleep_async}
    return Retries(**{**sleep, "clock": clock, **settings})


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def connect(platform: Platform) -> Iterator[Callable[..., Kayrros]]:
    """Make a client of the served platform."""
    with platform.serve() as url, ExitStack() as stack:
        account = {"email": platform.account.email, "password": platform.account.password}
        hosts = {"base_url": url, "auth_url": url, "timeout": 10}

        def make(**settings: Any) -> Kayrros:
            return stack.enter_context(Kayrros(**{**account, **hosts, "retries": fast(), **settings}))

        yield make


def limited(
    platform: Platform, per_second: int, fault: Fault = REFUSALS["429"], operation: str | None = None
) -> RateLimit:
    """Limit the rate of one operation, or of all."""
    limit = RateLimit(per_second, clock)
    platform.fail_when(lambda request: operation in {None, request.operation} and limit.refuses(), fault)
    return limit


def many_windows(platform: Platform) -> Dataset:
    """Return a dataset that takes more than 20 requests."""
    platform.max_rows = 30
    return platform.generate(seed=1, assets=4, dates=120)


@pytest.mark.parametrize(
    "refusal", [name if name == "429" else pytest.param(name, marks=pytest.mark.slow) for name in REFUSALS]
)
def test_results_arrive_at_the_rate_of_the_platform(
    refusal: str, platform: Platform, connect: Callable[..., Kayrros]
) -> None:
    """20 windows and more, with the default concurrency, bring all rows, in no more requests than needed."""
    dataset = many_windows(platform)
    limit = limited(platform, 2, REFUSALS[refusal], "getDatasetResults")
    assert connect().results(dataset.id).table.num_rows == dataset.row_count
    assert len(limit.accepted) > 20
    assert 1 < len(limit.refused) < 2 * len(limit.accepted)


def test_two_clients_share_a_rate(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """Neither knows of the other, and both end with all rows. The login counts, too."""
    dataset = many_windows(platform)
    limited(platform, 5)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(connect().results, dataset.id) for _ in range(2)]
    assert [future.result().table.num_rows for future in results] == [dataset.row_count] * 2


def test_downloads_in_threads_wait_for_their_turn(
    platform: Platform, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """16 threads download at 5 requests a second."""
    dataset = platform.add(file=b"x" * 100_000)
    limited(platform, 5)
    kayrros = connect()
    with ThreadPoolExecutor(16) as pool:
        downloads = list(pool.map(lambda i: kayrros.download(dataset.id, tmp_path / str(i)), range(16)))
    assert {download.size for download in downloads} == {100_000}


async def read(kayrros: Kayrros, dataset: Dataset) -> object:
    metadata = await get_dataset_metadata.asyncio(UUID(dataset.id), client=kayrros.client)
    assert isinstance(metadata, DatasetMetadata)
    return str(metadata.id)


def test_tasks_wait_for_their_turn(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """50 calls of one gather, and a thread besides, at 5 requests a second."""
    dataset = platform.generate()
    limited(platform, 5)

    async def main() -> list[object]:
        async with connect() as kayrros:
            thread = asyncio.to_thread(kayrros.metadata, dataset.id)
            ids = await asyncio.gather(*(read(kayrros, dataset) for _ in range(50)), thread)
            return list(ids[:-1])

    assert asyncio.run(main()) == [dataset.id] * 50


def test_nobody_sends_before_the_time(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """After a refusal, no thread or task of the client sends for 20 seconds, and then not all at once."""
    dataset, arrivals = platform.generate(), list[float]()
    kayrros = connect(token=platform.give_token())
    platform.fail_next(Fault.status(429, retry_after=20))

    def observe(_: Request) -> bool:
        arrivals.append(clock())
        return False

    platform.fail_when(observe, 500)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(kayrros.metadata, dataset.id)
        while not platform.faults[0].count:
            time.sleep(0.001)
        while not gate_of(kayrros).closings:
            time.sleep(0.001)
        refused_at = clock()

        async def tasks() -> None:
            await asyncio.gather(*(read(kayrros, dataset) for _ in range(4)))

        calls: list[Future[Any]] = [
            *(pool.submit(kayrros.metadata, dataset.id) for _ in range(4)),
            pool.submit(asyncio.run, tasks()),
        ]
        for call in [first, *calls]:
            call.result()
    late = sorted(arrival - refused_at for arrival in arrivals)[-9:]
    assert late[0] > 19
    assert late[-1] - late[0] > 0.1


def gate_of(kayrros: Kayrros) -> Any:
    client = kayrros.client
    assert isinstance(client, ApiClient)
    return client.get_httpx_client().policy.gate


def close(gate: Any, seconds: float) -> None:
    """Close the gate as a call does that was sent after the last refusal, and is refused."""
    gate.close(SimpleNamespace(closings=gate.closings), seconds)


def test_a_wait_that_does_not_fit_is_an_error(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """A call whose turn comes after its total timeout fails at once, without a request."""
    dataset = platform.generate()
    kayrros = connect(total_timeout=30, token=platform.give_token())
    platform.fail_next(Fault.status(429, retry_after=20), times=None)
    with pytest.raises(APIError, match="asks to wait 20 seconds") as caught:
        kayrros.metadata(dataset.id)
    assert caught.value.attempts == 2
    platform.faults.clear()
    close(gate_of(kayrros), 70)
    with pytest.raises(APIError, match=r"not sent within total_timeout.*raise total_timeout") as caught:
        kayrros.metadata(dataset.id)
    assert (caught.value.status, caught.value.operation, caught.value.attempts) == (429, "getDatasetMetadata", 0)
    assert len(platform.requests) == 2


def test_refusals_count_against_the_total_timeout_alone(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """Ten refusals of one call are waited for; without retries, the first one is the error."""
    dataset = platform.generate()
    platform.fail_next(Fault.status(429, retry_after=1), times=10, operation="getDatasetMetadata")
    kayrros = connect(retries=fast(jitter=lambda _, most: most / 20))
    assert str(kayrros.metadata(dataset.id).id) == dataset.id
    platform.fail_next(Fault.status(429, retry_after=1), operation="getDatasetMetadata")
    kayrros = connect(retries=0)
    with pytest.raises(APIError, match="429"):
        kayrros.metadata(dataset.id)
    assert str(kayrros.metadata(dataset.id).id) == dataset.id


def test_a_closed_client_wakes_those_who_wait(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """Threads and tasks that wait for 100 real seconds get the error of a closed client within two."""
    dataset = platform.generate()
    kayrros = connect(retries=4, token=platform.give_token())
    platform.fail_next(Fault.status(429, retry_after=100), times=None)

    async def main() -> None:
        tasks = [asyncio.create_task(read(kayrros, dataset)) for _ in range(2)]
        threads = [asyncio.create_task(asyncio.to_thread(kayrros.metadata, dataset.id)) for _ in range(2)]
        while gate_of(kayrros).in_flight or not gate_of(kayrros).closings:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await kayrros.aclose()
        for call in [*tasks, *threads]:
            with pytest.raises(UsageError, match="closed"):
                await call
        assert time.monotonic() - started < 10

    asyncio.run(main())


def test_a_cancelled_task_leaves_no_slot(platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """It may be cancelled in its attempt, or while it waits. The next call gets the only slot."""
    dataset = platform.generate()
    kayrros = connect(token=platform.give_token())

    async def main() -> None:
        platform.fail_next(Fault.status(429, retry_after=1))
        await read(kayrros, dataset)
        close(gate_of(kayrros), 0)  # one request at a time
        platform.fail_next(Fault.late(60))
        tasks = [asyncio.create_task(read(kayrros, dataset)) for _ in range(3)]
        while not gate_of(kayrros).in_flight:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        platform.faults.clear()  # the cancelled request may never have arrived
        assert not gate_of(kayrros).in_flight
        assert await read(kayrros, dataset) == dataset.id
        await kayrros.aclose()

    asyncio.run(main())


def test_a_download_holds_its_slot_until_the_body_begins(
    platform: Platform, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """The body may take hours, and the platform counts requests."""
    dataset = platform.add(file=b"x" * 100_000)
    kayrros, in_flight = connect(), list[int]()
    kayrros.download(dataset.id, tmp_path, progress=lambda *_: in_flight.append(len(gate_of(kayrros).in_flight)))
    assert set(in_flight) == {0}


@pytest.mark.parametrize("status", [429, 503])
def test_a_login_waits_for_its_turn(status: int, platform: Platform, connect: Callable[..., Kayrros]) -> None:
    """32 threads and 32 tasks share a login that is refused twice, which says nothing about the credentials."""
    dataset = platform.generate()
    platform.fail_next(Fault.status(status, retry_after=1), times=2, operation="login")
    kayrros = connect()

    async def main() -> None:
        threads = [asyncio.to_thread(kayrros.metadata, dataset.id) for _ in range(32)]
        await asyncio.gather(*threads, *(read(kayrros, dataset) for _ in range(32)))
        await kayrros.aclose()

    asyncio.run(main())
    assert [seen.status for seen in platform.requests if seen.operation == "login"] == [status, status, 200]


def test_a_login_that_is_refused_for_long_may_be_tried_again(
    platform: Platform, connect: Callable[..., Kayrros]
) -> None:
    """A longer wait than `retry_after_max` is an error, and the next call tries again."""
    dataset = platform.generate()
    platform.fail_next(Fault.status(429, retry_after=121), operation="login")
    kayrros = connect()
    with pytest.raises(LoginError, match="asks to wait 121 seconds") as caught:
        kayrros.metadata(dataset.id)
    assert caught.value.retry_after_s == 121
    assert str(kayrros.metadata(dataset.id).id) == dataset.id
