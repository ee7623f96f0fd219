"""An interactive shell in a terminal, in which a user types."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# How each shell starts without the files of its user, shows a prompt, and loads the completion.
_PROMPT = "ready> "
_SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'PS1="rea""dy> "; eval "$(_KAYRROS_COMPLETE=source_bash kayrros)"',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        'PROMPT="rea""dy> "; autoload -Uz compinit; compinit -u -D; eval "$(_KAYRROS_COMPLETE=source_zsh kayrros)"',
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        'function fish_prompt; echo -n rea; echo -n "dy> "; end; _KAYRROS_COMPLETE=source_fish kayrros | source',
    ),
}


class Shell:
    """A shell that completes the command `kayrros`."""

    def __init__(self, name: str, environment: dict[str, str], folder: Path) -> None:
        command, setup = _SHELLS[name]
        self._terminal, slave = pty.openpty()
        self._process = subprocess.Popen(
            command,
            env={**environment, "TERM": "xterm", "HOME": str(folder), "INPUTRC": os.devnull},
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 - the controlling terminal
        )
        os.close(slave)
        self.press(f"{setup}\r")
        self.wait_for(_PROMPT)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def wait_for(self, text: str, timeout_s: float = 30) -> str:
        """Return what the terminal shows until it shows the text, or until the timeout."""
        shown, ends = b"", time.monotonic() + timeout_s
        while (
            text.encode() not in shown and select.select([self._terminal], [], [], max(ends - time.monotonic(), 0))[0]
        ):
            chunk = os.read(self._terminal, 65536)
            if b"\x1b[0c" in chunk or b"\x1b[c" in chunk:  # fish asks what the terminal is
                os.write(self._terminal, b"\x1b[?62c")
            shown += chunk
        return shown.decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._terminal)
