"""A streamed answer to a file on disk: flat memory, a safe name, whole or not at all."""

import mimetypes
import os
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import Path

import httpx

from kayrros_ext.errors import DownloadError, UsageError
from kayrros_ext.files import TODO, whole_or_not_at_all

CHUNK = 1024 * 1024


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
        with whole_or_not_at_all(path) as file:
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
    except OSError as error:
        todo = TODO.get(error.errno or 0, "Choose another directory.")
        raise DownloadError(f"{path} could not be written ({error.strerror or error}). {todo}", path=path) from error
    return path


def file_name(headers: httpx.Headers, fallback: str) -> str:
    """One safe name from Content-Disposition: no folder, no reserved name, whatever the server says."""
    from pathvalidate import sanitize_filename

    # Either slash: a name for Windows does not become a folder here, nor the other way round.
    last = _given_name(headers).replace("\\", "/").rpartition("/")[2]
    # Characters that do not show can make a name look like another.
    visible = "".join(character for character in last if unicodedata.category(character) not in {"Cc", "Cf", "Cs"})
    safe = str(sanitize_filename(visible, platform="universal")).strip(". ")
    if safe:
        return safe
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return fallback + (mimetypes.guess_extension(kind) or ".bin")


def _given_name(headers: httpx.Headers) -> str:
    message = Message()
    message["Content-Disposition"] = headers.get("content-disposition", "")
    try:
        parameters = message.get_params([], header="content-disposition")
        names = [value for name, value in parameters if name.lower() == "filename"]
        # `filename*`, which has a character set, wins over the plain `filename` (RFC 6266).
        names.sort(key=lambda value: isinstance(value, str))
        return collapse_rfc2231_value(names[0]) if names else ""
    except (ValueError, TypeError, LookupError):  # what the parser does with a header that is no such header
        return ""
