"""The mock as a process: it starts, reports why it cannot, and stops no other process."""

import itertools
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from kayrros_ext import MockError, UsageError
from kayrros_ext.testing import prism_mock
from kayrros_ext.testing.node import Node, find_node

ROOT = Path(__file__).parents[2]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def test_mock_starts_on_a_free_port_and_stops_its_process() -> None:
    """Two mocks have different ports. The end of the block ends the process, after an error too."""
    with prism_mock() as first, prism_mock() as second:
        assert first.url != second.url
        assert all(httpx.get(mock.url, trust_env=False).status_code for mock in (first, second))
    assert first.process.poll() is not None
    with pytest.raises(ZeroDivisionError), prism_mock() as third:
        1 / 0  # noqa: B018 - any error
    assert third.process.poll() is not None


def test_a_port_in_use_is_an_error_and_its_owner_keeps_running() -> None:
    """The error names the port, and has advice and the last lines of Prism."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with (
            pytest.raises(MockError, match=f"port {port}(?s:.*)EADDRINUSE(?s:.*)such as {port + 1}"),
            prism_mock(port=port),
        ):
            pass
        assert listens(port)


def test_a_broken_spec_is_an_error(tmp_path: Path) -> None:
    """The error has the last lines of Prism."""
    spec = tmp_path / "openapi.yaml"
    spec.write_text("openapi: 3.1.0\npaths: [")
    with pytest.raises(MockError, match="last lines:\n.(?s:.*)make lint-spec"), prism_mock(spec=spec):
        pass


def test_a_missing_requirement_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing spec, Prism or Node is an error with advice."""
    with pytest.raises(MockError, match="no spec"), prism_mock(checkout=tmp_path):
        pass
    with pytest.raises(MockError, match="make setup"), prism_mock(checkout=tmp_path, spec=ROOT / "openapi.yaml"):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(MockError, match="24.18.*make setup"), prism_mock():
        pass


def test_an_old_node_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node on the PATH counts only if it is new enough and npm is next to it."""
    for name, says in (("node", "v20.1.0"), ("npm", "10.0.0")):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho {says} $0\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    node = find_node()
    assert node is not None
    assert tmp_path != node.folder
    (tmp_path / "node").write_text("#!/bin/sh\necho v24.18.0 $0\n")
    assert Node(tmp_path / "node", tmp_path) == find_node()
    (tmp_path / "npm").unlink()
    assert Node(tmp_path / "node", tmp_path) != find_node()


def test_node_env_production_does_not_break_the_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    """NODE_ENV=production would make Prism fork and crash."""
    monkeypatch.setenv("NODE_ENV", "production")
    with prism_mock() as mock:
        assert httpx.get(mock.url, trust_env=False).status_code


def test_the_mock_ends_when_its_parent_is_killed() -> None:
    """A killed run cannot clean up, so the mock ends by itself."""
    code = (
        "from kayrros_ext.testing import prism_mock\nwith prism_mock() as m: print(m.process.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        pid = int(run.stdout.readline())
        ended = select.poll()
        ended.register(os.pidfd_open(pid), select.POLLIN)
        assert not ended.poll(0)
        run.kill()
        assert ended.poll(10_000)


def test_the_wait_for_the_mock_is_bounded() -> None:
    """The process is stopped after the timeout."""
    with pytest.raises(MockError, match="did not listen within 0.001 seconds"), prism_mock(start_timeout_s=0.001):
        pass


def test_an_invalid_port_is_an_error() -> None:
    """The error comes before any process starts."""
    with pytest.raises(UsageError, match="port is 99999"), prism_mock(port=99999):
        pass


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_make_mock_serves_until_it_is_stopped(how: signal.Signals) -> None:
    """It prints the variables to export. Ctrl-C and SIGTERM stop it and the process that it started."""
    command = [sys.executable, "-u", "-m", "kayrros_ext.cli", "mock", "--prism", "--port", "0"]
    # As a shell starts what it puts into the background: with SIGINT ignored.
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **ignoring) as run:  # type: ignore[call-overload]
        try:
            [url] = [line.partition("=")[2].strip() for line in itertools.islice(run.stdout, 4) if "BASE_URL" in line]
            assert httpx.get(url, trust_env=False).status_code
            run.send_signal(how)
            assert run.wait(20) == 0
        finally:
            run.kill()
    assert not listens(httpx.URL(url).port or 0)
