"""Write files to disk atomically, keep files that are ours alone, and explain errors of the operating system."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# Advice for an OSError, by its errno.
_HINTS = {
    errno.ENOSPC: "Free disk space, or choose another directory.",
    errno.EDQUOT: "Free some of your disk quota, or choose another directory.",
    errno.EFBIG: "Raise the limit on the size of a file (ulimit -f), or choose another directory.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
}


def os_error_hint(error: OSError) -> str:
    """Return advice for an error that occurred while a file was written."""
    return _HINTS.get(error.errno or 0, "Choose another directory.")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file in the same directory. It replaces `path` when the block ends, and is deleted on any error.

    Raises:
        OSError: the file can't be created, written or moved.
    """
    # The tempfile module makes files that only their owner can read. This one gets the usual permissions.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(part, path)
    finally:
        part.unlink(missing_ok=True)


def move(source: Path, target: Path, *, replace: bool = True) -> None:
    """Rename a file within its directory, and sync the directory to disk. A symlink at `target` is replaced, not followed.

    Raises:
        FileExistsError: `target` exists, and `replace` is False.
        OSError: the file can't be renamed.
    """
    if replace:
        source.replace(target)
    else:
        try:
            os.link(source, target)  # unlike a rename, a link never replaces a file
        except OSError:  # the target exists, or the file system has no hard links and the check can't be atomic
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            source.replace(target)
        else:
            source.unlink()
    # Windows and some network file systems can't open or sync a directory.
    with contextlib.suppress(OSError):
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_private(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file that nobody else can write; raise OSError for a link, a pipe or any other."""
    # O_NONBLOCK, because a pipe may never have a writer. Windows has neither flag.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, os.O_RDONLY | flags), "rb") as file:  # noqa: PTH123 - a descriptor
        info = os.fstat(file.fileno())
        if not (stat.S_ISREG(info.st_mode) and _is_ours(info, 0o077)) or info.st_size > max_bytes:
            raise PermissionError
        return file.read(max_bytes)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically, in a private folder."""
    make_private_folder(path.parent)
    with atomic_write(path) as file:
        Path(file.name).chmod(0o600)
        file.write(content)


def make_private_folder(folder: Path) -> None:
    """Create a folder of mode 0700, or make it private; refuse one that is not ours, or a symlink."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or not _is_ours(folder.lstat()):
        raise PermissionError
    folder.chmod(0o700)


def _is_ours(info: os.stat_result, denied: int = 0) -> bool:
    """Return whether we own a file, and nobody has the denied permissions. Windows keeps user profiles private."""
    return os.name != "posix" or (info.st_uid == os.geteuid() and not info.st_mode & denied)
