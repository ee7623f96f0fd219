"""Where credentials come from: the first found wins, sources are not mixed, files that others can read are refused."""

import ctypes
import importlib.util
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from keyring.backend import KeyringBackend

from kayrros_ext import ConfigurationError, Identity, Kayrros, UnauthorizedError
from kayrros_ext._config.credentials import Found, find
from kayrros_ext._config.keyring import Keyring
from kayrros_ext._config.settings import Settings
from kayrros_ext.testing import Platform
from tests.support.keyrings import Locked, Silent, Working
from tests.support.leaks import PASSWORD, TOKEN
from tests.unit.test_tokens import jwt

pytestmark = pytest.mark.holds_secrets("config.toml", "elsewhere.toml", "netrc", "tokens/*.json", "cache/tokens/*.json")
UseKeyring = Callable[[KeyringBackend], None]
Write = Callable[..., Path]

TWO = f"""
[default]
email = "default@example.com"
password = "{PASSWORD}"

[staging]
email = "staging@example.com"
token = "{TOKEN}"
base_url = "https://data.staging.example"
auth_url = "https://login.staging.example"
"""


@pytest.fixture
def config(home: Path) -> Write:
    """Write the config file."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = home / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


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


def who(**given: Any) -> tuple[str, str | None]:
    """Source and email; and the client sends nothing."""
    with Kayrros(transport=httpx.MockTransport(lambda _: pytest.fail("sent")), **given) as kayrros:
        me = kayrros.whoami()
    return me.source, me.email


def test_the_first_found_wins(
    config: Write, netrc: Write, use_keyring: UseKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, environment, profile, keyring, netrc: each comes up once those before it are gone."""
    config(TWO)
    netrc()
    use_keyring(Working(**{"keyring@example.com": PASSWORD}))
    monkeypatch.setenv("KAYRROS_EMAIL", "environment@example.com")
    monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
    assert ("arguments", "argument@example.com") == who(email="argument@example.com", password=PASSWORD)
    assert ("environment", "environment@example.com") == who()
    monkeypatch.delenv("KAYRROS_EMAIL")
    monkeypatch.delenv("KAYRROS_PASSWORD")
    assert ("profile", "default@example.com") == who()
    config("")
    assert ("keyring", "keyring@example.com") == who()
    use_keyring(Working())
    assert ("netrc", "netrc@example.com") == who()
    netrc("")
    with pytest.raises(ConfigurationError, match="no credentials.*config file.*docs/credentials.md"):
        Kayrros()


def test_a_profile_is_chosen(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument, else by KAYRROS_PROFILE; the argument counts before the environment, with its hosts."""
    config(TWO)
    monkeypatch.setenv("KAYRROS_PROFILE", "staging")
    found = Settings.load()
    assert ("https://data.staging.example", "https://login.staging.example") == (
        str(found.base_url),
        str(found.auth_url),
    )
    assert ("profile", "staging") == (found.source, found.profile)
    monkeypatch.setenv("KAYRROS_TOKEN", "of-the-environment")
    monkeypatch.setenv("KAYRROS_BASE_URL", "https://environment.example")
    assert "environment" == Settings.load().source
    assert ("environment.example", "login.staging.example") == (
        Settings.load().base_url.host,
        Settings.load().auth_url.host,
    )
    chosen = Settings.load(profile="staging")
    assert ("profile", "data.staging.example") == (chosen.source, chosen.base_url.host)
    assert "argument.example" == Settings.load(profile="staging", base_url="https://argument.example").base_url.host
    assert "default" == Settings.load(profile="default").profile


@pytest.mark.parametrize("by_argument", [True, False])
def test_a_profile_that_is_not_there_is_named(
    by_argument: bool, config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the names of those that are, and nothing else of them."""
    config(TWO)
    if not by_argument:
        monkeypatch.setenv("KAYRROS_PROFILE", "prod")
    with pytest.raises(ConfigurationError, match="no profile 'prod'.*It has: default, staging") as caught:
        Kayrros(profile="prod" if by_argument else None)
    assert "example.com" not in str(caught.value)


def test_a_config_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's place may be empty, but not where a profile was asked for."""
    monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path / "nothing.toml"))
    with pytest.raises(ConfigurationError, match="KAYRROS_CONFIG names .*nothing.toml"):
        Kayrros(token="t")
    monkeypatch.delenv("KAYRROS_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path)
    assert "arguments" == Settings.load(token="t").source
    with pytest.raises(ConfigurationError, match="no config file .*config.toml.*'prod'"):
        Kayrros(profile="prod")


def test_a_relative_place_of_the_platform_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a home gets one; a file of the working directory is not the user's."""
    (tmp_path / "config.toml").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAYRROS_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: Path())
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()


def everything_about(error: BaseException) -> str:
    """What can be shown of an error below the test: traceback with locals, attributes, and the error that it came from."""
    assert error.__traceback__
    below = error.__traceback__.tb_next
    told = traceback.TracebackException(type(error), error, below, capture_locals=True)
    frames = [
        frame
        for one in (below, getattr(error.__context__, "__traceback__", None))
        for frame, _ in traceback.walk_tb(one)
    ]
    return "".join(told.format()) + repr(vars(error)) + repr([frame.f_locals for frame in frames])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(f'[default]\nemail = "e"\npassword = {PASSWORD}', "not TOML, at line 3", id="no quotes"),
        pytest.param(f'[default]\npassword = "{PASSWORD}', "not TOML, at its end", id="no end"),
        pytest.param(
            f'password = "{PASSWORD}"', r"password stands outside of a profile; begin with \[default\]", id="loose"
        ),
        pytest.param(f'[default]\npassword = ["{PASSWORD}"]', "password of profile default is not a string", id="list"),
        pytest.param(
            f'[default.password]\nx = "{PASSWORD}"', "password of profile default is not a string", id="table"
        ),
        pytest.param(
            f'[default]\nemail = 5\npassword = "{PASSWORD}"', "email of profile default is not a str", id="number"
        ),
        pytest.param(f'[default]\npassword = "{PASSWORD}"', "password but no email in profile default", id="half"),
        pytest.param(f'[default]\nemail="e"\npassword="{PASSWORD}"\nbase_url = "ftp://x"', "base_url", id="host"),
        pytest.param(f'[default]\ntoken = "{TOKEN} {TOKEN}"', "token is empty, or holds spaces", id="token"),
        pytest.param("x = " + "[" * 100_000, "nested too deep|not TOML", id="deep"),
        pytest.param("#" * 2**21, "more than 1048576 bytes", id="long"),
    ],
)
def test_a_config_file_that_is_wrong_is_refused(text: str, words: str, config: Write) -> None:
    """What is wrong and where; nothing of its content shows, in locals neither."""
    config(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        Kayrros()
    assert PASSWORD not in everything_about(caught.value)
    assert TOKEN not in everything_about(caught.value)


def test_a_config_file_that_is_not_utf8_is_refused(config: Write) -> None:
    """With the line."""
    config("").write_bytes(b'[default]\nemail = "\xff"')
    with pytest.raises(ConfigurationError, match="line 2 is not UTF-8"):
        Kayrros()


def test_an_unknown_key_is_named_in_a_warning(config: Write, caplog: pytest.LogCaptureFixture) -> None:
    """Its value may be a secret under a misspelt name, and is not shown."""
    config(f'[default]\ntoken = "{TOKEN}"\npasword = "{PASSWORD}"')
    Settings.load()
    [said] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "profile default: not known, and ignored: pasword" in said


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
@pytest.mark.parametrize("linked", [False, True])
def test_a_config_file_with_secrets_that_others_can_read_is_refused(
    mode: int, linked: bool, config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that mends it, though the environment has credentials; of a symlink the target counts."""
    path = config(TWO, mode)
    if linked:
        (tmp_path / "elsewhere.toml").symlink_to(path)
        monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path / "elsewhere.toml"))
        path = tmp_path / "elsewhere.toml"
    monkeypatch.setenv("KAYRROS_TOKEN", TOKEN)
    with pytest.raises(ConfigurationError, match=f"others on this machine can read it.*Run: chmod 600 {path}$"):
        Kayrros()


def test_a_config_file_without_secrets_may_be_read(config: Write) -> None:
    """By everybody; but not written, since it says where passwords go."""
    config('[default]\nbase_url = "https://data.example"', 0o644)
    assert "data.example" == Settings.load(token="t").base_url.host
    config('[default]\nauth_url = "https://evil.example"', 0o666)
    with pytest.raises(ConfigurationError, match="Everyone.*can write to.*chmod 600"):
        Kayrros(token="t")


# Of Linux: read and write, and search, whatever the modes say.
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CAPABILITIES_VERSION_3 = 0x20080522


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root may read everything, so it lays that down for a while.

    It stays who it is: another user may not read root's Python, and an import that fails spoils those of later tests.
    """
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root's rights can be laid down on Linux alone")
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert 0 == libc.capget(header, held), os.strerror(ctypes.get_errno())
    before = held[0]  # what is in effect, of the first 32
    held[0] = before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    assert 0 == libc.capset(header, held), os.strerror(ctypes.get_errno())
    yield
    held[0] = before
    assert 0 == libc.capset(header, held), os.strerror(ctypes.get_errno())


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_file_that_may_not_be_read_is_refused(
    config: Write, netrc: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """With the command that mends it; one in a folder that we may not enter likewise."""
    config("", 0o644).parent.chmod(0o755)
    secret = netrc(mode=0)
    (tmp_path / "closed").mkdir(mode=0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(ConfigurationError, match="netrc can't be read.*Run, as its owner: chmod 600"):
        Kayrros()
    for path in (secret, tmp_path / "closed" / "config.toml"):
        monkeypatch.setenv("KAYRROS_CONFIG", str(path))
        with pytest.raises(ConfigurationError, match=f"{path} can't be read: permission denied.*chmod 600"):
            Kayrros()


def test_a_directory_is_no_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's words are given on."""
    monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Is a directory"):
        Kayrros()


def test_sources_are_not_mixed(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of an account in one place is not completed from another; the error names the place."""
    config(TWO)
    monkeypatch.setenv("KAYRROS_EMAIL", "default@example.com")
    with pytest.raises(ConfigurationError, match="email but no password in the environment, and sources are not mixed"):
        Kayrros()
    with pytest.raises(ConfigurationError, match="email but no password in the arguments"):
        Kayrros(email="x@example.com")
    monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
    assert ("environment", "x@example.com") == who(email="x@example.com")
    assert ("profile", "staging@example.com") != who(profile="default")


def test_a_known_email_finds_its_own_password_alone(
    netrc: Write, use_keyring: UseKeyring, config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the keyring, then in netrc; that of another account is left there."""
    use_keyring(Working(**{"keyring@example.com": PASSWORD}))
    netrc()
    monkeypatch.setenv("KAYRROS_EMAIL", "keyring@example.com")
    assert ("keyring", "keyring@example.com") == who()
    monkeypatch.setenv("KAYRROS_EMAIL", "netrc@example.com")
    assert ("netrc", "netrc@example.com") == who()
    monkeypatch.setenv("KAYRROS_EMAIL", "nobody@example.com")
    with pytest.raises(ConfigurationError, match="no password"):
        Kayrros()
    monkeypatch.delenv("KAYRROS_EMAIL")
    config('[default]\nemail = "keyring@example.com"')
    assert ("keyring", "keyring@example.com") == who()
    assert ("keyring", "keyring@example.com") == who(email="keyring@example.com")


def test_a_token_that_was_given_stays_the_source(use_keyring: UseKeyring) -> None:
    """Where the keyring has the password of the email beside it, that is for the login after it."""
    use_keyring(Working(**{"e@example.com": PASSWORD}))
    found = Settings.load(email="e@example.com", token="t")
    assert ("arguments", "e@example.com") == (found.source, found.credentials and found.credentials.email)


@pytest.mark.parametrize(
    ("backend", "reason"), [(Locked, "KeyringLocked"), (Silent, "no answer in 0.05 seconds; is it locked?")]
)
def test_a_keyring_that_fails_is_a_warning(
    backend: Callable[[], Working], reason: str, use_keyring: UseKeyring, caplog: pytest.LogCaptureFixture, netrc: Write
) -> None:
    """It is asked once, whatever it does, and what it says is not repeated; netrc comes next."""
    use_keyring(broken := backend())
    netrc()
    keyring = Keyring(patience_s=0.05)
    for _ in range(2):
        assert "netrc" == find([], "auth.kayrros.com", keyring).source
    assert 1 == broken.asked
    assert [f"The keyring could not get the password ({reason}). Going on without it."] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    if isinstance(broken, Silent):
        broken.typed.set()


def test_without_the_extra_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch, use_keyring: UseKeyring) -> None:
    """Nor a word about it."""
    use_keyring(held := Working(**{"e@example.com": PASSWORD}))
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "keyring" else real(name))
    with pytest.raises(ConfigurationError, match="no password"):
        Kayrros(email="e@example.com")
    assert 0 == held.asked


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_netrc_that_others_can_read_is_refused(mode: int, netrc: Write) -> None:
    """Once it is to be used: where it has no entry for the login host, it is no matter."""
    path = netrc(mode=mode)
    with pytest.raises(ConfigurationError, match=f"Run: chmod 600 {path}$"):
        Kayrros()
    assert "arguments" == Settings.load(token="t").source
    netrc(f"machine other.example login x password {PASSWORD}", mode)
    with pytest.raises(ConfigurationError, match="no credentials"):
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
def test_netrc_is_for_the_login_host_alone(text: str, netrc: Write) -> None:
    """What stands there for other hosts, or for any host, is not sent to this one."""
    netrc(text)
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()


@pytest.mark.parametrize(
    "text", [f"machine a login b password\n{PASSWORD} {TOKEN}\n", f"mashine {PASSWORD}"], ids=[1, 2]
)
def test_a_netrc_that_is_wrong_shows_nothing(text: str, netrc: Write) -> None:
    """The parser would quote it."""
    netrc(text)
    with pytest.raises(ConfigurationError, match=r"not a netrc file: line \d+ can't be read") as caught:
        Kayrros()
    assert PASSWORD not in everything_about(caught.value)


def test_the_http_library_leaves_netrc_alone(netrc: Write) -> None:
    """A host that is in it gets no Authorization but ours."""
    netrc(f"machine platform.api.kayrros.com login x password {PASSWORD} machine elsewhere.example login x password y")
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    with Kayrros(token=TOKEN, transport=httpx.MockTransport(answer)) as kayrros:
        with pytest.raises(UnauthorizedError):
            kayrros.collections()
        kayrros.client.get_httpx_client().get("https://elsewhere.example/")
    assert [f"Bearer {TOKEN}", None] == [request.headers.get("Authorization") for request in sent]


def test_whoami_says_who_and_shows_no_secret(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source, account, hosts, cache and token; in repr and in JSON."""
    config(TWO.replace(TOKEN, jwt(exp=4102444800)))
    with Kayrros(profile="staging", token_cache=True) as kayrros:
        me = kayrros.whoami()
    assert me == Identity(
        source="profile",
        email=None,
        base_url="https://data.staging.example",
        auth_url="https://login.staging.example",
        profile="staging",
        token_held=True,
        token_expires=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert jwt(exp=4102444800) not in repr(me) + json.dumps(attrs.asdict(me), default=str)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        me.email = "other"  # type: ignore[misc]


def test_whoami_before_and_after_a_login() -> None:
    """The fake's token never gets to the disk."""
    platform = Platform()
    with platform.connect() as kayrros:
        before = kayrros.whoami()
        kayrros.collections()
        after = kayrros.whoami()
    assert ("arguments", "analyst@example.com", False, "off") == (
        before.source,
        before.email,
        before.token_held,
        before.token_cache,
    )
    assert after == attrs.evolve(before, token_held=True)
    assert 2 == len(platform.requests)


@pytest.mark.parametrize("email", ["ünï@example.com", 'a"b\\c@example.com', "x y@example.com", "a/../b", "a\nb", "%00"])
def test_an_odd_email_is_an_email(email: str, config: Write) -> None:
    """It goes to the platform as it is, from a profile too."""
    config(f"[default]\nemail = {json.dumps(email)}\npassword = {json.dumps(PASSWORD)}")
    assert ("profile", email) == who()


def test_found_is_empty_without_anything() -> None:
    """A name alone is not a source."""
    assert not Found("environment", profile="x")
