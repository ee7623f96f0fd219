"""Where settings come from, and which are refused."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator

import attrs
import httpx
import pytest

from kayrros_ext import ConfigurationError, Kayrros
from kayrros_ext._auth.login import KayrrosAuth
from kayrros_ext._config.settings import Settings
from kayrros_ext._secret import Secret
from tests.support.leaks import PASSWORD, TOKEN, shows_a_secret
from tests.support.server import DATASET, Platform, Server


def load(**given: str) -> Settings:
    return Settings.load(**given)  # type: ignore[arg-type]  # the tests give strings alone


def revealed(settings: Settings) -> tuple[str | None, str | None, str | None]:
    account = settings.credentials
    return (
        account.email if account else None,
        account.password.reveal() if account else None,
        settings.token.reveal() if settings.token else None,
    )


def test_arguments_are_used() -> None:
    """Email, password and token may be given together."""
    assert ("e", "p", "t") == revealed(load(email="e", password="p", token="t"))


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, everything comes from KAYRROS_ variables."""
    names = ["EMAIL", "PASSWORD", "TOKEN", "BASE_URL", "AUTH_URL"]
    for name, value in zip(names, ["e", "p", "t", "https://b.example", "https://a.example"], strict=True):
        monkeypatch.setenv(f"KAYRROS_{name}", value)
    settings = load()
    assert ("e", "p", "t") == revealed(settings)
    assert ("https://b.example", "https://a.example") == (str(settings.base_url), str(settings.auth_url))


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token from the environment is not used beside credentials given as arguments, nor the other way round."""
    for name in ("EMAIL", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"KAYRROS_{name}", "environment")
    assert ("e", "p", None) == revealed(load(email="e", password="p"))
    assert ("e", "environment", None) == revealed(load(email="e"))
    assert (None, None, "t") == revealed(load(token="t"))


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing does not count."""
    monkeypatch.setenv("KAYRROS_TOKEN", "")
    monkeypatch.setenv("KAYRROS_BASE_URL", "")
    assert "https://platform.api.kayrros.com" == str(load(email="e", password="p").base_url)
    with pytest.raises(ConfigurationError, match="KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN"):
        load()


def test_half_of_the_credentials_is_refused() -> None:
    """The error names the half that is missing, and its variable."""
    with pytest.raises(ConfigurationError, match="no password.*KAYRROS_PASSWORD"):
        load(email="e")
    with pytest.raises(ConfigurationError, match="no email.*KAYRROS_EMAIL"):
        load(password="p")


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.api.kayrros.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "ftp://localhost",
        "localhost:4010",
        "https://",
        "https://example.com?a=b",
        "http://[::1",
        "https://a..example.com",
        "https://xn--",
    ],
)
def test_a_host_that_is_not_safe_is_refused(url: str) -> None:
    """Plain http is for loopback alone, and a host is a scheme and a name."""
    for name in ("base_url", "auth_url"):
        with pytest.raises(ConfigurationError, match=name):
            Kayrros(token="t", **{name: url})  # type: ignore[arg-type]  # name is one of two strings


@pytest.mark.parametrize(
    "url", ["http://localhost:4010", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:4010"]
)
def test_loopback_may_be_plain(url: str) -> None:
    """The mock is one setting away."""
    with Kayrros(token="t", base_url=url, auth_url=url) as kayrros:
        assert httpx.URL(url).host == kayrros.client.get_httpx_client().base_url.host


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@example.com",
        "me:hunter2@example.com",
        "https://example.com/?token=hunter2",
        "http://hunter2:x",
    ],
)
def test_a_secret_in_a_url_is_not_shown(url: str) -> None:
    """A URL that is refused is not repeated."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        load(token="t", base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\nb", "Bearer x", "ünïcode", "\x00", " "])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    """Such a token would end up, in clear, in the words of an error of the HTTP library."""
    with pytest.raises(ConfigurationError) as caught:
        load(token=token)
    assert token.strip() not in str(caught.value).split() or not token.strip()


def test_the_line_end_of_a_file_is_taken_off_a_token() -> None:
    """A token read from a file works."""
    assert "abc" == revealed(load(token="abc\n"))[2]


def test_a_password_that_is_not_text_is_refused() -> None:
    """An undecodable byte is named before the HTTP library can show the whole body in its error."""
    with pytest.raises(ConfigurationError, match="UTF-8") as caught:
        load(email="e", password="hunter2\udcff")
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "30"])
def test_a_timeout_that_is_no_time_is_refused(timeout: float) -> None:
    """Seconds, more than 0."""
    with pytest.raises(ConfigurationError, match="timeout"):
        Settings.load(token="t", timeout=timeout)


def test_a_timeout_of_centuries_is_one(platform: Platform, start: Callable[..., Server]) -> None:
    """However long, a call works."""
    server = start(platform)
    with Kayrros(email="e", password="p", base_url=server.url, auth_url=server.url, timeout=1e8) as kayrros:
        assert "Tanks" == kayrros.metadata(DATASET).name
    assert KayrrosAuth(Settings.load(email="e", password="p", timeout=1e12))._turn.wait()


def test_a_timeout_is_always_set() -> None:
    """The generated client would wait for ever by default."""
    assert 120 == Settings.load(token="t").timeout.read
    assert 5 == Settings.load(token="t", timeout=5).timeout.read
    assert 7 == Settings.load(token="t", timeout=httpx.Timeout(7)).timeout.read


def shown(settings: Settings) -> Iterator[str]:
    assert settings.credentials
    secret = settings.credentials.password
    yield from (repr(settings), str(settings), f"{settings}", repr(secret), str(secret), f"{secret}", f"{secret!r:>20}")
    yield from (str(vars(Secret)), "%s" % settings.token, "{:>20}".format(settings.token))  # noqa: UP031, UP032
    yield from (repr(attrs.asdict(settings)), json.dumps(attrs.asdict(settings), default=str), pprint.pformat(settings))
    yield repr(dataclasses.asdict(Held(secret)))
    yield pickle.dumps(settings.credentials).decode("latin-1")


@dataclasses.dataclass
class Held:
    secret: Secret


def test_no_secret_shows_itself() -> None:
    """Not in repr, str or format, in dicts or JSON made of what holds it, nor in a pickle."""
    settings = load(email="e", password=PASSWORD, token=TOKEN)
    assert not [text for text in shown(settings) if shows_a_secret(text)]
    assert f"   {'*' * 10}" == f"{settings.token:>13}"
    with pytest.raises(TypeError):
        vars(settings.token)


def test_a_secret_stays_in_its_process() -> None:
    """A pickle of what holds one works, and comes out without it; the error says what to do. A copy is the secret."""
    settings = load(email="e", password=PASSWORD, token=TOKEN)
    back = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own bytes
    assert ("e", "**********") == (back.credentials.email, str(back.token))
    with pytest.raises(ConfigurationError, match="came out of a pickle.*Give this process its own"):
        back.credentials.password.reveal()
    assert settings.token
    copies: list[Secret | None] = [
        copy.copy(settings.token),
        copy.deepcopy(settings).token,
        dataclasses.asdict(Held(settings.token))["secret"],
    ]
    assert [TOKEN] * 3 == [copied and copied.reveal() for copied in copies]


def test_secrets_compare_by_what_they_are() -> None:
    """To each other; never to a string, which would tell by being found in a list."""
    assert Secret("a") == Secret("a")
    assert {Secret("a")} == {Secret("a"), Secret("a")}
    assert Secret("a") != Secret("b")
    assert Secret("\udcff") != Secret("b")
    assert "a" != Secret("a")


def test_structured_logs_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither as an argument, nor as an extra, nor in what a JSON formatter makes of the record."""
    settings = load(email="e", password=PASSWORD, token=TOKEN)
    logging.getLogger("of.the.user").warning("%s %r", settings, settings.token, extra={"settings": settings})
    [record] = caplog.records
    assert not shows_a_secret(record.getMessage() + json.dumps(vars(record), default=str) + caplog.text)


@pytest.mark.parametrize(
    "given", [{"password": "hunter2"}, {"token": "hunter 2"}, {"email": "e", "password": "hunter2\udcff"}]
)
def test_a_refusal_shows_no_secret_in_its_traceback(given: dict[str, str]) -> None:
    """Not even one that shows the locals of our frames, and it does not fail over a half-made client."""
    with pytest.raises(ConfigurationError) as caught:
        Kayrros(**given)  # type: ignore[arg-type]  # strings alone
    stack = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [shown for frame in stack if "kayrros_ext" in frame.filename for shown in (frame.locals or {}).values()]
    assert ours
    assert "hunter" not in "".join(ours) + str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "socks5://localhost:1"),
        ("HTTPS_PROXY", "foo://x"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_proxies_and_certificates_that_can_not_be_are_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's, which the HTTP library would stumble over."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        Kayrros(token="t")


def test_what_is_no_string_is_refused() -> None:
    """A number for a password."""
    with pytest.raises(ConfigurationError, match="password"):
        Settings.load(email="e", password=12345)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigurationError, match="token"):
        Settings.load(token=12345)  # type: ignore[arg-type]  # on purpose
