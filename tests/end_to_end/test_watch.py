"""`make watch` as a process, on a copy of the checkout: waits are for its lines, each with a limit."""

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

from scripts.watch import undisturbed
from tests.support.checkout import EXAMPLE, FIELD, PYTHON, VALUE, edit, environment, run, small_checkout
from tests.support.server import METADATA

LIMIT_S = 100  # ends a test that hangs, before its own limit does; it says nothing of speed
# In place of the contract tests, which read the real spec: a test of an operation, with the client that was generated.
CONTRACT = """
import pytest
from kayrros_openapi.models import DatasetMetadata

@pytest.mark.parametrize("name", ["getDatasetMetadata", "getDatasetResults"])
def test_operation(name):
    assert name == "getDatasetMetadata"
    assert DatasetMetadata(nickname="tanks").nickname == "tanks"
"""


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

    def save(self, *edits: tuple[str, str]) -> None:
        """Save as many editors do: another file, renamed over this one."""
        beside = self.spec.with_suffix(".saving")
        beside.write_text(self.spec.read_text("utf-8"), "utf-8")
        edit(beside, *edits)
        beside.replace(self.spec)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.limit.cancel()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def generated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = small_checkout(tmp_path_factory.mktemp("watch") / "checkout")
    shutil.rmtree(checkout / "tests")
    (checkout / "tests" / "contract").mkdir(parents=True)
    (checkout / "tests" / "contract" / "test_loop.py").write_text(CONTRACT)
    generated = run(checkout, PYTHON, "scripts/generate.py")
    assert 0 == generated.returncode, generated.stderr
    return checkout


@pytest.fixture
def watch(generated_once: Path, tmp_path: Path) -> Iterator[Watch]:
    running = Watch(shutil.copytree(generated_once, tmp_path / "checkout", symlinks=True))
    try:
        yield running
    finally:
        running.end()


def test_a_save_is_followed_and_a_broken_one_is_not(watch: Watch) -> None:
    """Words first, client, mock and tests behind them; a broken spec is placed, and the mock still answers."""
    url = watch.until(r"mock ready on (\S+)")[1]
    watch.until("watching")

    watch.save(FIELD, EXAMPLE, VALUE)
    watch.until("compatible: field `nickname` of `DatasetMetadata` added.*used by getDatasetMetadata")
    watch.until("compatible: value `OPEN` of schema `SharedOption` added")
    watch.until("models/dataset_metadata.py")
    watch.until(f"mock ready on {url}")
    watch.until("testing getDatasetMetadata$")
    watch.until("tests passed")

    client = watch.spec.parent / "generated" / "kayrros_openapi" / "models" / "dataset_metadata.py"
    written = client.read_bytes()
    assert b"nickname" in written

    for old, new, says in (
        ("paths:\n", "paths: [\n", r"openapi.yaml:\d+:\d+: yaml: "),
        ("operationId: login\n", "operationIdx: login\n", r"openapi.yaml:\d+:7: struct: .*operationIdx"),
        ("        '409':\n", "        409:\n", r"openapi.yaml:\d+:9: ours: the key 409 is no string"),
        (
            "asset_count: 6\n",
            "asset_count: six\n",
            r"openapi.yaml:\d+:\d+: no-invalid-media-type-examples: .*asset_count",
        ),
        # Good OpenAPI, of which the generator would drop an answer: it warns.
        (
            "            '*/*':\n",
            "            image/tiff:\n",
            r"openapi.yaml:\d+:7: generator: no client .*dataset/download",
        ),
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
    assert 0 == watch.process.wait(LIMIT_S)


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
    assert 0 == watch.process.wait(LIMIT_S)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    with pytest.raises(ProcessLookupError):
        os.killpg(watch.process.pid, 0)


def generated(checkout: Path) -> dict[str, bytes]:
    folder = checkout / "generated"
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.suffix in {".py", ".toml"}}


def test_a_mock_that_does_not_start_takes_the_client_back(watch: Watch) -> None:
    """Client and mock never differ: the old client is put back, that is said, and the next save tries again."""
    watch.until("generated/: no files changed")
    watch.until("openapi.yaml as found: no errors, and generated/ is what it gives")
    watch.until("watching")
    checkout = watch.spec.parent
    before, modules = generated(checkout), checkout / "node_modules"
    real = modules.resolve()
    modules.unlink()
    modules.mkdir()
    for entry in real.iterdir():
        if entry.name != "@stoplight":  # Prism is there
            (modules / entry.name).symlink_to(entry)
    watch.save(FIELD)
    watch.until("generated/: [1-9]")
    watch.until("Prism is not installed")
    watch.until("no mock; the next save tries again")
    watch.until("followed")
    assert before == generated(checkout)
    (modules / "@stoplight").symlink_to(real / "@stoplight")
    watch.save(EXAMPLE)
    url = watch.until(r"mock ready on (\S+)$")[1]
    watch.until("testing getDatasetMetadata$")
    answer = httpx.get(url + METADATA, headers={"Authorization": "Bearer t"}, trust_env=False)
    assert "tanks" == answer.json()["nickname"]


def test_a_spec_that_goes_and_comes_back(watch: Watch) -> None:
    """Without one, and with one that no client can be made of, all stays; line ends are the editor's own business."""
    watch.until("watching")
    text = watch.spec.read_bytes()
    watch.spec.unlink()
    watch.until("openapi.yaml is gone")
    watch.until("client and mock stay those of the last good spec")
    watch.spec.write_bytes(text)
    watch.until("as the last good spec, which is served")
    for broken, says in (
        (b"x-loop: &a {b: *a}\n" + text, "openapi.yaml:1:1: yaml: an alias that holds itself"),
        (text.replace(b"summary: Log in", b"summary: Log\x00in"), r"openapi.yaml:\d+:19: yaml: special characters"),
        (text.replace(b"  version: ", b"  version: v"), r"openapi.yaml:\d+:\d+: ours: info.version is 'v"),
    ):
        watch.spec.write_bytes(broken)
        watch.until(says)
        watch.until("client and mock stay those of the last good spec")
    watch.spec.write_bytes(text.replace(b"\n", b"\r\n"))
    watch.until("mock ready")
    checkout = watch.spec.parent
    done = run(checkout, PYTHON, "scripts/generate.py", "--check")
    assert 0 == done.returncode, done.stdout


def test_an_interrupt_amid_a_generation_leaves_a_whole_client(watch: Watch) -> None:
    """It waits for the generation, whichever of the two clients that leaves: never half of one, and no litter."""
    watch.until("watching")
    checkout = watch.spec.parent
    watch.save(FIELD)
    watch.until("nickname")  # what changed is told before the generation begins
    os.killpg(watch.process.pid, signal.SIGINT)  # as a terminal does
    assert 0 == watch.process.wait(LIMIT_S)
    done = run(checkout, PYTHON, "scripts/generate.py", "--check")
    if done.returncode:
        watch.save(FIELD[::-1])
        done = run(checkout, PYTHON, "scripts/generate.py", "--check")
    assert 0 == done.returncode, done.stdout
    assert not list(checkout.glob(".generated-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_what_is_begun_can_be_ended(number: signal.Signals) -> None:
    """It came between a thread and its start, and the loop left its tests and its mock behind."""
    heard: list[str] = []
    before = signal.signal(number, lambda *_: heard.append("interrupt"))
    try:
        with undisturbed():
            signal.raise_signal(number)
            heard.append("done")
        assert ["done", "interrupt"] == heard
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert ["done", "interrupt", "interrupt"] == heard
