"""Files on disk: atomic writes, renames, and advice for errors of the operating system."""

import errno
import os
import resource
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest

from kayrros_ext._files import atomic_write, move, os_error_hint


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    """Until the block ends, the old file is there, and readable under its name."""
    (path := tmp_path / "file").write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"file": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_error_keeps_the_old_file(error: type[BaseException], tmp_path: Path) -> None:
    """No other file is left after any exception."""
    (path := tmp_path / "file").write_bytes(b"old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == {"file": b"old"}


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """Closing the file fails as well, and the first error is raised. A limit on the size of files stands for the disk."""
    (path := tmp_path / "file").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught, atomic_write(path) as file:
            file.write(b"x" * 1000)  # buffered, so that the flush fails
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == {"file": b"old"}
    assert "ulimit" in os_error_hint(caught.value)


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    """The umask decides who else can read the file."""
    umask = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "file") as file:
            file.write(b"x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_private_file_stays_private(tmp_path: Path) -> None:
    """The new file has the permissions of the old one before a byte is written."""
    (path := tmp_path / "file").write_bytes(b"old")
    path.chmod(0o600)
    with atomic_write(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("hard_links", [True, False])
def test_move_without_replacing(hard_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with hard links does it in one step. Elsewhere `move` checks first."""
    if not hard_links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))
    (source := tmp_path / "source").write_bytes(b"new")
    (target := tmp_path / "target").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        move(source, target, replace=False)
    assert contents(tmp_path) == {"source": b"new", "target": b"old"}
    target.unlink()
    move(source, target, replace=False)
    assert contents(tmp_path) == {"target": b"new"}


def test_every_error_has_advice() -> None:
    """A full disk has its own, and an unknown error a general one."""
    assert "Free disk space" in os_error_hint(OSError(errno.ENOSPC, "No space left on device"))
    for error in (OSError(errno.EIO, "Input/output error"), OSError("without a number")):
        assert os_error_hint(error) == "Choose another directory."
