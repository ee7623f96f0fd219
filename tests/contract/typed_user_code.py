"""Code of a user for mypy --strict: it never runs, but `make check` checks every line."""

from datetime import date
from typing import assert_type
from uuid import UUID

import pyarrow as pa

from kayrros_ext import APIError, Download, Kayrros, KayrrosError, Results
from kayrros_openapi import Client
from kayrros_openapi.api.authentication import login
from kayrros_openapi.api.datasets import download_static_dataset, get_dataset_metadata, get_dataset_results
from kayrros_openapi.models import (
    AssetResult,
    DatasetMetadata,
    ErrorResponse,
    LoginReply,
    LoginRequest,
    ProcessingResultTimeSeries,
    SharedOption,
)
from kayrros_openapi.types import File, Response, Unset

DATASET = UUID("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")


def simple() -> None:
    """The layer."""
    with Kayrros(email="e", password="p") as kayrros:
        metadata = kayrros.metadata(DATASET)
        described: DatasetMetadata = metadata
        assert described.id
        assert_type(metadata.asset_count, int | None | Unset)
        assert_type(metadata.shared_option, SharedOption | str | None | Unset)
        results = kayrros.results(str(DATASET), start="2024-01-01", stop=date(2024, 7, 1), assets=["a"])
        assert_type(results, Results)
        one = kayrros.results(kayrros.find("cushing")[0], assets=kayrros.assets(DATASET)[:2], metric="fill_level_pct")
        assert one.table is not None
        kayrros.results(DATASET, end="2024")  # type: ignore[arg-type]  # an unknown keyword is refused
        Kayrros(username="e", password="p")  # type: ignore[arg-type]
        table: pa.Table = results.table
        assert table is not None
        assert_type(kayrros.download(DATASET, "data/"), Download)
        assert_type(kayrros.client, Client)


def errors() -> str | None:
    """Attributes of errors are typed."""
    try:
        simple()
    except APIError as error:
        assert_type(error.status, int)
        assert_type(error.code, str | None)
        return error.operation
    except KayrrosError as error:
        return str(error)
    return None


def generated(kayrros: Kayrros) -> None:
    """Every operation, sync."""
    client = kayrros.client
    assert_type(get_dataset_metadata.sync(DATASET, client=client), DatasetMetadata | ErrorResponse | None)
    answer = get_dataset_results.sync(DATASET, client=client)
    if isinstance(answer, ProcessingResultTimeSeries) and answer.assets:
        assert_type(answer.assets, list[AssetResult])
    assert_type(login.sync(client=client, body=LoginRequest("e", "p")), LoginReply | ErrorResponse | None)
    assert_type(download_static_dataset.sync_detailed(DATASET, client=client), Response[ErrorResponse | File])


async def generated_async() -> None:
    """Every operation, async."""
    async with Kayrros(token="a-token") as kayrros:
        client = kayrros.client
        assert_type(await get_dataset_metadata.asyncio(DATASET, client=client), DatasetMetadata | ErrorResponse | None)
        assert_type(
            await get_dataset_results.asyncio(DATASET, client=client), ProcessingResultTimeSeries | ErrorResponse | None
        )
        assert_type(await login.asyncio(client=client, body=LoginRequest("e", "p")), LoginReply | ErrorResponse | None)
        assert_type(await download_static_dataset.asyncio(DATASET, client=client), File | ErrorResponse | None)
