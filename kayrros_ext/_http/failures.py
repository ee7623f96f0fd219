"""What went wrong with a call, as an error of our tree: a status, an answer that is not the contract, no answer."""

import attrs
import httpx

from kayrros_ext._auth.login import KayrrosAuth
from kayrros_ext._http.error_body import MAX_BODY, explain
from kayrros_ext._http.retry import is_distrust, retry_after_s
from kayrros_ext.errors import (
    AccessDeniedError,
    APIError,
    ContractError,
    LoginError,
    NotFoundError,
    TransportError,
    UnauthorizedError,
    UsageError,
)

_BY_STATUS: dict[int, type[APIError]] = {401: UnauthorizedError, 403: AccessDeniedError, 404: NotFoundError}
_TODO = {
    403: "Ask Kayrros whether the dataset is shared with your account.",
    404: "Copy the id again from the Collection Dashboard in Kayrros Studio.",
    429: "Wait, and send less at a time.",
    504: "The gateway gave up: the answer is too large. Ask for less with start and stop, or with assets.",
}
_UNTRUSTED = (
    "Its certificate is not to be trusted. Where an authority of your own has signed it, name that one's certificate with "
    "SSL_CERT_FILE or verify=; else somebody may be listening."
)
_UNREACHED = (
    "Check the network, the proxy and KAYRROS_BASE_URL or KAYRROS_AUTH_URL; where the answer is only slow, give Kayrros a "
    "longer timeout."
)
_TOO_LARGE = "Ask for less, or give Kayrros a larger max_body."
_NOT_THE_API = (
    "Check KAYRROS_BASE_URL and whether a proxy answers in the API's place; if neither, the API has changed: please "
    "report it."
)
# What is raised where no answer came. The network itself raises a UnicodeError: of a host that no name can be.
NO_ANSWER = (httpx.RequestError, httpx.InvalidURL, UnicodeError)
_TODO_BY_CLASS = {
    2: "The API is not known to answer so: check KAYRROS_BASE_URL.",
    3: "The API is not known to redirect: check KAYRROS_BASE_URL.",
    4: "Check the arguments of the call.",
    5: "The platform failed: try again later.",
}


@attrs.frozen
class Failures:
    """Makes the errors of the calls to one platform. No message holds a secret of its login."""

    auth: KayrrosAuth
    host: str

    def status(self, name: str, response: httpx.Response, body: bytes, attempts: int = 1) -> APIError:
        """A status that is not success.

        Args:
            name: operationId.
            response: the answer, for status and headers.
            body: its body, or the beginning of it.
            attempts: how many there were.
        """
        status = response.status_code
        said = explain(body[:MAX_BODY], self.auth.redact)
        wait_s = retry_after_s(response)
        waits = f" It asks to wait {wait_s:,.0f} seconds." if wait_s else ""
        return _BY_STATUS.get(status, APIError)(
            f"{name}: {response.request.url.host} answered {status} ({said}){_after(attempts)}.{waits} {self._todo(status)}",
            status=status,
            operation=name,
            code=said.code,
            message=said.message,
            excerpt=said.excerpt,
            retry_after_s=wait_s,
            attempts=attempts,
        )

    def _todo(self, status: int) -> str:
        if status == 401:
            return (
                "A new login did not help: ask Kayrros about the account."
                if self.auth.can_log_in
                else "The token is not valid any more, and there are no credentials to get another: give a new token, or "
                "email and password (KAYRROS_EMAIL, KAYRROS_PASSWORD)."
            )
        return _TODO.get(status) or _TODO_BY_CLASS.get(status // 100, "Try again later.")

    def contract(
        self,
        name: str,
        problem: str,
        body: bytes | None = None,
        where: str | None = None,
        *,
        is_too_large: bool = False,
    ) -> ContractError:
        """An answer that is not the contract; with a body, the words say how it begins."""
        begins = "" if body is None else f" It begins: {explain(body[:MAX_BODY], self.auth.redact)}."
        # What was caught may repeat what the server sent, and that may repeat our secrets.
        return ContractError(
            f"{name}: the answer of {self.host} is not what the contract says: {self.auth.redact(problem)}.{begins} "
            f"{_TOO_LARGE if is_too_large else _NOT_THE_API}",
            operation=name,
            where=where,
            is_too_large=is_too_large,
        )

    def during(self, name: str, fault: object) -> str:
        """The operation that went wrong: the login, where a call did not get beyond it; else the call."""
        request = getattr(fault, "_request", None)
        at_login = isinstance(fault, LoginError) or (request and self.auth.is_login(request))
        return "login" if at_login else name

    def transport(
        self, name: str, error: httpx.RequestError | httpx.InvalidURL | UnicodeError, attempts: int = 1
    ) -> TransportError:
        """No answer, or half of one."""
        request, during = getattr(error, "_request", None), self.during(name, error)
        host = request.url.host if request else self.host
        words = self.auth.redact(str(error)) or "no further words"
        found = TransportError(
            f"{during}: no whole answer from {host} ({type(error).__name__}: {words}){_after(attempts)}. "
            f"{_UNTRUSTED if is_distrust(error) else _UNREACHED}",
            operation=during,
            reason=type(error).__name__,
            attempts=attempts,
        )
        # The cause is kept where it shows no secret: a server may repeat what it was sent in a header that is broken. Of the
        # request, which holds the token or the password, and after a redirect a signed query, no more than what it was for.
        if request:
            error.request = httpx.Request(request.method, request.url.copy_with(query=None))  # type: ignore[union-attr]
        found.__cause__ = error if self.auth.redact(_chain(error)) == _chain(error) else None
        found.__suppress_context__ = True
        return found

    def closed(self) -> UsageError:
        """The client is closed."""
        return UsageError("This Kayrros is closed. Make the call inside its `with` block, or make a new one.")


def _after(attempts: int) -> str:
    return f" after {attempts} attempts" if attempts > 1 else ""


def _chain(error: BaseException | None) -> str:
    """All that a traceback would print of an error and what led to it."""
    return f"{error!r} {error}" + _chain(error.__cause__ or error.__context__) if error else ""
