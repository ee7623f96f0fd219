"""Fixtures for the whole suite.

The judge of traffic (tests/support/recording.py) and the scan for secrets (tests/support/leaks.py) run around each test of
the folders that import them in their own conftest.py; a unit test is plain.
"""

import contextlib
import gc
import logging
import os
import signal
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
from tests.support.leaks import PASSWORD
from tests.support.server import Server, StubServer, serve

# Set before the first test, and inherited by each process that a test starts: an empty keyring.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
# A shell starts background processes with SIGINT ignored, and they would pass that on to each process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No test makes a claim about the duration of an example.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Spare each garbage collection the tests and modules, which are most objects and never garbage."""
    gc.freeze()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Isolate the test from the credentials, hosts, config, cache, netrc and certificates of the machine's user.

    Each client of a test would load those certificates, which takes longer than most tests. The folder is separate from
    tmp_path, so that tmp_path is empty when a test begins.
    """
    for name in [name for name in os.environ if name.startswith(("KAYRROS_", "SSL_CERT_"))]:
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
    """Set the keyring of this process; the empty one is restored after the test."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _restore_loggers() -> Iterator[None]:
    """Restore the log configuration, because the command sets it up and some tests run the command in this process."""
    loggers = [logging.getLogger(name) for name in ("kayrros_ext", "httpx")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def mock() -> Iterator[PrismMock]:
    """Prism with openapi.yaml, started once for each worker."""
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
        yield lambda respond, tls=None: stack.enter_context(serve(respond, tls))


@pytest.fixture
def platform() -> StubServer:
    """A stub of the platform, not yet served."""
    return StubServer()


@pytest.fixture
def connect() -> Iterator[Callable[..., Kayrros]]:
    """Make a client of a server, with credentials by default and no pause between retries; it closes with the test."""
    with contextlib.ExitStack() as stack:

        def make(server: Server, **settings: Any) -> Kayrros:
            arguments = {"retries": Retries(backoff_initial=0), **settings}
            if not {"email", "password", "token"} & set(settings):
                arguments |= {"email": "a@example.com", "password": PASSWORD}
            return stack.enter_context(Kayrros(base_url=server.url, auth_url=server.url, **arguments))

        yield make
