"""Files on disk: atomic writes, renames, and advice for errors of the operating system."""

import errno
import os
import resource
import stat
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from kayrros_ext._files import (
    atomic_write,
    output_error,
    parse_output,
    read_private,
    rename_to_new,
    write_output,
    write_private,
)
from kayrros_ext.errors import DownloadError, ExportError, UsageError
from tests.support.unprivileged import unprivileged


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
    assert "ulimit" in str(output_error(ExportError, path, caught.value))


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
def test_rename_to_new_replaces_nothing(hard_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with hard links does it in one step. Elsewhere it checks first."""
    if not hard_links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))
    (source := tmp_path / "source").write_bytes(b"new")
    (target := tmp_path / "target").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        rename_to_new(source, target)
    assert contents(tmp_path) == {"source": b"new", "target": b"old"}
    target.unlink()
    rename_to_new(source, target)
    assert contents(tmp_path) == {"target": b"new"}


def test_every_error_has_advice() -> None:
    """A full disk has its own, and an unknown error a general one."""
    full = output_error(ExportError, Path("x"), OSError(errno.ENOSPC, "No space left on device"))
    assert (
        str(full) == "x could not be written (No space left on device). Free disk space, or choose another directory."
    )
    for error in (OSError(errno.EIO, "Input/output error"), OSError("without a number")):
        assert output_error(DownloadError, Path("x"), error).hint == "Choose another directory."


@pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes are those of POSIX")
def test_private_file_is_read_only_if_it_is_ours_alone(tmp_path: Path) -> None:
    """A link, a pipe, a folder, a file that others can read, or one that is too large is refused. A pipe does not hang."""
    path = tmp_path / "private" / "x"
    write_private(path, b"content")
    assert read_private(path, 7) == b"content"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(PermissionError):
        read_private(path, 6)
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(PermissionError):
            read_private(path, 7)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for other in ("link", "pipe", "private", "missing"):
        with pytest.raises(OSError):  # noqa: PT011 - its class depends on the system
            read_private(tmp_path / other, 7)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_private_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    """Nor is one written to a folder of theirs."""
    path = tmp_path / "private" / "x"
    write_private(path, b"content")
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionError):
        read_private(path, 7)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(PermissionError):
        write_private(path, b"content")


def parse_file(path: Any) -> Path:
    return parse_output(path)


def parse_directory(path: Any) -> Path:
    return parse_output(path, is_directory=True, error_type=DownloadError)


class Named:
    """A path of another library."""

    def __init__(self, name: str | bytes) -> None:
        self.name = name

    def __fspath__(self) -> str | bytes:
        return self.name


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("a.csv", "a.csv"),
        (Path("a.csv"), "a.csv"),
        (Named("a.csv"), "a.csv"),
        (b"a\xff.csv", "a\udcff.csv"),
        (Named(b"a\xff.csv"), "a\udcff.csv"),
        ("a\udcff.csv", "a\udcff.csv"),
        ("./~/a.csv", "~/a.csv"),
        ("a~b.csv", "a~b.csv"),
        ("C:\\data\\a.csv", "C:\\data\\a.csv"),
        ("C:/data/a.csv", "C:/data/a.csv"),
        ("new/a.csv", "new/a.csv"),
        ("2024-01-31T10:00/a.csv", "2024-01-31T10:00/a.csv"),
    ],
)
def test_any_kind_of_path_is_a_path(path: Any, parsed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings, bytes and path objects, for files and for directories. Nothing is created."""
    monkeypatch.chdir(tmp_path)
    assert str(parse_file(path)) == parsed
    assert not list(tmp_path.iterdir())


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell, also that of another user. One that is unknown is refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("~/a.csv", Path("~/a.csv"), b"~/a.csv"):
        assert parse_file(path) == tmp_path / "a.csv"
    assert parse_directory("~") == tmp_path
    assert parse_directory("~root/x") == Path("/root/x")
    for path in ("~nobody-of-this-name/a.csv", "~a.csv"):
        with pytest.raises(UsageError, match="a home directory that is unknown"):
            parse_file(path)


URLS = ["s3://bucket/a.csv", "gs://b/a.csv", "https://h/a.csv", "file:///a.csv", "abfss://c@a/x.csv", "S3://b/a.csv"]


@pytest.mark.parametrize("url", [*URLS, *map(Path, URLS)])
def test_url_is_refused(url: str | Path) -> None:
    """Also as a Path, which joins its slashes."""
    for parse in (parse_file, parse_directory):
        with pytest.raises(UsageError, match="which is a URL"):
            parse(url)


@pytest.mark.parametrize("path", [None, 3, ["a"], "", b"", "a\0b", b"a\0b", "a\ud800b", 1.5, True])
def test_no_path_is_refused(path: Any) -> None:
    """The error is a UsageError, whatever Python raises."""
    for parse in (parse_file, parse_directory):
        with pytest.raises(UsageError, match="which is (not a path|empty|not a)"):
            parse(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a pipe, a device, a socket, or a link to one. A pipe is not opened, which would block."""
    (tmp_path / "d.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "null.csv").symlink_to("/dev/null")
    (tmp_path / "d2.csv").symlink_to("d.csv")
    for name in ("d.csv", "d2.csv", "pipe.csv", "null.csv", "new.csv/", "d.csv/..", "."):
        with pytest.raises(UsageError, match="not a file"):
            parse_file(f"{tmp_path}/{name}")
    for name in ("/dev/null", "/dev/stdout/"):
        with pytest.raises((UsageError, ExportError)):
            parse_file(name)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_file_is_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the name of a file that does not exist, unless it ends in a slash. A directory may have any name."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("exists.csv").mkdir()
    os.mkfifo("pipe")
    for existing in ("file", "pipe", "file/"):
        with pytest.raises(DownloadError, match=r"Not a directory.*Choose another directory"):
            parse_directory(existing)
    for name in ("out.csv", "a/b.parquet", Path("x.tar.gz")):
        with pytest.raises(UsageError, match="the name of a file, unless a slash follows"):
            parse_directory(name)
    for name in ("out.csv/", "exists.csv", "v1.2", "2024.01.31", ".hidden", "a.b/c", ".", "..", "/"):
        assert parse_directory(name) == Path(name)


def test_path_that_cannot_be_reached_is_an_error_of_our_tree(tmp_path: Path) -> None:
    """Too long, a loop, below a file, in a folder of somebody else."""
    (tmp_path / "file").touch()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (locked := tmp_path / "locked").mkdir(mode=0)
    for name in ("a" * 300 + ".csv", "a/" * 3000 + "b.csv", "loop.csv", "file/a.csv", "locked/a.csv"):
        for parse, error in ((parse_file, ExportError), (parse_directory, DownloadError)):
            with unprivileged(), pytest.raises(error, match="could not be written") as caught:
                parse(tmp_path / name)
            assert getattr(caught.value, "path", None) == tmp_path / name
            assert caught.value.hint
    locked.chmod(0o700)


def test_output_is_written_through_symlinks(tmp_path: Path) -> None:
    """A chain of links, a link to nothing, and a link in the folder. A link of the same folder has no other effect."""
    for number, names in enumerate((["a"], ["a", "b"], ["a", "new/b"])):
        (folder := tmp_path / str(number)).mkdir()
        for name, target in zip(names, [*names[1:], "end"], strict=True):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(target)
        with write_output(folder / "a") as file:
            file.write(b"x")
        assert all((folder / name).is_symlink() for name in names)
        [end] = folder.rglob("end")
        assert not end.is_symlink()
        assert (folder / "a").read_bytes() == b"x"
    (tmp_path / "folder").symlink_to("0")
    with write_output(tmp_path / "folder" / "c") as file:
        file.write(b"x")
    assert (tmp_path / "0" / "c").read_bytes() == b"x"
