"""Ranges of a file (RFC 9110): which answer can be gone on from, and whether an answer goes on where we stopped."""

import re
from email.utils import parsedate_to_datetime

import httpx

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
# The most that is stored beside a part; a tag has some dozens.
_LONGEST = 1024


def validator(headers: httpx.Headers) -> str | None:
    """What If-Range would need to go on from a part of this answer; None where the parts may not fit together.

    A strong entity tag, or else a date of change that lies before that of the answer: within one second, a file may
    change twice (RFC 9110, 8.8.2.2).
    """
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return None
    if headers.get("Accept-Ranges", "").strip().lower() == "none":
        return None
    tag: str = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[!#-~]*"', tag) and len(tag) <= _LONGEST:
        return tag
    if tag:  # a weak one: the server says that it can't tell such versions apart
        return None
    changed: str = headers.get("Last-Modified", "").strip()
    try:
        before = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(changed)
        return changed if before.total_seconds() >= 1 and len(changed) <= _LONGEST else None
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def continues(response: httpx.Response, validator: str, start: int, size: int | None) -> bool:
    """Whether a 206 is the rest of the version that we have a part of: `start` bytes, of `size` where that is known."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not match or response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return False
    first, last = int(match[1]), int(match[2])
    total = last + 1 if match[3] == "*" else int(match[3])
    tag = response.headers.get("ETag", "").strip()
    same = not tag or not validator.startswith('"') or tag == validator
    return same and first == start <= last < total and total == (total if size is None else size)


def end(response: httpx.Response) -> int | None:
    """Length of the whole file, as a 206 gives it."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return int(match[3]) if match and match[3] != "*" else None
