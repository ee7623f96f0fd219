"""Download a file to disk: in flat memory, verified, atomically, and resumed where the connection broke off."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from uuid import UUID

import attrs
import httpx

from kayrros_ext._download.headers import (
    choose_filename,
    is_continuation,
    resume_validator,
    safe_filename,
    server_digest,
    server_filename,
    total_size,
)
from kayrros_ext._download.partial import PartialFile, PartMetadata, create_part, open_part
from kayrros_ext._files import os_error_hint
from kayrros_ext._http.client import CALL_OPTIONS, ApiClient, CallOptions
from kayrros_ext.errors import DownloadError, UsageError
from kayrros_openapi.api.datasets import download_static_dataset

# Takes the bytes received so far, and those of the whole file if the server specified them.
ProgressCallback = Callable[[int, int | None], object]

_log = logging.getLogger("kayrros_ext")


@attrs.frozen
class Download:
    """A downloaded file. It can be used as a path, as in `open(download)`.

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


@attrs.frozen
class DownloadOptions:
    """Checked arguments of a download.

    Attributes:
        directory: that the file goes into.
        overwrite: whether to replace an existing file.
        skip_existing: whether to return an existing file.
        sha256: that the file must have; None for any.
    """

    directory: Path
    overwrite: bool = True
    skip_existing: bool = False
    sha256: str | None = None

    @classmethod
    def parse(cls, directory: str | Path, *, overwrite: bool, skip_existing: bool, sha256: str | None) -> Self:
        """Check the arguments of a user.

        Raises:
            UsageError: directory is not a path, or sha256 is not a SHA-256.
        """
        digest = sha256.strip().lower() if isinstance(sha256, str) else sha256
        if digest is not None and not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            hint = "Pass 64 hexadecimal digits, as sha256sum prints them."
            raise UsageError(f"sha256 is {sha256!r:.80}.", hint=hint)
        try:
            path = Path(directory)
            with suppress(OSError):
                path.lstat()
        except (TypeError, ValueError) as error:
            hint = "Pass a path, such as data/."
            raise UsageError(f"directory is {directory!r}, which is not a path ({error}).", hint=hint) from None
        return cls(path, overwrite, skip_existing, digest)


def download(
    client: ApiClient, dataset_id: UUID, options: DownloadOptions, progress: ProgressCallback | None = None
) -> Download:
    """Download the file of a static dataset.

    Raises:
        DownloadError: the file can't be written, exists, or has another digest.
        KayrrosError: the request failed.
    """
    http = client.get_httpx_client()
    consumer = FileConsumer(options, str(dataset_id), str(http.base_url), progress)
    try:
        extensions = {CALL_OPTIONS: CallOptions(consumer=consumer)}
        http.request(**download_static_dataset._get_kwargs(dataset_id), extensions=extensions)
    finally:
        consumer.close()
    return consumer.result


class FileConsumer:
    """A BodyConsumer that writes a file. Each attempt resumes where the last one broke off, if the server allows it.

    Args:
        options: of the download.
        stem: name of the part, and of the file where the server gives no name.
        base_url: of the platform. A part from another one is not resumed.
        progress: called after each chunk.
    """

    result: Download

    def __init__(self, options: DownloadOptions, stem: str, base_url: str, progress: ProgressCallback | None) -> None:
        self._options, self._stem, self._base_url, self._progress = options, stem, base_url, progress
        self._part = open_part(options.directory, stem, base_url)
        self._path = options.directory / stem
        self._offset = 0

    @property
    def size(self) -> int:
        """Bytes that the next attempt can resume from."""
        return self._part.resumable_size if self._part else 0

    def headers(self) -> dict[str, str]:
        """Return the headers of the next attempt."""
        # A compressed response could not be resumed, and its Content-Length would not be the size of the file.
        headers, self._offset = {"Accept-Encoding": "identity"}, self.size
        if self._part and self._offset:
            # The last byte of a complete part is requested again, because no range is empty.
            self._offset -= self._offset == self._part.metadata.size
            headers |= {"Range": f"bytes={self._offset}-", "If-Range": self._part.metadata.validator or ""}
        return headers

    def accepts(self, response: httpx.Response) -> bool:
        """Return whether the response answers the request, and is not an error."""
        return response.status_code in ({200, 206, 416} if self._offset else {200})

    def consume(self, response: httpx.Response, chunks: Iterator[bytes]) -> bool:
        """Write the body to disk. Return False where the range does not fit, so that the whole file must be requested.

        Raises:
            httpx.RequestError: the body broke off.
            DownloadError: the file can't be written, exists, or has another digest.
        """
        metadata = self._read_headers(response)
        if metadata is None:
            self.close(keep=False)
            return False
        self._path = self._options.directory / metadata.name
        with self._wrap_os_errors():
            if existing := self._existing():
                self.result = existing
                return True
            self._part = part = self._part or create_part(self._options.directory, self._stem, self._base_url)
            part.begin(metadata, self._offset if response.status_code == 206 else 0)
        for chunk in chunks:
            with self._wrap_os_errors():
                part.write(chunk)
            if self._progress:
                self._progress(part.size, metadata.size)
        if metadata.size not in {None, part.size}:
            raise httpx.RemoteProtocolError(f"{part.size} of {metadata.size} bytes arrived", request=response.request)
        with self._wrap_os_errors():
            self._verify(part)
            part.finish(self._path, replace=self._options.overwrite)
        self.result = Download(self._path, part.size, part.hexdigest("sha256"))
        _log.info("%s: %d bytes, sha256 %s", self._path, part.size, self.result.sha256)
        return True

    def close(self, *, keep: bool = True) -> None:
        """Close the part, and keep it for the next call where that can resume it."""
        if self._part:
            self._part.close(keep=keep)
            self._part = None

    def _read_headers(self, response: httpx.Response) -> PartMetadata | None:
        """Return the metadata of the file, or None for a response that does not continue the part."""
        headers = response.headers
        if response.status_code == 200:
            name, validator = choose_filename(headers, self._stem), resume_validator(headers)
            return PartMetadata(self._base_url, name, validator, total_size(response), server_digest(response))
        if self._part is None or response.status_code != 206 or self.size < self._offset:
            return None
        metadata = self._part.metadata
        if not is_continuation(response, metadata.validator or "", self._offset, metadata.size):
            return None
        # A 206 may leave out headers that the 200 had (RFC 9110, 15.3.7).
        name = server_filename(headers) or safe_filename(metadata.name) or self._stem
        digest = metadata.digest or server_digest(response)
        return attrs.evolve(metadata, name=name, size=total_size(response), digest=digest)

    def _existing(self) -> Download | None:
        """Return the existing file if the options allow it, or raise an error if it must not be replaced."""
        path, options = self._path, self._options
        if path.is_dir() and not path.is_symlink():
            raise DownloadError(f"{path} is a directory.", path=path, hint="Move it, or choose another directory.")
        if options.skip_existing and path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if options.sha256 in {None, digest}:
                _log.info("%s already exists: sha256 %s", path, digest)
                return Download(path, path.stat().st_size, digest, new=False)
        if not options.overwrite and os.path.lexists(path):
            raise self._already_exists()
        return None

    def _verify(self, part: PartialFile) -> None:
        if part.size_on_disk != part.size:
            self.close(keep=False)
            message = f"{self._path} was not written, because another program changed {part.path.name}."
            raise DownloadError(message, path=self._path, hint="Download it again.")
        expected = [("the server", part.metadata.digest)] if part.metadata.digest else []
        expected += [("you", f"sha256:{self._options.sha256}")] if self._options.sha256 else []
        for source, digest in expected:
            name, _, value = digest.partition(":")
            if (actual := part.hexdigest(name)) != value:
                self.close(keep=False)
                raise DownloadError(
                    f"{self._path} was not written: the {name} of the download is {actual}, but {source} specified {value}.",
                    path=self._path,
                    hint="Download it again. If that fails too, the file has changed or the specified digest is wrong.",
                )

    def _already_exists(self) -> DownloadError:
        hint = "Remove it, or pass {} to replace it or {} to keep it."
        return DownloadError(
            f"{self._path} already exists.",
            path=self._path,
            hint=hint.format("overwrite=True", "skip_existing=True"),
            hint_cli=hint.format("--overwrite", "--skip-existing"),
        )

    @contextmanager
    def _wrap_os_errors(self) -> Iterator[None]:
        """Delete the part where the disk fails, and raise a DownloadError."""
        try:
            yield
        except OSError as error:
            self.close(keep=False)
            if isinstance(error, FileExistsError) and os.path.lexists(self._path):
                raise self._already_exists() from None
            message = f"{self._path} could not be written ({error.strerror or error})."
            raise DownloadError(message, path=self._path, hint=os_error_hint(error)) from error
