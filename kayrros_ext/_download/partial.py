"""The hidden file that holds a download until it is complete, and that a later call can resume.

`.{dataset id}.part` has the bytes and `.{dataset id}.part.json` describes the file that they belong to. They are named after
the dataset, because Range is sent before the server names the file. The writer locks the part itself, so that no lock file
is left over, and the lock ends with the process. Where another process holds the lock, or the file system has no locks, a
part with a random name is used, which no later call resumes.
"""

import contextlib
import os
import secrets
import stat
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Annotated

import attrs
import msgspec
from filelock import lock_descriptor, unlock_descriptor

from kayrros_ext._download.hashing import Hasher
from kayrros_ext._files import move

# With O_APPEND, a part that another program truncates gets no hole of zeros, but is too short.
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
_READ_SIZE = 1024 * 1024
_ABANDONED_AFTER_S = 24 * 60 * 60


@attrs.frozen
class PartMetadata:
    """The file that a part belongs to.

    Attributes:
        base_url: of the platform.
        name: safe name of the file.
        validator: ETag or Last-Modified of this version, for If-Range. Without it, the part can't be resumed.
        size: of the whole file in bytes, if the server specified it.
        digest: of the whole file, if the server specified it, such as "sha256:2c26b4...".
    """

    base_url: str
    name: str
    validator: Annotated[str, msgspec.Meta(pattern="^[ -~]+$")] | None = None  # as a header can carry it
    size: int | None = None
    digest: str | None = None


class PartialFile:
    """An open part, hashed as it is written. If it is `shared`, it is locked, and later calls may resume it.

    Attributes:
        path: of the part.
        sidecar: path of its metadata.
        metadata: of the file. Without a validator, the part can't be resumed.
    """

    def __init__(self, path: Path, descriptor: int, *, shared: bool) -> None:
        self.path, self.metadata, self._shared = path, PartMetadata("", ""), shared
        self._file, self.sidecar = FileIO(descriptor, "r+"), path.with_name(f"{path.name}.json")
        self._hasher = Hasher({"sha256"})

    @property
    def size(self) -> int:
        """Bytes hashed, and written unless another program truncates the part."""
        return self._hasher.size

    @property
    def size_on_disk(self) -> int:
        """Bytes on disk."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def resumable_size(self) -> int:
        """Bytes that the next attempt can resume from."""
        size = self.size_on_disk
        return size if self.metadata.validator and self.size in {0, size} else 0

    def begin(self, metadata: PartMetadata, offset: int) -> None:
        """Keep the first `offset` bytes, and hash them."""
        if offset == 0:
            self.sidecar.unlink(missing_ok=True)
        self._file.truncate(offset)
        if offset == 0 and self._shared and metadata.validator:
            self.sidecar.write_bytes(msgspec.json.encode(metadata))
        self.metadata = metadata
        names = {"sha256", (metadata.digest or "sha256").partition(":")[0]}
        if self.size != offset or self._hasher.names != names:
            self._hasher.close()
            self._hasher = Hasher(names)
            self._file.seek(0)
            while chunk := self._file.read(_READ_SIZE):
                self._hasher.update(chunk)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hasher.update(chunk)

    def hexdigest(self, name: str) -> str:
        """Return a digest of all bytes."""
        return self._hasher.hexdigest(name)

    def finish(self, target: Path, *, replace: bool) -> None:
        """Sync the part to disk and rename it.

        Raises:
            FileExistsError: `target` exists, and `replace` is False.
            OSError: the part can't be synced or renamed.
        """
        os.fsync(self._file.fileno())
        self.sidecar.unlink(missing_ok=True)
        if sys.platform == "win32":  # an open file can't be renamed there
            self._file.close()
        move(self.path, target, replace=replace)
        self._close()

    def close(self, *, keep: bool) -> None:
        """Keep the part for a later call if it can be resumed, else delete it. A second call does nothing."""
        if self._file.closed:
            return
        keep = keep and self._shared and self.resumable_size > 0
        if sys.platform == "win32":
            self._file.close()
        with contextlib.suppress(OSError):
            if not keep:
                self.sidecar.unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        self._hasher.close()
        if not self._file.closed:
            # A child process made by fork may still have the file open, and would keep it locked.
            with contextlib.suppress(OSError):
                unlock_descriptor(self._file.fileno())
            self._file.close()


def open_part(directory: Path, stem: str, base_url: str, flags: int = 0) -> PartialFile | None:
    """Open and lock the part that an earlier call left behind. Return None where there is none or it can't be locked."""
    path = directory / f".{stem}.part"
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        descriptor = os.open(path, _FLAGS | flags, 0o666)
        stack.callback(os.close, descriptor)
        try:
            locked = lock_descriptor(descriptor, blocking=False)
        except OSError:  # the file system has no locks
            if flags & os.O_CREAT:
                path.unlink()
            raise
        if locked:
            # Another process may have renamed the file before it was locked here. And symlinks are not resumed.
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.fstat(descriptor)):
                stack.pop_all()
                part = PartialFile(path, descriptor, shared=True)
                with contextlib.suppress(OSError, msgspec.MsgspecError, RecursionError):
                    metadata = msgspec.json.decode(part.sidecar.read_bytes(), type=PartMetadata)
                    if metadata.base_url == base_url:
                        part.metadata = metadata
                return part
    return None


def create_part(directory: Path, stem: str, base_url: str) -> PartialFile:
    """Open a part, in a directory that is created if it does not exist.

    Raises:
        OSError: the directory or the part can't be created.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        for path in directory.glob(f".{stem}.*.part"):  # their processes were killed
            if time.time() - path.lstat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()
    if part := open_part(directory, stem, base_url, os.O_CREAT | os.O_EXCL):
        return part
    path = directory / f".{stem}.{secrets.token_hex(8)}.part"
    return PartialFile(path, os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), shared=False)
