"""Mock and fake answer as the spec says, and the generated client reads it: every operation, every status, sync and async.

Nothing here knows an operation by name: an operation that is added to openapi.yaml is called the next time this runs.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from kayrros_ext import Kayrros
from kayrros_ext.testing import PrismMock
from kayrros_openapi.types import Response
from tests.contract.test_spec import operations, resolve
from tests.support.calls import arguments, as_json, is_typed, modules, moments_alike
from tests.support.recording import Traffic
from tests.support.server import RESULTS
from tests.support.servers import bring_about, connect_to, examples_of_the_spec, matrix, prefer
from tests.support.traffic import response_problems


def call_sync(kayrros: Kayrros, name: str) -> Response[Any]:
    response: Response[Any] = modules()[name].sync_detailed(client=kayrros.client, **arguments(name))
    return response


def call_async(kayrros: Kayrros, name: str) -> Response[Any]:
    async def call() -> Response[Any]:
        async with kayrros:
            response: Response[Any] = await modules()[name].asyncio_detailed(client=kayrros.client, **arguments(name))
            return response

    return asyncio.run(call())


@contextlib.contextmanager
def asking(server: str, name: str, status: int, mock: PrismMock) -> Iterator[Kayrros]:
    """A client of a server that answers an operation with a status."""
    if server == "mock":
        with prefer(mock, f"code={status}") as kayrros:
            yield kayrros
        return
    platform = examples_of_the_spec()
    with connect_to(platform, name, served=server == "served fake") as kayrros:
        bring_about(platform, name, status)
        yield kayrros


@pytest.mark.parametrize("call", [call_sync, call_async])
@pytest.mark.parametrize(("server", "name", "status"), matrix())
def test_every_status_of_every_operation_is_typed(
    server: str,
    name: str,
    status: int,
    call: Callable[[Kayrros, str], Response[Any]],
    mock: PrismMock,
    traffic: Traffic,
) -> None:
    """The client sends what the spec allows, and what comes back is of the declared type, with the values that were sent."""
    with asking(server, name, status, mock) as kayrros:
        response = call(kayrros, name)
    assert status == response.status_code
    assert not response_problems(traffic.exchanges[-1])  # also of the mock, and of a status that a fault has brought
    assert "sl-violations" not in response.headers
    content = resolve(operations()[name]["responses"][str(status)]).get("content")
    if not content:
        assert response.parsed is None
        return
    [(kind, media)] = content.items()
    # A server picks a type for `*/*` itself.
    assert kind in {"*/*", response.headers["content-type"].partition(";")[0]}
    assert is_typed(media["schema"], response.parsed), type(response.parsed)
    if response.headers["content-type"].startswith("application/json"):
        assert moments_alike(json.loads(response.content)) == moments_alike(as_json(response.parsed))


@pytest.mark.parametrize(
    ("name", "status", "example"),
    [
        (name, status, example)
        for name, operation in operations().items()
        for status, response in operation["responses"].items()
        for media in resolve(response).get("content", {}).values()
        for example in media.get("examples", {})
    ],
)
def test_a_named_example_comes_whole(name: str, status: str, example: str, mock: PrismMock) -> None:
    """By `Prefer: code=200, example=NAME`."""
    with prefer(mock, f"code={status}, example={example}") as kayrros:
        answer = call_sync(kayrros, name)
    [media] = resolve(operations()[name]["responses"][status])["content"].values()
    expected = resolve(media["examples"][example])["value"]
    assert expected == (answer.content.decode() if isinstance(expected, str) else json.loads(answer.content))


def test_a_request_that_breaks_the_contract_shows(mock: PrismMock) -> None:
    """The header that the other tests want absent is there when it should be."""
    headers = {"Authorization": "Bearer t"}
    answer = httpx.post(mock.url + RESULTS, headers=headers, json={"moo": []}, trust_env=False)
    assert "sl-violations" in answer.headers
