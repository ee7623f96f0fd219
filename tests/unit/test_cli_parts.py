"""The parts of the command: saved logins, edits of the config file, the line of an error."""

import logging
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend

from kayrros_ext import ConfigurationError, KayrrosError, Progress
from kayrros_ext.cli import main
from kayrros_ext.cli.app import run
from kayrros_ext.cli.context import _log_to_stderr
from kayrros_ext.cli.exit_codes import FAILED, exit_code, format_error
from kayrros_ext.cli.profile_file import clear_profile, write_profile
from kayrros_ext.cli.progress_bars import _Bar, download_bar, results_bar
from kayrros_ext.testing import Platform
from tests.support.keyrings import Working
from tests.support.leaks import PASSWORD

MARK = "  # written by kayrros login"
EMAIL = f'email = "a@b"{MARK}'


def test_login_saves_the_password_in_the_keyring_until_logout(
    use_keyring: Callable[[KeyringBackend], None], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """The keyring has it under the email, where Kayrros looks for it. No file has it."""
    platform, keyring = Platform(), Working()
    platform.add_account("canary@example.com", PASSWORD)
    use_keyring(keyring)
    with platform.serve() as url:
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KAYRROS_PASSWORD", PASSWORD)
        assert run(["login", "--email", "canary@example.com"]) == 2  # the password is that of KAYRROS_EMAIL
        monkeypatch.delenv("KAYRROS_EMAIL")
        assert run(["login", "--email", "canary@example.com"]) == 0
        monkeypatch.delenv("KAYRROS_PASSWORD")
        assert keyring.held == {("kayrros-ext", "canary@example.com"): PASSWORD}
        assert run(["collections"]) == 0
        assert run(["logout"]) == 0
        assert keyring.held == {}
        assert run(["collections"]) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[mine]{MARK}\n{EMAIL}\n"),
        ("[mine]\n", f"[mine]\n{EMAIL}\n"),
        ('[mine]\nbase_url = "u"\n[other]\nemail = "x"\n', f'[mine]\n{EMAIL}\nbase_url = "u"\n[other]\nemail = "x"\n'),
        ('[ "mine" ] # one\nbase_url = "u"\n', f'[ "mine" ] # one\n{EMAIL}\nbase_url = "u"\n'),
        ('# note\n[other]\nemail = "x"\n', f'# note\n[other]\nemail = "x"\n\n[mine]{MARK}\n{EMAIL}\n'),
        ('[mine]\nemail = "a@b"  # my own\n', '[mine]\nemail = "a@b"  # my own\n'),
        ('[mine]\nemail = "A@B"  # my own\n', '[mine]\nemail = "A@B"  # my own\n'),
        (
            '[mine]\n\nemail = "old@b"  # my own\n# note\n',
            f'[mine]\n\n{EMAIL}\n# email = "old@b"  # my own  # replaced by kayrros login\n# note\n',
        ),
    ],
)
def test_profile_is_edited_line_by_line(before: str, after: str, tmp_path: Path) -> None:
    """Equal values and other lines stay, only the owner can read the file afterwards, and logout undoes all of it."""
    path = tmp_path / "new" / "config.toml"
    if before:
        path.parent.mkdir()
        path.write_text(before)
    write_profile(path, "mine", {"email": "a@b"})
    assert path.read_text() == after
    assert before == after or path.stat().st_mode & 0o777 == 0o600
    for email, base_url in (("a@b", "u"), ("new@b", "u/"), ("a@b", "other"), ("a@b", "u")):
        write_profile(path, "mine", {"email": email, "base_url": base_url})
        profile = tomllib.loads(path.read_text())["mine"]
        assert (profile["email"].lower(), profile["base_url"].rstrip("/")) == (email, base_url.rstrip("/"))
    assert set(clear_profile(path, "mine")) == {"email", "base_url"}
    assert path.read_text() == before
    assert clear_profile(path, "mine") == []


@pytest.mark.parametrize("text", ['mine = { email = "x" }\n', '[mine]\n"email" = """\nold"""\n', "[other]\n", ""])
def test_logout_leaves_a_config_file_without_its_lines(text: str, tmp_path: Path) -> None:
    """Whatever its syntax."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert clear_profile(path, "mine") == []
    assert path.read_text() == text


def test_a_host_that_differs_by_its_final_slash_is_not_replaced(tmp_path: Path) -> None:
    """It is the user's line, and stays after logout. That of another host comes back."""
    path = tmp_path / "config.toml"
    before = '[mine]\nbase_url = "https://a/"  # my own\nauth_url = "https://b"\n'
    path.write_text(before)
    write_profile(path, "mine", {"base_url": "https://a", "auth_url": "https://c"})
    assert '\nbase_url = "https://a/"  # my own\n' in path.read_text()
    assert tomllib.loads(path.read_text())["mine"]["auth_url"] == "https://c"
    assert clear_profile(path, "mine") == ["auth_url"]
    assert path.read_text() == before


def test_what_the_user_wrote_stays_after_logout(tmp_path: Path) -> None:
    """Also in a profile that login has begun, with other keys, comments and a value that login has found there."""
    path = tmp_path / "config.toml"
    path.write_text('[mine]\nbase_url = "u"  # my own\n')
    write_profile(path, "mine", {"email": "a@b", "base_url": "u", "auth_url": "v"})
    write_profile(path, "other", {"email": "a@b"})
    path.write_text(path.read_text() + "# a note\n")
    assert clear_profile(path, "mine") == ["email", "auth_url"]
    assert clear_profile(path, "other") == ["email"]
    assert path.read_text() == f'[mine]\nbase_url = "u"  # my own\n\n[other]{MARK}\n# a note\n'


@pytest.mark.parametrize("before", ['mine = { email = "x" }\n', '[mine]\nemail = """\nold"""\n', "[mine\n"])
def test_config_file_with_unusual_syntax_stays_unchanged(before: str, tmp_path: Path) -> None:
    """The error says what to add by hand."""
    path = tmp_path / "config.toml"
    path.write_text(before)
    with pytest.raises(ConfigurationError, match='Add to its profile mine: email = "a@b"'):
        write_profile(path, "mine", {"email": "a@b"})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_line_of_an_error_prefers_the_hint_for_the_command_line() -> None:
    """An empty one replaces the hint, too."""
    assert format_error(KayrrosError("It failed.", hint="Use x=1.")) == "It failed. Use x=1."
    assert format_error(KayrrosError("It failed.", hint="Use x=1.", hint_cli="Use --x.")) == "It failed. Use --x."
    assert format_error(KayrrosError("It failed.", hint="Use x=1.", hint_cli="")) == "It failed."


def test_line_of_an_error_has_no_control_characters() -> None:
    """Messages of the server are part of it."""
    assert format_error(KayrrosError("red\x1b[31m\nalert")) == "red [31m alert"


def test_unexpected_error_is_one_line() -> None:
    """It names the error and --debug."""
    error = ZeroDivisionError("a\nb")
    assert exit_code(error) == FAILED
    assert format_error(error) == (
        "ZeroDivisionError: a b. This is a bug: please report it with the output of --debug."
    )


def test_ctrl_c_during_imports_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The interrupt comes before a command runs."""

    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "kayrros_ext.cli.app":
                raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # keep the handlers of pytest
    monkeypatch.delitem(sys.modules, "kayrros_ext.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert (main(), capsys.readouterr().err) == (130, "\nkayrros: interrupted\n")


def log_retry(wait_s: float, notice: str = "attempt 2 of 5") -> None:
    logging.getLogger("kayrros_ext").info("x", extra={"notice": notice, "wait_s": wait_s, "reason": "status 503"})


def test_retries_are_shown_without_v(capsys: pytest.CaptureFixture[str]) -> None:
    """All requests that wait have one line. Warnings are lines of their own, and the rest of the log is not shown."""
    _log_to_stderr(0, quiet=False)
    _log_to_stderr(0, quiet=False)  # of the next command in this process
    log = logging.getLogger("kayrros_ext")
    log_retry(3.4)
    log_retry(3.2)
    log.info("hidden")
    log.warning("red\x1b")
    log.info("x", extra={"notice": "resuming at 15.8 MB"})
    assert capsys.readouterr().err.splitlines() == [
        "kayrros: status 503, retrying in 3 s, attempt 2 of 5",
        "red\\u001b",
        "kayrros: resuming at 15.8 MB",
    ]
    _log_to_stderr(0, quiet=True)
    log_retry(3)
    assert capsys.readouterr().err == ""


def test_retries_are_in_the_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They count down there, until something arrives."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # so that rich takes stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    _log_to_stderr(0, quiet=False)
    with results_bar(shown=True) as progress:
        bar = _Bar.current
        assert bar
        bar.start()
        log_retry(7)
        log_retry(0)
        progress(Progress(fraction=0.5, rows=1, windows=1, requests=1))
    shown = capsys.readouterr().err
    assert "kayrros:" not in shown
    assert "1 row, 1 request" in shown
    bar.start()  # by a timer that fires late
    assert capsys.readouterr().err == ""


def test_the_log_omits_queries_in_linear_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A redirect of the server may have 90 kB."""
    _log_to_stderr(2, quiet=False)
    started = time.process_time()
    logging.getLogger("httpx").info(
        "GET %s then %s", "https://" * 11_000, "https://a.example/x?sign=1 https://b.example"
    )
    assert time.process_time() - started < 0.5
    assert capsys.readouterr().err.endswith(" then https://a.example/x?… https://b.example\n")


def test_a_resumed_download_has_the_speed_of_what_arrives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of an earlier download are where the bar begins."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # so that rich takes stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with download_bar(shown=True) as progress:
        bar = _Bar.current
        assert bar
        bar.start()
        progress(500_000_000, 600_000_000)
        assert bar._bars
        [task] = bar._bars.tasks
        assert (task.completed, task.total, len(task._progress)) == (500_000_000, 600_000_000, 0)
        progress(500_001_000, 600_000_000)
        assert task.completed == 500_001_000
    assert "600.0 MB" in capsys.readouterr().err
