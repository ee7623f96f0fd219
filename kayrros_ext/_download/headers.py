"""Headers of a download: Range and its validators, digests, and the file name in Content-Disposition."""

import base64
import binascii
import contextlib
import hashlib
import mimetypes
import os
import re
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value, parsedate_to_datetime

import httpx

MAX_NAME_BYTES = 255  # of UTF-8, the limit of common file systems
_MAX_EXTENSION_BYTES = 32
_MAX_VALIDATOR = 1024
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_DIGEST = re.compile(r"(?<![\w-])(sha-256|sha-512)=:?([A-Za-z0-9+/=]+)", re.IGNORECASE)
# Windows reserves these names, with any extension. pathvalidate does not know all of them.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\s*(\.|$))", re.IGNORECASE)
# Invisible characters can make a name look like another one. Unpaired surrogates can't be encoded.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_encoded(headers: httpx.Headers) -> bool:
    """Return whether the body is compressed, so that its bytes on the wire are not those of the file."""
    return bool(headers.get("Content-Encoding", "identity").strip().lower() != "identity")


def resume_validator(headers: httpx.Headers) -> str | None:
    """Return the value of If-Range with which this response can be resumed, or None where parts may not match.

    This is a strong ETag, or else a Last-Modified at least a second before the Date of the response, because a file may
    change twice within a second (RFC 9110, 8.8.2.2).
    """
    if is_encoded(headers) or headers.get("Accept-Ranges", "").strip().lower() == "none":
        return None
    etag: str = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[!#-~]*"', etag) and len(etag) <= _MAX_VALIDATOR:
        return etag
    modified: str = headers.get("Last-Modified", "").strip()
    if etag or not modified.isascii() or len(modified) > _MAX_VALIDATOR:  # a weak ETag does not tell versions apart
        return None
    try:
        age = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(modified)
        return modified if age.total_seconds() >= 1 else None
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def is_continuation(response: httpx.Response, validator: str, start: int, size: int | None) -> bool:
    """Return whether a 206 continues the version of this validator at byte `start`, of `size` bytes where that is set."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not match or is_encoded(response.headers):
        return False
    first, last = int(match[1]), int(match[2])
    total = last + 1 if match[3] == "*" else int(match[3])
    etag = response.headers.get("ETag", "").strip()
    same_version = not etag or not validator.startswith('"') or etag == validator
    return same_version and first == start <= last < total and size in {None, total}


def total_size(response: httpx.Response) -> int | None:
    """Return the size of the whole file from Content-Range or Content-Length, or None where it is not specified."""
    if response.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        return int(match[3]) if match and match[3] != "*" else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and not is_encoded(response.headers) else None


def server_digest(response: httpx.Response) -> str | None:
    """Return the digest of the whole file from Repr-Digest, Digest or Content-Digest, such as "sha256:2c26b4...".

    A digest of a compressed body covers the compressed bytes, and Content-Digest of a 206 covers the range only
    (RFC 9530), so neither is a digest of the file.
    """
    if is_encoded(response.headers):
        return None
    names = ["Repr-Digest", "Digest", *(["Content-Digest"] if response.status_code == 200 else [])]
    digests: dict[str, str] = {}
    for algorithm, value in _DIGEST.findall(", ".join(response.headers.get(name, "") for name in names)):
        name = algorithm.lower().replace("-", "")
        with contextlib.suppress(binascii.Error):
            digest = base64.b64decode(value, validate=True)
            if len(digest) == hashlib.new(name).digest_size:
                digests.setdefault(name, digest.hex())
    # SHA-256 first, because it is computed in any case.
    return next((f"{name}:{digests[name]}" for name in ("sha256", "sha512") if name in digests), None)


def choose_filename(headers: httpx.Headers, fallback: str) -> str:
    """Return a safe file name from Content-Disposition, or else the fallback with an extension from Content-Type."""
    media_type = headers.get("Content-Type", "").partition(";")[0].strip()
    return server_filename(headers) or fallback + (mimetypes.guess_extension(media_type) or ".bin")


def server_filename(headers: httpx.Headers) -> str:
    """Return a safe file name from Content-Disposition, or an empty string where there is no usable one."""
    message = Message()
    message["Content-Disposition"] = headers.get("Content-Disposition", "")
    try:
        parameters = message.get_params([], header="Content-Disposition")
        names = [value for name, value in parameters if name.lower() == "filename"]
        # `filename*`, parsed to a tuple with its character set, takes precedence over `filename` (RFC 6266).
        names.sort(key=lambda value: isinstance(value, str))
        return safe_filename(collapse_rfc2231_value(names[0])) if names else ""
    except (ValueError, TypeError, LookupError):  # the parser raises these for a malformed header
        return ""


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
