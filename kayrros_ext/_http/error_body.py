"""What an answer that is not a success says for itself. Its body is not documented, so whatever comes is read."""

import json
from collections.abc import Callable

import attrs

# Enough for any message; a gateway may send a page, and nobody wants all of it in a log.
MAX_BODY = 64 * 1024
MAX_WORDS = 300

# `code` and `message` are assumed; the others are what frameworks commonly send.
CODES = ("code", "errorCode", "error_code", "error")
MESSAGES = ("message", "error_description", "detail")


@attrs.frozen
class Explanation:
    """The server's own account of an error."""

    code: str | None = None
    message: str | None = None
    excerpt: str | None = None

    def __str__(self) -> str:
        known = [part for part in (self.code, self.message) if part]
        return ": ".join(known) or self.excerpt or "no explanation"


def explain(body: bytes, redact: Callable[[str], str]) -> Explanation:
    """Code and message of a JSON error, else an excerpt of what came instead.

    Args:
        body: the body, or its beginning.
        redact: takes secrets out of a text: a server may repeat what it was sent.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return Explanation(excerpt=_line(body.decode("utf-8", "replace"), redact))
    if not isinstance(said, dict):
        return Explanation(message=_line(json.dumps(said, ensure_ascii=False), redact))
    # Some nest it: {"error": {"code": …, "message": …}}.
    known = {**said, **said["error"]} if isinstance(said.get("error"), dict) else said
    code, message = (
        next((_line(str(known[name]), redact) for name in names if _is_word(known.get(name))), None)
        for names in (CODES, MESSAGES)
    )
    if code or message:
        return Explanation(code, message)
    # Members that we do not know are named and not shown: nobody knows what they hold.
    return Explanation(message=_line("an object with " + (", ".join(said) or "no members"), redact))


def _is_word(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _line(text: str, redact: Callable[[str], str]) -> str | None:
    """One line that a terminal and a log can take, of some length at most."""
    line = " ".join("".join(c if c.isprintable() else " " for c in redact(text)).split())
    return (line if len(line) <= MAX_WORDS else line[:MAX_WORDS] + "…") or None
