"""Secrets: held so that they do not show, taken out of what others say, kept out of the log of the HTTP library."""

import contextlib
import hmac
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Self
from urllib.parse import quote, quote_plus

import httpx

from kayrros_ext.errors import ConfigurationError

HIDDEN = "**********"


class Secret:
    """A string that shows itself only when asked, and stays in its process.

    In repr, str, format, logs and JSON (`default=str`) it is `**********`. A copy made in the process is the secret itself;
    a pickle holds none, so what comes out of one shows the same and reveals nothing.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    @classmethod
    def of(cls, value: "str | Secret | None") -> Self | None:
        """A secret of a string; None where there is none, or an empty one."""
        if isinstance(value, Secret):
            return cls(value.reveal())
        return cls(value) if value else None

    def reveal(self) -> str:
        """The string itself.

        Raises:
            ConfigurationError: it went through a pickle, which holds no secrets.
        """
        if self._value is None:
            raise ConfigurationError(
                "This secret came out of a pickle, and a pickle holds none. Give this process its own."
            )
        return self._value

    @property
    def is_text(self) -> bool:
        """Whether it is a string that UTF-8 can hold: an undecodable byte of the environment becomes one that can't."""
        return isinstance(self._value, str) and not re.search("[\ud800-\udfff]", self._value)

    @property
    def fits_a_header(self) -> bool:
        """Whether it is one word of visible ASCII."""
        return bool(re.fullmatch(r"[!-~]+", self.reveal()))

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # In constant time: how long it takes says nothing of how much of a guess is right.
        mine, others = (str(one._value).encode("utf-8", "surrogatepass") for one in (self, other))
        return hmac.compare_digest(mine, others)

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (None,))


def forget_locals(error: BaseException | None) -> None:
    """Take the frames from an error and from all that led to it: the HTTP library's hold headers as they were sent."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text without the secrets, in whatever common spelling a server may repeat what it was sent."""
    for secret in secrets:
        plain = secret.reveal()
        in_json = {json.dumps(plain, ensure_ascii=escaped)[1:-1] for escaped in (True, False)}
        in_urls = {quote(plain), quote(plain, safe=""), quote_plus(plain)}
        forms = {plain, html.escape(plain), html.escape(plain, quote=False), *in_urls, *in_json}
        forms |= {form.replace("/", "\\/") for form in in_json}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
    return text


# Response headers whose values say nothing of who we are.
_HARMLESS = {"connection", "content-encoding", "content-length", "content-type", "date", "keep-alive", "retry-after"}
_HEADER = re.compile(r"""\((b'([^']*)'|b"([^"]*)"), (b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*")\)""")


class _HideResponses(logging.Filter):
    """Takes from httpcore's debug records what a server sent: a login may set its token as a cookie."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if "receive_response_headers" in said:
            said = _HEADER.sub(self._hide, said)
        record.msg, record.args = re.sub(r"(\.failed exception=\w+)\(.*", r"\1(…)", said, flags=re.DOTALL), ()
        return True

    @staticmethod
    def _hide(header: re.Match[str]) -> str:
        name = header[2] or header[3] or ""
        return header[0] if name.lower() in _HARMLESS else f"({HIDDEN})"


class _HideQueries(logging.Filter):
    """Takes the query from the URLs that httpx logs at INFO, where one may be signed: who has it, has the file."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _QUERIES_HIDDEN.get() and isinstance(record.args, tuple):
            record.args = tuple(
                part.copy_with(query=HIDDEN.encode()) if isinstance(part, httpx.URL) and part.query else part
                for part in record.args
            )
        return True


_QUERIES_HIDDEN = ContextVar("kayrros_queries_hidden", default=False)
_FILTERS = {"httpcore.http11": _HideResponses(), "httpcore.http2": _HideResponses(), "httpx": _HideQueries()}


def hide_from_logs() -> None:
    """Keep headers of responses, and signed URLs, out of the logs of the HTTP library. Again is the same as once."""
    for name, one in _FILTERS.items():
        logging.getLogger(name).addFilter(one)


@contextlib.contextmanager
def queries_hidden() -> Iterator[None]:
    """While this runs, URLs go into the log without their queries."""
    before = _QUERIES_HIDDEN.set(True)
    try:
        yield
    finally:
        _QUERIES_HIDDEN.reset(before)
