"""Downloads in processes of their own that are killed, interrupted, out of disk space, or several at a time."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kayrros_ext import DownloadError, Kayrros, TransportError
from tests.support.checkout import ROOT, environment
from tests.support.files import CONTENT, HALF, SHA256, File
from tests.support.server import DATASET, Responder, Server
from tests.support.unprivileged import unprivileged

Start = Callable[[Responder], Server]
PART, SIDECAR, LOCK = f".{DATASET}.part", f".{DATASET}.part.json", f".{DATASET}.part.lock"

# A download that runs code of the test once its part has this many bytes. It prints the digest of the file.
_CODE = """
import os, resource, signal, sys
from kayrros_ext import Kayrros, KayrrosError, Retries
from kayrros_ext._download.partial import PartialFile

url, directory, limit, event = sys.argv[1:]
original_write = PartialFile.write

def write(part, block):
    original_write(part, block)
    if part.size >= int(limit):
        exec(event)

PartialFile.write = write
try:
    with Kayrros(token="a-token", base_url=url, retries=Retries(backoff_initial=0)) as kayrros:
        print(kayrros.download({dataset!r}, directory, overwrite=True).sha256)
except KayrrosError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
INTERRUPT = "PartialFile.write = original_write; os.kill(os.getpid(), signal.SIGINT)"
PAUSE = "PartialFile.write = original_write; print('half', flush=True); sys.stdin.readline()"


def start_download(server: Server, directory: Path, event: str = "", limit: int = HALF) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CODE.format(dataset=DATASET), server.url, str(directory), str(limit), event],
        env=environment(ROOT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", text: str | None = None) -> str:
    with process:
        return process.communicate(text, timeout=60)[0].strip()


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("event", "status", "left"),
    [(KILL, -signal.SIGKILL, {PART, SIDECAR, LOCK}), (INTERRUPT, -signal.SIGINT, {PART, SIDECAR})],
    ids=["killed", "interrupted"],
)
def test_next_process_resumes(event: str, status: int, left: set[str], start: Start, tmp_path: Path) -> None:
    """After a kill or an interrupt the old file is unchanged. The next process resumes, and deletes all hidden files."""
    (tmp_path / "a.bin").write_bytes(b"old")
    file = File()
    server = start(file)
    process = start_download(server, tmp_path, event)
    finish(process)
    assert process.returncode == status
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == {"a.bin", *left}
    assert finish(start_download(server, tmp_path)) == SHA256
    offset = int((file.requested_ranges[-1] or "").removeprefix("bytes=").removesuffix("-"))
    assert HALF <= offset < len(CONTENT)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == {"a.bin"}


def test_full_disk_is_an_error_with_advice(start: Start, tmp_path: Path) -> None:
    """The error is a DownloadError, and the part is deleted. A limit on the size of files stands for the disk."""
    (tmp_path / "a.bin").write_bytes(b"old")
    event = "sys.dont_write_bytecode = True; resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))"
    with start_download(start(File()), tmp_path, event, limit=1) as process:
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    for text in ("DownloadError", "File too large", "ulimit"):
        assert text in stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"old"}


def pause_half_way(server: Server, directory: Path) -> "subprocess.Popen[str]":
    process = start_download(server, directory, PAUSE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "half"
    return process


def test_second_process_waits(start: Start, tmp_path: Path) -> None:
    """While one is paused half-way, another sends no request. Then both return the file that the first one transferred."""
    file = File()
    server = start(file)
    first = pause_half_way(server, tmp_path)
    second = start_download(server, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1)
    assert file.requested_ranges == [None]
    assert finish(first, "go on\n") == SHA256
    assert finish(second) == SHA256
    assert file.requested_ranges == [None, None]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == {"a.bin"}


def test_waiting_process_resumes_after_a_kill(start: Start, tmp_path: Path) -> None:
    """The lock ends with the process that holds it."""
    file = File()
    server = start(file)
    first = pause_half_way(server, tmp_path)
    second = start_download(server, tmp_path)
    first.kill()
    finish(first)
    assert finish(second) == SHA256
    assert len(file.requested_ranges) == 2
    assert file.requested_ranges[1]
    assert names(tmp_path) == {"a.bin"}


def test_waiting_ends_with_the_total_timeout(start: Start, connect: Callable[..., Kayrros], tmp_path: Path) -> None:
    """The error is a DownloadError. The other process keeps its part, and gets the right file."""
    server = start(File())
    first = pause_half_way(server, tmp_path)
    with pytest.raises(DownloadError, match="Another download of the same dataset .* Wait for it"):
        connect(server, token="a-token", total_timeout=0.2).download(DATASET, tmp_path)
    assert names(tmp_path) == {PART, SIDECAR, LOCK}
    assert finish(first, "go on\n") == SHA256
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_many_processes_find_one_part(start: Start, tmp_path: Path) -> None:
    """Three start together next to the part of a killed process. One resumes it, and all get the right file."""
    file = File()
    server = start(file)
    finish(start_download(server, tmp_path, KILL))
    for process in [start_download(server, tmp_path) for _ in range(3)]:
        assert finish(process) == SHA256
    assert [requested is None for requested in file.requested_ranges] == [True, False, True, True]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == {"a.bin"}


def test_forked_child_does_not_keep_the_lock(start: Start, tmp_path: Path) -> None:
    """A child that was forked during a download outlives it, and the next process resumes."""
    file = File(cuts=[HALF] * 5, ranges=False)
    server = start(file)
    event = (
        "PartialFile.write = original_write; os.fork() or (os.close(1), os.close(2), sys.stdin.readline(), os._exit(0))"
    )
    with start_download(server, tmp_path, event) as first:
        assert first.stderr is not None
        assert "TransportError" in first.stderr.read()
        file.ranges = True
        assert finish(start_download(server, tmp_path)) == SHA256
        assert file.requested_ranges[-1] == f"bytes={HALF}-"
        first.communicate("end\n", timeout=60)


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, 524])
def test_file_system_without_locks(
    number: int, start: Start, connect: Callable[..., Kayrros], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file itself is the lock. The next call resumes, and nothing is left."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fail)
    file = File(cuts=[HALF])
    server = start(file)
    with pytest.raises(TransportError):
        connect(server, token="a-token", retries=0).download(DATASET, tmp_path)
    assert names(tmp_path) == {PART, SIDECAR}
    assert connect(server, token="a-token").download(DATASET, tmp_path).sha256 == SHA256
    assert file.requested_ranges == [None, f"bytes={HALF}-"]
    assert names(tmp_path) == {"a.bin"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be another user")
def test_lock_of_another_user_is_kept(start: Start, connect: Callable[..., Kayrros], tmp_path: Path) -> None:
    """In a directory that several users write to, a lock that can't be opened is an error, and is not deleted."""
    tmp_path.chmod(0o777)
    (tmp_path / LOCK).touch(mode=0o600)
    os.chown(tmp_path / LOCK, 12345, 12345)
    kayrros = connect(start(File()), token="a-token")
    with unprivileged(), pytest.raises(DownloadError, match="Permission denied"):
        kayrros.download(DATASET, tmp_path)
    assert names(tmp_path) == {LOCK}


def test_read_only_directory_is_an_error_with_advice(
    start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """The error is a DownloadError. A file that exists there can still be returned."""
    (tmp_path / "a.bin").write_bytes(CONTENT)
    tmp_path.chmod(0o500)
    kayrros = connect(start(File()), token="a-token")
    with unprivileged():
        assert kayrros.download(DATASET, tmp_path, sha256=SHA256).new is False
        with pytest.raises(DownloadError, match=r"\.part.*Choose a directory that you may write to"):
            kayrros.download(DATASET, tmp_path)


def test_bytes_are_synced_before_the_rename(
    start: Start, connect: Callable[..., Kayrros], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fsync of the file, then the rename: a power cut leaves the old file or the new one."""
    (tmp_path / "a.bin").write_bytes(b"old")
    events: list[str] = []
    sync, rename = os.fsync, Path.replace

    def record_sync(descriptor: int) -> None:
        events.append(f"fsync of {os.fstat(descriptor).st_size} bytes")
        sync(descriptor)

    def record_rename(path: Path, target: Path) -> Path:
        events.append(f"rename to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_rename)
    connect(start(File()), token="a-token").download(DATASET, tmp_path, overwrite=True)
    assert events == [f"fsync of {len(CONTENT)} bytes", "rename to a.bin"]
