"""Known secrets, and a watch over all that the suite prints, logs and writes: where one shows, the test fails.

Every test is watched: what pytest captured, what commands that it ran said, each log record at debug level with all that
it holds, and the files below its tmp_path and its home. A test that writes a file with a secret in it, as a user would,
says so: `@pytest.mark.holds_secrets("config.toml")`.
"""

import base64
import fnmatch
import logging
import re
import subprocess
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Joined here, so that a copy of this file does not hold them.
PASSWORD = "-".join(["canary", "password", "v8Qk2Zr7xT1m"])
TOKEN = "-".join(["canary", "token", "p3Wd9Ls5yB6n"])
# Of others' making, and the size of a small town.
_UNREAD = {"site-packages", "node_modules", ".venv", ".git"}


def _pattern() -> "re.Pattern[bytes]":
    """The secrets as they are, and as base64 of any text that they are in; and every token of the platform fake."""
    forms = [rb"fake-[0-9a-f]{32}"]
    for secret in (PASSWORD, TOKEN):
        forms.append(re.escape(secret.encode()))
        for before in range(3):
            coded = base64.b64encode(b"x" * before + secret.encode())
            forms.append(re.escape(coded[4 if before else 0 :][:-4]))
    return re.compile(b"|".join(forms))


_SECRET = _pattern()


def shows_a_secret(said: str | bytes | None) -> bool:
    """Whether one of the secrets is in it."""
    return bool(_SECRET.search(said.encode("utf-8", "replace") if isinstance(said, str) else said or b""))


def ours(error: BaseException) -> str:
    """All that an error and its causes show, and the locals of our own frames: those of others keep the bytes that came."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "kayrros_ext" in frame.f_code.co_filename]
    held = "".join(repr(value) for frame in frames for value in frame.f_locals.values())
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + held


def files_with_secrets(folder: Path, allowed: list[str]) -> Iterator[str]:
    """The files below a folder, in their names too, that show one where none may be."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if _UNREAD & set(path.parts) or any(fnmatch.fnmatch(name, pattern) for pattern in allowed):
            continue
        if shows_a_secret(name) or (path.is_file() and not path.is_symlink() and shows_a_secret(path.read_bytes())):
            yield name


class _Records(logging.Handler):
    """Notes each record: its words, its traceback, and whatever else it holds."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{self.format(record)} {vars(record)!r}")


@pytest.fixture(autouse=True)
def no_secret_leaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """Fail the test when it logged, ran or wrote one of the secrets."""
    said: list[str | bytes | None] = []
    _note_outputs(subprocess.Popen, "communicate", said, monkeypatch)
    _note_outputs(pytest.CaptureFixture, "readouterr", said, monkeypatch)
    records, root = _Records(), logging.getLogger()
    root.addHandler(records)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)
    root.removeHandler(records)
    allowed = [pattern for mark in request.node.iter_markers("holds_secrets") for pattern in mark.args]
    folders = [home, *(folder for folder in [request.node.funcargs.get("tmp_path")] if folder)]
    leaks = [f"the file {name}" for folder in folders for name in files_with_secrets(folder, allowed)]
    leaks += ["a log record"] * any(map(shows_a_secret, records.said)) + ["an output"] * any(map(shows_a_secret, said))
    if leaks:
        pytest.fail(f"A secret of the suite shows in: {', '.join(leaks)}", pytrace=False)


def _note_outputs(kind: type, name: str, said: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(kind, name)

    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = real(self, *args, **kwargs)
        said.extend(outputs)
        return outputs

    monkeypatch.setattr(kind, name, noting)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test when it printed one of the secrets."""
    report = yield
    shown = [name for name, content in report.sections if shows_a_secret(content)]
    if report.passed and shown:
        report.outcome = "failed"
        report.sections = []
        report.longrepr = f"A secret of the suite shows in: {', '.join(shown)}"
    return report
