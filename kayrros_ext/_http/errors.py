"""Map HTTP responses and httpx errors to the errors of our tree. No message holds a secret."""

import html
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.request import getproxies

import attrs
import httpx

from kayrros_ext._http.retry import find_cause, is_refused_locally, retry_after
from kayrros_ext._text import printable
from kayrros_ext.errors import (
    AccessDeniedError,
    APIError,
    ContractError,
    NotFoundError,
    TransportError,
    UnauthorizedError,
)
from kayrros_openapi.contract import OPERATIONS

# Bytes of an error body that are read, and characters of it that a message repeats: a gateway may send a whole page.
MAX_ERROR_BYTES = 64 * 1024
MAX_MESSAGE_CHARS = 300
# httpx raises these when no complete response arrived; UnicodeError comes from a host that is no valid name.
TRANSPORT_ERRORS = (httpx.RequestError, httpx.InvalidURL, UnicodeError)

# `code` and `message` are assumed; the others are common in web frameworks. The body of an error is not documented.
_CODES = ("code", "errorCode", "error_code", "error")
_MESSAGES = ("message", "error_description", "detail")

PAGE = re.compile(r"[\s\ufeff]*<(!doctype html|html|head|body)\b", re.IGNORECASE)

_CLASSES: dict[int, type[APIError]] = {401: UnauthorizedError, 403: AccessDeniedError, 404: NotFoundError}
_NOT_THE_API = "Check KAYRROS_BASE_URL and the proxy. If both are right, the API has changed: please report it."
_PROXY = "Check the proxy in HTTPS_PROXY or ALL_PROXY, and its password."
_NOT_FOLLOWED = "The redirect is not followed. Check KAYRROS_BASE_URL; if it is right, ask Kayrros."
_HINTS = {
    **dict.fromkeys((405, 406, 410, 411, 415, 421, 426, 501, 505), _NOT_THE_API),
    **dict.fromkeys((202, 408, 409, 423, 425), "Try again later. If that does not help, ask Kayrros."),
    **dict.fromkeys((407, 511), _PROXY),
    401: "The platform rejected a new token: ask Kayrros about the account.",
    403: "Ask Kayrros whether the dataset is shared with your account.",
    404: "Check the id: kayrros.datasets() lists those of your account.",
    413: "The request is too large. Ask for fewer assets at a time.",
    429: "Wait, and send fewer requests at a time.",
    504: "The platform is slow, or the response is too large for the gateway: ask for less, or try again later.",
    # Of the other statuses of a class.
    2: "This is not the data. Try again later, or check KAYRROS_BASE_URL.",
    3: "The API does not redirect. Check KAYRROS_BASE_URL.",
    4: "Check the arguments of the call.",
    5: "The platform failed. Try again later.",
}
_HINT_404_CLI = "Check the id: `kayrros datasets` lists those of your account."
# Of an operation without an id.
_HINTS_WITHOUT_ID = {403: "Ask Kayrros about the rights of your account.", 404: _NOT_THE_API, 4: _NOT_THE_API}
_HINT_504 = "The response is too large for the gateway. Ask for less, with {} or with {}."  # of results
_UNTRUSTED = "Certificate verification failed. If a private CA signed it, name the CA with SSL_CERT_FILE or verify=."
# Of OpenSSL's checks of RFC 5280, which Python makes since 3.13: their codes, and the advice.
_STRICT_CODES = range(80, 94)
_NOT_STRICT = "The certificate, or that of its CA, breaks RFC 5280: {}. Ask the owner of the CA to issue it again"
_UNREACHABLE = "Check the network, the proxy, KAYRROS_BASE_URL and KAYRROS_AUTH_URL."
_EXCEPTION_HINTS: dict[type[Exception], str] = {
    httpx.DecodingError: "The response was damaged on its way. Try again later, or check the proxy.",
    httpx.ProxyError: _PROXY,
    # The URL of a client is valid, so an invalid one is that of a redirect.
    **dict.fromkeys((httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError), _NOT_FOLLOWED),
}
_TOO_LARGE = "Ask for less, or raise max_body, which is for results: other responses have at most 64 MiB."


class ErrorBody(NamedTuple):
    """The server's own explanation of an error."""

    code: str | None = None
    message: str | None = None
    excerpt: str | None = None

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.message))) or self.excerpt or "no explanation"


@attrs.frozen
class ErrorMapper:
    """Makes the errors of one client. `redact` removes secrets, because a server may repeat what it was sent."""

    host: str
    redact: Callable[[str], str] = str
    hints: Mapping[int, str] = attrs.field(factory=dict)

    def from_response(self, operation: str, response: httpx.Response, body: bytes, attempts: int) -> APIError:
        """Return the error for a status that is not success; `body` may be the beginning of it."""
        status, wait_s = response.status_code, retry_after(response)
        explanation = parse_error_body(body, self.redact)
        after = f" after {attempts} attempts" if attempts > 1 else ""
        waits = f" It asks to wait {wait_s:,.0f} seconds." if wait_s else ""
        hint, hint_cli = self._hints(operation, status)
        return _CLASSES.get(status, APIError)(
            f"{operation}: {response.request.url.host} answered {status} ({explanation}){after}.{waits}",
            hint=hint,
            hint_cli=hint_cli,
            status=status,
            operation=operation,
            **explanation._asdict(),
            retry_after_s=wait_s,
            attempts=attempts,
        )

    def _hints(self, operation: str, status: int) -> tuple[str, str | None]:
        """Return the hints for a status of an operation: in Python, and where it differs, on the command line."""
        if operation == "login" and status < 500:
            return "Check email and password.", None
        if operation == "getDatasetResults" and status == 504:
            return _HINT_504.format("start and stop", "assets"), _HINT_504.format("--from and --to", "--asset")
        if operation == "downloadStaticDataset" and status == 404:
            hint = "Check the id. If the dataset has no file, use {}."
            return hint.format("kayrros.results"), hint.format("`kayrros results`")
        has_id = any(it.id == operation and ("{" in it.path or it.method == "POST") for it in OPERATIONS)
        hints = {**_HINTS, **({} if has_id else _HINTS_WITHOUT_ID), **self.hints}
        hint = hints.get(status) or hints.get(status // 100, "Try again later.")
        return hint, _HINT_404_CLI if hint == _HINTS[404] else None

    def from_exception(self, operation: str, error: Exception, attempts: int) -> TransportError:
        """Return the error for a response that did not arrive, or not completely."""
        request, reason = getattr(error, "_request", None), type(error).__name__
        host = request.url.host if request else self.host
        after = f" after {attempts} attempts" if attempts > 1 else ""
        text = f"{operation}: incomplete or no response from {host} ({reason}: {self.redact(str(error))}){after}."
        hint, hint_cli = _hints_of_exception(error)
        if find_cause(error, socket.gaierror):
            has_proxy = getproxies().keys() - {"no"}  # whose name it may be
            text, hint_cli = f"Could not resolve {host}.", None
            hint = "Are you online, and is the name of the proxy right?" if has_proxy else "Are you online?"
        elif request and is_refused_locally(error):
            text, hint_cli = f"Nothing listens at {request.url.scheme}://{request.url.netloc.decode()}{after}.", None
            hint = "Is `kayrros fake` running? If not, check KAYRROS_BASE_URL and KAYRROS_AUTH_URL."
        details = {"operation": operation, "reason": reason, "attempts": attempts}
        mapped = TransportError(text, hint=hint, hint_cli=hint_cli, **details)
        # The cause would show a secret that the server repeated in a broken header.
        mapped.__cause__ = error if self.redact(repr(error)) == repr(error) else None
        mapped.__suppress_context__ = True
        return mapped

    def contract(
        self,
        operation: str,
        problem: str,
        body: bytes | None = None,
        where: str | None = None,
        *,
        too_large: bool = False,
    ) -> ContractError:
        """Return the error for a response that is not what openapi.yaml says; `body` is quoted."""
        begins = ""
        if body is not None:
            verb = "is" if PAGE.match(body[:1000].decode("utf-8", "replace")) else "begins:"
            begins = f" It {verb} {parse_error_body(body, self.redact)}."
        return ContractError(
            f"{operation}: the response of {self.host} is not what the contract says: {self.redact(problem)}.{begins}",
            hint=_TOO_LARGE if too_large else _NOT_THE_API,
            operation=operation,
            where=where,
            is_too_large=too_large,
        )


def _hints_of_exception(error: Exception) -> tuple[str, str | None]:
    if not (certificate_error := find_cause(error, ssl.SSLCertVerificationError)):
        slow = f"{_UNREACHABLE} If the host is slow, raise timeout.", _UNREACHABLE
        return next(((hint, None) for kind, hint in _EXCEPTION_HINTS.items() if isinstance(error, kind)), slow)
    if certificate_error.verify_code not in _STRICT_CODES:
        return _UNTRUSTED, None
    problem = _NOT_STRICT.format(certificate_error.verify_message)
    return f"{problem}, or pass verify= an ssl.SSLContext without ssl.VERIFY_X509_STRICT.", f"{problem}."


def parse_error_body(body: bytes, redact: Callable[[str], str] = str) -> ErrorBody:
    """Return code and message of a JSON error, else an excerpt of the body."""
    body = body[:MAX_ERROR_BYTES]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
        return ErrorBody(excerpt=_one_line(_page_title(text) if PAGE.match(text) else text, redact))
    if not isinstance(value, dict):
        return ErrorBody(message=_one_line(json.dumps(value, ensure_ascii=False), redact))
    # Some servers nest it: {"error": {"code": ..., "message": ...}}.
    fields = {**value, **value["error"]} if isinstance(value.get("error"), dict) else value
    code, message = (
        next((_one_line(str(fields[name]), redact) for name in names if type(fields.get(name)) in {str, int}), None)
        for names in (_CODES, _MESSAGES)
    )
    if code or message:
        return ErrorBody(code, message)
    # Fields that we don't expect are named but not shown, because nobody can tell what they hold.
    return ErrorBody(message=_one_line("an object with " + (", ".join(value) or "no fields"), redact))


def _page_title(page: str) -> str:
    """Return the title of an HTML page, else its first heading."""
    title = re.search(r"<(title|h1)\b[^>]*>(.{,1000}?)</\1", page, re.IGNORECASE | re.DOTALL)
    return f"a web page: {html.unescape(re.sub('<[^>]*>', ' ', title[2]))}" if title else "a web page"


def _one_line(text: str, redact: Callable[[str], str]) -> str | None:
    """Return printable text on one line, cut to MAX_MESSAGE_CHARS."""
    line = printable(redact(text))
    return (line if len(line) <= MAX_MESSAGE_CHARS else line[:MAX_MESSAGE_CHARS] + "…") or None
