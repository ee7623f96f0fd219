"""Files on disk: under their names whole or not at all."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# What to do about an OSError, by its errno.
TODO = {
    errno.ENOSPC: "Free the disk, or choose another directory.",
    errno.EDQUOT: "Free your quota of the disk, or choose another directory.",
    errno.EFBIG: "Raise the limit on the size of a file (ulimit -f), or choose another directory.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
}


@contextlib.contextmanager
def whole_or_not_at_all(path: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, moved over it at the end, and gone if there was no end.

    Raises:
        OSError: the file can't be made, written or moved.
    """
    # Not of the tempfile module: its files are for their owner alone, and this becomes a file like any other.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    with part.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            move(part, path)
        except BaseException:
            # To close is to write what is still held back, which a full disk refuses once more.
            with contextlib.suppress(OSError):
                file.close()
            part.unlink(missing_ok=True)
            raise


def move(part: Path, path: Path, *, replace: bool = True) -> None:
    """Give a file its name, for good: the directory goes to disk too. A symlink of that name is replaced, not followed.

    Raises:
        FileExistsError: there is one of that name, and it is not to be replaced.
        OSError: it can't be moved.
    """
    if replace:
        part.replace(path)
    else:
        _move_to_free_name(part, path)
    # Where a directory can't be opened or synced (Windows, some network file systems), the move is as safe as it gets.
    with contextlib.suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _move_to_free_name(part: Path, path: Path) -> None:
    try:
        os.link(part, path, follow_symlinks=False)  # unlike a rename, it never replaces
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links: look first, as well as it can be done
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.replace(path)
    else:
        part.unlink()
