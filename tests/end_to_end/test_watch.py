"""`make watch` as a process, on a copy of the checkout: waits are for its lines, each with a limit."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.checkout import EXAMPLE, FIELD, PYTHON, VALUE, copy_checkout, edit, environment
from tests.server import METADATA

LIMIT_S = 60


class Watch:
    """The process, and what it has printed so far."""

    def __init__(self, checkout: Path) -> None:
        self.spec = checkout / "openapi.yaml"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [PYTHON, "-u", "-m", "scripts.watch", "--port", "0"],
            cwd=checkout,
            env=environment(checkout),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # A line that never comes must end the test: reading ends when the process does.
        self.limit = threading.Timer(LIMIT_S, self.process.kill)
        self.limit.start()

    def until(self, pattern: str) -> re.Match[str]:
        """The next line that matches."""
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip())
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"ended without {pattern!r}:\n" + "\n".join(self.lines))

    def save(self, *edits: tuple[str, str]) -> float:
        """Save as many editors do: another file, renamed over this one."""
        beside = self.spec.with_suffix(".saving")
        beside.write_text(self.spec.read_text("utf-8"), "utf-8")
        edit(beside, *edits)
        beside.replace(self.spec)
        return time.monotonic()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.limit.cancel()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    running = Watch(copy_checkout(tmp_path / "checkout"))
    try:
        yield running
    finally:
        running.end()


def test_a_save_is_followed_and_a_broken_one_is_not(watch: Watch) -> None:
    """Words in 3 seconds, client, mock and tests behind them; a broken spec is placed, and the mock still answers."""
    url = watch.until(r"mock ready on (\S+)")[1]
    watch.until("watching")

    saved = watch.save(FIELD, EXAMPLE, VALUE)
    watch.until("compatible: field `nickname` of `DatasetMetadata` added.*used by getDatasetMetadata")
    assert time.monotonic() - saved < 3
    watch.until("compatible: value `OPEN` of schema `SharedOption` added")
    watch.until("models/dataset_metadata.py")
    watch.until(f"mock ready on {url}")
    watch.until("testing getDatasetMetadata$")
    watch.until("tests passed")

    client = watch.spec.parent / "generated" / "kayrros_client" / "models" / "dataset_metadata.py"
    written = client.read_bytes()
    assert b"nickname" in written

    for old, new, says in (
        ("paths:\n", "paths: [\n", r"openapi.yaml:\d+:\d+: yaml: "),
        ("operationId: login\n", "operationIdx: login\n", r"openapi.yaml:\d+:7: struct: .*operationIdx"),
        ("path: observed\n", "path: rumoured\n", r"openapi.yaml:\d+:5: ours: post .*rumoured"),
        ("        '409':\n", "        409:\n", r"openapi.yaml:\d+:9: ours: the key 409 is no string"),
        # Good OpenAPI, of which the generator would drop an answer: it warns.
        ("            '*/*':\n", "            image/tiff:\n", "could not make a client of openapi.yaml"),
    ):
        watch.save((old, new))
        watch.until(says)
        watch.until("stay those of the last good spec")
        answer = httpx.get(url + METADATA, headers={"Authorization": "Bearer t"}, trust_env=False)
        assert "tanks" == answer.json()["nickname"]
        assert written == client.read_bytes()
        watch.save((new, old))
        watch.until("as the last good spec")
    good = watch.spec.read_bytes()
    for broken, says in ((b"", r"openapi.yaml:1:1: "), (b"\xff\xfe" + good, r"openapi.yaml:1:1: yaml: ")):
        watch.spec.write_bytes(broken)
        watch.until(says)
        watch.until("stay those of the last good spec")
        watch.spec.write_bytes(good)
        watch.until("as the last good spec")
    watch.process.send_signal(signal.SIGTERM)
    assert 0 == watch.process.wait(20)


def test_quick_saves_are_followed_in_turn_and_ctrl_c_ends_all(watch: Watch) -> None:
    """A save while it works is followed after that, never beside it; then no process is left."""
    url = watch.until(r"mock ready on (\S+)")[1]
    watch.until("watching")
    watch.save(FIELD)
    watch.until("saved")
    watch.save(VALUE)
    watch.until("value `OPEN`")
    watch.until("testing")
    begun = [line for line in watch.lines if re.match("saved|followed|tests ended", line)]
    assert re.fullmatch("(saved followed (tests )?)*saved", " ".join(re.sub(" .*", "", line) for line in begun)), begun
    watch.process.send_signal(signal.SIGINT)
    assert 0 == watch.process.wait(20)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    with pytest.raises(ProcessLookupError):
        os.killpg(watch.process.pid, 0)
