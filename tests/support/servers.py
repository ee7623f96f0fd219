"""The two servers that answer as openapi.yaml says, the mock and the platform fake, and how to get each status."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from kayrros_ext import Kayrros
from kayrros_ext.testing import Platform, PrismMock
from scripts.schemathesis_run import unknown
from tests.contract.test_spec import SPEC, operations
from tests.support.calls import arguments, parameters

SERVERS = ["mock", "fake", "served fake"]
KNOWN = set(operations()) - set(unknown("fake"))


def prefer(mock: PrismMock, words: str) -> Kayrros:
    """A client that asks the mock for one answer."""
    # A token, so that the status which is asked for reaches the operation and not the login before it.
    # And not for long: a request that Prism chokes on gets no answer at all.
    kayrros = Kayrros(token="t", base_url=mock.url, auth_url=mock.url, timeout=10, retries=0)
    kayrros.client = kayrros.client.with_headers({"Prefer": words})
    return kayrros


def examples_of_the_spec() -> Platform:
    """A fake that holds the data of the spec's examples."""
    platform = Platform()
    platform.add_examples()
    return platform


@contextlib.contextmanager
def connect_to(platform: Platform, name: str, *, served: bool = False) -> Iterator[Kayrros]:
    """A client of the fake with a token and no credentials, at the host of an operation."""
    token = platform.give_token()
    if served:
        with platform.serve() as url, platform.connect(token=token, base_url=url) as kayrros:
            yield kayrros
    else:
        hosts = {"base_url": host(name), "auth_url": host("login")}
        with platform.connect(token=token, transport=platform.transport(), **hosts) as kayrros:
            yield kayrros


def host(name: str) -> str:
    """Where the spec has an operation."""
    [item] = [item for item in SPEC["paths"].values() if operations()[name] in item.values()]
    [server] = item.get("servers", SPEC["servers"])
    return str(server["url"])


def bring_about(platform: Platform, name: str, status: int) -> None:
    """A status, by what is true of the platform where that brings it, and by a fault where nothing else does."""
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
        platform.fail_next(status, times=None)  # a client may try again


def matrix() -> list[Any]:
    """Each status of each operation at each server. What is new to the spec is not in the fake yet."""
    return [
        pytest.param(server, name, int(status), id=f"{server}-{name}-{status}")
        for server in SERVERS
        for name, operation in operations().items()
        if server == "mock" or name in KNOWN
        for status in operation["responses"]
        if status.isdecimal()  # `default` and `5XX` are no status to ask a server for
    ]
