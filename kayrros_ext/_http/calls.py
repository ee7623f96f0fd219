"""The one door from the hand-written layer to the generated one. Here a status becomes an error.

A generated call gives errors back as values, and does not look whether a field is of its declared type. So this module
takes from the generated operation what comes from the spec, the request and the typed reading of its answer.
"""

import contextlib
import typing
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Protocol

import attrs
import httpx

import kayrros_openapi.models
from kayrros_ext._auth.login import LOG_IN
from kayrros_ext._http.body import beginning
from kayrros_ext._http.client import Answer, HTTPClient, content_problem
from kayrros_ext._http.connections import LoggedInClient
from kayrros_ext._http.failures import NO_ANSWER, Failures
from kayrros_ext._http.redirects import send
from kayrros_ext._http.retry import PROGRESS, Attempts
from kayrros_ext.errors import ContractError, KayrrosError, LoginError
from kayrros_openapi import AuthenticatedClient, Client
from kayrros_openapi.api.authentication import login
from kayrros_openapi.contract import OPERATIONS
from kayrros_openapi.models import LoginRequest

_T = typing.TypeVar("_T")


class Operation(Protocol):
    """A module of kayrros_openapi.api: one operation of the spec."""

    __name__: str

    def _get_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...

    def _parse_response(self, *, client: AuthenticatedClient | Client, response: httpx.Response) -> Any: ...


class Receiver(Protocol):
    """Takes the body of an answer, over as many attempts as it takes."""

    @property
    def size(self) -> int:
        """Bytes that the next attempt can go on from."""

    def headers(self) -> dict[str, str]:
        """Headers of the next attempt, beyond those of the spec."""

    def expects(self, response: httpx.Response) -> bool:
        """Whether an answer is one to what was asked for, and not an error."""

    def take(self, response: httpx.Response) -> bool:
        """Take the body; False where another attempt is to be made at once, which may be so once."""


@attrs.frozen
class Door:
    """Sends operations of the generated client, and gives back successes alone.

    Attributes:
        client: the generated client.
    """

    client: LoggedInClient

    @property
    def http(self) -> HTTPClient:
        """What requests go through: the sync half of the client, that of this process."""
        return self.client.get_httpx_client()

    def typed(self, operation: Operation, **arguments: Any) -> Any:
        """The typed answer of an operation, each field of the type that the spec declares.

        Raises:
            APIError: any status but 200; its subclass where there is one.
            ContractError: the answer is not what the spec says.
            TransportError: no answer came, or it broke off.
            LoginError: the login failed.
            UsageError: the client is closed.
        """
        found = self._parsed(operation, self._success(operation, arguments))
        # Raised here: what the answer holds would show among the locals of the frame that read it.
        if isinstance(found, ContractError):
            raise found
        return found

    def log_in(self) -> None:
        """A login now, whatever token there is.

        Raises:
            ConfigurationError: there are no credentials.
            LoginError: the login host gave no token.
            TransportError: no answer came, or it broke off.
            UsageError: the client is closed.
        """
        # The real request, with email and password, is made by the flow of the login.
        request = self._request(login, {}, {"body": LoginRequest(email="", password="")})  # nosec B106
        request.extensions[LOG_IN] = True
        self.http.complete(request, next(known for known in OPERATIONS if known.id == operation_id(login)))

    def _parsed(self, operation: Operation, answer: Answer) -> Any:
        """The typed answer, or the error that it is none."""
        name, failure = operation_id(operation), self._failures.contract
        try:
            parsed = operation._parse_response(client=self.client, response=answer)
        except ContractError as error:
            return error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            return failure(name, f"{type(error).__name__}: {error}", answer.content)
        wrong = next(mismatches(parsed), None)
        return parsed if wrong is None else failure(name, f"`{wrong[0]}` {wrong[1]}", where=wrong[0])

    def body(
        self,
        operation: Operation,
        reading: Callable[[Answer], _T],
        unless: frozenset[int] = frozenset(),
        max_body: int | None = None,
        **arguments: Any,
    ) -> _T:
        """The body of an answer, read by a function of our own instead of the generated one.

        Args:
            operation: a module of kayrros_openapi.api.
            reading: from the answer to what is wanted; may raise ContractError.
            unless: statuses that are not worth another attempt.
            max_body: most bytes of the answer, where that is less than the client takes.
            arguments: what the operation takes, as in the generated signature.

        Raises:
            As for `typed`.
        """
        answer = self._success(operation, arguments, unless, max_body)
        try:
            return reading(answer)
        except ContractError as error:
            failure = self._failures.contract(
                operation_id(operation), str(error), None if error.where else answer.content, error.where
            )
        raise failure

    def _success(
        self,
        operation: Operation,
        arguments: dict[str, Any],
        unless: frozenset[int] = frozenset(),
        max_body: int | None = None,
    ) -> Answer:
        name = operation_id(operation)
        known = next(known for known in OPERATIONS if known.id == name)
        answer = self.http.complete(self._request(operation, {}, arguments), known, unless, max_body)
        if answer.status_code != 200:
            raise self._failures.status(name, answer, answer.content, answer.extensions["attempts"])
        if problem := content_problem(answer):
            raise self._failures.contract(name, problem, answer.content)
        return answer

    def _request(self, operation: Operation, headers: dict[str, str], arguments: dict[str, Any]) -> httpx.Request:
        if self.http.is_closed:
            raise self._failures.closed()
        kwargs = operation._get_kwargs(**arguments)
        sent = {**kwargs.pop("headers", {}), **headers}
        # A generated request names a content type also for a body that it leaves out.
        if not kwargs.keys() & {"json", "data"}:
            sent.pop("Content-Type", None)
        return self.http.build_request(**kwargs, headers=sent)

    def receive(self, operation: Operation, receiver: Receiver, **arguments: Any) -> None:
        """Have the body of a successful answer taken, after as many attempts as it takes. Redirects are followed.

        An attempt that brings the receiver on by a mebibyte or more begins the count and the total time anew: what makes
        progress is not given up.

        Args:
            operation: a module of kayrros_openapi.api.
            receiver: takes the body.
            arguments: what the operation takes, as in the generated signature.

        Raises:
            As for `typed`, and what the receiver raises.
        """
        exchange, name = self.http.exchange, operation_id(operation)
        attempts = Attempts(exchange.retries, exchange.total_timeout_s)
        while True:
            before = receiver.size
            request = self._request(operation, receiver.headers(), arguments)
            attempts.begin(request)
            fault: httpx.Response | Exception
            error: KayrrosError
            try:
                with contextlib.closing(send(self.http, request)) as response:
                    if receiver.expects(response):
                        if problem := page_problem(response):
                            raise self._failures.contract(name, problem, beginning(response))
                        if receiver.take(response):
                            return
                        continue
                    fault = response
                    error = self._failures.status(name, response, beginning(response), attempts.count)
            except LoginError as caught:
                fault = error = caught
            except NO_ANSWER as caught:
                fault, error = caught, self._failures.transport(name, caught, attempts.count)
            if receiver.size >= before + PROGRESS:
                attempts = Attempts(exchange.retries, exchange.total_timeout_s)
                attempts.count = 1
            wait_s = attempts.wait_after(fault, self._failures.during(name, fault))
            if wait_s is None:
                raise error
            exchange.retries.sleep(wait_s)

    @property
    def _failures(self) -> Failures:
        return self.http.exchange.failures


def page_problem(response: httpx.Response) -> str | None:
    """What is wrong with a page where a file belongs: a proxy that wants a sign-in sends one, and no name for a file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_page = kind in {"text/html", "application/xhtml+xml"} and "Content-Disposition" not in response.headers
    return f"it is {kind!r} without the name of a file" if is_page and response.status_code == 200 else None


def operation_id(operation: Operation) -> str:
    """The operationId that a generated module was made from: getDatasetMetadata for get_dataset_metadata."""
    first, *others = operation.__name__.rpartition(".")[2].split("_")
    return first + "".join(word.title() for word in others)


def mismatches(model: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Fields of a generated model, and of models within, whose values are not of their declared types.

    The generated reading casts and does not look, so a string where a number belongs would pass for a number.
    """
    if isinstance(model, list):
        for index, item in enumerate(model):
            yield from mismatches(item, f"{where}[{index}]")
    elif attrs.has(kind := type(model)):
        hints = typing.get_type_hints(kind, localns=vars(kayrros_openapi.models))
        for field in attrs.fields(kind):
            if field.init:
                value, path = getattr(model, field.name), f"{where}.{field.name}".lstrip(".")
                if _fits(value, hints[field.name]):
                    yield from mismatches(value, path)
                else:
                    yield path, f"is {value!r:.80}, not {_words(hints[field.name])}"


def _fits(value: object, hint: Any) -> bool:
    if typing.get_origin(hint) in (UnionType, typing.Union):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    names = [one.__name__ for one in typing.get_args(hint) or (hint,) if isinstance(one, type)]
    return " or ".join(name for name in names if name not in {"NoneType", "Unset"}) or str(hint)
