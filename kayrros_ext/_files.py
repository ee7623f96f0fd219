"""Write files to disk atomically, and explain errors of the operating system."""

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
            copy_mode(path, part)  # before there is anything to read
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(part, path)
    finally:
        part.unlink(missing_ok=True)


def copy_mode(existing: Path, new: Path) -> None:
    """Keep the permissions of a file that is replaced: a private one stays private."""
    with contextlib.suppress(OSError):  # no such file, or a file system without modes
        if stat.S_ISREG(mode := existing.lstat().st_mode):
            new.chmod(stat.S_IMODE(mode))


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
