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
            part.replace(path)
        except BaseException:
            # To close is to write what is still held back, which a full disk refuses once more.
            with contextlib.suppress(OSError):
                file.close()
            part.unlink(missing_ok=True)
            raise
