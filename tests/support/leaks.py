"""Known secrets, and a scan that fails each test whose output, logs or files show one.

A folder opts in by importing `no_secret_leaks` and `pytest_runtest_makereport` in its conftest.py. The scan covers captured
output, the output of commands that the test runs, log records at debug level with all their attributes, and the files below
tmp_path and home. A test that writes a secret to a file, as a user would, names the file:
`@pytest.mark.holds_secrets("config.toml")`.
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

# Joined at run time, so that a copy of this file does not contain them.
PASSWORD = "-".join(["canary", "password", "v8Qk2Zr7xT1m"])
TOKEN = "-".join(["canary", "token", "p3Wd9Ls5yB6n"])
# Not scanned: large, and not written by a test.
_SKIPPED = {"site-packages", "node_modules", ".venv", ".git"}


def _pattern() -> "re.Pattern[bytes]":
    """Match the secrets, base64 of any text that contains them, and every token of the platform fake."""
    forms = [rb"fake-[0-9a-f]{32}"]
    for secret in (PASSWORD, TOKEN):
        forms.append(re.escape(secret.encode()))
        for offset in range(3):
            encoded = base64.b64encode(b"x" * offset + secret.encode())
            forms.append(re.escape(encoded[4 if offset else 0 :][:-4]))
    return re.compile(b"|".join(forms))


_SECRET = _pattern()


def shows_a_secret(text: str | bytes | None) -> bool:
    """Return whether the text contains one of the secrets."""
    return bool(_SECRET.search(text.encode("utf-8", "replace") if isinstance(text, str) else text or b""))


def ours(error: BaseException) -> str:
    """Return the text of an error, its causes and the locals of our own frames; frames of libraries are left out."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "kayrros_ext" in frame.f_code.co_filename]
    values = "".join(repr(value) for frame in frames for value in frame.f_locals.values())
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + values


def files_with_secrets(folder: Path, allowed: list[str]) -> Iterator[str]:
    """Yield the files below a folder whose name or content shows a secret, unless a pattern allows them."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if _SKIPPED & set(path.parts) or any(fnmatch.fnmatch(name, pattern) for pattern in allowed):
            continue
        if shows_a_secret(name) or (path.is_file() and not path.is_symlink() and shows_a_secret(path.read_bytes())):
            yield name


class _Records(logging.Handler):
    """Keep the text of each record: message, traceback and all attributes."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{self.format(record)} {vars(record)!r}")


@pytest.fixture(autouse=True)
def no_secret_leaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    """Fail the test if it logged, ran or wrote one of the secrets."""
    outputs: list[str | bytes | None] = []
    _record_outputs(subprocess.Popen, "communicate", outputs, monkeypatch)
    _record_outputs(pytest.CaptureFixture, "readouterr", outputs, monkeypatch)
    records, root = _Records(), logging.getLogger()
    root.addHandler(records)
    level = root.level
    root.setLevel(logging.DEBUG)
    # At DEBUG, httpcore logs the headers that a server sends; docs/reliability.md says so.
    logging.getLogger("httpcore").setLevel(logging.INFO)
    yield
    root.setLevel(level)
    root.removeHandler(records)
    allowed = [pattern for mark in request.node.iter_markers("holds_secrets") for pattern in mark.args]
    folders = [home, *(folder for folder in [request.node.funcargs.get("tmp_path")] if folder)]
    leaks = [f"the file {name}" for folder in folders for name in files_with_secrets(folder, allowed)]
    leaks += ["a log record"] * any(map(shows_a_secret, records.texts))
    leaks += ["an output"] * any(map(shows_a_secret, outputs))
    if leaks:
        pytest.fail(f"A secret of the suite shows in: {', '.join(leaks)}", pytrace=False)


def _record_outputs(kind: type, name: str, outputs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(kind, name)

    def recording(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = real(self, *args, **kwargs)
        outputs.extend(result)
        return result

    monkeypatch.setattr(kind, name, recording)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test if it printed one of the secrets."""
    report = yield
    leaky = [name for name, content in report.sections if shows_a_secret(content)]
    if report.passed and leaky:
        report.outcome = "failed"
        report.sections = []
        report.longrepr = f"A secret of the suite shows in: {', '.join(leaky)}"
    return report
