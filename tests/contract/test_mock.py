"""The mock answers as the spec says, and the generated client reads it: every operation, every status, sync and async."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import kayrros_client.models
from kayrros_client.api.authentication import login
from kayrros_client.api.datasets import download_static_dataset, get_dataset_metadata, get_dataset_results
from kayrros_client.models import DateRange, Error, LoginReply, LoginRequest, ProcessingResultFilter
from kayrros_client.types import File, Response
from kayrros_ext import Kayrros
from kayrros_ext.inputs import parse_dataset_id
from kayrros_ext.testing import PrismMock
from tests.contract.test_spec import named, operations
from tests.server import DATASET, METADATA, RESULTS

ID = parse_dataset_id(DATASET)
FILTER = ProcessingResultFilter(mo_ids=["a"], time_range=DateRange(0, 1))
CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "login": (login, {"body": LoginRequest("e", "p")}),
    "getDatasetMetadata": (get_dataset_metadata, {"dataset_id": ID}),
    "getDatasetResults": (get_dataset_results, {"dataset_id": ID, "body": FILTER}),
    "downloadStaticDataset": (download_static_dataset, {"dataset_id": ID}),
}
SUCCESS = {
    "login": LoginReply,
    "getDatasetMetadata": kayrros_client.models.DatasetMetadata,
    "getDatasetResults": kayrros_client.models.ProcessingResultTimeSeries,
    "downloadStaticDataset": File,
}


def call_sync(kayrros: Kayrros, name: str) -> Response[Any]:
    module, arguments = CALLS[name]
    response: Response[Any] = module.sync_detailed(client=kayrros.client, **arguments)
    return response


def call_async(kayrros: Kayrros, name: str) -> Response[Any]:
    module, arguments = CALLS[name]

    async def call() -> Response[Any]:
        async with kayrros:
            response: Response[Any] = await module.asyncio_detailed(client=kayrros.client, **arguments)
            return response

    return asyncio.run(call())


@pytest.mark.parametrize("call", [call_sync, call_async])
@pytest.mark.parametrize(
    ("name", "status"),
    [(name, int(status)) for name, operation in operations().items() for status in operation["responses"]],
)
def test_every_status_of_every_operation_is_typed(
    name: str, status: int, call: Callable[[Kayrros, str], Response[Any]], mock: PrismMock
) -> None:
    """The client sends what the spec allows, and what comes back is of the declared type, with the example's values."""
    # A token, so that the status which is asked for reaches the operation and not the login before it.
    with Kayrros(token="t", base_url=mock.url, auth_url=mock.url) as kayrros:
        kayrros.client = kayrros.client.with_headers({"Prefer": f"code={status}"})
        response = call(kayrros, name)
    assert status == response.status_code
    assert "sl-violations" not in response.headers
    expected: type[Any] = SUCCESS[name] if status == 200 else Error
    assert isinstance(response.parsed, expected)
    if response.headers["content-type"].startswith("application/json"):
        assert json.loads(response.content) == response.parsed.to_dict()


@pytest.mark.parametrize("example", ["crude-tanks", "methane-hotspots", "industrial-activity"])
@pytest.mark.parametrize(
    ("operation", "method", "path"), [("getDatasetMetadata", "GET", METADATA), ("getDatasetResults", "POST", RESULTS)]
)
def test_a_named_example_comes_whole(operation: str, method: str, path: str, example: str, mock: PrismMock) -> None:
    """By `Prefer: code=200, example=NAME`."""
    headers = {"Prefer": f"code=200, example={example}", "Authorization": "Bearer t"}
    answer = httpx.request(method, mock.url + path, headers=headers, trust_env=False)
    assert named(operation)[example] == answer.json()


def test_a_request_that_breaks_the_contract_shows(mock: PrismMock) -> None:
    """The header that the other tests want absent is there when it should be."""
    headers = {"Authorization": "Bearer t"}
    answer = httpx.post(mock.url + RESULTS, headers=headers, json={"moo": []}, trust_env=False)
    assert "sl-violations" in answer.headers
