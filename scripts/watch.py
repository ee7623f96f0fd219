"""`make watch`: on each save of openapi.yaml, all that follows from it, and words for what changed.

A save is read once. What is wrong with it is said, with line, column and rule, and then client and mock stay those of the
last good spec. Otherwise the client is generated, the mock started again, and the contract tests of the operations that
changed are run; a save in the meantime ends those tests and begins anew. Saves never overlap: one thread handles them in
turn, and what is saved while it works is handled as one.
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
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from kayrros_ext.errors import MockError
from kayrros_ext.testing import prism_mock
from scripts.spec import ROOT, Problem, changed_operations, problems
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
        self.seen = ""
        self.good = ""
        self.mock = contextlib.ExitStack()
        self.tests: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None

    def start(self, text: str) -> bool:
        """The mock of the spec as it is; a first spec that is broken leaves nothing to fall back to."""
        self.seen = text
        if errors := self._complain(text):
            say(f"openapi.yaml has {errors} errors, and there is no good spec before it. Mend it; then all begins.")
            return True
        self._generate(text)
        return self._adopt(text)

    def saved(self, text: str) -> None:
        """One save, from its words to its tests."""
        if text == self.seen:
            return  # the times of the file changed, or it was saved as it was
        began, self.seen = time.monotonic(), text
        self._end_tests()
        say(f"saved {time.strftime('%H:%M:%S')}")
        if text == self.good:
            say("as the last good spec, which is served")
            return
        if self._complain(text):
            say("client and mock stay those of the last good spec" if self.good else "no client and no mock yet")
            return
        before = self.good
        operations = self._tell(text)
        if not self._generate(text):
            say("client and mock stay those of the last good spec")
            return
        if self._adopt(text) and before:
            self._start_tests(operations)
        say(f"followed in {time.monotonic() - began:.1f} s")

    def end(self) -> None:
        """Stop what this started."""
        self._end_tests()
        self.mock.close()

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
            found = []
        for change in found:
            say(f"  {change}")
        if not found:
            say("  nothing changed for a user")
        return changed_operations(yaml.safe_load(self.good), yaml.safe_load(text))

    def _generate(self, text: str) -> bool:
        """The client of what was linted, not of what is on disk by now; the generator writes nothing where it warns."""
        self.candidate.write_text(text, "utf-8")
        command = [sys.executable, "scripts/generate.py", "--spec", str(self.candidate)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).strip().splitlines():
            say(f"  {line}")
        return done.returncode == 0

    def _adopt(self, text: str) -> bool:
        """Serve this spec; if the mock can't, serve the one before it again."""
        for candidate in (text, self.good):
            self.mock.close()
            self.served.write_text(candidate, "utf-8")
            try:
                mock = self.mock.enter_context(prism_mock(port=self.port, spec=self.served, checkout=ROOT))
            except MockError as error:
                say(f"  {error}")
                if not self.good:
                    return False
                continue
            self.good, self.port = candidate, httpx.URL(mock.url).port or 0  # a port chosen for us is kept
            say(f"mock ready on {mock.url}" + ("" if candidate == text else ", with the last good spec"))
            return candidate == text
        return False

    def _start_tests(self, operations: list[str]) -> None:
        """In the background, so that the next save does not wait for them."""
        say(f"testing {', '.join(operations) or 'the spec'}")
        wanted = " or ".join([*operations, *ALWAYS])
        command = [sys.executable, "-m", "pytest", "tests/contract", "-q", "--no-header", "--tb=short", "-k", wanted]
        # The client of this checkout, whichever one the environment was set up for.
        path = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
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


def saves() -> Iterator[str]:
    """The text of the spec after each save, once it has stayed the same for two looks: a save is several writes.

    An editor that saves by rename makes another file of the same name, and between its two steps there is none.
    """
    pause = threading.Event()
    done = before = None
    while True:
        with contextlib.suppress(FileNotFoundError):
            status = SPEC.stat()
            now = (status.st_ino, status.st_mtime_ns, status.st_size)
            if now == before != done:
                done = now
                # Bytes that are no text stay in it, as what the YAML reader names.
                yield SPEC.read_text("utf-8", errors="surrogateescape")
            before = now
        pause.wait(LOOK_S)


def say(words: str) -> None:
    """One line, at once."""
    print(words, flush=True)


def main() -> int:
    """Watch until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="make watch", description="Follow openapi.yaml as it is edited.")
    parser.add_argument("--port", type=int, default=4010, help="port of the mock")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(port, Path(folder))
        try:
            if not loop.start(SPEC.read_text("utf-8")):
                return 1
            say("watching openapi.yaml; Ctrl-C ends it")
            for text in saves():
                loop.saved(text)
        except KeyboardInterrupt:
            pass
        finally:
            loop.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
