"""Credentials come from the first source that has any; sources are not mixed, and readable netrc files are refused."""

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from keyring.backend import KeyringBackend

from kayrros_ext import ConfigurationError, Identity, Kayrros, UnauthorizedError
from kayrros_ext._config.settings import Settings
from kayrros_ext.testing import Platform
from tests.support.jwt import jwt
from tests.support.keyrings import Locked, Working
from tests.support.leaks import PASSWORD, TOKEN, ours, shows_a_secret
from tests.support.unprivileged import unprivileged

pytestmark = pytest.mark.holds_secrets("config.toml", "netrc", "~/.netrc")
UseKeyring = Callable[[KeyringBackend], None]
Write = Callable[..., Path]

PROFILES = f"""
[default]
email = "default@example.com"
password = "{PASSWORD}"

[staging]
email = "staging@example.com"
base_url = "https://data.staging.example"
auth_url = "https://login.staging.example"
"""


@pytest.fixture
def netrc(home: Path) -> Write:
    """Write the netrc file; by default it has the login host's password."""

    def write(
        text: str = f"machine auth.kayrros.com login netrc@example.com password {PASSWORD}", mode: int = 0o600
    ) -> Path:
        path = home / "netrc"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def account(**arguments: Any) -> tuple[str, str | None]:
    """Return source and email, from a client that sends nothing."""
    with Kayrros(transport=httpx.MockTransport(lambda _: pytest.fail("sent")), **arguments) as kayrros:
        identity = kayrros.whoami()
    return identity.source, identity.email


def test_the_first_source_with_credentials_wins(
    home: Path, netrc: Write, use_keyring: UseKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, environment, profile, keyring, netrc: each is used once those before it are empty."""
    (home / "config.toml").write_text(PROFILES)
    netrc()
    use_keyring(Working(**{"keyring@example.com": PASSWORD}))
    monkeypatch.setenv("KAYRROS_EMAIL", "environment@example.com")
    monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
    assert account(email="argument@example.com", password=PASSWORD) == ("arguments", "argument@example.com")
    assert account() == ("environment", "environment@example.com")
    monkeypatch.delenv("KAYRROS_EMAIL")
    monkeypatch.delenv("KAYRROS_PASSWORD")
    assert account() == ("profile", "default@example.com")
    (home / "config.toml").write_text("")
    assert account() == ("keyring", "keyring@example.com")
    use_keyring(Working())
    assert account() == ("netrc", "netrc@example.com")
    netrc("")
    with pytest.raises(
        ConfigurationError, match=r"no credentials\. .*config file.*kayrros-ext.example/credentials/"
    ) as caught:
        Kayrros()
    assert caught.value.needs_login
    assert "kayrros login" in str(caught.value.hint_cli)


def test_sources_are_not_mixed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an account in one source is not completed from the next; the error names the source."""
    (home / "config.toml").write_text(PROFILES)
    monkeypatch.setenv("KAYRROS_EMAIL", "default@example.com")
    with pytest.raises(ConfigurationError, match="email but no password in the environment, and sources are not mixed"):
        Kayrros()
    with pytest.raises(ConfigurationError, match="email but no password in the arguments.*KAYRROS_PASSWORD") as caught:
        Kayrros(email="x@example.com")
    assert caught.value.needs_login
    assert "kayrros login" in str(caught.value.hint_cli)
    monkeypatch.delenv("KAYRROS_EMAIL")
    with pytest.raises(ConfigurationError, match="email but no password in profile staging"):
        Kayrros(profile="staging")


def test_half_of_the_arguments_is_completed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is that of the password."""
    with pytest.raises(ConfigurationError, match="password but no email in the arguments.*KAYRROS_EMAIL"):
        Kayrros(password=PASSWORD)
    monkeypatch.setenv("KAYRROS_EMAIL", "environment@example.com")
    assert account(password=PASSWORD) == ("arguments", "environment@example.com")
    monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
    assert account(email="x@example.com") == ("environment", "x@example.com")


def test_the_password_of_an_email_comes_from_keyring_or_netrc(
    netrc: Write, use_keyring: UseKeyring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password of another email is not used."""
    use_keyring(Working(**{"keyring@example.com": PASSWORD}))
    netrc()
    monkeypatch.setenv("KAYRROS_EMAIL", "keyring@example.com")
    assert account() == ("keyring", "keyring@example.com")
    monkeypatch.setenv("KAYRROS_EMAIL", "netrc@example.com")
    assert account() == ("netrc", "netrc@example.com")
    monkeypatch.setenv("KAYRROS_EMAIL", "nobody@example.com")
    with pytest.raises(ConfigurationError, match="no password"):
        Kayrros()
    monkeypatch.delenv("KAYRROS_EMAIL")
    (home / "config.toml").write_text('[default]\nemail = "keyring@example.com"')
    assert account() == ("keyring", "keyring@example.com")
    assert account(email="keyring@example.com") == ("keyring", "keyring@example.com")


def test_a_token_stays_the_source(use_keyring: UseKeyring) -> None:
    """The keyring's password for the email next to it is for the next login."""
    use_keyring(Working(**{"e@example.com": PASSWORD}))
    settings = Settings.load(email="e@example.com", token="a-token")
    assert (settings.source, settings.credentials and settings.credentials.email) == ("arguments", "e@example.com")


def test_a_keyring_that_fails_leads_to_netrc(use_keyring: UseKeyring, netrc: Write) -> None:
    """It is a warning in the log, and the next source counts."""
    use_keyring(Locked())
    netrc()
    assert account() == ("netrc", "netrc@example.com")


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_netrc_that_others_can_read_is_refused(mode: int, netrc: Write) -> None:
    """It is refused only if it is used. An entry for another host does not matter."""
    path = netrc(mode=mode)
    with pytest.raises(ConfigurationError, match=f"others on this machine can read it.*: chmod 600 {path}$"):
        Kayrros()
    assert Settings.load(token="a-token").source == "arguments"
    netrc(f"machine other.example login x password {PASSWORD}", mode)
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_netrc_that_may_not_be_read_is_refused(netrc: Write) -> None:
    """The hint is the command to run."""
    netrc(mode=0)
    with unprivileged(), pytest.raises(ConfigurationError, match=r"netrc can't be read: .*chmod 600"):
        Kayrros()


@pytest.mark.parametrize(
    "text",
    [
        f"default login anonymous password {PASSWORD}",
        f"machine kayrros.com login x password {PASSWORD}",
        f"machine auth.kayrros.com.evil.example login x password {PASSWORD}",
        "machine auth.kayrros.com login x",
        "",
    ],
    ids=["default", "parent", "longer", "no password", "empty"],
)
def test_netrc_is_used_for_the_login_host_only(text: str, netrc: Write) -> None:
    """A password for other hosts, or for any host, is not sent to this one."""
    netrc(text)
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"machine a login b password\n{PASSWORD} {TOKEN}\n".encode(), r"not a valid netrc file at line \d+"),
        (f"mashine {PASSWORD}".encode(), r"not a valid netrc file at line \d+"),
        (f"machine {PASSWORD}\xff".encode("latin-1"), "not UTF-8"),
    ],
    ids=["line", "keyword", "encoding"],
)
def test_an_invalid_netrc_is_not_quoted(content: bytes, message: str, netrc: Write) -> None:
    """The error of the parser would quote it."""
    netrc().write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Kayrros()
    assert not shows_a_secret(ours(caught.value))


def test_without_a_home_there_is_no_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the working directory is not read."""
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / ".netrc").write_text(f"machine auth.kayrros.com login x password {PASSWORD}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETRC")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()


def test_httpx_does_not_read_netrc(netrc: Write) -> None:
    """Requests carry our Authorization or none."""
    netrc(f"machine platform.api.kayrros.com login x password {PASSWORD} machine elsewhere.example login x password y")
    sent: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    with Kayrros(token=TOKEN, transport=httpx.MockTransport(respond)) as kayrros:
        with pytest.raises(UnauthorizedError):
            kayrros.collections()
        with contextlib.suppress(UnauthorizedError):
            kayrros.client.get_httpx_client().get("https://elsewhere.example/")
    assert [request.headers.get("Authorization") for request in sent] == [f"Bearer {TOKEN}", None]


def test_whoami_returns_the_identity_without_secrets(home: Path) -> None:
    """The identity has source, account, hosts and the expiry of the token."""
    (home / "config.toml").write_text(f'{PROFILES}token = "{jwt(exp=4102444800)}"')
    with Kayrros(profile="staging", token_cache=True) as kayrros:
        identity = kayrros.whoami()
    assert identity == Identity(
        source="profile",
        email=None,
        base_url="https://data.staging.example",
        auth_url="https://login.staging.example",
        profile="staging",
        has_token=True,
        token_expires=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert jwt(exp=4102444800) not in repr(identity) + json.dumps(attrs.asdict(identity), default=str)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        identity.email = "other"  # type: ignore[misc]


def test_whoami_knows_whether_there_is_a_token() -> None:
    """It knows before and after the login, and sends no request."""
    platform = Platform()
    with platform.connect() as kayrros:
        before = kayrros.whoami()
        kayrros.collections()
        after = kayrros.whoami()
    assert (before.source, before.email) == ("arguments", "analyst@example.com")
    assert (before.has_token, before.token_cache) == (False, "off")
    assert after == attrs.evolve(before, has_token=True)
    assert len(platform.requests) == 2
