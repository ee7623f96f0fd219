"""Sources of credentials complete each other, never of two accounts, and readable netrc files are refused."""

import contextlib
import itertools
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
from kayrros_ext._secret import Secret
from kayrros_ext.testing import Platform
from tests.support.jwt import jwt
from tests.support.keyrings import Locked, Working
from tests.support.leaks import PASSWORD, TOKEN, ours, shows_a_secret
from tests.support.settings import load_settings
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
    with pytest.raises(ConfigurationError, match=r"no credentials\. .*run `kayrros login`") as caught:
        Kayrros()
    assert caught.value.needs_login
    assert "kayrros login" in str(caught.value.hint_cli)


A, B, PASS, OTHER_PASS = "a@example.com", "b@example.com", f"{PASSWORD}1", f"{PASSWORD}2"
E, P, T = {"email": A}, {"password": PASS}, {"token": f"{TOKEN}1"}
E2, P2, T2 = {"email": B}, {"password": OTHER_PASS}, {"token": f"{TOKEN}2"}
NO_EMAIL, NONE = "but no email", "There are no credentials"

# Arguments, environment, profile; source, email, password and token, or the error.
Row = tuple[dict[str, str], dict[str, str], dict[str, str], tuple[str, str | None, str | None, str | None] | str]
TABLE: dict[str, Row] = {
    "nothing": ({}, {}, {}, NONE),
    "one source": (E | P | T, {}, {}, ("arguments", A, PASS, T["token"])),
    "password of the environment, email of the profile": ({}, P, E, ("environment", A, PASS, None)),
    "password of the environment replaces that of the profile": ({}, P, E | P2, ("environment", A, PASS, None)),
    "email of the environment, password of the profile": ({}, E, P, ("profile", A, PASS, None)),
    "email repeated": ({}, E, E | P, ("profile", A, PASS, None)),
    "email in other case and with blanks": ({}, E, {"email": " A@Example.com "} | P, ("profile", A, PASS, None)),
    "email of the arguments": (E, P, E2 | P2, ("environment", A, PASS, None)),
    "password of the arguments": (P, E, E2 | P2, ("arguments", A, PASS, None)),
    "each from a source of its own": (P, {}, E, ("arguments", A, PASS, None)),
    "complete arguments": (E | P, E2 | T2, E2 | P2, ("arguments", A, PASS, None)),
    "two emails": ({}, E, E2 | P2, f"no password for {A} \\(KAYRROS_EMAIL\\), and profile default is for {B}"),
    "two emails, no password": (E, E2, {}, f"no password for {A} \\(arguments\\), and KAYRROS_EMAIL is for {B}"),
    "two emails, then a password without one": (E, E2 | P2, P, ("profile", A, PASS, None)),
    "two emails and a token of the other": ({}, E, E2 | T2, f"no password for {A} .*, and profile default is for {B}"),
    "email alone": ({}, {}, E, f"no password for {A} \\(profile default\\)"),
    "password alone": ({}, P, {}, f"password \\(KAYRROS_PASSWORD\\), {NO_EMAIL}"),
    "password above a token": ({}, P, T, NO_EMAIL),
    "password above a token and an email": ({}, P, E | T, ("environment", A, PASS, None)),
    "token alone": ({}, T, E | P, ("environment", None, None, T["token"])),
    "token of an email": ({}, E | T, P, ("environment", A, PASS, T["token"])),
    "token of an email, and its password": ({}, E | T, E | P, ("environment", A, PASS, T["token"])),
    "token of an email, and the password of another": ({}, E | T, E2 | P2, ("environment", A, None, T["token"])),
    "token without an email, below an email": (E, T, P, ("profile", A, PASS, None)),
    "token without an email, then an account": (E, T, E | P, ("profile", A, PASS, None)),
    "token without an email, below an email, and no password": (E, T, {}, f"no password for {A} \\(arguments\\)"),
    "first of two tokens": (T, T2, {}, ("arguments", None, None, T["token"])),
    "token and password without an email": ({}, T | P, {}, ("environment", None, None, T["token"])),
}


@pytest.mark.parametrize("name", TABLE)
def test_sources_complete_each_other(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Email, password and token are each those of the first source that has one, but never of two accounts."""
    arguments, environment, profile, expected = TABLE[name]
    for key, value in environment.items():
        monkeypatch.setenv(f"KAYRROS_{key.upper()}", value)
    write_profiles(home, default=profile)
    if isinstance(expected, str):
        with pytest.raises(ConfigurationError, match=expected) as caught:
            Kayrros(**arguments)  # type: ignore[arg-type]  # strings only
        assert caught.value.needs_login
        assert "run `kayrros login`" in caught.value.hint
    else:
        assert resolved(**arguments) == expected


def write_profiles(home: Path, **profiles: dict[str, str]) -> None:
    lines = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in it.items())
        for name, it in profiles.items()
    )
    (home / "config.toml").write_text("".join(lines))


def resolved(**arguments: Any) -> tuple[str, str | None, str | None, str | None]:
    """Return source, email, password and token; an account without either of the last two needs a saved login."""
    settings = load_settings(**arguments)
    password, token = (secret.value if secret else None for secret in (settings.password, settings.token))
    return settings.source, settings.email, password, token


def test_no_combination_of_sources_mixes_accounts(
    home: Path, netrc: Write, use_keyring: UseKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the 1,728 combinations in three sources, with a keyring and a netrc of one account each.

    The email is the first that there is. A password is of a source without an email or of the same. Whatever comes first is
    used first; a token needs an email next to it. Only where nothing of the account is there does it need a saved login.
    """
    use_keyring(Working(**{B: "of-the-keyring"}))
    netrc(f"machine auth.kayrros.com login {A.upper()} password of-the-netrc")
    parts = list(itertools.product((None, A, B), (False, True), (False, True)))
    names = ("arguments", "environment", "profile")

    def settings_of(name: str, part: tuple[str | None, bool, bool]) -> dict[str, str]:
        values = {"email": part[0], "password": f"pass-{name}" * part[1], "token": f"token-{name}" * part[2]}
        return {key: value for key, value in values.items() if value}

    write_profiles(home, **{f"p{index}": settings_of("profile", part) for index, part in enumerate(parts)})
    for combination in itertools.product(parts, repeat=3):
        for key in ("email", "password", "token"):
            monkeypatch.delenv(f"KAYRROS_{key.upper()}", raising=False)
        for key, value in settings_of("environment", combination[1]).items():
            monkeypatch.setenv(f"KAYRROS_{key.upper()}", value)
        monkeypatch.setenv("KAYRROS_PROFILE", f"p{parts.index(combination[2])}")
        source, email, password, token = resolved(**settings_of("arguments", combination[0]))
        sources = dict(zip(names, combination, strict=True))
        emails = [part[0] for part in combination if part[0]]
        owner = {f"pass-{name}": part[0] for name, part in sources.items()}
        owner |= {f"token-{name}": part[0] for name, part in sources.items()}
        stored = {"of-the-keyring": B, "of-the-netrc": A.upper()}
        if email is None:  # a token whose account nobody knows is used alone
            assert (source, password) == (token and token.removeprefix("token-"), None), combination
            assert not any(part[0] or part[1] for part in combination[: names.index(source)])
            continue
        assert email == (emails[0] if emails else B), combination
        usable = [name for name, part in sources.items() if part[0] in {None, email}]
        has_token = {name: bool(part[0] and part[2]) for name, part in sources.items()}
        first = next((name for name in usable if sources[name][1] or has_token[name]), None)
        assert {**owner, **stored}[password] in {None, email, email.upper()} if password else token, combination
        assert token is None or owner[token] == email, combination
        if first and has_token[first]:
            assert (source, token) == (first, f"token-{first}"), combination
        elif first:
            assert (source, password, token) == (first, f"pass-{first}", None), combination
        else:
            assert (source, token, password) == (
                ("keyring", None, "of-the-keyring") if email == B else ("netrc", None, "of-the-netrc")
            )


def test_the_first_account_of_the_keyring_supplies_an_email(
    use_keyring: UseKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a password of the environment, where nothing else names an email."""
    use_keyring(Working(**{"keyring@example.com": PASSWORD}))
    monkeypatch.setenv("KAYRROS_PASSWORD", PASS)
    assert resolved() == ("environment", "keyring@example.com", PASS, None)


def test_a_profile_by_name_counts_before_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment completes it, unless it is of another account."""
    write_profiles(home, mine={"email": A})
    monkeypatch.setenv("KAYRROS_PASSWORD", PASS)
    assert resolved(profile="mine") == ("environment", A, PASS, None)
    monkeypatch.setenv("KAYRROS_EMAIL", B)
    with pytest.raises(ConfigurationError, match=f"{A} .profile mine., and KAYRROS_EMAIL is for {B}") as caught:
        Kayrros(profile="mine")
    assert "`kayrros login --profile mine`" in str(caught.value.hint_cli)


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
    settings = load_settings(email="e@example.com", token="a-token")
    assert (settings.source, settings.email, settings.password) == ("arguments", "e@example.com", Secret(PASSWORD))


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
    assert load_settings(token="a-token").source == "arguments"
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
        email="staging@example.com",
        base_url="https://data.staging.example",
        auth_url="https://login.staging.example",
        profile="staging",
        token_cache="file",
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
