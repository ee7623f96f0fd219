"""The mock: openapi.yaml served by Prism, on loopback, for as long as it is needed.

It answers with the examples of the spec: the same whatever the id, filters ignored, any token taken. A request that the
spec does not allow gets an error, and its response a header `sl-violations`.
"""

import collections
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs

from kayrros_ext.errors import MockError
from kayrros_ext.testing.node import OLDEST, find_node

CHECKOUT = Path(__file__).parents[2]
ATTEMPTS = 5
# Runs in Prism's process before Prism. A parent that is killed can't stop it, but the pipe between them closes.
LIFELINE = (
    "data:text/javascript,process.stdin.on('end', () => process.exit()).on('error', () => process.exit()).resume()"
)


@attrs.frozen
class PrismMock:
    """A running mock.

    Attributes:
        url: where it listens; both hosts of the API are here.
        process: the process that serves it.
    """

    url: str
    process: "subprocess.Popen[str]" = attrs.field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables that point Kayrros here; the account is made up."""
        return {
            "KAYRROS_BASE_URL": self.url,
            "KAYRROS_AUTH_URL": self.url,
            "KAYRROS_EMAIL": "analyst@example.com",
            "KAYRROS_PASSWORD": "any-password-will-do",  # nosec B105
        }


@contextlib.contextmanager
def prism_mock(
    *, port: int = 0, spec: Path | None = None, checkout: Path = CHECKOUT, echo: bool = False, start_s: float = 60
) -> Iterator[PrismMock]:
    """Start the mock, wait until it answers, and stop it, and nothing else, at the end.

    Args:
        port: port on 127.0.0.1; a free one unless given.
        spec: the OpenAPI document; the openapi.yaml of the checkout unless given.
        checkout: where node_modules is.
        echo: print what Prism prints.
        start_s: seconds to wait for it.

    Raises:
        MockError: it can't start; the message holds its last lines.
    """
    if not 0 <= port <= 65535:
        raise MockError(f"There is no port {port}. Choose one from 1024 to 65535, or 0 for a free one.")
    command = _command(checkout, spec or checkout / "openapi.yaml")
    for attempt in range(1, ATTEMPTS + 1):
        chosen = port or _free_port()
        run = _Run([*command, "--port", str(chosen)], echo=echo)
        try:
            if run.started(start_s):
                yield PrismMock(f"http://127.0.0.1:{chosen}", run.process)
                return
        finally:
            run.stop()
        # Between our asking for a free port and Prism's taking it, somebody else may have been quicker.
        if port or "EADDRINUSE" not in run.tail or attempt == ATTEMPTS:
            said = "" if echo else f" Its last lines:\n{run.tail}"
            raise MockError(f"The mock did not start on port {chosen}. {_why(run.tail, chosen)}{said}")


class _Run:
    """One process of Prism, its output read as it comes."""

    def __init__(self, command: list[str], *, echo: bool) -> None:
        # NODE_ENV=production would make Prism fork, which crashes it.
        environment = {**os.environ, "NODE_ENV": "development", "NO_COLOR": "1", "NODE_OPTIONS": ""}
        self.process = subprocess.Popen(  # noqa: S603 - our own Node, our own arguments
            command,
            env=environment,
            stdin=subprocess.PIPE,  # closed with us, however we end: see LIFELINE
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is ours to handle: it stops the mock once, and in order
        )
        self._echo = echo
        self._lines: collections.deque[str] = collections.deque(maxlen=40)
        self._decided = threading.Event()
        self._listening = False
        self._reader = threading.Thread(target=self._read, name="prism-output", daemon=True)
        self._reader.start()

    @property
    def tail(self) -> str:
        return "\n".join(self._lines)

    def started(self, seconds: float) -> bool:
        """Whether it listens, once that is known."""
        if not self._decided.wait(seconds):
            self._lines.append(f"(no sign of it in {seconds:g} seconds)")
        return self._listening

    def stop(self) -> None:
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        # The session is the process's own, so this reaches what it started, and nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.append(line.rstrip())
            if self._echo:
                print(line, end="", flush=True)
            if "Prism is listening" in line:
                self._listening = True
                self._decided.set()
        self._decided.set()  # it ended


def _command(checkout: Path, spec: Path) -> list[str]:
    prism = checkout / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
    if not spec.is_file():
        raise MockError(f"There is no spec at {spec}. The mock needs a checkout of the project, or spec= a document.")
    if not prism.is_file():
        raise MockError(f"Prism is not installed in {checkout}. Run `make setup` there.")
    node = find_node()
    if node is None:
        oldest = ".".join(map(str, OLDEST))
        raise MockError(f"Prism needs Node {oldest} or newer, and there is none. Run `make setup` in {checkout}.")
    # One process, since a request that a worker of Prism's chokes on would hang it.
    return [
        str(node.executable),
        "--import",
        LIFELINE,
        str(prism),
        "mock",
        str(spec),
        "--host",
        "127.0.0.1",
        "--multiprocess",
        "false",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _why(tail: str, port: int) -> str:
    if "EADDRINUSE" in tail:
        return f"Something else listens there: choose another with PORT=, such as PORT={port + 1}."
    return "Check the spec with `make lint-spec`."
