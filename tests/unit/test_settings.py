"""Settings come from arguments, environment and profile, and invalid ones are refused."""

import traceback
from typing import Any

import httpx
import pytest

from kayrros_ext import ConfigurationError, Kayrros
from kayrros_ext._config.settings import find_setting, load_sources, use_token_cache
from kayrros_ext._secret import Secret
from tests.support.settings import load_settings


def values(**arguments: Any) -> tuple[str | None, str | None, str | None]:
    """Email, password and token of the settings."""
    settings = load_settings(**arguments)
    password, token = (secret.value if secret else None for secret in (settings.password, settings.token))
    return settings.email, password, token


def test_arguments_are_used() -> None:
    """Email, password and token may be passed together."""
    assert values(email="e", password="p", token="a-token") == ("e", "p", "a-token")
    assert values(email="e", password=Secret("p")) == ("e", "p", None)


def test_environment_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, all settings come from KAYRROS_ variables."""
    names = ["EMAIL", "PASSWORD", "TOKEN", "BASE_URL", "AUTH_URL"]
    for name, value in zip(names, ["e", "p", "a-token", "https://b.example", "https://a.example"], strict=True):
        monkeypatch.setenv(f"KAYRROS_{name}", value)
    settings = load_settings()
    assert values() == ("e", "p", "a-token")
    assert (str(settings.base_url), str(settings.auth_url)) == ("https://b.example", "https://a.example")


def test_arguments_precede_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments that suffice are not combined with the environment: neither their password nor their token."""
    for name in ("EMAIL", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"KAYRROS_{name}", "environment")
    assert values(email="e", password="p") == ("e", "p", None)
    assert values(email="environment") == ("environment", "environment", "environment")
    assert values(password="p") == ("environment", "p", None)
    assert values(token="a-token") == (None, None, "a-token")


def test_an_empty_string_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both as a variable and as an argument."""
    monkeypatch.setenv("KAYRROS_TOKEN", "")
    monkeypatch.setenv("KAYRROS_BASE_URL", "")
    assert str(load_settings(email="e", password="p", auth_url="").base_url) == "https://platform.api.kayrros.com"
    with pytest.raises(ConfigurationError, match="KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN"):
        load_settings(email="", password="", token="")


def test_each_setting_has_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller can show where each setting comes from, a default included."""
    monkeypatch.setenv("KAYRROS_EMAIL", "e")
    sources = load_sources()
    assert find_setting(sources, "email") == ("e", "KAYRROS_EMAIL")
    assert find_setting(sources, "base_url") == ("https://platform.api.kayrros.com", "default")
    assert find_setting(sources, "token") == (None, None)


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
@pytest.mark.parametrize("name", ["base_url", "auth_url"])
def test_an_unsafe_host_is_refused(name: str, url: str) -> None:
    """Plain http is for loopback only, and a host is a scheme and a name."""
    with pytest.raises(ConfigurationError, match=name):
        Kayrros(token="a-token", **{name: url})  # type: ignore[arg-type]  # name is one of two strings


@pytest.mark.parametrize(
    "url", ["http://localhost:4010", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:4010"]
)
def test_loopback_may_be_plain_http(url: str) -> None:
    """The mock is one setting away."""
    settings = load_settings(token="a-token", base_url=url, auth_url=url)
    assert (settings.base_url, settings.auth_url) == (httpx.URL(url), httpx.URL(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@example.com",
        "me:hunter2@example.com",
        "https://example.com/?token=hunter2",
        "http://hunter2:x",
    ],
)
def test_a_refused_url_is_not_repeated(url: str) -> None:
    """It may hold a secret."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        load_settings(token="a-token", base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\nb", "Bearer x", "ünïcode", "\x00", " "])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    """Httpx would repeat it in its error."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(token=token)
    assert token.strip() not in str(caught.value).split() or not token.strip()


def test_the_line_end_of_a_token_is_removed() -> None:
    """A token that was read from a file works."""
    assert values(token="a-token\n") == (None, None, "a-token")


def test_a_password_that_is_not_text_is_refused() -> None:
    """An undecodable byte is reported before httpx can show the whole body in its error."""
    with pytest.raises(ConfigurationError, match="not a string of UTF-8") as caught:
        load_settings(email="e", password="hunter2\udcff")
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"email": "e", "password": 12345}, {"token": 12345}])
def test_a_credential_that_is_not_a_string_is_refused(arguments: dict[str, Any]) -> None:
    """The error names it."""
    with pytest.raises(ConfigurationError, match="password" if "password" in arguments else "token"):
        load_settings(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"password": "hunter2"}, {"token": "hunter 2"}, {"email": "e", "password": "hunter2\udcff"}]
)
def test_locals_of_our_frames_show_no_secret(arguments: dict[str, Any]) -> None:
    """A traceback that shows locals, as bug trackers make them, hides what we hold."""
    with pytest.raises(ConfigurationError) as caught:
        Kayrros(**arguments)
    stack = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [shown for frame in stack if "kayrros_ext" in frame.filename for shown in (frame.locals or {}).values()]
    assert ours
    assert "hunter" not in "".join(ours) + str(caught.value)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True, "30"])
@pytest.mark.parametrize("name", ["timeout", "total_timeout"])
def test_an_invalid_time_is_refused(name: str, value: float) -> None:
    """A time is seconds, more than 0."""
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        load_settings(token="a-token", **{name: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4", None])
@pytest.mark.parametrize("name", ["concurrency", "max_body"])
def test_an_invalid_count_is_refused(name: str, value: object) -> None:
    """A count is a whole number, 1 or more."""
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        load_settings(token="a-token", **{name: value})


def test_a_timeout_is_always_set() -> None:
    """The generated client would wait for ever by default."""
    assert load_settings(token="a-token").timeout.read == 120
    assert load_settings(token="a-token", timeout=5).timeout.read == 5
    assert load_settings(token="a-token", timeout=httpx.Timeout(7)).timeout.read == 7


@pytest.mark.parametrize(
    ("variable", "argument", "host", "expected"),
    [
        (None, None, "https://data.example", True),
        ("off", None, "https://data.example", False),
        ("OFF", None, "https://data.example", False),
        ("off", True, "https://data.example", True),
        ("on", False, "https://data.example", False),
        (None, None, "http://127.0.0.1:4010", False),
        (None, None, "http://localhost:4010", False),
        ("on", None, "http://127.0.0.1:4010", True),
        (None, True, "http://127.0.0.1:4010", True),
    ],
)
def test_the_token_cache_is_on_except_for_loopback(
    variable: str | None, argument: bool | None, host: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KAYRROS_TOKEN_CACHE overrides that, and the argument overrides the variable."""
    if variable:
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", variable)
    settings = load_settings(email="e", password="p", base_url=host, token_cache=argument)
    assert bool(settings.token_cache) == expected
    if argument is None:
        assert use_token_cache(httpx.URL(host)) == settings.token_cache


def test_an_unknown_value_of_the_token_cache_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who means off does not get on."""
    monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "never")
    with pytest.raises(ConfigurationError, match="KAYRROS_TOKEN_CACHE is 'never'. Set it to on or off"):
        Kayrros(token="a-token")


class SecretStr:
    """A secret as pydantic holds it, which prints as stars."""

    def __str__(self) -> str:
        return "**********"


@pytest.mark.parametrize("value", [SecretStr(), b"hunter2", 123456])
def test_a_secret_that_is_no_string_is_refused(value: Any) -> None:
    """Before anything is sent: a login with the stars would count against the account."""
    with pytest.raises(ConfigurationError, match=r"not a string.*get_secret_value\(\)"):
        Kayrros(email="a@b.c", password=value)
    with pytest.raises(ConfigurationError, match="not a string"):
        Kayrros(token=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "socks5://localhost:1"),
        ("HTTPS_PROXY", "foo://x"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_FILE", __file__),
        ("SSLKEYLOGFILE", "/nonexistent/keys.log"),
    ],
)
def test_an_unusable_proxy_or_certificate_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable of the environment."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        Kayrros(token="a-token")
