"""A streamed answer to a file on disk: flat memory, a safe name, whole or not at all."""

import contextlib
import mimetypes
import os
import tempfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import IO

import httpx

from kayrros_ext.errors import DownloadError

CHUNK = 1024 * 1024


def save(response: httpx.Response, directory: Path, fallback: str) -> Path:
    """Write the body of a streamed answer into a directory, under the name that the answer gives it.

    Args:
        response: the answer, its body not yet read.
        directory: made if it is not there.
        fallback: name of the file, without ending, where the answer gives none.

    Raises:
        DownloadError: the directory or the file can't be written.
        httpx.RequestError: the body broke off; no file is left.
    """
    path = directory / file_name(response.headers, fallback)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _whole_or_not_at_all(path) as file:
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
    except OSError as error:
        raise DownloadError(
            f"{path} could not be written ({error.strerror or error}). Free the disk, or choose another directory.",
            path=str(path),
        ) from error
    return path


def file_name(headers: httpx.Headers, fallback: str) -> str:
    """One safe name from Content-Disposition: no folder, no reserved name, whatever the server says."""
    from pathvalidate import sanitize_filename

    message = Message()
    message["Content-Disposition"] = headers.get("content-disposition", "")
    given = message.get_filename() or ""
    # Either slash: a name for Windows does not become a folder here, nor the other way round.
    last = given.replace("\\", "/").rpartition("/")[2]
    safe = sanitize_filename(last, platform="universal").strip(". ")
    if safe:
        return str(safe)
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return fallback + (mimetypes.guess_extension(kind) or ".bin")


@contextlib.contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, moved over it at the end, and gone if there was no end."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            # A temporary file is for its owner alone; a download is a file like any other.
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            part.replace(path)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
