"""A transport of the user's own: for both kinds of calls, for one of them, or refused."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from kayrros_ext import Kayrros, UsageError
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.server import DATASET

ID = UUID(DATASET)


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"name": request.url.host})


class Sync(httpx.BaseTransport):
    closed = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return answer(request)

    def close(self) -> None:
        self.closed += 1


class Async(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return answer(request)


async def name(kayrros: Kayrros) -> Any:
    async with kayrros:
        metadata = await get_dataset_metadata.asyncio(ID, client=kayrros.client)
        assert isinstance(metadata, DatasetMetadata)
        return metadata.name


@pytest.mark.parametrize("base_url", ["https://platform.api.kayrros.com", "http://127.0.0.1:1", "http://[::1]:1"])
def test_requests_go_through_the_transport(base_url: str) -> None:
    """To the host that was set, also where that is this machine."""
    transport = httpx.MockTransport(answer)
    kayrros = Kayrros(token="a-token", base_url=base_url, transport=transport)
    assert httpx.URL(base_url).host == kayrros.metadata(DATASET).name == asyncio.run(name(kayrros))


def test_a_transport_for_sync_calls_serves_those() -> None:
    """It is closed with the client; an asyncio call says why it can't."""
    transport = Sync()
    with Kayrros(token="a-token", transport=transport) as kayrros:
        assert kayrros.metadata(DATASET).name == "platform.api.kayrros.com"
    assert transport.closed == 1
    with pytest.raises(UsageError, match="for sync calls only"):
        asyncio.run(name(Kayrros(token="a-token", transport=Sync())))


def test_a_download_declines_compression(tmp_path: Path) -> None:
    """It sends one Accept-Encoding, because a compressed response has no size to verify."""
    encodings: list[list[str]] = []

    def download(request: httpx.Request) -> httpx.Response:
        encodings.append(request.headers.get_list("Accept-Encoding"))
        return httpx.Response(200, content=b"x")

    with Kayrros(token="a-token", transport=httpx.MockTransport(download)) as kayrros:
        kayrros.download(DATASET, tmp_path)
    assert encodings == [["identity"]]


@pytest.mark.parametrize("transport", [answer, Async()])
def test_other_transports_are_refused(transport: Any) -> None:
    """A transport for async calls only can't serve the login, which is a sync call."""
    with pytest.raises(UsageError, match="no httpx.BaseTransport"):
        Kayrros(token="a-token", transport=transport)
