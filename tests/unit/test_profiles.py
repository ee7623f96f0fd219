"""Profiles come from the user's config file, which is refused where it is invalid or not safe."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from kayrros_ext import ConfigurationError, Kayrros
from kayrros_ext._config.profiles import config_path, load_profile
from kayrros_ext._config.settings import Settings
from kayrros_ext._secret import Secret
from tests.support.leaks import PASSWORD, TOKEN, ours, shows_a_secret
from tests.support.settings import load_settings
from tests.support.unprivileged import unprivileged

pytestmark = pytest.mark.holds_secrets("config.toml", "elsewhere.toml")
posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
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


def hosts(settings: Settings) -> tuple[str, str]:
    return settings.base_url.host, settings.auth_url.host


def test_a_profile_is_a_table_of_the_config_file(config: Write) -> None:
    """It sets what the table sets, and an empty string counts as unset."""
    config(TWO)
    profile = load_profile("staging")
    assert (profile.profile, profile.email, profile.token) == ("staging", "staging@example.com", Secret(TOKEN))
    assert profile.password is None
    config('[default]\nemail = ""')
    assert not load_profile().email


def test_kayrros_profile_chooses_the_profile(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the environment count before a profile that is chosen so."""
    config(TWO)
    monkeypatch.setenv("KAYRROS_PROFILE", "staging")
    settings = load_settings()
    assert hosts(settings) == ("data.staging.example", "login.staging.example")
    assert (settings.source, settings.profile) == ("profile", "staging")
    monkeypatch.setenv("KAYRROS_TOKEN", "of-the-environment")
    monkeypatch.setenv("KAYRROS_BASE_URL", "https://environment.example")
    settings = load_settings()
    assert hosts(settings) == ("environment.example", "login.staging.example")
    assert settings.source == "environment"


def test_a_profile_that_is_an_argument_precedes_the_environment(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its credentials and its hosts are used. Other arguments still come first."""
    config(TWO)
    monkeypatch.setenv("KAYRROS_TOKEN", "of-the-environment")
    monkeypatch.setenv("KAYRROS_BASE_URL", "https://environment.example")
    settings = load_settings(profile="staging")
    assert (settings.source, settings.profile) == ("profile", "staging")
    assert hosts(settings) == ("data.staging.example", "login.staging.example")
    assert hosts(load_settings(profile="default")) == ("environment.example", "auth.kayrros.com")
    assert load_settings(profile="staging", base_url="https://a.example").base_url.host == "a.example"
    assert load_settings(profile="staging", token="a-token").source == "arguments"


def test_the_config_file_is_not_read_where_it_is_not_needed(config: Write) -> None:
    """Credentials and both hosts are set elsewhere."""
    urls = {"base_url": "https://a.example", "auth_url": "https://b.example"}
    config("not TOML")
    assert load_settings(token="a-token", **urls).source == "arguments"
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_settings(token="a-token", base_url="https://a.example")


@pytest.mark.parametrize("by_argument", [True, False])
def test_a_missing_profile_is_an_error(by_argument: bool, config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error lists the names of those that exist, and nothing else of them."""
    config(TWO)
    if not by_argument:
        monkeypatch.setenv("KAYRROS_PROFILE", "prod")
    with pytest.raises(ConfigurationError, match="no profile 'prod'.*It has: 'default', 'staging'") as caught:
        Kayrros(profile="prod" if by_argument else None)
    assert "example.com" not in str(caught.value)
    assert load_profile("prod", missing_ok=True).profile == "prod"


def test_a_missing_config_file_is_an_error_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it is an error only where a profile was named."""
    monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path / "nothing.toml"))
    with pytest.raises(ConfigurationError, match="no config file .*nothing.toml for KAYRROS_CONFIG"):
        Kayrros(token="a-token")
    assert load_profile("prod", missing_ok=True).profile == "prod"
    monkeypatch.delenv("KAYRROS_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: tmp_path)
    assert config_path() == tmp_path / "config.toml"
    assert load_settings(token="a-token").source == "arguments"
    with pytest.raises(ConfigurationError, match="no config file .*config.toml.*'prod'"):
        Kayrros(profile="prod")


def no_home(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("find", [no_home, lambda *_, **__: Path()], ids=["raises", "relative"])
def test_without_a_home_there_is_no_config_file(
    find: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer platformdirs raise, and older ones return a relative path; a file of the working directory is not read."""
    (tmp_path / "config.toml").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAYRROS_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", find)
    assert config_path() is None
    with pytest.raises(ConfigurationError, match="no credentials"):
        Kayrros()
    with pytest.raises(ConfigurationError, match="no config file .*'prod'"):
        Kayrros(profile="prod")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(f'[default]\nemail = "e"\npassword = {PASSWORD}', "not TOML, at line 3", id="no quotes"),
        pytest.param(f'[default]\npassword = "{PASSWORD}', "not TOML, at end of document", id="no end"),
        pytest.param(f'password = "{PASSWORD}"', r"password must be in a profile. .*\[default\]", id="loose"),
        pytest.param(f'[default]\npassword = ["{PASSWORD}"]', "password of profile default is not a string", id="list"),
        pytest.param(
            f'[default.password]\nx = "{PASSWORD}"', "password of profile default is not a string", id="table"
        ),
        pytest.param(
            f'[default]\nemail = 5\npassword = "{PASSWORD}"', "email of profile default is not a str", id="number"
        ),
        pytest.param(f'[default]\npassword = "{PASSWORD}"', r"a password \(profile default\), but no email", id="half"),
        pytest.param(f'[default]\nemail="e"\npassword="{PASSWORD}"\nbase_url = "ftp://x"', "base_url", id="host"),
        pytest.param(
            f'[default]\ntoken = "{TOKEN} {TOKEN}"', "token is empty, not a string, or has spaces", id="token"
        ),
        pytest.param(
            f'[default]\npassword = "{PASSWORD}"\nemail = "\udcff"', "config.toml is not UTF-8", id="not UTF-8"
        ),
    ],
)
def test_an_invalid_config_file_is_refused(text: str, message: str, config: Write) -> None:
    """The error names the problem and the place, and neither it nor the locals of our frames show the content."""
    config("").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=message) as caught:
        Kayrros()
    assert not shows_a_secret(ours(caught.value))


def test_an_unknown_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is one warning in a process, with a near miss; variables of another Kayrros product are none of ours."""
    monkeypatch.setenv("KAYRROS_CLIENT_LOGIN", "a")
    monkeypatch.setenv("KAYRROS_CLIENT_PASSWORD", PASSWORD)
    load_settings(token="a-token")
    assert caplog.messages == []
    monkeypatch.setenv("KAYRROS_BASEURL", "https://b.example")
    monkeypatch.setenv("KAYRROS_COLOUR", "red")
    for _ in range(2):
        load_settings(token="a-token")
    names = "KAYRROS_BASEURL (did you mean KAYRROS_BASE_URL?), KAYRROS_COLOUR"
    assert caplog.messages == [f"The environment has unknown variables, which are ignored: {names}"]


def test_an_unknown_key_is_a_warning(config: Write, caplog: pytest.LogCaptureFixture) -> None:
    """Its value may be a secret under a misspelt name, and is not shown."""
    config(f'[default]\ntoken = "{TOKEN}"\npasword = "{PASSWORD}"')
    load_settings()
    load_settings()
    [message] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert message.endswith("profile default has unknown keys, which are ignored: pasword (did you mean password?)")


@pytest.mark.parametrize(("key", "valid"), [("BASE_URL", "base_url"), ("url", "base_url"), ("Username", "email")])
def test_an_unknown_key_may_be_another_word_for_a_valid_one(
    key: str, valid: str, config: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Case does not matter, and other libraries have other names."""
    config(f'[default]\ntoken = "{TOKEN}"\n{key} = "https://data.example.com"')
    load_settings()
    assert f"{key} (did you mean {valid}?)" in caplog.text


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
@pytest.mark.parametrize("linked", [False, True])
def test_a_config_file_with_secrets_that_others_can_read_is_refused(
    mode: int, linked: bool, config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unused credentials are no exception. The target of a symlink counts, and the hint is the command to run."""
    path = config(TWO, mode)
    if linked:
        (tmp_path / "elsewhere.toml").symlink_to(path)
        monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path / "elsewhere.toml"))
        path = tmp_path / "elsewhere.toml"
    monkeypatch.setenv("KAYRROS_TOKEN", TOKEN)
    with pytest.raises(ConfigurationError, match="others on this machine can read it") as caught:
        Kayrros()
    assert caught.value.hint == f"Run as the owner of the file: chmod 600 {path}"


@posix_only
def test_a_config_file_without_secrets_may_be_readable_but_not_writable_by_all(config: Write) -> None:
    """It specifies where passwords are sent."""
    config('[default]\nbase_url = "https://data.example"', 0o644)
    assert load_settings(token="a-token").base_url.host == "data.example"
    config('[default]\nauth_url = "https://evil.example"', 0o666)
    with pytest.raises(ConfigurationError, match="Everyone.*can write to.*chmod 600"):
        Kayrros(token="a-token")


@posix_only
def test_a_config_file_that_may_not_be_read_is_refused(
    config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in a directory that may not be entered is refused too."""
    path = config(TWO, mode=0)
    path.parent.chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0)
    with unprivileged():
        for unreadable in (path, tmp_path / "closed" / "config.toml"):
            monkeypatch.setenv("KAYRROS_CONFIG", str(unreadable))
            with pytest.raises(ConfigurationError, match=f"{unreadable} can't be read: permission denied.*chmod 600"):
                Kayrros()
    path.chmod(0o600)


@posix_only
def test_the_home_of_another_user_has_no_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers set HOME to /root and run as another user: the environment is enough."""
    (tmp_path / "root").mkdir(mode=0)
    for name in ("KAYRROS_CONFIG", "NETRC", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    with unprivileged():
        with pytest.raises(ConfigurationError, match="There are no credentials"):
            Kayrros()
        monkeypatch.setenv("KAYRROS_TOKEN", TOKEN)
        with Kayrros() as kayrros:
            assert kayrros.whoami().source == "environment"


@posix_only
@pytest.mark.parametrize(("mode", "is_read"), [(0o440, True), (0o640, True), (0o444, False), (0o460, False)])
def test_a_secret_that_kubernetes_mounts_is_read(
    mode: int, is_read: bool, config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fsGroup, root owns the file and the group of the pod reads it. The user must be another one than root."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a file of root")
    config(TWO, mode)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if is_read:
        assert Kayrros().whoami().source == "profile"
    else:
        with pytest.raises(ConfigurationError, match="others on this machine can read it"):
            Kayrros()


def test_a_directory_is_not_a_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives the reason of the operating system."""
    monkeypatch.setenv("KAYRROS_CONFIG", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Is a directory"):
        Kayrros()


@pytest.mark.parametrize("email", ["ünï@example.com", 'a"b\\c@example.com', "x y@example.com", "a/../b", "a\nb", "%00"])
def test_an_unusual_email_is_passed_on(email: str, config: Write) -> None:
    """The platform decides what an email is."""
    config(f"[default]\nemail = {json.dumps(email)}\npassword = {json.dumps(PASSWORD)}")
    assert load_settings().email == email
