"""The one door from the hand-written layer to the generated one. Here a status becomes an error.

A generated call returns errors as values, drops what is not documented, fails with bare exceptions on what is not JSON,
and reads every body into memory. So this module takes from the generated operation what comes from the spec, the request
and the typed reading of its answer, and does the sending itself.
"""

import contextlib
import typing
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Protocol

import attrs
import httpx

import kayrros_client.models
from kayrros_client import AuthenticatedClient, Client
from kayrros_ext.answers import MAX_BODY, Explanation, beginning, explain
from kayrros_ext.auth import KayrrosAuth
from kayrros_ext.errors import (
    AccessDeniedError,
    APIError,
    ContractError,
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
_TODO_BY_CLASS = {
    2: "The API is not known to answer so: check KAYRROS_BASE_URL.",
    3: "The API is not known to redirect: check KAYRROS_BASE_URL.",
    4: "Check the arguments of the call.",
    5: "The platform failed: try again later.",
}

_T = typing.TypeVar("_T")


class Operation(Protocol):
    """A module of kayrros_client.api: one operation of the spec."""

    __name__: str

    def _get_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...

    def _parse_response(self, *, client: AuthenticatedClient | Client, response: httpx.Response) -> Any: ...


@attrs.frozen
class Door:
    """Sends operations of the generated client, and gives back successes alone."""

    client: Client
    auth: KayrrosAuth

    def typed(self, operation: Operation, **arguments: Any) -> Any:
        """The typed answer of an operation, each field of the type that the spec declares.

        Raises:
            APIError, TransportError, LoginError, UsageError: as for `stream`.
            ContractError: the answer is not what the spec says.
        """

        def reading(response: httpx.Response) -> Any:
            try:
                answer = response.json()
                parsed = operation._parse_response(client=self.client, response=response)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise ContractError(f"{type(error).__name__}: {error}") from None
            # The generated reading takes an empty array, or an empty string, for an object without members.
            if type(answer) is not (list if isinstance(parsed, list) else dict):
                raise ContractError("it is JSON of another type")
            for where, problem in mismatches(parsed):
                raise ContractError(f"`{where}` {problem}", where=where)
            return parsed

        return self._read(operation, reading, **arguments)

    def body(self, operation: Operation, reading: Callable[[bytes], _T], **arguments: Any) -> _T:
        """The body of an answer, read by a function of our own instead of the generated one.

        Raises:
            APIError, TransportError, LoginError, UsageError: as for `stream`.
            ContractError: `reading` says so.
        """
        return self._read(operation, lambda response: reading(response.content), **arguments)

    def _read(self, operation: Operation, reading: Callable[[httpx.Response], _T], **arguments: Any) -> _T:
        name = operation_id(operation)
        with self.stream(operation, **arguments) as response:
            kind = response.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
            if not kind.endswith("json"):
                said = explain(beginning(response), self.auth.redact)
                raise self._not_the_contract(name, f"it is {kind!r:.80}, not application/json", said)
            response.read()
        try:
            return reading(response)
        except ContractError as error:
            # What was caught may repeat what the server sent, and that may repeat our secrets.
            problem, where = self.auth.redact(str(error)), error.where
        begins = None if where else explain(response.content[:MAX_BODY], self.auth.redact)
        raise self._not_the_contract(name, problem, begins, where)

    def _not_the_contract(
        self, name: str, problem: str, begins: Explanation | None, where: str | None = None
    ) -> ContractError:
        said = f" It begins: {begins}." if begins else ""
        return ContractError(
            f"{name}: the answer of {self._host} is not what the contract says: {problem}.{said} Check KAYRROS_BASE_URL "
            "and whether a proxy answers in the API's place; if neither, the API has changed: please report it.",
            operation=name,
            where=where,
        )

    @contextlib.contextmanager
    def stream(
        self, operation: Operation, headers: dict[str, str] | None = None, **arguments: Any
    ) -> Iterator[httpx.Response]:
        """A successful answer, its body not yet read.

        Args:
            operation: a module of kayrros_client.api.
            headers: headers beyond those of the spec.
            arguments: what the operation takes, as in the generated signature.

        Raises:
            APIError: any status but 200; its subclass where there is one.
            TransportError: no answer came, or it broke off, also while the caller reads it.
            LoginError: the login failed.
            UsageError: the client is closed.
        """
        name = operation_id(operation)
        http = self.client.get_httpx_client()
        if http.is_closed:
            raise UsageError("This Kayrros is closed. Make the call inside its `with` block, or make a new one.")
        kwargs = operation._get_kwargs(**arguments)
        sent = {**kwargs.pop("headers", {}), **(headers or {})}
        # A generated request names a content type also for a body that it leaves out.
        if not kwargs.keys() & {"json", "data"}:
            sent.pop("Content-Type", None)
        try:
            with http.stream(**kwargs, headers=sent) as response:
                if response.status_code != 200:
                    raise self._api_error(name, response)
                yield response
        except (httpx.RequestError, httpx.InvalidURL) as error:
            # The cause is kept where it shows no secret: a server may repeat what it was sent in a header that is broken.
            cause = error if self.auth.redact(_chain(error)) == _chain(error) else None
            raise self._transport_error(name, error) from cause

    @property
    def _host(self) -> str:
        return self.client.get_httpx_client().base_url.host

    def _api_error(self, name: str, response: httpx.Response) -> APIError:
        status = response.status_code
        said = explain(beginning(response), self.auth.redact)
        todo = _TODO.get(status)
        if status == 401:
            todo = (
                "A new login did not help: ask Kayrros about the account."
                if self.auth.can_log_in
                else "The token is not valid any more, and there are no credentials to get another: give a new token, or "
                "email and password (KAYRROS_EMAIL, KAYRROS_PASSWORD)."
            )
        elif todo is None:
            todo = _TODO_BY_CLASS.get(status // 100, "Try again later.")
        return _BY_STATUS.get(status, APIError)(
            f"{name}: {self._host} answered {status} ({said}). {todo}",
            status=status,
            operation=name,
            code=said.code,
            message=said.message,
            excerpt=said.excerpt,
        )

    def _transport_error(self, name: str, error: httpx.RequestError | httpx.InvalidURL) -> TransportError:
        request = error.request if isinstance(error, httpx.RequestError) else None
        during = "login" if request and self.auth.is_login(request) else name
        host = request.url.host if request else self._host
        words = self.auth.redact(str(error)) or "no further words"
        return TransportError(
            f"{during}: no whole answer from {host} ({type(error).__name__}: {words}). Check the network, the proxy and "
            "KAYRROS_BASE_URL or KAYRROS_AUTH_URL; where the answer is only slow, give Kayrros a longer timeout.",
            operation=during,
        )


def _chain(error: BaseException | None) -> str:
    """All that a traceback would print of an error and what led to it."""
    return f"{error!r} {error}" + _chain(error.__cause__ or error.__context__) if error else ""


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
        hints = typing.get_type_hints(kind, localns=vars(kayrros_client.models))
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
