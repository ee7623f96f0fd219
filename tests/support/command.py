"""Run the command `kayrros` as a user does, in its own process, against the platform fake on loopback."""

import fcntl
import io
import json
import os
import pty
import re
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
    """The output of a terminal, and the exit code of the command that ran in it."""

    shown: str
    code: int

    @property
    def screen(self) -> str:
        """What is left on the screen: the output after carriage returns and the erasures of a progress bar."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", self.shown):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            elif part.endswith("A"):
                row -= int(part[2:-1] or 1)
            elif part == "\x1b[2K":
                lines[row] = ""
            elif not part.startswith("\x1b"):
                lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
                column += len(part)
        return "\n".join(lines).rstrip()


@attrs.frozen
class Command:
    """The command with an environment that points to a platform."""

    platform: Platform
    environment: dict[str, str]

    def __call__(
        self, *arguments: object, stdin: str | None = None, **variables: str | None
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command with pipes, until it ends; a variable that is None is removed."""
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
        """Return the output with --json."""
        result = self(*arguments, "--json", **variables)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def start(self, *arguments: object, **variables: str | None) -> "subprocess.Popen[str]":
        """Start the command with pipes."""
        return subprocess.Popen(
            [KAYRROS, *map(str, arguments)],
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def in_terminal(
        self,
        *arguments: object,
        columns: int = 80,
        rows: int = 24,
        typed: str = "",
        stdout: int | None = None,
        **variables: str | None,
    ) -> Terminal:
        """Run the command in a terminal of a given size, type something, and optionally send stdout elsewhere."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(
            [KAYRROS, *map(str, arguments)],
            env=self.variables(**{"TERM": "xterm", **variables}),
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            start_new_session=True,
            # The controlling terminal, from which a password is read.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 - no threads of ours hold locks here
        )
        os.close(slave)
        shown = b""
        for chunk in _chunks(master):
            shown += chunk
            if typed and shown.rstrip().endswith(b":"):  # after the prompt, because earlier input is echoed
                os.write(master, typed.encode())
                typed = ""
        os.close(master)
        return Terminal(shown.decode(), process.wait(60))

    def variables(self, **variables: str | None) -> dict[str, str]:
        """Return the environment with some variables changed."""
        changed = {**self.environment, **variables}
        return {name: value for name, value in changed.items() if value is not None}


class Screen(io.TextIOWrapper):
    """A stream that reports to be a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", newline="", write_through=True)

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """Return everything that was written."""
        self.seek(0)
        return self.read()


@attrs.frozen
class Inside:
    """The command in this process, which takes a tenth of the time. It is called like Command."""

    command: Command
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(
        self, *arguments: object, stdin: str | None = None, **variables: str | None
    ) -> "subprocess.CompletedProcess[str]":
        argv = [str(argument) for argument in arguments]
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(stdin or ""))
            code = self._run(patch, argv, variables)
        output = self.capsys.readouterr()
        return subprocess.CompletedProcess(argv, code, output.out, output.err)

    def in_terminal(self, *arguments: object, columns: int = 80, **variables: str | None) -> Terminal:
        """Run the command with streams that report to be a terminal of a given width."""
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen := Screen())
            patch.setattr(sys, "stderr", screen)
            size = {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "24"}
            code = self._run(patch, [str(argument) for argument in arguments], {**size, **variables})
        return Terminal(screen.shown(), code)

    def _run(self, patch: pytest.MonkeyPatch, argv: list[str], variables: dict[str, str | None]) -> int:
        for name in set(os.environ) - {"PYTEST_CURRENT_TEST"}:
            patch.delenv(name)
        for name, value in self.command.variables(**variables).items():
            patch.setenv(name, value)
        return run(argv)

    def json(self, *arguments: object, **variables: str | None) -> Any:
        """Return the output with --json."""
        result = self(*arguments, "--json", **variables)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


def _chunks(terminal: int) -> Iterator[bytes]:
    """Yield the output of a terminal until its other end is closed, which Linux reports as an error."""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            return
        if not chunk:
            return
        yield chunk
