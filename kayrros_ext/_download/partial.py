"""The hidden file that holds a download until it is complete, and that a later call can resume.

`.{dataset id}.part` has the bytes and `.{dataset id}.part.json` describes the file that they belong to. They are named after
the dataset, because Range is sent before the server names the file. One process at a time holds `.{dataset id}.part.lock`.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import attrs
import msgspec
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from kayrros_ext._download.headers import STRONG_ETAG
from kayrros_ext._files import copy_mode, rename_to_new
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import DownloadError, KayrrosError

_ORIGIN_ATTRIBUTE = "user.kayrros_ext.origin"
# flock of NFS without a lock server, and of some parallel and FUSE file systems. The last is the kernel's own ENOTSUPP.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, 524}


@attrs.frozen
class PartMetadata:
    """The file that a part belongs to. Its size and digest are those of the whole file, if the server specified them."""

    base_url: str
    dataset_id: str
    name: str = ""
    etag: Annotated[str, msgspec.Meta(pattern=rf"\A{STRONG_ETAG}\Z")] | None = None  # without it, it can't be resumed
    size: int | None = None
    digest: Annotated[str, msgspec.Meta(pattern=r"\Asha(256|512):")] | None = None  # such as "sha256:2c26b4..."
    sha256: str | None = None  # only in the attribute of a complete file


def load_origin(path: Path) -> PartMetadata | None:
    """Return what `finish` has kept with a file; None on Windows, macOS and file systems without extended attributes."""
    with contextlib.suppress(OSError, AttributeError, msgspec.MsgspecError):
        return msgspec.json.decode(os.getxattr(path, _ORIGIN_ATTRIBUTE, follow_symlinks=False), type=PartMetadata)
    return None


def hexdigests(file: IO[bytes], expected: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of a file, and its digests of the kinds of the expected ones, such as "sha512:cf83e1..."."""
    digests = {}
    for name in {"sha256", *(digest.partition(":")[0] for digest in expected)}:
        file.seek(0)
        digests[name] = hashlib.file_digest(file, name).hexdigest()  # type: ignore[arg-type]  # any binary file will do
    return digests


def acquire_lock(path: Path, timeout_s: float, busy: KayrrosError) -> BaseFileLock:
    """Wait for the lock that one process at a time may hold; else raise `busy`. Without system locks, a file is one."""
    busy.hint = "Wait for it, or choose another directory."
    path.parent.mkdir(parents=True, exist_ok=True)
    # thread_local, the default, would not let another thread release it.
    lock: BaseFileLock = FileLock(path, timeout=timeout_s, thread_local=False)
    try:
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise  # a Timeout, too, or the lock of another user, which is not ours to ignore
            path.unlink(missing_ok=True)
            lock = SoftFileLock(f"{path}.soft", timeout_s, thread_local=False)
            lock.acquire()
    except Timeout:
        raise busy from None
    return lock


def release_lock(lock: BaseFileLock) -> None:
    """Release a lock, and delete its file before: filelock holds no lock on a file that is gone, but tries again."""
    with contextlib.suppress(OSError):  # Windows deletes the file of a lock on its release, and not before
        Path(lock.lock_file).unlink()
    lock.release()


class PartialFile:
    """A part. `size` counts the bytes written; these are on disk unless another program changes the part."""

    def __init__(self, directory: Path, metadata: PartMetadata, timeout_s: float) -> None:
        self.metadata, self.size = metadata, 0
        self.path = directory / f".{metadata.dataset_id}.part"
        self._sidecar = directory / f"{self.path.name}.json"
        self._lock: BaseFileLock = FileLock(f"{self.path}.lock", timeout=timeout_s)  # not yet acquired
        self._open_file = contextlib.ExitStack()

    def lock(self) -> None:
        """Wait for the lock, and read the metadata that an earlier call left behind. A second call does nothing."""
        if self._lock.is_locked:
            return
        message = f"Another download of the same dataset into {self.path.parent} has not ended."
        busy = DownloadError(message, path=self.path)
        self._lock = acquire_lock(Path(self._lock.lock_file), self._lock.timeout, busy)
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if stat.S_ISREG(self._sidecar.lstat().st_mode):  # opening a pipe would block
                metadata = msgspec.json.decode(self._sidecar.read_bytes(), type=PartMetadata)
                if metadata.base_url == self.metadata.base_url:
                    self.metadata = metadata

    @property
    def resumable_size(self) -> int:
        """Bytes that the next attempt can resume from."""
        with contextlib.suppress(OSError):
            info = self.path.lstat()
            if self.metadata.etag and stat.S_ISREG(info.st_mode) and self.size in {0, info.st_size}:
                return info.st_size
        return 0

    def begin(self, metadata: PartMetadata, offset: int) -> None:
        """Keep the first `offset` bytes."""
        self.metadata, self.size = metadata, offset
        self._open_file.close()
        if offset == 0:  # the part is not truncated but removed, because it may be a symlink
            self._sidecar.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            if metadata.etag:
                self._sidecar.write_bytes(msgspec.json.encode(metadata))
        # In append mode, a part that another program truncates gets no hole of zeros, but is too short.
        self._file = self._open_file.enter_context(self.path.open("ab+", buffering=0))
        if os.fstat(self._file.fileno()).st_size > offset:  # truncate() would extend a shorter one with zeros
            self._file.truncate(offset)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(chunk)

    def sync(self, expected: Iterable[str]) -> tuple[int, dict[str, str]]:
        """Sync the part to disk, and return its size and digests there. The size is 0 if another file is in its place."""
        hashing = run_in_daemon(partial(hexdigests, self._file, expected), "kayrros-digests")
        os.fsync(self._file.fileno())  # takes about as long
        digests, info = hashing.result(), os.fstat(self._file.fileno())
        return info.st_size if os.path.samestat(info, self.path.lstat()) else 0, digests

    def finish(self, target: Path, sha256: str, *, replace: bool) -> None:
        """Rename the synced part. Raise FileExistsError if `target` exists and `replace` is False."""
        with contextlib.suppress(OSError, AttributeError):
            origin = msgspec.json.encode(attrs.evolve(self.metadata, sha256=sha256))
            os.setxattr(self._file.fileno(), _ORIGIN_ATTRIBUTE, origin)
        self._open_file.close()  # Windows does not rename an open file
        if replace:
            copy_mode(target, self.path)
            self.path.replace(target)
        else:
            rename_to_new(self.path, target)
        self.close(keep=False)

    def close(self, *, keep: bool = True) -> None:
        """Release the lock. Keep the part for a later call if that can resume it. A second call does nothing."""
        if not self._lock.is_locked:
            return
        self._open_file.close()
        with contextlib.suppress(OSError):
            if not (keep and self.resumable_size):
                self._sidecar.unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)
        release_lock(self._lock)
