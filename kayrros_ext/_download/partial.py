"""The hidden file that holds a download until it is complete, and that a later call can resume.

`.{dataset id}.part` has the bytes and `.{dataset id}.part.json` describes the file that they belong to. They are named after
the dataset, because Range is sent before the server names the file. One process at a time holds `.{dataset id}.part.lock`.
"""

import contextlib
import errno
import hashlib
import os
import stat
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import attrs
import msgspec
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from kayrros_ext._files import copy_mode, move
from kayrros_ext.errors import DownloadError

_CHUNKS_PER_BLOCK = 16  # a mebibyte at most; threads that take turns more often are slower than one thread
# flock of NFS without a lock server, and of some parallel and FUSE file systems. The last is the kernel's own ENOTSUPP.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, 524}


@attrs.frozen
class PartMetadata:
    """The file that a part belongs to. Its size and digest are those of the whole file, if the server specified them."""

    base_url: str
    name: str = ""
    etag: str | None = None  # a strong one; without it, the part can't be resumed
    size: int | None = None
    digest: str | None = None  # such as "sha256:2c26b4..."


class PartialFile:
    """A part. Its SHA-256 is computed in a thread while more bytes arrive, which hides half of the time it takes.

    `size` counts the bytes hashed; these are on disk unless another program changes the part.
    """

    def __init__(self, directory: Path, dataset_id: str, base_url: str, timeout_s: float) -> None:
        self.dataset_id, self.metadata, self.size = dataset_id, PartMetadata(base_url), 0
        self.path = directory / f".{dataset_id}.part"
        self._sidecar = directory / f"{self.path.name}.json"
        # thread_local, the default, would not let another thread release it.
        self._lock: BaseFileLock = FileLock(f"{self.path}.lock", timeout=timeout_s, thread_local=False)
        self._open_file = contextlib.ExitStack()
        self._hash, self._chunks = hashlib.sha256(), list[bytes]()
        self._thread, self._hashing = ThreadPoolExecutor(1), set[Future[None]]()

    def lock(self) -> None:
        """Wait for the lock, and read the metadata that an earlier call left behind. A second call does nothing."""
        if self._lock.is_locked:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                self._lock.acquire()
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise  # a Timeout, too
                Path(self._lock.lock_file).unlink(missing_ok=True)
                self._lock = SoftFileLock(f"{self._lock.lock_file}.soft", self._lock.timeout, thread_local=False)
                self._lock.acquire()
        except Timeout:
            message = f"Another download of the same dataset into {self.path.parent} has not ended."
            raise DownloadError(message, path=self.path, hint="Wait for it, or choose another directory.") from None
        with contextlib.suppress(OSError, msgspec.MsgspecError):
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
        """Keep the first `offset` bytes, and hash them unless they are hashed."""
        self.metadata = metadata
        self._open_file.close()
        if offset == 0:  # the part is not truncated but removed, because it may be a symlink
            self._sidecar.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            if metadata.etag:
                self._sidecar.write_bytes(msgspec.json.encode(metadata))
        # In append mode, a part that another program truncates gets no hole of zeros, but is too short.
        self._file = self._open_file.enter_context(self.path.open("ab", buffering=0))
        self._file.truncate(offset)
        if self.size != offset:
            with self.path.open("rb") as file:
                self._hash, self._chunks = hashlib.file_digest(file, "sha256"), []
            self.size = offset

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(chunk)
        self._chunks.append(chunk)
        if len(self._chunks) >= _CHUNKS_PER_BLOCK:
            wait(self._hashing)
            block, self._chunks = b"".join(self._chunks), []
            try:
                self._hashing = {self._thread.submit(self._hash.update, block)}
            except RuntimeError:  # the main thread has ended, and no pool starts a thread
                self._hash.update(block)

    def hexdigest(self, name: str) -> str:
        """Return a digest of all bytes."""
        if name != "sha256":
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, name).hexdigest()
        wait(self._hashing)
        self._hash.update(b"".join(self._chunks))
        self._chunks = []
        return self._hash.hexdigest()

    def finish(self, target: Path, *, replace: bool) -> None:
        """Sync the part to disk and rename it. Raise FileExistsError if `target` exists and `replace` is False."""
        os.fsync(self._file.fileno())
        self._open_file.close()  # Windows does not rename an open file
        if replace:
            copy_mode(target, self.path)
        move(self.path, target, replace=replace)
        self.close(keep=False)

    def close(self, *, keep: bool = True) -> None:
        """Release the lock. Keep the part for a later call if that can resume it. A second call does nothing."""
        if not self._lock.is_locked:
            return
        self._thread.shutdown()
        self._open_file.close()
        with contextlib.suppress(OSError):
            if not (keep and self.resumable_size):
                self._sidecar.unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows deletes the file of a lock on its release, and not before
            Path(self._lock.lock_file).unlink()
        self._lock.release()
