"""What several folders of the suite use."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import HealthCheck, settings
from keyring.backend import KeyringBackend

from kayrros_ext import Kayrros
from kayrros_ext._config.retries import Retries
from kayrros_ext.testing import PrismMock, prism_mock
from tests.support.leaks import PASSWORD, no_secret_leaks, pytest_runtest_makereport
from tests.support.server import Platform, Server, serve

pytest_plugins = ["tests.support.recording"]
__all__ = ["no_secret_leaks", "pytest_runtest_makereport"]  # pytest finds them here

# Before anything of the suite runs, and for all that it starts: a keyring that holds nothing.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
# How long an example takes is no claim of a test.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own: no credentials, host, config, cache or netrc of the machine's user reaches a test.

    It lies apart from tmp_path, which is empty when a test begins.
    """
    for name in [name for name in os.environ if name.startswith("KAYRROS_")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="kayrros-home-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        (path / "config.toml").touch(mode=0o600)
        monkeypatch.setenv("KAYRROS_CONFIG", str(path / "config.toml"))
        monkeypatch.setenv("KAYRROS_CACHE_DIR", str(path / "cache"))
        monkeypatch.setenv("NETRC", str(path / "netrc"))
        yield path


@pytest.fixture
def use_keyring() -> Iterator[Callable[[KeyringBackend], None]]:
    """Make a keyring the process's own; the empty one is back after the test."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _no_log_outlives_its_test() -> Iterator[None]:
    """The command sets its log up for a process of its own, and some tests run it in this one."""
    loggers = [logging.getLogger(name) for name in ("kayrros_ext", "httpx")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def mock() -> Iterator[PrismMock]:
    """The real mock, started once."""
    with prism_mock() as running:
        yield running


@pytest.fixture
def kayrros(mock: PrismMock) -> Iterator[Kayrros]:
    """A client of the mock."""
    with Kayrros(email="a@example.com", password="p", base_url=mock.url, auth_url=mock.url, retries=0) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start a server on loopback; it stops with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer, tls=None: stack.enter_context(serve(answer, tls))


@pytest.fixture
def platform() -> Platform:
    """A Kayrros of a page, not yet served."""
    return Platform()


@pytest.fixture
def connect() -> Iterator[Callable[..., Kayrros]]:
    """Make a client of a server, with credentials unless told otherwise, that never waits; it closes with the test."""
    with contextlib.ExitStack() as stack:

        def make(server: Server, **settings: Any) -> Kayrros:
            given = {"retries": Retries(backoff_initial=0), **settings}
            if not {"email", "password", "token"} & set(settings):
                given |= {"email": "a@example.com", "password": PASSWORD}
            return stack.enter_context(Kayrros(base_url=server.url, auth_url=server.url, **given))

        yield make
