"""A folder for its owner alone, and what is done to files in it: read if they are private, written whole, locked."""

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path

# A token goes into a header, and servers take headers of some 8 KB to 64 KB.
_MOST_BYTES = 64 * 1024


class PrivateFolder:
    """An open directory, checked: ours, and for us alone. Windows knows no such handles, and keeps profiles private."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        if os.name == "posix":
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            found = os.fstat(self._handle)
            if found.st_uid != os.geteuid():
                self.close()
                raise PermissionError
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.fchmod(self._handle, 0o700)

    def open(self, name: str, flags: int) -> int:
        """The descriptor of a file in it; not through a symlink, and without waiting for a pipe."""
        safe = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        return os.open(self._at(name), flags | safe | getattr(os, "O_BINARY", 0), 0o600, dir_fd=self._handle)

    def read(self, name: str) -> bytes:
        """The content; empty where the file is not one of ours that nobody else can read."""
        file = self.open(name, os.O_RDONLY)
        try:
            found = os.fstat(file)
            private = os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)
            if not (private and stat.S_ISREG(found.st_mode)):
                return b""
            return os.read(file, _MOST_BYTES)  # what is longer is cut off, and no JSON
        finally:
            os.close(file)

    def write(self, name: str, content: bytes) -> None:
        """The file, whole or not at all, in place of whatever bears its name."""
        part = f".{secrets.token_hex(8)}.part"
        file = self.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(file, "wb") as opened:
                if hasattr(os, "fchmod"):
                    os.fchmod(file, 0o600)  # a umask may have taken even our own
                opened.write(content)
            os.replace(self._at(part), self._at(name), src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except BaseException:
            self.remove(part)
            raise

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._handle)

    def close(self) -> None:
        """Let go of the directory."""
        if self._handle is not None:
            os.close(self._handle)

    def _at(self, name: str) -> str:
        return name if self._handle is not None else str(self._path / name)


if sys.platform == "win32":
    import msvcrt

    def lock(file: int) -> None:
        """Lock a file, without waiting. An OSError where another process has, or where there are no locks."""
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def unlock(file: int) -> None:
        """Let another process lock it."""
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(file: int) -> None:
        """Lock a file, without waiting. An OSError where another process has, or where there are no locks."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: int) -> None:
        """Let another process lock it."""
        fcntl.flock(file, fcntl.LOCK_UN)
