"""A streamed answer to a file on disk: flat memory, a safe name, whole or not at all, and resumed where it broke off."""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
import httpx

from kayrros_ext._download.digests import Digests, given_digest, possible_digest
from kayrros_ext._download.filenames import file_name, given_name, safe_name
from kayrros_ext._download.partial import About, Part, find_part, new_part
from kayrros_ext._download.ranges import continues, end, validator
from kayrros_ext._files import TODO
from kayrros_ext.errors import DownloadError, UsageError

_log = logging.getLogger("kayrros_ext")


# Takes the bytes that are there, and those of the whole file where the server says so.
DownloadReport = Callable[[int, int | None], object]


@attrs.frozen
class Download:
    """What a download ended in.

    Attributes:
        path: of the file.
        size: its length in bytes.
        sha256: its SHA-256, 64 hexadecimal digits.
        new: False where it was there, and nothing was transferred.
    """

    path: Path
    size: int
    sha256: str
    new: bool = True


@attrs.frozen
class DownloadOptions:
    """What is wanted of a download, checked.

    Attributes:
        directory: that the file goes into.
        overwrite: whether a file of its name is replaced.
        skip_existing: whether a file of its name will do.
        sha256: that the file must have; None for any.
    """

    directory: Path
    overwrite: bool = True
    skip_existing: bool = False
    sha256: str | None = None

    @classmethod
    def parse(cls, directory: str | Path, *, overwrite: bool, skip_existing: bool, sha256: str | None) -> Self:
        """A wish from what a user gave.

        Raises:
            UsageError: no file system could have the directory, or sha256 is none.
        """
        wanted = sha256.strip().lower() if isinstance(sha256, str) else sha256
        if wanted is not None and not (isinstance(wanted, str) and re.fullmatch("[0-9a-f]{64}", wanted)):
            raise UsageError(f"sha256 is {sha256!r:.80}. Give 64 hexadecimal digits, as sha256sum prints them.")
        return cls(parse_directory(directory), overwrite, skip_existing, wanted)


def parse_directory(value: str | Path) -> Path:
    """The directory that a download goes into.

    Raises:
        UsageError: no file system could have it.
    """
    problem = "it is no path"
    try:
        directory = Path(value)
        if b"\0" not in os.fsencode(directory):
            return directory
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise UsageError(f"directory is {value!r}, which can't be ({problem}). Give a path, such as data/.")


class Transfer:
    """One download, over as many attempts as it takes. Use it in a `with` block; afterwards, `result` is what it ended in.

    Where the connection breaks off, the next attempt goes on from what is there, if the server has said which version
    that is of; so does the next call, in this process or another. What can't be gone on from is removed: part of a
    version that is no more, of a file that the disk does not hold, of one with the wrong digest.

    Args:
        wish: what is wanted.
        stem: name of the file, without ending, where the answer gives none; and of its parts.
        host: base URL of the platform.
        report: who is told how far it has come.
    """

    result: Download

    def __init__(self, wish: DownloadOptions, stem: str, host: str, report: DownloadReport | None = None) -> None:
        self._wish, self._stem, self._host = wish, stem, host
        self._report = report
        self._part: Part | None = None
        self._digests: Digests | None = None
        self._hashed = 0
        self._offset: int | None = None
        self._broken = False  # on disk, or in what it holds
        self._path = wish.directory / stem

    def __enter__(self) -> Self:
        self._part = find_part(self._wish.directory, self._stem, self._host)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part:
            with suppress(OSError):  # what went wrong before is the news
                self._part.close(keep=not self._broken)

    @property
    def size(self) -> int:
        """Bytes that the next attempt can go on from."""
        return self._part.size if self._part and self._part.about else 0

    def headers(self) -> dict[str, str]:
        """What the next attempt asks for."""
        # As it is: compressed on the way, the length of a file is not the length that the server gives.
        asked, self._offset = {"Accept-Encoding": "identity"}, None
        if self._part and self._part.about and self.size:
            # Of a part that lacks no byte, the last one is asked for again: no range is empty.
            whole = self._part.about.size == self.size
            self._offset = self.size - 1 if whole else self.size
            asked |= {"Range": f"bytes={self._offset}-", "If-Range": self._part.about.validator}
        return asked

    def accepts(self, response: httpx.Response) -> bool:
        """Whether an answer is one to what was asked for, and not an error."""
        return response.status_code == 200 or (self._offset is not None and response.status_code in {206, 416})

    def consume(self, response: httpx.Response, chunks) -> bool:
        """Take the body of an answer; False where another is to be asked for at once.

        Raises:
            httpx.RequestError: it broke off.
            DownloadError: the file can't be written, must not be replaced, or is not what its digest says.
        """
        with self._disk():
            about = self._about(response)
            if about is None:  # a range that can't be: from the first byte, then
                if self._part:
                    self._part.start(None)
                return False
            self._path = self._wish.directory / about.name
            if self._is_there():
                return True
            part = self._begin(response, about)
        size = about.size
        self._pour(chunks, part, self._digests_of(part, about), size)
        if size is not None and part.size != size:
            raise httpx.RemoteProtocolError(f"there are {part.size} of {size} bytes", request=response.request)
        self._check(about)
        self._finish(part)
        return True

    def _about(self, response: httpx.Response) -> About | None:
        """Of what an answer is; None where it is no answer to our range."""
        if response.status_code == 200:
            length = response.headers.get("Content-Length", "")
            as_it_is = response.headers.get("Content-Encoding", "identity").strip().lower() == "identity"
            size = int(length) if length.isdecimal() and as_it_is else None
            name = file_name(response.headers, self._stem)
            return About(self._host, validator(response.headers) or "", name, size, given_digest(response))
        known = self._part.about if self._part else None
        if known is None or self._offset is None or response.status_code != 206:
            return None
        if not continues(response, known.validator, self._offset, known.size):
            return None
        # Of the headers of the whole, the answer to If-Range need not have more than the tag (RFC 9110, 15.3.7).
        name = given_name(response.headers) or safe_name(known.name) or self._stem
        return attrs.evolve(known, name=name, size=end(response), digests=known.digests or given_digest(response))

    def _is_there(self) -> bool:
        """Whether the file is there already, and will do."""
        if self._path.is_dir() and not self._path.is_symlink():
            raise DownloadError(f"{self._path} is a directory. Move it, or choose another directory.", path=self._path)
        if self._wish.skip_existing and self._path.is_file():
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if self._wish.sha256 in {None, digest}:
                self.result = Download(self._path, self._path.stat().st_size, digest, new=False)
                _log.info("%s is there already: sha256 %s", self._path, digest)
                return True
        if not self._wish.overwrite and os.path.lexists(self._path):
            raise self._exists()
        return False

    def _begin(self, response: httpx.Response, about: About) -> Part:
        if self._part is None:
            self._wish.directory.mkdir(parents=True, exist_ok=True)
            self._part = new_part(self._wish.directory, self._stem)
        if response.status_code == 206:
            self._part.shorten(self._offset or 0)
            self._part.about = about
            _log.info("%s: going on from byte %d", self._stem, self._part.size)
        else:
            self._part.start(about if about.validator else None)
        return self._part

    def _digests_of(self, part: Part, about: About) -> Digests:
        """Digests of what the part holds, to go on with."""
        names = {"sha256", *about.digests, *possible_digest(about.validator)}
        if self._digests is None or self._digests.names != names or self._hashed != part.size:
            self._digests = Digests(names)
            self._hashed = 0
            with self._disk(), self._digests.beside() as blocks:
                while self._hashed < part.size:
                    block = blocks.take()
                    count = part.read_into(block, self._hashed)
                    blocks.give(memoryview(block)[:count], block)
                    self._hashed += count
        return self._digests

    def _pour(self, chunks, part: Part, hashing: Digests, size: int | None) -> None:
        with hashing.beside() as blocks:
            for content in chunks:
                block = blocks.take()
                with self._disk():
                    part.write(content)
                blocks.give(content, block)
                self._hashed += len(content)
                if self._report:
                    self._report(part.size, size)

    def _check(self, about: About) -> None:
        hashing = self._digests
        assert hashing is not None  # noqa: S101 - for mypy  # nosec B101
        wanted = {("sha256", self._wish.sha256, "you")} if self._wish.sha256 else set()
        wanted |= {(name, digest, "the server") for name, digest in about.digests.items()}
        for name, digest, who in wanted:
            if (found := hashing.hexadecimal(name)) != digest:
                self._broken = True
                raise DownloadError(
                    f"{self._path} was not written: the {name} of what came is {found}, and {who} gave {digest}. "
                    "Download it again; where that ends the same, the file has changed or the server's digest is wrong.",
                    path=self._path,
                )
        for name, digest in possible_digest(about.validator).items():
            if hashing.hexadecimal(name) == digest:
                _log.info("%s: the entity tag is its %s", self._path, name)

    def _finish(self, part: Part) -> None:
        size = part.size
        with self._disk():
            try:
                part.finish(self._path, replace=self._wish.overwrite)
            except FileExistsError:
                self._broken = True
                raise self._exists() from None
        sha256 = self._digests.hexadecimal("sha256") if self._digests else ""
        self.result = Download(self._path, size, sha256)
        _log.info("%s: %d bytes, sha256 %s", self._path, size, sha256)

    def _exists(self) -> DownloadError:
        return DownloadError(
            f"{self._path} is there already, and overwrite is False. Remove it, or give overwrite=True to replace it or "
            "skip_existing=True to take it as it is.",
            path=self._path,
        )

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What the disk refuses is a DownloadError."""
        try:
            yield
        except OSError as error:
            self._broken = True
            todo = TODO.get(error.errno or 0, "Choose another directory.")
            raise DownloadError(
                f"{self._path} could not be written ({error.strerror or error}). {todo}", path=self._path
            ) from error


def download(client, dataset_id, options, progress):
    from kayrros_ext._http.client import CALL_OPTIONS, CallOptions
    from kayrros_openapi.api.datasets import download_static_dataset

    with Transfer(options, str(dataset_id), str(client._base_url), progress) as transfer:
        client.get_httpx_client().request(
            **download_static_dataset._get_kwargs(dataset_id), extensions={CALL_OPTIONS: CallOptions(consumer=transfer)}
        )
    return transfer.result
