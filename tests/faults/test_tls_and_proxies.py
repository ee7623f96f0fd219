"""Certificates and proxies over real sockets: trust, tunnels, and passwords that stay hidden."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kayrros_ext import ConfigurationError, Kayrros, Retries, TransportError
from kayrros_ext.client import parse_dataset_id
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.authorities import Authority
from tests.support.leaks import PASSWORD, ours
from tests.support.proxies import proxy
from tests.support.server import DATASET, LOGIN, METADATA, Server, StubServer

Start = Callable[..., Server]
Connect = Callable[..., Kayrros]
HOST, LOGIN_HOST = "platform.test", "login.test"
named_hosts = pytest.mark.off_contract("the hosts have names of the test's own")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls(authority: Authority) -> ssl.SSLContext:
    """Return the TLS context of a server on 127.0.0.1."""
    return authority.serves("127.0.0.1")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the certificate and proxy variables of the machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.mark.parametrize("way", ["SSL_CERT_FILE", "SSL_CERT_DIR", "a file", "a folder", "a context"])
def test_a_private_authority_is_trusted_where_it_is_named(
    way: str,
    authority: Authority,
    tls: ssl.SSLContext,
    platform: StubServer,
    start: Start,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment or verify= names it, for the login and for the data, in sync and async calls."""
    ways: dict[str, dict[str, Any]] = {
        "a file": {"verify": authority.certificate},
        "a folder": {"verify": str(authority.folder)},
        "a context": {"verify": ssl.create_default_context(cafile=authority.certificate)},
    }
    arguments = ways.get(way, {})
    if not arguments:
        monkeypatch.setenv(way, str(authority.certificate if way.endswith("FILE") else authority.folder))
    kayrros = connect(start(platform, tls), **arguments)

    async def name() -> object:
        async with kayrros:
            metadata = await get_dataset_metadata.asyncio(parse_dataset_id(DATASET), client=kayrros.client)
            return metadata.name if isinstance(metadata, DatasetMetadata) else metadata

    assert kayrros.metadata(DATASET).name == "Tanks"
    assert asyncio.run(name()) == "Tanks"
    assert platform.logins == 1


@pytest.mark.parametrize("who", ["nobody named", "another authority", "another host"])
def test_an_untrusted_server_gets_no_request(
    who: str,
    authority: Authority,
    tls: ssl.SSLContext,
    platform: StubServer,
    start: Start,
    connect: Connect,
    tmp_path: Path,
) -> None:
    """The client makes one attempt, raises an error with advice, and sends no password."""
    server = start(platform, authority.serves(HOST) if who == "another host" else tls)
    trusted: dict[str, Any] = {"verify": authority.certificate}
    if who == "another authority":
        trusted = {"verify": Authority.make(tmp_path).certificate}
    with pytest.raises(TransportError, match=r"(?s)certificate verify failed.*SSL_CERT_FILE or verify=") as caught:
        connect(server, **({} if who == "nobody named" else trusted)).metadata(DATASET)
    assert (caught.value.attempts, caught.value.operation, server.requests) == (1, "login", [])


SYSTEM = """
import os, sys
os.putenv("SSL_CERT_FILE", sys.argv[1])  # past os.environ: this is where OpenSSL of this machine has its own
from kayrros_ext import Kayrros
with Kayrros(token="a-token", base_url=sys.argv[2]) as kayrros:
    print(kayrros.metadata(sys.argv[3]).name)
"""


def test_the_trust_store_of_the_system_is_trusted(
    authority: Authority, tls: ssl.SSLContext, platform: StubServer, start: Start
) -> None:
    """An authority that is installed on the system needs no setting."""
    platform.valid.add("a-token")
    command = [sys.executable, "-c", SYSTEM, str(authority.certificate), start(platform, tls).url, DATASET]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "Tanks\n"


@pytest.fixture
def hosts(
    authority: Authority, platform: StubServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """Serve two hosts whose names only a proxy resolves; return the settings of a client."""
    data, login = (start(platform, authority.serves(host)) for host in (HOST, LOGIN_HOST))
    base, auth = (
        f"https://{host}:{server.url.rpartition(':')[2]}" for host, server in ((HOST, data), (LOGIN_HOST, login))
    )
    settings = {"email": "a@example.com", "password": PASSWORD, "base_url": base, "auth_url": auth}
    return {
        "settings": {**settings, "verify": authority.certificate, "retries": 0, "token_cache": False},
        "servers": {"data": data, "login": login},
    }


@named_hosts
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(
    name: str, hosts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tunnels to both hosts, so it sees neither password nor token. Its URL may have an account."""
    with proxy("me:secret/%") as running:
        monkeypatch.setenv(name, f"http://me:secret%2F%25@{running.address}")
        with Kayrros(**hosts["settings"]) as kayrros:
            assert kayrros.metadata(DATASET).name == "Tanks"
    targets = [hosts["settings"][name].removeprefix("https://") for name in ("auth_url", "base_url")]
    assert targets == running.targets
    assert [hosts["servers"][name].paths() for name in ("login", "data")] == [[LOGIN], [METADATA]]
    assert not [word for word in (PASSWORD, "Bearer") if word in "".join(running.heads)]


@named_hosts
def test_no_proxy_means_no_proxy(hosts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The client connects directly to the hosts of NO_PROXY."""
    find = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **named: find("127.0.0.1", *rest, **named)
    )  # the name service
    with proxy() as running:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{running.address}")
        monkeypatch.setenv("NO_PROXY", HOST)
        with Kayrros(**hosts["settings"]) as kayrros:
            assert kayrros.metadata(DATASET).name == "Tanks"
    assert [hosts["settings"]["auth_url"].removeprefix("https://")] == running.targets


@named_hosts
@pytest.mark.parametrize("fault", ["it refuses", "it is not there"])
def test_the_password_of_a_proxy_is_never_shown(
    fault: str, hosts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error, its causes and its frames do not contain it. Nor does the log, as in every test."""
    settings = {**hosts["settings"], "retries": Retries(1, backoff_initial=0)}
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(proxy("another:account"))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@{running.address}")
        if fault == "it is not there":
            stack.close()
        with Kayrros(**settings) as kayrros, pytest.raises(TransportError) as caught:
            kayrros.metadata(DATASET)
    message, attempts = ("407 Proxy Authentication Required", 1) if fault == "it refuses" else ("ConnectError", 2)
    assert message in str(caught.value)
    assert attempts == caught.value.attempts, "what it refuses, it will refuse again"
    assert PASSWORD not in ours(caught.value)


@pytest.mark.parametrize(
    "url", [f"http://me:{PASSWORD}/x@127.0.0.1:1", f"ftp://me:{PASSWORD}@h", f"http://m e:{PASSWORD}@h:x"]
)
def test_an_invalid_proxy_url_does_not_show_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash in the password ends the host early, and httpx would report the rest as an invalid port."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Kayrros(token="a-token")
    assert PASSWORD not in ours(caught.value)
