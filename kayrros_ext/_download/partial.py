"""Part of a file, kept beside its target for the next call, and locked while it is in use.

A part is two hidden files: `.<dataset id>.<random>.part` with the bytes, and the same with `.json`, which says of what
they are part. The lock is the system's own (flock) and goes with the process, however that ends. So a part that is not
locked is nobody's: one call takes it over and goes on from it, or removes it.
"""

import contextlib
import json
import os
import re
import secrets
import stat
import sys
from pathlib import Path

import attrs

from kayrros_ext._download.digests import KNOWN
from kayrros_ext._files import move

_MAX_ABOUT = 64 * 1024
# Not through a symlink, and not a pipe, that would wait: whoever may write to the directory may have left them.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@attrs.frozen
class About:
    """Of what a part is part.

    Attributes:
        host: base URL of the platform.
        validator: of the version, for If-Range.
        name: of the file, safe.
        size: of the whole file in bytes, where the server said.
        digests: of the whole file that the server gave: name of hashlib to hexadecimal digits.
    """

    host: str
    validator: str
    name: str
    size: int | None
    digests: dict[str, str]


class Part:
    """A part that is ours until we let go of it.

    Args:
        path: of the bytes.
        descriptor: open for reading and writing, and locked where the system can.
        locked: whether it is; a part that is not can't be kept for others.
        about: of what it is part, None for nothing yet.
    """

    def __init__(self, path: Path, descriptor: int, *, locked: bool, about: About | None = None) -> None:
        self.path, self.about = path, about
        self._descriptor, self._locked = descriptor, locked
        self.size = os.fstat(descriptor).st_size

    def start(self, about: About | None) -> None:
        """From the first byte; with `about`, others may go on from what there will be."""
        self._forget()
        os.ftruncate(self._descriptor, 0)
        self.size, self.about = 0, about
        if about and self._locked:
            # Not through a symlink that somebody was quick to put there.
            with self._side.open("x", encoding="utf-8") as file:
                file.write(json.dumps(attrs.asdict(about)))

    def shorten(self, size: int) -> None:
        """Keep the first `size` bytes."""
        os.ftruncate(self._descriptor, size)
        self.size = size

    def write(self, block: "bytes | memoryview[int]") -> None:
        """Add bytes at the end, all of them."""
        os.lseek(self._descriptor, self.size, os.SEEK_SET)
        rest = memoryview(block)
        while rest:
            count = os.write(self._descriptor, rest)
            rest, self.size = rest[count:], self.size + count

    def read_into(self, block: bytearray, start: int) -> int:
        """Read bytes from `start` on; how many there were."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        return os.readv(self._descriptor, [block])

    def finish(self, path: Path, *, replace: bool) -> None:
        """To disk, and then under its name.

        Raises:
            FileExistsError: there is one of that name, and it is not to be replaced.
            OSError: it can't be.
        """
        os.fsync(self._descriptor)
        self._forget()
        if sys.platform == "win32":  # where an open file can't be moved
            os.close(self._descriptor)
            self._descriptor = -1
        move(self.path, path, replace=replace)
        self.close(keep=False)

    def close(self, *, keep: bool) -> None:
        """Let go of it, so that others may go on from it; or remove it. Again is the same as once."""
        if self._descriptor < 0:
            return
        try:
            if not (keep and self._locked and self.about and self.size):
                self._forget()
                self.path.unlink(missing_ok=True)
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            _let_go(descriptor)

    def _forget(self) -> None:
        self._side.unlink(missing_ok=True)

    @property
    def _side(self) -> Path:
        return self.path.with_suffix(".json")


def new_part(directory: Path, stem: str) -> Part:
    """An empty part that nobody else has.

    Raises:
        OSError: it can't be made.
    """
    while True:
        path = directory / f".{stem}.{secrets.token_hex(8)}.part"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        # Between making and locking it, another call may take it for nobody's, and remove it.
        with contextlib.suppress(BlockingIOError):
            locked = _lock(descriptor)
            if not locked or _is_at(descriptor, path):
                return Part(path, descriptor, locked=locked)
        os.close(descriptor)


def find_part(directory: Path, stem: str, host: str) -> Part | None:
    """A part that a call left behind, the largest; the others that are nobody's are removed."""
    found: list[Part] = []
    with contextlib.suppress(OSError):
        for path in directory.glob(f".{stem}.*.part"):
            with contextlib.suppress(OSError):
                if part := _take_over(path):
                    found.append(part)
    usable = [part for part in found if part.about and part.about.host == host and part.size]
    best = max(usable, key=lambda part: part.size, default=None)
    for part in found:
        if part is not best:
            part.close(keep=False)
    return best


def _take_over(path: Path) -> Part | None:
    descriptor = os.open(path, os.O_RDWR | _SAFELY)
    with contextlib.suppress(BlockingIOError):
        if _is_own_file(descriptor) and _lock(descriptor):
            if _is_at(descriptor, path):
                return Part(path, descriptor, locked=True, about=_read_about(path.with_suffix(".json")))
            _let_go(descriptor)
            return None
    os.close(descriptor)
    return None


def _read_about(path: Path) -> About | None:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _SAFELY), encoding="utf-8") as file:
            if not _is_own_file(file.fileno()):
                return None
            about = About(**json.loads(file.read(_MAX_ABOUT)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return about if _is_sound(about) else None


def _is_sound(about: About) -> bool:
    """Whether it can be used: whoever may write to the directory may have written it."""
    texts = (about.host, about.validator, about.name)
    return (
        all(isinstance(text, str) for text in texts)
        and bool(re.fullmatch("[ -~]+", about.validator, re.ASCII))
        and (about.size is None or type(about.size) is int)
        and isinstance(about.digests, dict)
        and KNOWN.issuperset(about.digests)
    )


def _is_own_file(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and mine


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _lock(descriptor: int) -> bool:
    """Lock a file. False: this can't be done here, on Windows and some network file systems.

    Raises:
        BlockingIOError: another has locked it.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _let_go(descriptor: int) -> None:
    """Unlock and close a file. To close it alone would leave it locked by a child process that has inherited it."""
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
