"""`make watch`: on each save of openapi.yaml, all that follows from it, and words for what changed.

A save is read once. What is wrong with it is said, with line, column and rule, and then client and mock stay those of the
last good spec, or go back to it. Otherwise the client is generated, the mock started again, and the contract tests of the
operations that changed are run; a save in the meantime ends those tests and begins anew. Saves never overlap: one thread
handles them in turn, and what is saved while it works is handled as one.
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
from scripts.spec import ROOT, Problem, by_generator, changed_operations, problems
from scripts.spec_changes import CompareError, changes

SPEC = ROOT / "openapi.yaml"
# Tests of the spec as a whole; they take a second, and an operation's name is not in theirs.
ALWAYS = ["test_spec", "test_reference"]
# Asked for, not told: one file, looked at ten times a second, costs less than a library, needs no start before which a save
# is missed, and works where no event arrives (a network drive, a container's mount).
LOOK_S = 0.1


class Loop:
    """What runs between two saves: the last good spec, its mock, the tests under way."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        # The mock reads a copy: Prism reloads its file when that changes, and a broken save would take it down.
        self.served = folder / "openapi.yaml"
        self.candidate = folder / "candidate.yaml"
        self.seen: str | None = None
        self.good = ""
        self.stack = contextlib.ExitStack()
        self.mock: PrismMock | None = None
        self.tests: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None

    def start(self, text: str | None) -> bool:
        """Client and mock of the spec as it is. One that is broken leaves nothing to fall back to, and is waited for.

        Returns:
            Whether to go on: not where the mock of a good spec can't start, its port being taken.
        """
        self.seen = text
        if text is None or self._complain(text) or not self._generate(text):
            say(
                "openapi.yaml as found can't be followed, and there is no good one before it. Mend it; then all begins."
            )
            return True
        say("openapi.yaml as found: no errors, and generated/ is what it gives; not tested (`make test` does that)")
        if self._serve(text):
            self.good = text
        return bool(self.good)

    def saved(self, text: str | None) -> None:
        """One save, from its words to its tests; None where the file is gone."""
        if text == self.seen and self._serving():
            return  # the times of the file changed, or it was saved as it was
        began, self.seen = time.monotonic(), text
        self._end_tests()
        say(f"saved {time.strftime('%H:%M:%S')}" if text is not None else "openapi.yaml is gone")
        if text is not None and text == self.good:
            if self._serving() or self._serve(text):
                say("as the last good spec, which is served")
            return
        if text is None or self._complain(text):
            self._stay()
            return
        before = self.good
        operations = self._tell(text)
        if not self._generate(text):
            self._stay()
            return
        if self._serve(text):
            self.good = text
            if before:
                self._start_tests(operations)
        else:
            self._go_back()
        say(f"followed in {time.monotonic() - began:.1f} s")

    def end(self) -> None:
        """Stop what this started."""
        self._end_tests()
        self.stack.close()

    def _stay(self) -> None:
        """Nothing follows from this save. A mock that died meanwhile comes back."""
        if self.good and (self._serving() or self._serve(self.good)):
            say("client and mock stay those of the last good spec")
        else:
            say("client stays that of the last good spec; no mock" if self.good else "no client and no mock yet")

    def _go_back(self) -> None:
        """The client is of a spec that the mock does not start with: both go back, so that they do not differ."""
        if self.good and self._generate(self.good) and self._serve(self.good):
            say("client and mock are those of the last good spec again")
        else:
            say("no mock; the next save tries again")

    def _complain(self, text: str) -> int:
        """Print what is wrong; how many errors, since a warning stops nothing."""
        found: list[Problem] = problems(text)
        for problem in found:
            say(f"  {problem}")
        return sum(not problem.warning for problem in found)

    def _tell(self, text: str) -> list[str]:
        """Print what changed for a user; the operations that say something else now."""
        if not self.good:
            return []
        try:
            found = changes(self.good, text)
        except CompareError as error:  # what changed is then not told, and all the rest goes on
            say(f"  {error}")
        else:
            for change in found:
                say(f"  {change}")
            if not found:
                say("  nothing changed for a user")
        return changed_operations(yaml.safe_load(self.good), yaml.safe_load(text))

    def _generate(self, text: str) -> bool:
        """The client of what was linted, not of what is on disk by now; the generator writes nothing where it warns."""
        self.candidate.write_bytes(text.encode())
        command = [sys.executable, "scripts/generate.py", "--spec", str(self.candidate)]
        with undisturbed():  # two seconds are better than half a client
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                start_new_session=True,  # a terminal's Ctrl-C does not reach it
            )
        for line in [*done.stdout.strip().splitlines(), *(by_generator(text, done.stdout) if done.returncode else [])]:
            say(f"  {line}")
        return done.returncode == 0

    def _serving(self) -> bool:
        return self.mock is not None and self.mock.process.poll() is None

    def _serve(self, text: str) -> bool:
        """The mock of this spec, in place of the one before."""
        self.stack.close()
        self.mock = None
        self.served.write_bytes(text.encode())
        try:
            self.mock = self.stack.enter_context(prism_mock(port=self.port, spec=self.served, checkout=ROOT))
        except MockError as error:
            say(f"  {error}")
            return False
        self.port = urlsplit(self.mock.url).port or 0  # a port chosen for us is kept
        say(f"mock ready on {self.mock.url}" + (", with the last good spec" if text == self.good else ""))
        return True

    def _start_tests(self, operations: list[str]) -> None:
        """In the background, so that the next save does not wait for them."""
        say(f"testing {', '.join(operations) or 'the spec'}")
        wanted = " or ".join([*operations, *ALWAYS])
        command = [sys.executable, "-m", "pytest", "tests/contract", "-q", "--no-header", "--tb=short", "-k", wanted]
        # The client of this checkout, whichever one the environment was set up for.
        path = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
        with undisturbed():  # what is begun is known to `end`
            self.tests = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # it and what it starts can be ended together
            )
            self.reader = threading.Thread(target=self._relay, args=[self.tests], daemon=True)
            self.reader.start()

    @staticmethod
    def _relay(tests: "subprocess.Popen[str]") -> None:
        for line in tests.stdout or ():
            say(f"  {line.rstrip()}")
        code = tests.wait()
        say({0: "tests passed", 1: "tests failed"}.get(code, "tests ended early"))

    def _end_tests(self) -> None:
        if self.tests is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.tests.poll() is None:
                os.killpg(self.tests.pid, signal.SIGTERM)
        if self.reader:
            self.reader.join(10)
        self.tests = None


def saves() -> Iterator[str | None]:
    """The text of the spec as it is and after each save, once it has stayed the same for two looks; None where it is gone.

    A save is several writes. An editor that saves by rename makes another file of the same name, and between its two
    steps there is none.
    """
    pause = threading.Event()
    done: object = ()
    before: object = ()
    while True:
        now = _status()
        if now == before != done:
            with contextlib.suppress(OSError):  # gone since: the next look sees that
                # Line ends stay as they are, since the client carries a hash of the bytes. Bytes that are no text stay in
                # it, as what the YAML reader names.
                text = None if now is None else SPEC.read_bytes().decode("utf-8", "surrogateescape")
                done = now
                yield text
        before = now
        pause.wait(LOOK_S)


def _status() -> tuple[int, int, int] | None:
    try:
        status = SPEC.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and the signals to end are heard after this: a process or a thread that is half begun is nobody's to end."""
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda came, _: heard.append(came)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


def say(words: str) -> None:
    """One line, at once."""
    print(words, flush=True)


def main() -> int:
    """Watch until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="make watch", description="Follow openapi.yaml as it is edited.")
    parser.add_argument("--port", type=int, default=4010, help="port of the mock")
    port = parser.parse_args().port
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(port, Path(folder))
        try:
            texts = saves()
            if not loop.start(next(texts)):
                return 1
            say("watching openapi.yaml; Ctrl-C ends it")
            for text in texts:
                _follow(loop, text)
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would leave tests running
            loop.end()
    return 0


def _follow(loop: Loop, text: str | None) -> None:
    """Whatever goes wrong with one save, the next is looked at."""
    try:
        loop.saved(text)
    except Exception:
        say(f"this save could not be followed; please report it:\n{traceback.format_exc()}")


if __name__ == "__main__":
    sys.exit(main())
