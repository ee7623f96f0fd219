"""One Kayrros in several event loops, one after the other and at the same time."""

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import trio

from kayrros_ext import Kayrros, UsageError
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.server import DATASET, Request, Server, StubResponse, StubServer

ID = UUID(DATASET)


async def name(kayrros: Kayrros) -> Any:
    metadata = await get_dataset_metadata.asyncio(ID, client=kayrros.client)
    assert isinstance(metadata, DatasetMetadata)
    return metadata.name


async def names(kayrros: Kayrros) -> set[Any]:
    return {await name(kayrros), *await asyncio.gather(*(name(kayrros) for _ in range(3)))}


def run_in_new_loop(kayrros: Kayrros) -> set[Any]:
    """Run in a loop as frameworks do that do not use asyncio.run."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(names(kayrros))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


RUNS: dict[str, Callable[[Kayrros], set[Any]]] = {
    "asyncio": lambda kayrros: asyncio.run(names(kayrros)),
    "trio": lambda kayrros: {trio.run(name, kayrros)},
    "new loop": run_in_new_loop,
    "threads": lambda kayrros: {kayrros.metadata(DATASET).name},
}


def test_each_loop_gets_connections_of_its_own(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """In any order, twice each, without a login more. The connections close with their loop, so that nothing warns."""
    kayrros = connect(start(platform))
    for run in [*RUNS.values(), *RUNS.values()]:
        assert run(kayrros) == {"Tanks"}
        gc.collect()  # a socket that is open warns here, and a warning fails the test
    assert platform.logins == 1


def test_loops_in_threads_at_the_same_time(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """Four threads run two loops each, and none uses the connections of another."""
    kayrros = connect(start(platform))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(names(kayrros)), range(8))) == [{"Tanks"}] * 8
    gc.collect()
    assert platform.logins == 1


def test_a_loop_keeps_its_connections(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """Calls in one loop share a client, until it is closed."""
    kayrros = connect(start(platform))

    async def main() -> None:
        client = kayrros.client.get_async_httpx_client()
        assert await name(kayrros) == "Tanks"
        assert kayrros.client.get_async_httpx_client() is client
        await client.aclose()
        assert await name(kayrros) == "Tanks"

    asyncio.run(main())


def test_a_client_made_outside_of_a_loop_works_in_one(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """The generated function of a user may hold it from before."""
    kayrros = connect(start(platform), token="a-token")
    platform.valid.add("a-token")
    http = kayrros.client.get_async_httpx_client()

    async def main() -> int:
        return (await http.request(**get_dataset_metadata._get_kwargs(ID))).status_code

    assert asyncio.run(main()) == 200


def test_a_kayrros_that_is_closed_stays_closed(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """`async with` closes it for other loops too, and a second one can't open it again. Nothing is sent."""
    server = start(platform)
    kayrros = connect(server)

    async def main() -> Any:
        async with kayrros:
            return await name(kayrros)

    assert asyncio.run(main()) == "Tanks"
    requests = len(server.requests)
    for run in (lambda: asyncio.run(main()), lambda: trio.run(name, kayrros), lambda: kayrros.metadata(DATASET)):
        with pytest.raises(UsageError, match="This Kayrros is closed"):
            run()
    assert len(server.requests) == requests


def test_a_task_in_flight_ends_when_its_loop_does(
    platform: StubServer, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """A loop that ends with an open request leaves nothing behind, and the next one works."""

    def answer(request: Request) -> StubResponse:
        return platform(request)

    kayrros = connect(start(answer))

    async def main() -> None:
        task = asyncio.create_task(name(kayrros))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    assert asyncio.run(names(kayrros)) == {"Tanks"}
    gc.collect()
