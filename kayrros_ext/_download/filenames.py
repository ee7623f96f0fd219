"""The name of a downloaded file: the server proposes, we decide."""

import mimetypes
import os
import re
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value

import httpx

# What file systems take, in bytes of UTF-8.
MAX_BYTES = 255
_MAX_ENDING = 32
# What Windows takes for a device, with any ending. pathvalidate does not know all of them.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(\.|$))", re.IGNORECASE)
# Characters that do not show can make a name look like another; and halves of surrogate pairs are no characters.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def file_name(headers: httpx.Headers, fallback: str) -> str:
    """One safe name, from Content-Disposition or, where that gives none, the fallback with an ending by content type."""
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return given_name(headers) or fallback + (mimetypes.guess_extension(kind) or ".bin")


def given_name(headers: httpx.Headers) -> str:
    """One safe name from Content-Disposition, whatever the server says; empty where it gives none."""
    return safe_name(_proposed(headers))


def safe_name(name: str) -> str:
    """The name without folders, not hidden, not reserved on any platform, at most 255 bytes; may be empty."""
    from pathvalidate import sanitize_filename

    # Either slash: a name for Windows does not become a folder here, nor the other way round.
    last = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(character for character in last if unicodedata.category(character) not in _INVISIBLE)
    # A byte is kept for what the name of a reserved device gets. A leading dash would be an option to many a command.
    safe = str(sanitize_filename(_shortened(visible, MAX_BYTES - 1), platform="universal"))
    safe = safe.lstrip("-. ").rstrip(". ")
    device = _DEVICE.match(safe)
    return f"{device[1]}_{safe[device.end() :]}" if device else safe


def _shortened(name: str, most: int) -> str:
    """At most so many bytes, of which the ending is kept."""
    name = name.strip(". ")
    stem, ending = os.path.splitext(name)  # noqa: PTH122 - a path's suffix has rules of its own
    if len(ending.encode()) > _MAX_ENDING:
        stem, ending = name, ""
    kept = stem.encode()[: most - len(ending.encode())]
    return kept.decode(errors="ignore") + ending


def _proposed(headers: httpx.Headers) -> str:
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
