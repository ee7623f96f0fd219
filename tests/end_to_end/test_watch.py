"""`make watch` as a process, on a copy of the checkout: the tests wait for its lines, each with a limit."""

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.watch import deferred_signals
from tests.support.checkout import EXAMPLE, FIELD, IN_BACKGROUND, PYTHON, VALUE, edit, environment, run, small_checkout
from tests.support.server import METADATA

pytestmark = pytest.mark.slow

LIMIT_S = 100  # stops a test that hangs before pytest's own limit does; not a claim about speed
KEPT = "client and mock stay at the last good spec"
SAME = "same as the last good spec"
# Replaces the contract tests, which read the real spec: one test of an operation with the generated client.
CONTRACT = """
import pytest
from kayrros_openapi.models import DatasetMetadata

@pytest.mark.parametrize("name", ["getDatasetMetadata", "getDatasetResults"])
def test_operation(name):
    assert name == "getDatasetMetadata"
    assert DatasetMetadata(nickname="tanks").nickname == "tanks"
"""


class Watch:
    """The process and the lines it has printed."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.spec = checkout / "openapi.yaml"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*IN_BACKGROUND, PYTHON, "-u", "-m", "scripts.watch", "--port", "0"],
            cwd=checkout,
            env=environment(checkout),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # If an expected line never comes, the end of the process ends the wait.
        self.limit = threading.Timer(LIMIT_S, self.process.kill)
        self.limit.start()

    def until(self, pattern: str) -> re.Match[str]:
        """Read up to the next line that matches."""
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip())
            if match := re.search(pattern, line):
                return match
        pytest.fail(f"ended without {pattern!r}:\n" + "\n".join(self.lines))

    def save(self, *edits: tuple[str, str]) -> None:
        """Save as many editors do: write another file and rename it."""
        new = self.spec.with_suffix(".saving")
        new.write_text(self.spec.read_text("utf-8"), "utf-8")
        edit(new, *edits)
        new.replace(self.spec)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.limit.cancel()
        if self.process.stdout:
            self.process.stdout.close()


def nickname(url: str) -> str:
    """Return a field of the mock's metadata that only the edited spec has."""
    answer = httpx.get(url + METADATA, headers={"Authorization": "Bearer t"}, trust_env=False)
    return str(answer.json()["nickname"])


def generated(checkout: Path) -> dict[str, bytes]:
    """Return the generated files with their content."""
    folder = checkout / "generated"
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.suffix in {".py", ".toml"}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout with the small spec and generate its client, once for all tests."""
    checkout = small_checkout(tmp_path_factory.mktemp("watch") / "checkout")
    shutil.rmtree(checkout / "tests")
    (checkout / "tests" / "contract").mkdir(parents=True)
    (checkout / "tests" / "contract" / "test_loop.py").write_text(CONTRACT)
    result = run(checkout, PYTHON, "scripts/generate.py")
    assert result.returncode == 0, result.stderr
    return checkout


@pytest.fixture
def watch(prepared: Path, tmp_path: Path) -> Iterator[Watch]:
    running = Watch(shutil.copytree(prepared, tmp_path / "checkout", symlinks=True))
    try:
        yield running
    finally:
        running.close()


def test_good_save_updates_client_and_mock_and_bad_save_does_not(watch: Watch) -> None:
    """A good save lists the changes, then updates client, mock and tests; a bad one is reported with line and column."""
    url = watch.until(r"mock ready on (\S+)")[1]
    watch.until("watching")

    watch.save(FIELD, EXAMPLE, VALUE)
    watch.until("compatible: field `nickname` of `DatasetMetadata` added.*used by getDatasetMetadata")
    watch.until("compatible: value `OPEN` of schema `SharedOption` added")
    watch.until("models/dataset_metadata.py")
    watch.until(f"mock ready on {url}")
    watch.until("testing getDatasetMetadata$")
    watch.until("tests passed")
    client = generated(watch.checkout)
    assert any(b"nickname" in content for content in client.values())

    for old, new, message in (
        ("paths:\n", "paths: [\n", r"openapi.yaml:\d+:\d+: yaml: "),
        ("operationId: login\n", "operationIdx: login\n", r"openapi.yaml:\d+:7: struct: .*operationIdx"),
        ("        '409':\n", "        409:\n", r"openapi.yaml:\d+:9: ours: .*409"),
        (
            "asset_count: 6\n",
            "asset_count: six\n",
            r"openapi.yaml:\d+:\d+: no-invalid-media-type-examples: .*asset_count",
        ),
        # Valid OpenAPI with a response that the generator would drop with a warning.
        ("            '*/*':\n", "            image/tiff:\n", r"openapi.yaml:\d+:7: generator: .*dataset/download"),
    ):
        watch.save((old, new))
        watch.until(message)
        watch.until(KEPT)
        assert nickname(url) == "tanks"
        assert generated(watch.checkout) == client
        watch.save((new, old))
        watch.until(SAME)
    good = watch.spec.read_bytes()
    for bad, message in ((b"", r"openapi.yaml:1:1: "), (b"\xff\xfe" + good, r"openapi.yaml:1:1: yaml: ")):
        watch.spec.write_bytes(bad)
        watch.until(message)
        watch.until(KEPT)
        watch.spec.write_bytes(good)
        watch.until(SAME)
    watch.process.send_signal(signal.SIGHUP)  # is ignored
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(LIMIT_S) == 0


def test_quick_saves_are_handled_in_turn_and_ctrl_c_stops_everything(watch: Watch) -> None:
    """A save that arrives during the work is handled after it, and Ctrl-C leaves no process behind."""
    url = watch.until(r"mock ready on (\S+)")[1]
    watch.until("watching")
    watch.save(FIELD)
    watch.until("saved")
    watch.save(VALUE)
    watch.until("value `OPEN`")
    watch.until("testing")
    steps = [line.split()[0] for line in watch.lines if re.match(r"saved|done in|tests stopped", line)]
    assert re.fullmatch("(saved done (tests )?)*saved", " ".join(steps)), steps
    watch.process.send_signal(signal.SIGINT)
    assert watch.process.wait(LIMIT_S) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    with pytest.raises(ProcessLookupError):
        os.killpg(watch.process.pid, 0)


def test_client_is_restored_if_the_mock_does_not_start(watch: Watch) -> None:
    """Client and mock never differ: the former client comes back, and the next save tries again."""
    watch.until("generated/: no files changed")
    watch.until("openapi.yaml has no errors, and generated/ is up to date")
    watch.until("watching")
    before, modules = generated(watch.checkout), watch.checkout / "node_modules"
    real = modules.resolve()
    modules.unlink()
    modules.mkdir()
    for entry in real.iterdir():
        if entry.name != "@stoplight":  # the folder of Prism
            (modules / entry.name).symlink_to(entry)
    watch.save(FIELD)
    watch.until("generated/: [1-9]")
    watch.until("Prism, which serves the mock, is not installed")
    watch.until("no mock; the next save tries again")
    watch.until("done in")
    assert generated(watch.checkout) == before
    (modules / "@stoplight").symlink_to(real / "@stoplight")
    watch.save(EXAMPLE)
    url = watch.until(r"mock ready on (\S+)$")[1]
    watch.until("testing getDatasetMetadata$")
    assert nickname(url) == "tanks"


def test_client_and_mock_survive_a_missing_or_unusable_spec(watch: Watch) -> None:
    """A deleted spec and a spec that gives no client change nothing; line ends of any kind are accepted."""
    watch.until("watching")
    text = watch.spec.read_bytes()
    watch.spec.unlink()
    watch.until("openapi.yaml is gone")
    watch.until(KEPT)
    watch.spec.write_bytes(text)
    watch.until(f"{SAME}, which is served")
    for bad, message in (
        (b"x-loop: &a {b: *a}\n" + text, "openapi.yaml:1:1: yaml: "),
        (text.replace(b"summary: Log in", b"summary: Log\x00in"), r"openapi.yaml:\d+:19: yaml: "),
        (text.replace(b"  version: ", b"  version: v"), r"openapi.yaml:\d+:\d+: ours: info.version"),
    ):
        watch.spec.write_bytes(bad)
        watch.until(message)
        watch.until(KEPT)
    watch.spec.write_bytes(text.replace(b"\n", b"\r\n"))
    watch.until("mock ready")
    result = run(watch.checkout, PYTHON, "scripts/generate.py", "--check")
    assert result.returncode == 0, result.stdout


def test_interrupt_during_generation_leaves_a_complete_client(watch: Watch) -> None:
    """Ctrl-C waits for the generator: the client is either the former or the new one, and no temporary files remain."""
    watch.until("watching")
    watch.save(FIELD)
    watch.until("nickname")  # the changes are listed before the generation begins
    os.killpg(watch.process.pid, signal.SIGINT)  # as a terminal does
    assert watch.process.wait(LIMIT_S) == 0
    result = run(watch.checkout, PYTHON, "scripts/generate.py", "--check")
    if result.returncode:
        watch.save(FIELD[::-1])
        result = run(watch.checkout, PYTHON, "scripts/generate.py", "--check")
    assert result.returncode == 0, result.stdout
    assert not list(watch.checkout.glob(".generated-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_deferred_to_the_end_of_the_block(number: signal.Signals) -> None:
    """An interrupt between a process and the thread that reads it would leave both running."""
    events: list[str] = []
    before = signal.signal(number, lambda *_: events.append("interrupt"))
    try:
        with deferred_signals():
            signal.raise_signal(number)
            events.append("done")
        assert events == ["done", "interrupt"]
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert events == ["done", "interrupt", "interrupt"]
