"""Downloads in processes of their own, that are killed, interrupted, out of disk, or two at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, environment
from tests.support.files import CONTENT, HALF, SHA256, File
from tests.support.server import DATASET, Answering, Server

Start = Callable[[Answering], Server]

# A download that, once so many bytes are in its part, does something of the test's; the file's digest is printed.
_CODE = """
import os, resource, signal, sys
from kayrros_ext import Kayrros, KayrrosError
from kayrros_ext._download.partial import Part

url, directory, limit, event = sys.argv[1:]
written = Part.write

def write(part, block):
    written(part, block)
    if part.size >= int(limit):
        exec(event)

Part.write = write
try:
    with Kayrros(token="a-token", base_url=url) as kayrros:
        print(kayrros.download({dataset!r}, directory, details=True).sha256)
except KayrrosError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def start_download(server: Server, directory: Path, event: str, limit: int = HALF) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CODE.format(dataset=DATASET), server.url, str(directory), str(limit), event],
        env=environment(ROOT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        # A shell starts what it runs in the background with the signal ignored.
        (
            "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT)",
            -signal.SIGINT,
        ),
    ],
)
def test_a_process_that_ends_half_way(event: str, status: int, start: Start, tmp_path: Path) -> None:
    """Killed or interrupted: no file under its name, the old one as it was; the next process goes on, and cleans up."""
    (tmp_path / "a.bin").write_bytes(b"old")
    file = File()
    server = start(file)
    with start_download(server, tmp_path, event) as killed:
        killed.communicate(timeout=60)
    assert status == killed.returncode
    assert b"old" == (tmp_path / "a.bin").read_bytes()
    assert 3 == len(list(tmp_path.iterdir()))
    with start_download(server, tmp_path, "") as second:
        assert SHA256 == second.communicate(timeout=60)[0].strip()
    kept = int((file.asked[-1] or "").removeprefix("bytes=").removesuffix("-"))
    assert HALF <= kept < len(CONTENT)
    assert CONTENT == (tmp_path / "a.bin").read_bytes()
    assert ["a.bin"] == [path.name for path in tmp_path.iterdir()]


def test_a_full_disk(start: Start, tmp_path: Path) -> None:
    """A limit on the size of a file stands for it: typed, with what to do, and the space is given back."""
    (tmp_path / "a.bin").write_bytes(b"old")
    event = "resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))"
    with start_download(start(File()), tmp_path, event, limit=1) as process:
        words = process.communicate(timeout=60)[1]
    assert 1 == process.returncode
    assert "DownloadError" in words
    assert "File too large" in words
    assert "ulimit" in words
    assert {"a.bin": b"old"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_two_processes_at_once(start: Start, tmp_path: Path) -> None:
    """One stops half-way with its part locked; another downloads the same file meanwhile. Both end with the right one."""
    file = File()
    server = start(file)
    with start_download(
        server, tmp_path, "Part.write = written; print('half', flush=True); sys.stdin.readline()"
    ) as first:
        assert first.stdout is not None
        assert "half" == first.stdout.readline().strip()
        with start_download(server, tmp_path, "") as second:
            assert SHA256 == second.communicate(timeout=60)[0].strip()
        assert CONTENT == (tmp_path / "a.bin").read_bytes()
        (tmp_path / "a.bin").unlink()
        assert SHA256 == first.communicate("go on\n", timeout=60)[0].strip()
    assert [None, None] == file.asked
    assert CONTENT == (tmp_path / "a.bin").read_bytes()
    assert ["a.bin"] == [path.name for path in tmp_path.iterdir()]


def test_many_processes_at_once(start: Start, tmp_path: Path) -> None:
    """Four that start together, with the part of a killed one there: whoever takes it over, all are right."""
    server = start(File())
    with start_download(server, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)") as killed:
        killed.communicate(timeout=60)
    running = [start_download(server, tmp_path, "") for _ in range(4)]
    for process in running:
        with process:
            assert SHA256 == process.communicate(timeout=60)[0].strip()
    assert CONTENT == (tmp_path / "a.bin").read_bytes()
    assert ["a.bin"] == [path.name for path in tmp_path.iterdir()]


def test_a_child_that_inherits_the_part_does_not_keep_it_locked(start: Start, tmp_path: Path) -> None:
    """A worker that was forked during a download lives on; the next process goes on all the same."""
    file = File(cuts=[HALF] * 5, ranges=False)
    server = start(file)
    event = "Part.write = written; os.fork() or (os.close(1), os.close(2), sys.stdin.readline(), os._exit(0))"
    with start_download(server, tmp_path, event) as first:
        assert first.stderr is not None
        assert "TransportError" in first.stderr.read()
        file.ranges = True
        with start_download(server, tmp_path, "") as second:
            assert SHA256 == second.communicate(timeout=60)[0].strip()
        assert f"bytes={HALF}-" == file.asked[-1]
        first.communicate("end\n", timeout=60)


def test_the_bytes_are_on_disk_before_the_name(
    start: Start, connect: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fsync of the file, then the rename, then fsync of the directory: a power cut leaves the old file or the new."""
    seen: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        is_directory = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        seen.append("fsync of the directory" if is_directory else f"fsync of {os.fstat(descriptor).st_size} bytes")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        seen.append(f"rename to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    kayrros = connect(start(File()), token="a-token")
    kayrros.download(DATASET, tmp_path)  # type: ignore[attr-defined]
    assert [f"fsync of {len(CONTENT)} bytes", "rename to a.bin", "fsync of the directory"] == seen
