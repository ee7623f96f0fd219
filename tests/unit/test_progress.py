"""The progress line, and callbacks of a user."""

import fcntl
import os
import pty
import struct
import sys
import termios

import pytest

from kayrros_ext import Progress, UsageError
from kayrros_ext._progress import make_callback


def test_the_line_is_overwritten_and_stays_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """It is on stderr."""
    show = make_callback(progress=True)
    assert show
    show(Progress(fraction=0.25, rows=1000, windows=2, requests=5))
    show(Progress(fraction=1.0, rows=4000, windows=8, requests=12))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
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
