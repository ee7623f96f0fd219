"""What several folders of the suite use."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kayrros_ext import Kayrros
from kayrros_ext.retries import Retries
from kayrros_ext.testing import PrismMock, prism_mock
from tests.server import Answering, Platform, Server, serve

pytest_plugins = ["tests.recording"]


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials and no host of the machine's own reach a test."""
    for name in ("EMAIL", "PASSWORD", "TOKEN", "BASE_URL", "AUTH_URL"):
        monkeypatch.delenv(f"KAYRROS_{name}", raising=False)


@pytest.fixture(scope="session")
def mock() -> Iterator[PrismMock]:
    """The real mock, started once."""
    with prism_mock() as running:
        yield running


@pytest.fixture
def kayrros(mock: PrismMock) -> Iterator[Kayrros]:
    """A client of the mock."""
    with Kayrros(email="a@example.com", password="p", base_url=mock.url, auth_url=mock.url) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Callable[[Answering], Server]]:
    """Start a server on loopback; it stops with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(serve(answer))


@pytest.fixture
def platform() -> Platform:
    """A Kayrros of a page, not yet served."""
    return Platform()


@pytest.fixture
def connect() -> Iterator[Callable[..., Kayrros]]:
    """Make a client of a server, with credentials unless told otherwise, that never waits; it closes with the test."""
    with contextlib.ExitStack() as stack:

        def make(server: Server, **settings: Any) -> Kayrros:
            given = {"retries": Retries(first_wait_s=0), **settings}
            if not {"email", "password", "token"} & set(settings):
                given |= {"email": "a@example.com", "password": "pass-word"}
            return stack.enter_context(Kayrros(base_url=server.url, auth_url=server.url, **given))

        yield make
