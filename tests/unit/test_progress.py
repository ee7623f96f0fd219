"""The progress line, and callbacks of a user."""

import fcntl
import io
import logging
import os
import pty
import struct
import sys
import termios
from itertools import product
from typing import Any

import pytest

from kayrros_ext import Kayrros, Progress, Results, UsageError
from kayrros_ext._progress import make_callback
from kayrros_ext.testing import Platform


def test_the_line_is_overwritten_and_stays_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """It is on stderr."""
    show = make_callback(progress=True)
    assert show
    show(Progress(fraction=0.1, rows=1, windows=1, requests=1))
    show(Progress(fraction=0.25, rows=1000, windows=2, requests=5))
    show(Progress(fraction=1.0, rows=4000, windows=8, requests=12))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "\rresults:  10%, 1 row in 1 window, 1 request"
        "\rresults:  25%, 1,000 rows in 2 windows, 5 requests\rresults: 100%, 4,000 rows in 8 windows, 12 requests\n"
    )


def test_results_of_one_response_have_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """They are there at once."""
    show = make_callback(progress=True)
    assert show
    show(Progress(fraction=1.0, rows=144, windows=1, requests=1))
    assert capsys.readouterr().err == ""


def test_by_default_a_line_needs_a_terminal() -> None:
    """The stderr of pytest is no terminal."""
    assert make_callback(None) is None
    assert make_callback(progress=False) is None
    assert make_callback(print) is print


@pytest.mark.parametrize("value", [1, 0, "yes"])
def test_anything_else_is_an_error(value: object) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError, match="progress"):
        make_callback(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [20, 40])
def test_the_line_is_narrower_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps would leave one for each update."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, columns, 0, 0))
    with os.fdopen(slave, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        show = make_callback(None)
        assert show
        show(Progress(fraction=0.5, rows=123_456_789, windows=12_345, requests=12_345))
        shown = os.read(master, 1000).decode()
    os.close(master)
    assert shown.startswith("\rresults:  50%, 123,"[:columns])
    assert len(shown) - 1 < columns


def closed() -> io.StringIO:
    """Return a stream that a daemon has closed."""
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(io.StringIO):
    """A terminal that has gone away."""

    def isatty(self) -> bool:
        return True

    def write(self, _: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise ValueError

    def fileno(self) -> int:
        raise TypeError


class Bare:
    """A logger in place of a stream. It has only one method."""

    def write(self, text: str) -> None:
        self.text = text


STREAMS = [None, closed(), Broken(), Bare(), object()]


@pytest.mark.parametrize("stream", STREAMS)
def test_no_stderr_fails_a_warning(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a handler, logging writes to stderr."""
    monkeypatch.setattr(logging.getLogger("kayrros_ext"), "propagate", False)
    monkeypatch.setattr(sys, "stderr", stream)
    assert Results.from_json(b'{"assets": [], "extra": 1}').unknown_fields == ("extra",)


@pytest.mark.parametrize(
    ("max_rows", "stream", "progress"),
    [*product([100], STREAMS, [None, True]), (100, None, False), (None, None, None), (None, None, True)],
)
def test_no_stderr_fails_a_fetch(
    max_rows: int | None,
    stream: Any,
    progress: bool | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    """Services of Windows have none, and workers put any object there. Nothing goes to stdout."""
    platform = Platform(sleep=lambda _: None)
    dataset = platform.generate(assets=4, dates=100)
    platform.max_rows = max_rows
    monkeypatch.setattr(sys, "stderr", stream)
    with platform.connect() as kayrros:
        assert kayrros.results(dataset.id, progress=progress).table.num_rows == 800
        assert sum(part.table.num_rows for part in kayrros.iter_results(dataset.id, progress=progress)) == 800
        kayrros.export(dataset.id, tmp_path / "all.csv", progress=progress)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("max_rows", [None, 100])
@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, KeyboardInterrupt, StopIteration])
def test_an_error_of_a_callback_reaches_the_user(
    error: type[BaseException], max_rows: int | None, tmp_path: Any
) -> None:
    """It is their own, whatever its class, and leaves no file. The next fetch works."""
    platform = Platform(sleep=lambda _: None)
    dataset = platform.generate(assets=4, dates=100)
    platform.max_rows = max_rows
    raised = error("mine")

    def fail(_: Progress) -> None:
        raise raised

    def calls(kayrros: Kayrros) -> Any:
        yield lambda: kayrros.results(dataset.id, progress=fail)
        yield lambda: list(kayrros.iter_results(dataset.id, progress=fail))
        yield lambda: kayrros.export(dataset.id, tmp_path / "all.csv", progress=fail)

    with platform.connect() as kayrros:
        for call in calls(kayrros):
            with pytest.raises((error, RuntimeError), match="mine|StopIteration") as caught:
                call()
            # A generator can't raise StopIteration, so Python puts it into a RuntimeError.
            assert raised in {caught.value, caught.value.__cause__}
        assert list(tmp_path.iterdir()) == []
        assert kayrros.results(dataset.id).table.num_rows == 800
