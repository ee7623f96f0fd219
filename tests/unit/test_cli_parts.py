"""What the command stands on: the login on demand, progress of downloads, and the edit of the config file."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from kayrros_ext import ConfigurationError, KayrrosError, LoginError
from kayrros_ext.cli import main
from kayrros_ext.cli.app import run
from kayrros_ext.cli.exits import FAILED, line
from kayrros_ext.cli.profile_file import write_profile
from kayrros_ext.testing import Platform, StaticFile
from tests.support.keyrings import Working
from tests.support.leaks import PASSWORD


def test_a_login_on_demand_takes_the_place_of_the_token() -> None:
    """One login each time, and the next call needs none."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        assert kayrros.login().has_token
        assert kayrros.login().has_token
        assert 2 == platform.logins
        kayrros.metadata(dataset.id)
    assert 2 == platform.logins


def test_a_login_on_demand_that_can_not_be_is_an_error() -> None:
    """A wrong password, or none."""
    platform = Platform()
    with platform.connect(email="a@example.com", password="wrong") as kayrros, pytest.raises(LoginError):
        kayrros.login()
    with platform.connect(token=platform.give_token()) as kayrros, pytest.raises(ConfigurationError):
        kayrros.login()


def test_a_download_tells_how_far_it_is(tmp_path: Path) -> None:
    """Bytes that are there, and those of the whole."""
    platform = Platform()
    dataset = platform.generate(file=StaticFile(b"x" * 3_000_000, "x.bin"))
    told: list[tuple[int, int | None]] = []
    with platform.connect() as kayrros:
        kayrros.download(dataset.id, tmp_path, progress=lambda size, total: told.append((size, total)))
    assert (3_000_000, 3_000_000) == told[-1]
    assert told == sorted(told)


@pytest.mark.holds_secrets("cache/tokens/*")
def test_a_login_keeps_the_password_in_the_keyring_and_a_logout_takes_it_out(
    use_keyring: Callable[[KeyringBackend], None], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """Under the email, where the credential sources look; nowhere else."""
    platform, keyring = Platform(), Working()
    platform.add_account("canary@example.com", PASSWORD)
    use_keyring(keyring)
    with platform.serve() as url:
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
        assert 0 == run(["login", "--email", "canary@example.com"])
        monkeypatch.delenv("KAYRROS_PASSWORD")
        monkeypatch.delenv("KAYRROS_EMAIL")
        assert {("kayrros-ext", "canary@example.com"): PASSWORD} == keyring.held
        assert 0 == run(["collections"])
        assert 0 == run(["logout"])
        assert {} == keyring.held
        assert 3 == run(["collections"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[mine]\nemail = "a@b"\n'),
        ("[mine]", '[mine]\nemail = "a@b"\n'),
        ('[mine]\nemail = "old"\n[other]\nemail = "x"\n', '[mine]\nemail = "a@b"\n[other]\nemail = "x"\n'),
        ('[ "mine" ] # one\nbase_url = "u"\n', '[ "mine" ] # one\nemail = "a@b"\nbase_url = "u"\n'),
        ('# note\n[other]\nemail = "x"', '# note\n[other]\nemail = "x"\n\n[mine]\nemail = "a@b"\n'),
    ],
)
def test_a_profile_is_edited_line_by_line(before: str, after: str, tmp_path: Path) -> None:
    """All else stays as it is."""
    path = tmp_path / "new" / "config.toml"
    if before:
        path.parent.mkdir()
        path.write_text(before)
    write_profile(path, "mine", {"email": "a@b"})
    assert (after, 0o600) == (path.read_text(), path.stat().st_mode & 0o777)


@pytest.mark.parametrize("before", ['mine = { email = "x" }\n', '[mine]\nemail = """\nold"""\n', "[mine\n"])
def test_a_profile_that_can_not_be_edited_so_is_left_alone(before: str, tmp_path: Path) -> None:
    """And the error says what to put there by hand."""
    path = tmp_path / "config.toml"
    path.write_text(before)
    with pytest.raises(ConfigurationError, match='Put this into its profile mine: email = "a@b"'):
        write_profile(path, "mine", {"email": "a@b"})
    assert before == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_what_a_server_says_of_an_error_steers_no_terminal() -> None:
    """Its words are in the line, its escapes are not."""
    assert "red [31m alert" == line(KayrrosError("red\x1b[31m\nalert"))


def test_ctrl_c_before_there_is_a_command_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While its modules are read."""

    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "kayrros_ext.cli.app":
                raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the process is pytest's
    monkeypatch.delitem(sys.modules, "kayrros_ext.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert (130, "\nkayrros: interrupted\n") == (main(), capsys.readouterr().err)


def test_what_nobody_thought_of_is_one_line_too() -> None:
    """With the way to its traceback."""
    words = line(ZeroDivisionError("a\nb"))
    assert (1, "\n" not in words, "--debug" in words) == (FAILED, True, True)
