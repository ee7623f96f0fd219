"""Follow openapi.yaml: on each save, lint it, list the changes, update client and mock, and run the contract tests.

A spec with errors leaves client and mock as they are. A good one is generated and served, and the contract tests of the
changed operations run in the background until the next save. One thread handles the saves one after the other; saves that
arrive while it works are handled as one.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from kayrros_ext.errors import MockError
from kayrros_ext.testing import PrismMock, prism_mock
from scripts.lint_spec import by_generator, problems
from scripts.spec import ROOT, changed_operations
from scripts.spec_changes import CompareError, changes

SPEC = ROOT / "openapi.yaml"
# These tests check the spec as a whole in a second; their names contain no operation.
ALWAYS = ["test_spec", "test_reference"]
# Polling one file costs less than a library for file events, and works on network drives and mounted folders.
POLL_S = 0.1


class Follower:
    """The state between two saves: the last good spec, its mock and the running tests."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        # The mock reads a copy, because Prism reloads a changed file and a broken one would stop it.
        self.served = folder / "openapi.yaml"
        self.candidate = folder / "candidate.yaml"
        self.last_seen: str | None = None
        self.good = ""
        self.stack = contextlib.ExitStack()
        self.mock: PrismMock | None = None
        self.tests: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None

    def start(self, text: str | None) -> bool:
        """Generate and serve the spec as it is now, or wait for a good one.

        Returns:
            Whether to continue: False if the mock of a good spec cannot start, for example because its port is taken.
        """
        self.last_seen = text
        if text is None or self._print_problems(text) or not self._generate(text):
            say("openapi.yaml has errors, and there is no earlier good version. Fix it to begin.")
            return True
        say("openapi.yaml has no errors, and generated/ is up to date; `make test` runs the tests")
        if self._serve(text):
            self.good = text
        return bool(self.good)

    def handle_save(self, text: str | None) -> None:
        """Handle one save; None means that the file is gone."""
        if text == self.last_seen and self._is_serving():
            return  # only the times of the file changed
        began, self.last_seen = time.monotonic(), text
        self._stop_tests()
        say(f"saved {time.strftime('%H:%M:%S')}" if text is not None else "openapi.yaml is gone")
        if text is not None and text == self.good:
            if self._is_serving() or self._serve(text):
                say("same as the last good spec, which is served")
            return
        if text is None or self._print_problems(text):
            self._keep_last_good()
            return
        before = self.good
        operations = self._print_changes(text)
        if not self._generate(text):
            self._keep_last_good()
            return
        if self._serve(text):
            self.good = text
            if before:
                self._start_tests(operations)
        else:
            self._restore_last_good()
        say(f"done in {time.monotonic() - began:.1f} s")

    def close(self) -> None:
        """Stop the tests and the mock."""
        self._stop_tests()
        self.stack.close()

    def _keep_last_good(self) -> None:
        """Leave client and mock as they are; restart a mock that died."""
        if self.good and (self._is_serving() or self._serve(self.good)):
            say("client and mock stay at the last good spec")
        else:
            say("client stays at the last good spec; no mock" if self.good else "no client and no mock yet")

    def _restore_last_good(self) -> None:
        """Put the former client back, because the mock does not start with the new spec and the two must not differ."""
        if self.good and self._generate(self.good) and self._serve(self.good):
            say("client and mock are back at the last good spec")
        else:
            say("no mock; the next save tries again")

    def _print_problems(self, text: str) -> int:
        """Print errors and warnings; return the number of errors."""
        listed = problems(text)
        for problem in listed:
            say(f"  {problem}")
        return sum(not problem.warning for problem in listed)

    def _print_changes(self, text: str) -> list[str]:
        """Print the changes that a user notices; return the operations that changed."""
        if not self.good:
            return []
        try:
            listed = changes(self.good, text)
        except CompareError as error:  # the rest of the save does not depend on it
            say(f"  {error}")
        else:
            for change in listed:
                say(f"  {change}")
            if not listed:
                say("  nothing changed for a user")
        return changed_operations(yaml.safe_load(self.good), yaml.safe_load(text))

    def _generate(self, text: str) -> bool:
        """Generate the client from the linted text, which may no longer be the file on disk."""
        self.candidate.write_bytes(text.encode())
        with deferred_signals():  # an interrupt two seconds later is better than half a client
            result = subprocess.run(
                [sys.executable, "scripts/generate.py", "--spec", str(self.candidate)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal does not reach it
            )
        details = by_generator(text, result.stdout) if result.returncode else []
        for line in [*result.stdout.strip().splitlines(), *details]:
            say(f"  {line}")
        return result.returncode == 0

    def _is_serving(self) -> bool:
        return self.mock is not None and self.mock.process.poll() is None

    def _serve(self, text: str) -> bool:
        """Replace the running mock by one of this spec."""
        self.stack.close()
        self.mock = None
        self.served.write_bytes(text.encode())
        try:
            self.mock = self.stack.enter_context(prism_mock(port=self.port, spec=self.served, checkout=ROOT))
        except MockError as error:
            say(f"  {error}")
            return False
        self.port = urlsplit(self.mock.url).port or 0  # a free port stays the same from now on
        say(f"mock ready on {self.mock.url}" + (", with the last good spec" if text == self.good else ""))
        return True

    def _start_tests(self, operations: list[str]) -> None:
        """Run the contract tests of some operations in the background, so that the next save need not wait."""
        say(f"testing {', '.join(operations) or 'the spec'}")
        selected = " or ".join([*operations, *ALWAYS])
        # The client of this checkout comes first, whichever one is installed.
        path = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
        with deferred_signals():  # an interrupt in between would leave tests that nobody stops
            self.tests = subprocess.Popen(
                [sys.executable, "-m", "pytest", "tests/contract", "-q", "--no-header", "--tb=short", "-k", selected],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # one signal stops the tests and their child processes
            )
            self.reader = threading.Thread(target=self._relay, args=[self.tests], daemon=True)
            self.reader.start()

    @staticmethod
    def _relay(tests: "subprocess.Popen[str]") -> None:
        for line in tests.stdout or ():
            say(f"  {line.rstrip()}")
        say({0: "tests passed", 1: "tests failed"}.get(tests.wait(), "tests stopped"))

    def _stop_tests(self) -> None:
        if self.tests is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.tests.poll() is None:
                os.killpg(self.tests.pid, signal.SIGTERM)
        if self.reader:
            self.reader.join(10)
        self.tests = None


def saves() -> Iterator[str | None]:
    """Yield the text of the spec now and after each save; None if the file is gone.

    A save takes several writes, and an editor that saves by renaming leaves no file for a moment. So a change counts once
    the file stays the same for two polls.
    """
    pause = threading.Event()
    handled: object = ()
    before: object = ()
    while True:
        now = _file_state()
        if now == before != handled:
            with contextlib.suppress(OSError):  # the file went away; the next poll sees that
                # Line ends stay, because the client carries a hash of the bytes. Bytes that are not UTF-8 stay too, and
                # the YAML reader reports them.
                text = None if now is None else SPEC.read_bytes().decode("utf-8", "surrogateescape")
                handled = now
                yield text
        before = now
        pause.wait(POLL_S)


def _file_state() -> tuple[int, int, int] | None:
    try:
        status = SPEC.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer Ctrl-C, SIGTERM and SIGHUP to the end of the block, so that no half-started process or thread is left behind."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main() -> int:
    """Watch until Ctrl-C, SIGTERM or SIGHUP."""
    parser = argparse.ArgumentParser(prog="make watch", description="Follow openapi.yaml as it is edited.")
    parser.add_argument("--port", type=int, default=4010, help="port of the mock")
    port = parser.parse_args().port
    # SIGINT too, because a shell ignores it in background processes. What nohup ignores stays ignored.
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        ending.append(signal.SIGHUP)
    for number in ending:
        signal.signal(number, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder:
        follower = Follower(port, Path(folder))
        try:
            texts = saves()
            if not follower.start(next(texts)):
                return 1
            say("watching openapi.yaml; press Ctrl-C to stop")
            for text in texts:
                try:
                    follower.handle_save(text)
                except Exception:  # the next save is handled all the same
                    say(f"this save failed; please report it:\n{traceback.format_exc()}")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave processes running
            follower.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
