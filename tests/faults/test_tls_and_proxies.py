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
from uuid import UUID

import pytest

from kayrros_ext import ConfigurationError, Kayrros, Retries, TransportError
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.authorities import Authority
from tests.support.leaks import PASSWORD, ours
from tests.support.proxies import proxy
from tests.support.server import DATASET, LOGIN, METADATA, Server, StubResponse, StubServer

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
            metadata = await get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client)
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


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"ca_extensions": "basicConstraints=critical,CA:TRUE"}, "CA cert does not include key usage extension"),
        ({"ca_extensions": "basicConstraints=CA:TRUE"}, "Basic Constraints of CA cert not marked critical"),
    ],
)
def test_a_ca_that_breaks_the_rules_is_explained(
    arguments: dict[str, str], problem: str, platform: StubServer, start: Start, connect: Connect, tmp_path: Path
) -> None:
    """Python verifies strictly since 3.13. The error says what is wrong, and what can be done; docs show how to relax."""
    authority = _make_lax_authority(tmp_path, **arguments)
    server = start(platform, authority.serves("127.0.0.1"))
    context = ssl.create_default_context(cafile=authority.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(TransportError, match=f"RFC 5280: {problem}. Ask .* issue it again, or pass verify=") as caught:
        connect(server, verify=context).metadata(DATASET)
    assert caught.value.attempts == 1
    assert "verify=" not in (caught.value.hint_cli or "verify=")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    assert connect(server, verify=context).metadata(DATASET).name == "Tanks"


def _make_lax_authority(folder: Path, ca_extensions: str) -> Authority:
    """Make an authority as companies have them: by their own configuration, without the extensions of today."""
    config = folder / "openssl.cnf"
    config.write_text(f"[req]\ndistinguished_name = dn\nx509_extensions = ca\n[dn]\n[ca]\n{ca_extensions}\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=Old-CA"
    command = f"openssl req -x509 {key} -config {config} -keyout {folder}/ca.key -out {folder}/ca.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    return Authority(folder)


SYSTEM = """
import os, ssl, sys
import certifi
# Past os.environ: this is where OpenSSL of this machine has its own.
os.putenv("SSL_CERT_FILE", sys.argv[1] if os.path.isfile(sys.argv[1]) else "/nonexistent")
os.putenv("SSL_CERT_DIR", sys.argv[1])
paths = ssl.get_default_verify_paths()
ssl.get_default_verify_paths = lambda: paths._replace(capath=sys.argv[1])
certifi.where = lambda: sys.exit("certifi is trusted, too")
from kayrros_ext import Kayrros
with Kayrros(token="a-token", base_url=sys.argv[2]) as kayrros:
    print(kayrros.metadata(sys.argv[3]).name)
"""


@pytest.mark.parametrize("store", ["a file", "a folder"])
def test_the_trust_store_of_the_system_is_trusted(
    store: str, authority: Authority, tls: ssl.SSLContext, platform: StubServer, start: Start
) -> None:
    """An authority that is installed on the system needs no setting, and the certificates of certifi are not trusted."""
    platform.valid.add("a-token")
    place = authority.certificate if store == "a file" else authority.folder
    command: list[str] = [sys.executable, "-c", SYSTEM, str(place), start(platform, tls).url, DATASET]
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
@pytest.mark.parametrize(("name", "quotes"), [("HTTPS_PROXY", ""), ("https_proxy", '"'), ("ALL_PROXY", "'")])
def test_a_proxy_of_the_environment_is_used(
    name: str, quotes: str, hosts: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tunnels to both hosts, so it sees neither password nor token. Its URL may have an account, and quotes of a file."""
    with proxy("me:secret/%") as running:
        monkeypatch.setenv(name, f"{quotes}http://me:secret%2F%25@{running.address}{quotes}")
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


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("with_proxy", [True, False])
def test_entries_of_no_proxy_that_mean_nothing_are_ignored(
    name: str, with_proxy: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Docker and dual-stack clusters set networks of IPv6. One warning lists them, and the good entries count."""
    entries = (
        "::1/128,fd00::/8 , [::1],*.good.test,.svc,10.0.0.0/8 [fd00::1]:443;x,foo:99,${HOSTS},a*b,,good2.test.,::1"
    )
    monkeypatch.setenv(name, entries)
    if with_proxy:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with Kayrros(token="a-token") as kayrros:
        asyncio.run(kayrros.aclose())
    [record] = [record for record in caplog.records if record.name.startswith("kayrros_ext")]
    assert record.levelname == "WARNING"
    assert record.message.startswith("Ignoring entries of NO_PROXY")
    ignored = ["::1/128", "fd00::/8", "[fd00::1]:443;x", "${HOSTS}", "a*b"]
    assert record.message.partition(": ")[2].split(", ") == ignored


@named_hosts
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("entries", "base", "is_direct"),
    [
        ("fd00::/8,::1/128,*.test", f"https://{HOST}", True),
        (f"[::1],{HOST}:PORT", f"https://{HOST}", True),
        ("192.0.2.0/24", "https://192.0.2.7", True),
        ("2001:db8::/32", "https://[2001:db8::7]", True),
        ("[2001:db8::7]", "https://[2001:db8::7]", True),
        ("2001:db8::/64,198.51.100.0/24", "https://192.0.2.7", False),
        ("*", "https://192.0.2.7", True),
        ("", "https://localhost", True),
        ("", "https://127.0.0.9", True),
    ],
)
def test_good_entries_of_no_proxy_count(
    entries: str, base: str, is_direct: bool, is_async: bool, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain, an address, a network that an address of ours is in, and this machine bypass the proxy."""
    tried: list[str] = []

    def refuse(host: str) -> Any:
        tried.append(host)
        raise OSError("not in a test")

    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: refuse(address[0]))
    monkeypatch.setattr("anyio.connect_tcp", lambda remote_host, **_: refuse(remote_host))
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1:1")
    monkeypatch.setenv("NO_PROXY", entries.replace("PORT", "8443"))
    kayrros = Kayrros(token="a-token", base_url=f"{base}:8443", retries=0, verify=authority.certificate)
    call = get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client)
    with kayrros, contextlib.closing(call), pytest.raises(TransportError):
        asyncio.run(call) if is_async else kayrros.metadata(DATASET)
    host = base.removeprefix("https://").strip("[]")
    assert tried == [host if is_direct else "192.0.2.1"]


@named_hosts
def test_a_redirect_on_this_machine_needs_no_proxy(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy would get the file's URL, and could not reach the host."""
    store = start(lambda _: StubResponse(200, b"x"))
    place = store.url.replace("127.0.0.1", "localhost")
    data = start(lambda _: StubResponse(302, b"", {"Location": f"{place}/file"}))
    with proxy() as running:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{running.address}")
        assert connect(data, token="a-token").download(DATASET, tmp_path).path.read_bytes() == b"x"
        assert running.heads == []


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
    "url",
    [
        f"http://me:{PASSWORD}/x@127.0.0.1:1",
        f"ftp://me:{PASSWORD}@h",
        f"http://m e:{PASSWORD}@h:x",
        f"<http://me:{PASSWORD}@h>",
    ],
)
def test_an_invalid_proxy_url_does_not_show_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash in the password ends the host early, and httpx would report the rest as an invalid port."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Kayrros(token="a-token")
    assert PASSWORD not in ours(caught.value)
