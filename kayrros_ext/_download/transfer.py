"""Download a file to disk: in flat memory, verified, atomically, and resumed where the connection broke off."""

import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import attrs
import httpx

from kayrros_ext._download.headers import (
    choose_filename,
    content_length,
    continued_size,
    safe_filename,
    server_digest,
    strong_etag,
)
from kayrros_ext._download.partial import PartialFile, PartMetadata, hexdigests, load_origin
from kayrros_ext._files import output_error, parse_output
from kayrros_ext._http.client import CALL_OPTIONS, ApiClient, CallOptions
from kayrros_ext._text import format_size
from kayrros_ext.errors import DownloadError, KayrrosError, UsageError
from kayrros_openapi.api.datasets import download_static_dataset

# Takes the bytes received so far, and those of the whole file if the server specified them.
ProgressCallback = Callable[[int, int | None], object]

_log = logging.getLogger("kayrros_ext")


@attrs.frozen
class Download:
    """A downloaded file. It can be used as a path, as in `open(download)`.

    Example:
        >>> download = kayrros.download("Crude oil storage")
        >>> download.path.name, download.size, download.new
        ('crude-terminals.csv', 228, True)

    Attributes:
        path: of the file.
        size: in bytes.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        new: False if the file existed and nothing was transferred.
    """

    path: Path
    size: int
    sha256: str
    new: bool = True

    def __fspath__(self) -> str:
        return str(self.path)


def download(
    client: ApiClient,
    find_dataset: Callable[[], UUID],
    directory: str | Path,
    *,
    overwrite: bool = False,
    sha256: str | None = None,
    progress: ProgressCallback | None = None,
) -> Download:
    """Download the file of a static dataset, which is looked up after all arguments are checked: they are a user's."""
    digest = None if sha256 is None else f"sha256:{str(sha256).strip().lower()}"
    if digest and not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise UsageError(f"sha256 is {sha256!r:.80}.", hint="Pass 64 hexadecimal digits, as sha256sum prints them.")
    if progress and not callable(progress):
        raise UsageError(f"progress is {progress!r:.80}.", hint="Pass a function that takes two numbers, or None.")
    http = client.get_httpx_client()
    folder = parse_output(directory, is_directory=True, error_type=DownloadError)
    dataset_id = find_dataset()
    part = PartialFile(folder, PartMetadata(str(http.base_url), str(dataset_id)), http.policy.total_timeout_s)
    consumer = FileConsumer(part, digest, progress, overwrite=overwrite)
    try:
        with suppress(OSError):  # a directory that can't be written may have the file
            part.lock()
        extensions = {CALL_OPTIONS: CallOptions(consumer=consumer)}
        http.request(**download_static_dataset._get_kwargs(dataset_id), extensions=extensions)
        if consumer.callback_error:
            raise consumer.callback_error  # noqa: TRY301 - it gets the note, too
    except BaseException as error:
        if part.size and (kept := part.resumable_size):
            total = f" of {format_size(part.metadata.size)}" if part.metadata.size else ""
            error.add_note(f"{format_size(kept)}{total} are kept. Repeat the download to resume it.")
        raise
    finally:
        part.close()
    return consumer.result


class FileConsumer:
    """Writes the body of a call to a file. Each attempt resumes where the last one broke off, if the server allows it."""

    callback_error: Exception | None = None
    _owner: str | None = None  # the dataset that an existing file belongs to, if that is another one

    def __init__(
        self, part: PartialFile, digest: str | None, progress: ProgressCallback | None, *, overwrite: bool
    ) -> None:
        self._part, self._digest, self._progress, self._overwrite = part, digest, progress, overwrite
        self._path, self._offset = part.path.parent / part.metadata.dataset_id, 0

    @property
    def size(self) -> int:
        """Bytes that the next attempt can resume from."""
        return self._part.resumable_size

    def headers(self) -> dict[str, str]:
        """Return headers of the next attempt, such as Range."""
        metadata, self._offset = self._part.metadata, self.size
        # A compressed response could not be resumed, and its Content-Length would not be the size of the file.
        headers = {"Accept-Encoding": "identity"}
        if self._offset:
            # The last byte of a complete part is requested again, because no range is empty.
            self._offset -= self._offset == metadata.size
            headers |= {"Range": f"bytes={self._offset}-", "If-Range": metadata.etag or ""}
        return headers

    def accepts(self, response: httpx.Response) -> bool:
        """Return whether a response answers the request, and is not an error."""
        return response.status_code in ({200, 206, 416} if self._offset else {200})

    def consume(self, response: httpx.Response, chunks: Iterator[bytes]) -> bool:
        """Write the body to disk. Return False where the range does not fit, so that the whole file must be requested."""
        try:
            return self._write(response, chunks)
        except OSError as error:  # of the disk, because httpx has other errors
            self._part.close(keep=self._part.size == 0)  # without what this call wrote
            raise self._to_our_error(error) from error

    def _write(self, response: httpx.Response, chunks: Iterator[bytes]) -> bool:
        part, metadata = self._part, self._read_headers(response)
        if metadata is None:
            part.metadata = attrs.evolve(part.metadata, etag=None)  # so that it is not resumed
            return False
        self._path = part.path.with_name(metadata.name)
        if existing := self._existing(metadata):
            self.result = existing
            return True
        part.lock()
        is_first = part.size == 0
        part.begin(metadata, self._offset if response.status_code == 206 else 0)
        if is_first and part.size:
            extra = {"notice": f"resuming at {format_size(part.size)}"}
            _log.info("%s: resuming at %d bytes", self._path, part.size, extra=extra)
        for chunk in chunks:
            part.write(chunk)
            if self._progress:
                try:
                    self._progress(part.size, metadata.size)
                except Exception as error:  # raised after the retries, which take some errors for the network's
                    self.callback_error = error
                    return True
        specified = self._specified_digests(metadata)
        size, digests = part.sync(specified.values())
        if size != part.size or metadata.size not in {None, size}:
            part.metadata = attrs.evolve(metadata, etag=metadata.etag if size == part.size else None)
            message = f"{size} of {metadata.size or part.size} bytes arrived"
            raise httpx.RemoteProtocolError(message, request=response.request)
        self._verify(digests, specified)
        may_replace = os.path.lexists(self._path)  # and not what appears after the check
        existing = self._existing(metadata, digests["sha256"])
        self.result = existing or Download(self._path, size, digests["sha256"])
        if not existing:
            part.finish(self._path, digests["sha256"], replace=may_replace)
        _log.info("%s: %d bytes, sha256 %s", self._path, size, self.result.sha256)
        return True

    def _read_headers(self, response: httpx.Response) -> PartMetadata | None:
        """Return the metadata of the file, or None for a response that does not continue the part."""
        headers, status, metadata = response.headers, response.status_code, self._part.metadata
        digest = server_digest(response)
        if status == 200:
            name, size = choose_filename(headers, metadata.dataset_id), content_length(headers)
            return attrs.evolve(metadata, name=name, etag=strong_etag(headers), size=size, digest=digest)
        size = continued_size(headers, metadata.etag, self._offset, metadata.size)
        if status != 206 or size is None or self.size < self._offset:  # another program may have truncated the part
            return None
        # A 206 may leave out headers that the 200 had (RFC 9110, 15.3.7).
        name = safe_filename(metadata.name) or metadata.dataset_id
        return attrs.evolve(metadata, name=name, size=size, digest=metadata.digest or digest)

    def _existing(self, metadata: PartMetadata, sha256: str | None = None) -> Download | None:
        """Return the file that exists, if it has the size and digests of this one. Without digests, only the body tells.

        Raises an OSError if another file exists and must not be replaced.
        """
        path, self._owner = self._path, None
        if not os.path.lexists(path):
            return None
        info = path.lstat()
        if stat.S_ISDIR(info.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        origin = load_origin(path)
        self._owner = origin.dataset_id if origin and origin.dataset_id != metadata.dataset_id else None
        if origin and metadata.etag and (origin.base_url, origin.etag) == (metadata.base_url, metadata.etag):
            sha256 = sha256 or origin.sha256
        # A symlink is not followed, and a pipe would block.
        if stat.S_ISREG(info.st_mode) and not self._owner and metadata.size in {None, info.st_size}:
            digests = {*self._specified_digests(metadata).values(), *([f"sha256:{sha256}"] if sha256 else [])}
            if not digests:
                return None
            with path.open("rb") as file:
                actual = hexdigests(file, digests)
            if digests <= {f"{name}:{digest}" for name, digest in actual.items()}:
                return Download(path, info.st_size, actual["sha256"], new=False)
        if self._owner or not self._overwrite:
            raise FileExistsError
        return None

    def _specified_digests(self, metadata: PartMetadata) -> dict[str, str]:
        """Return the digests that the file must have, such as "sha256:2c26b4...", by who specified them."""
        digests = {"the server": metadata.digest, "you": self._digest}
        return {source: digest for source, digest in digests.items() if digest}

    def _verify(self, actual: dict[str, str], specified: dict[str, str]) -> None:
        for source, digest in specified.items():
            name, _, expected = digest.partition(":")
            if actual[name] != expected:
                self._part.close(keep=False)
                message = f"the {name} of the download is {actual[name]}, but {source} specified {expected}"
                hint = "Download it again. If that fails too, the file has changed or the specified digest is wrong."
                raise DownloadError(f"{self._path} was not written: {message}.", path=self._path, hint=hint)

    def _to_our_error(self, error: OSError) -> KayrrosError:
        if not isinstance(error, FileExistsError) or not os.path.lexists(self._path):
            return output_error(DownloadError, self._path, error)
        message, hint = f"{self._path} already exists", "Use a directory for each dataset."
        if self._owner:
            return DownloadError(f"{message}, as the file of dataset {self._owner}.", path=self._path, hint=hint)
        hint, hint_cli = (f"Pass {option} to replace it. {hint}" for option in ("overwrite=True", "--overwrite"))
        return DownloadError(f"{message}.", path=self._path, hint=hint, hint_cli=hint_cli)
