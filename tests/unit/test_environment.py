"""Folders of the user that do not exist, settings from files that were written on Windows, and a client that is copied."""

import codecs
import copy
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kayrros_ext import ConfigurationError, Kayrros, UsageError
from kayrros_ext._auth.token_cache import user_cache_dir
from kayrros_ext._config.credentials import Source, load_netrc
from kayrros_ext._config.profiles import config_path, load_profile
from kayrros_ext._secret import Secret
from kayrros_ext.cli.profile_file import write_profile
from tests.support.settings import load_settings
from tests.support.unprivileged import unprivileged

SEPARATE = "\N{NO-BREAK SPACE}\r\n"


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what names a folder, so that only HOME does."""
    for name in ("KAYRROS_CONFIG", "KAYRROS_CACHE_DIR", "NETRC", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(sys.platform != "linux", reason="the variable HOME is what counts on Linux")
@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize("home", [__file__, "/nonexistent/x", "a private folder of somebody else"])
def test_a_home_of_no_use_is_none(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read there, and nothing is an error. A path in a variable that starts with ~ has no folder either."""
    if home.startswith("a private"):
        (tmp_path / "inside").mkdir()
        tmp_path.chmod(0)
        home = str(tmp_path / "inside")
    monkeypatch.setenv("HOME", home)
    with unprivileged():
        assert load_profile() == Source("profile", profile="default")
        assert load_netrc("auth.kayrros.com") is None
        assert load_settings(token="a-token").source == "arguments"
        if home != "/nonexistent/x":
            assert (config_path(), user_cache_dir()) == (None, None)
            monkeypatch.setenv("KAYRROS_CACHE_DIR", "~/cache")
            assert user_cache_dir() is None
    tmp_path.chmod(0o700)


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize(
    "error", [RuntimeError("no home"), OSError(13, "denied"), KeyError("getpwuid(): uid not found")]
)
def test_any_failure_to_find_a_home_is_none(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of Python and platformdirs raise different errors."""

    def fail(*_: object, **__: object) -> Path:
        raise error

    monkeypatch.setattr("platformdirs.user_config_path", fail)
    monkeypatch.setattr("platformdirs.user_cache_path", fail)
    monkeypatch.setattr(Path, "expanduser", fail)
    assert (config_path(), user_cache_dir(), load_netrc("auth.kayrros.com")) == (None, None, None)


def test_a_file_of_variables_from_windows_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its values end in a carriage return, for some tools in a no-break space."""
    config = tmp_path / "config.toml"
    config.write_text('[work]\nbase_url = "https://profile.example"\n')
    for name, value in {
        "EMAIL": f"a@example.com{SEPARATE}",
        "PASSWORD": " pass word \r\n",
        "TOKEN": "a-token\r",
        "AUTH_URL": "https://auth.example\r",
        "TOKEN_CACHE": "on\r",
        "PROFILE": "work\r",
        "CONFIG": f"{config}\r",
        "CACHE_DIR": f"{tmp_path}\r",
    }.items():
        monkeypatch.setenv(f"KAYRROS_{name}", value)
    monkeypatch.setenv("SSL_CERT_FILE", "\r")
    settings = load_settings()
    assert (settings.email, settings.password) == ("a@example.com", Secret(" pass word "))
    assert (settings.token, str(settings.auth_url), settings.token_cache) == (
        Secret("a-token"),
        "https://auth.example",
        True,
    )
    assert str(settings.base_url) == "https://profile.example"
    assert user_cache_dir() == tmp_path
    Kayrros().close()


def test_quotes_of_a_file_of_variables_are_removed_or_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`docker run --env-file` keeps them. A password may have quotes, so it is sent as it is, with a warning."""
    for name, value in {"EMAIL": '"a@example.com"', "PASSWORD": "'secret'", "BASE_URL": '"https://b.example"'}.items():
        monkeypatch.setenv(f"KAYRROS_{name}", value)
    settings = load_settings()
    assert (settings.email, settings.password) == ("a@example.com", Secret("'secret'"))
    assert str(settings.base_url) == "https://b.example"
    assert [record.message[:29] for record in caplog.records] == ["KAYRROS_PASSWORD is in quotes"]
    assert load_settings(token='"a-token"').token == Secret("a-token")


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8 with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_config_file_of_windows_is_read_and_edited(encoding: str, home: Path) -> None:
    """Notepad and PowerShell write these encodings."""
    text = '[default]\r\nemail = "a@example.com"\r\npassword = "p"\r\n'
    (home / "config.toml").write_bytes(ENCODINGS[encoding](text))
    assert load_profile().email == "a@example.com"
    write_profile(home / "config.toml", "default", {"email": "b@example.com"})
    assert load_profile().email == "b@example.com"
    assert (home / "config.toml").read_text("utf-8").startswith("[default]")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_netrc_of_windows_is_an_error_that_says_so(encoding: str, home: Path) -> None:
    """The module netrc can't read it."""
    (home / "netrc").write_bytes(ENCODINGS[encoding]("machine auth.kayrros.com\r\nlogin a\r\npassword p\r\n"))
    (home / "netrc").chmod(0o600)
    with pytest.raises(ConfigurationError, match="UTF-8 without a byte order mark"):
        load_netrc("auth.kayrros.com")


@pytest.mark.parametrize(
    "duplicate", [pickle.dumps, copy.copy, copy.deepcopy, lambda kayrros: pickle.dumps(kayrros.metadata)]
)
def test_a_client_is_not_copied(duplicate: Callable[[Any], Any]) -> None:
    """A worker that got one, by multiprocessing or joblib, would share the connections of its parent."""
    with Kayrros(token="a-token") as kayrros, pytest.raises(UsageError, match="Create one in each worker"):
        duplicate(kayrros)


@pytest.mark.parametrize("token", ["t", "abc"])
def test_a_token_too_short_for_a_secret_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To hide it, errors would hide every letter t."""
    with pytest.raises(ConfigurationError, match="fewer than 4 characters"):
        Kayrros(token=token)
    monkeypatch.setitem(os.environ, "KAYRROS_TOKEN", token)
    with pytest.raises(ConfigurationError, match="fewer than 4 characters"):
        Kayrros()
