"""Headers of a download: Range and ETag, digests, and the file name in Content-Disposition."""

import base64
import contextlib
import mimetypes
import os
import re
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value

import httpx

MAX_NAME_BYTES = 255  # of UTF-8, the limit of common file systems
_MAX_EXTENSION_BYTES = 32
_MAX_HEADER_CHARS = 8192
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
STRONG_ETAG = r'"[!#-~]{0,1024}"'
# SHA-256 first, because it is computed in any case.
_DIGESTS = {
    "sha256": re.compile(r"(?<![\w-])sha-256=:?([a-z0-9+/]{43}=)", re.IGNORECASE | re.ASCII),
    "sha512": re.compile(r"(?<![\w-])sha-512=:?([a-z0-9+/]{86}==)", re.IGNORECASE | re.ASCII),
}
# Windows reserves these names, with any extension. pathvalidate does not know all of them.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(\.|$))", re.IGNORECASE)
# Invisible characters can make a name look like another one. Unpaired surrogates can't be encoded.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_encoded(headers: httpx.Headers) -> bool:
    """Return whether the body is compressed, so that its bytes on the wire are not those of the file."""
    return bool(headers.get("Content-Encoding", "identity").strip().lower() != "identity")


def strong_etag(headers: httpx.Headers) -> str | None:
    """Return the ETag with which this response can be resumed, or None where parts may not match."""
    etag: str = headers.get("ETag", "").strip()
    return etag if re.fullmatch(STRONG_ETAG, etag) and not is_encoded(headers) else None


def content_length(headers: httpx.Headers) -> int | None:
    """Return the size of the file of a 200, or None where it is not specified."""
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and not is_encoded(headers) else None


def continued_size(headers: httpx.Headers, etag: str | None, start: int, size: int | None) -> int | None:
    """Return the size of the file of a 206, or None where it does not continue this ETag, `start` and `size`."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if not match or is_encoded(headers) or headers.get("ETag", "").strip() not in {"", etag}:
        return None
    first, last = int(match[1]), int(match[2])
    total = size if match[3] == "*" else int(match[3])  # without a size, nothing would show where the file ends
    return total if total and first == start <= last < total and size in {None, total} else None


def server_digest(response: httpx.Response) -> str | None:
    """Return the digest of the whole file from Repr-Digest, Digest or Content-Digest, such as "sha256:2c26b4...".

    A digest of a compressed body covers the compressed bytes, and Content-Digest of a 206 covers the range only
    (RFC 9530), so neither is a digest of the file.
    """
    if is_encoded(response.headers):
        return None
    names = ["Repr-Digest", "Digest", *(["Content-Digest"] if response.status_code == 200 else [])]
    text = ", ".join(response.headers.get(name, "") for name in names)
    matches = ((name, pattern.search(text)) for name, pattern in _DIGESTS.items())
    return next((f"{name}:{base64.b64decode(match[1]).hex()}" for name, match in matches if match), None)


def choose_filename(headers: httpx.Headers, fallback: str) -> str:
    """Return a safe file name from Content-Disposition, or else the fallback with an extension from Content-Type."""
    message, name = Message(), ""
    header = headers.get("Content-Disposition", "")
    message["Content-Disposition"] = header if len(header) <= _MAX_HEADER_CHARS else ""  # parsing takes quadratic time
    with contextlib.suppress(ValueError, TypeError, LookupError):  # the parser raises these for a malformed header
        parameters = message.get_params([], header="Content-Disposition")
        names = [value for key, value in parameters if key.lower() == "filename"]
        # `filename*`, parsed to a tuple with its character set, takes precedence over `filename` (RFC 6266).
        name = safe_filename(collapse_rfc2231_value(min(names, key=lambda value: isinstance(value, str))))
    media_type = headers.get("Content-Type", "").partition(";")[0].strip()
    return name or fallback + (mimetypes.guess_extension(media_type) or ".bin")


def safe_filename(name: str) -> str:
    """Return the name without folders, not hidden, not reserved on any platform, at most 255 bytes. It may be empty."""
    from pathvalidate import sanitize_filename

    # Both separators, on every platform.
    last = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(character for character in last if unicodedata.category(character) not in _INVISIBLE).strip(". ")
    stem, extension = os.path.splitext(visible)  # noqa: PTH122 - Path.suffix follows other rules
    if len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, extension = visible, ""
    # One byte is reserved for the underscore below.
    stem = stem.encode()[: MAX_NAME_BYTES - 1 - len(extension.encode())].decode(errors="ignore")
    safe = str(sanitize_filename(stem + extension, platform="universal"))
    safe = safe.lstrip("-. ").rstrip(". ")  # many commands take a leading dash for an option
    device = _DEVICE.match(safe)
    return f"{device[1]}_{safe[device.end() :]}" if device else safe
