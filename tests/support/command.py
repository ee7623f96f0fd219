"""The command `kayrros` as a user runs it: a process of its own, against the platform fake on loopback."""

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from kayrros_ext.cli.app import run
from kayrros_ext.testing import Platform

KAYRROS = Path(sys.executable).with_name("kayrros")


@attrs.frozen
class Terminal:
    """What a terminal showed, and the exit code of what ran in it."""

    shown: str
    code: int


@attrs.frozen
class Command:
    """The command, with an environment that points it to a platform."""

    platform: Platform
    environment: dict[str, str]

    def __call__(
        self, *arguments: object, stdin: str | None = None, **variables: str | None
    ) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, with pipes; a variable that is None is taken out."""
        return subprocess.run(
            [KAYRROS, *map(str, arguments)],
            env=self.variables(**variables),
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def json(self, *arguments: object, **variables: str | None) -> Any:
        """What it prints with --json."""
        done = self(*arguments, "--json", **variables)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: object, **variables: str | None) -> "subprocess.Popen[str]":
        """Start it, with pipes."""
        return subprocess.Popen(
            [KAYRROS, *map(str, arguments)],
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def in_terminal(
        self, *arguments: object, columns: int = 80, typed: str = "", stdout: int | None = None, **variables: str | None
    ) -> Terminal:
        """Run it in a terminal of so many columns, with something typed into it; stdout may go elsewhere."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [KAYRROS, *map(str, arguments)],
            env=self.variables(**{"TERM": "xterm", **variables}),
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            start_new_session=True,
            # Its own controlling terminal, where a password is asked for.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 - no threads of ours hold locks here
        )
        os.close(slave)
        seen = b""
        for piece in _pieces(master):
            seen += piece
            if typed and seen.rstrip().endswith(b":"):  # not before it is asked for: what is typed early is echoed
                os.write(master, typed.encode())
                typed = ""
        os.close(master)
        return Terminal(seen.decode(), process.wait(60))

    def variables(self, **variables: str | None) -> dict[str, str]:
        """The environment, with some variables changed."""
        changed = {**self.environment, **variables}
        return {name: value for name, value in changed.items() if value is not None}


class Screen(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """What was written to it."""
        self.seek(0)
        return self.read()


@attrs.frozen
class Inside:
    """The command in this process, where that shows the same and takes a tenth of the time. Called as Command is."""

    command: Command
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(
        self, *arguments: object, stdin: str | None = None, **variables: str | None
    ) -> "subprocess.CompletedProcess[str]":
        words = [str(argument) for argument in arguments]
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(stdin or ""))
            code = self._run(patch, words, variables)
        said = self.capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    def in_terminal(self, *arguments: object, columns: int = 80, **variables: str | None) -> Terminal:
        """Run it with streams that say they are a terminal of so many columns."""
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen := Screen())
            patch.setattr(sys, "stderr", screen)
            size = {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "24"}
            code = self._run(patch, [str(argument) for argument in arguments], {**size, **variables})
        return Terminal(screen.shown(), code)

    def _run(self, patch: pytest.MonkeyPatch, words: list[str], variables: dict[str, str | None]) -> int:
        for name in set(os.environ) - {"PYTEST_CURRENT_TEST"}:
            patch.delenv(name)
        for name, value in self.command.variables(**variables).items():
            patch.setenv(name, value)
        return run(words)

    def json(self, *arguments: object, **variables: str | None) -> Any:
        """What it prints with --json."""
        done = self(*arguments, "--json", **variables)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout)


def _pieces(terminal: int) -> Iterator[bytes]:
    """What comes out of a terminal, until nobody holds its other end: Linux says that with an error."""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            return
        if not piece:
            return
        yield piece
