"""The two servers that answer as openapi.yaml says, the mock and the platform fake, and how to get each status from them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kayrros_ext import Kayrros
from kayrros_ext._config.settings import USER_AGENT
from kayrros_ext.testing import Platform, PrismMock
from kayrros_openapi import Client
from scripts.schemathesis_run import unsupported
from tests.support.calls import arguments, parameters
from tests.support.spec import SPEC, operations

SERVERS = ["mock", "fake", "served fake"]
IMPLEMENTED = set(operations()) - set(unsupported("fake"))


def prefer(mock: PrismMock, preference: str) -> Kayrros:
    """Return a client that asks the mock for one response."""
    # The token spares the login, which would get the preferred status too.
    kayrros = Kayrros(token="a-token", base_url=mock.url, auth_url=mock.url, timeout=10, retries=0)
    kayrros.client.get_httpx_client().headers["Prefer"] = preference
    return kayrros


def client_of_mock(mock: PrismMock, preference: str) -> Client:
    """Return a plain generated client that asks the mock for one response."""
    return _plain_client(mock.url, "t", {"Prefer": preference})


@contextlib.contextmanager
def prepared_client(server: str, name: str, status: int, mock: PrismMock) -> Iterator[Client]:
    """Yield a plain generated client of a server that answers an operation with a status."""
    if server == "mock":
        yield client_of_mock(mock, f"code={status}")
        return
    platform = examples_of_the_spec()
    token = platform.give_token()
    bring_about(platform, name, status)
    if server == "served fake":
        with platform.serve() as url:
            yield _plain_client(url, token)
    else:
        yield _plain_client(host(name), token, transport=platform.transport())


def _plain_client(url: str, token: str, headers: dict[str, str] | None = None, **options: Any) -> Client:
    # The User-Agent of the layer, so that the recorder of traffic holds the requests against the contract.
    own = {"Authorization": f"Bearer {token}", "User-Agent": USER_AGENT, **(headers or {})}
    args = {"trust_env": False, **options}
    return Client(url, headers=own, timeout=httpx.Timeout(10), httpx_args=args, raise_on_unexpected_status=True)


def examples_of_the_spec() -> Platform:
    """Return a fake with the data of the spec's examples."""
    platform = Platform()
    platform.add_examples()
    return platform


def host(name: str) -> str:
    """Return the server of an operation in the spec."""
    [item] = [item for item in SPEC["paths"].values() if operations()[name] in item.values()]
    [server] = item.get("servers", SPEC["servers"])
    return str(server["url"])


def bring_about(platform: Platform, name: str, status: int) -> None:
    """Make the platform answer with a status: by its data where possible, else by a fault."""
    if status == 401:
        platform.accounts.clear()
        platform.expire_tokens()
    elif status == 403 and any(parameter["name"] == "datasetId" for parameter in parameters(name)):
        for dataset in platform.datasets.values():
            dataset.shared_with = frozenset()
    elif status == 404 and arguments(name):
        platform.datasets.clear()
        platform.collections.clear()
    elif status != 200:
        platform.fail_next(status, times=None)  # a client may retry


def matrix() -> list[Any]:
    """Return each status of each operation for each server, and whether to call it in a task: the mock in both ways.

    The fake does not support what is new in the spec.
    """
    return [
        pytest.param(
            server, name, int(status), is_async, id=f"{server}-{name}-{status}-{'async' if is_async else 'sync'}"
        )
        for server in SERVERS
        for name, operation in operations().items()
        for status in operation["responses"]
        if status.isdecimal()  # nobody can ask for `default` or `5XX`
        and (server == "mock" or (name in IMPLEMENTED and (status == "200" or int(status) >= 400)))
        for is_async in ((False, True) if server == "mock" else (False,))
    ]
