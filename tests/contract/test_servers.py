"""Mock and fake answer as the spec says, and the generated client reads every status of every operation, sync and async.

No test here names an operation: an operation that is added to openapi.yaml is called in the next run.
"""

import asyncio
import json
from typing import Any

import httpx
import pytest

from kayrros_ext import KayrrosError
from kayrros_ext.testing import PrismMock
from kayrros_openapi import Client
from kayrros_openapi.types import Response
from tests.support.calls import arguments, as_json, is_typed, modules, moments_alike
from tests.support.recording import Traffic
from tests.support.server import RESULTS
from tests.support.servers import client_of_mock, matrix, prefer, prepared_client
from tests.support.spec import examples, operations, resolve
from tests.support.traffic import response_problems


def call_sync(client: Client, name: str) -> Response[Any]:
    with client:
        response: Response[Any] = modules()[name].sync_detailed(client=client, **arguments(name))
        return response


def call_async(client: Client, name: str) -> Response[Any]:
    async def call() -> Response[Any]:
        async with client:
            response: Response[Any] = await modules()[name].asyncio_detailed(client=client, **arguments(name))
            return response

    return asyncio.run(call())


@pytest.mark.parametrize(("server", "name", "status", "is_async"), matrix())
def test_every_status_of_every_operation_is_typed(
    server: str,
    name: str,
    status: int,
    is_async: bool,
    mock: PrismMock,
    traffic: Traffic,
) -> None:
    """Request and response keep the contract, and the client reads the declared type with the values of the response."""
    with prepared_client(server, name, status, mock) as client:
        response = (call_async if is_async else call_sync)(client, name)
    assert response.status_code == status
    assert not response_problems(traffic.exchanges[-1])  # also of the mock, and of a status that a fault caused
    assert "sl-violations" not in response.headers
    content = resolve(operations()[name]["responses"][str(status)]).get("content")
    if not content:
        assert response.parsed is None
        return
    # The generated client reads the first content type, and Prism answers with it.
    media_type, media = next(iter(content.items()))
    actual = response.headers["content-type"].partition(";")[0]
    assert media_type in {"*/*", actual}
    assert is_typed(media["schema"], response.parsed), type(response.parsed)
    if actual == "application/json":
        assert moments_alike(as_json(response.parsed)) == moments_alike(json.loads(response.content))


@pytest.mark.parametrize("name", operations())
def test_every_error_of_every_operation_is_raised(name: str, mock: PrismMock) -> None:
    """A generated call through the client of `Kayrros` raises for each documented status that is no success."""
    for status in [
        int(status) for status in operations()[name]["responses"] if status.isdecimal() and int(status) >= 400
    ]:
        with prefer(mock, f"code={status}") as kayrros, pytest.raises(KayrrosError) as caught:
            modules()[name].sync_detailed(client=kayrros.client, **arguments(name))
        assert vars(caught.value)["status"] == status


@pytest.mark.parametrize(
    ("name", "status", "example"),
    [
        (name, status, example)
        for name, operation in operations().items()
        for status, response in operation["responses"].items()
        if status.isdecimal()
        for media in list(resolve(response).get("content", {}).values())[:1]
        for example in media.get("examples", {})
    ],
)
def test_the_mock_answers_with_a_named_example(name: str, status: str, example: str, mock: PrismMock) -> None:
    """`Prefer: code=200, example=NAME` selects it."""
    response = call_sync(client_of_mock(mock, f"code={status}, example={example}"), name)
    media = next(iter(resolve(operations()[name]["responses"][status])["content"].values()))
    expected = examples(media)[example]
    actual = response.content.decode() if isinstance(expected, str) else json.loads(response.content)
    assert actual == expected


def test_a_request_that_breaks_the_contract_shows(mock: PrismMock) -> None:
    """The header that is absent in the other tests is present where it should be."""
    headers = {"Authorization": "Bearer t"}
    response = httpx.post(mock.url + RESULTS, headers=headers, json={"moo": []}, trust_env=False)
    assert "sl-violations" in response.headers
