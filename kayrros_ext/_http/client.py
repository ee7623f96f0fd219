"""The HTTP clients that every call goes through, sync and async: tried again, whole, and what the contract says or an error.

The calls of the generated client come through here too: what they would make of an answer that is not documented, of a
page where JSON belongs or of a broken connection is an error of our tree. What the spec documents passes as it came.
"""

import contextlib
import os
import re
from collections.abc import Generator, Mapping
from typing import Any

import attrs
import httpx

from kayrros_ext._config.retries import Retries
from kayrros_ext._http.body import TooLargeError, beginning, beginning_async, pieces, pieces_async
from kayrros_ext._http.failures import NO_ANSWER, Failures
from kayrros_ext._http.retry import LOGIN_STATUSES, STATUSES, Attempts
from kayrros_ext._http.surplus import guard, guard_async
from kayrros_ext.errors import ContractError, KayrrosError, LoginError
from kayrros_openapi.contract import OPERATIONS, Operation

_JSON_TYPES = {"object": dict, "array": list}
_PATTERNS = [(known, re.compile(re.sub(r"\{[^}]*\}", "[^/]+", known.path))) for known in OPERATIONS]

# Yields a request to send, or seconds to wait; is sent the answer, or thrown what came instead.
# What came instead may show a secret, also as a local of the frame that raises: so an error is returned.
_Flow = Generator[httpx.Request | float, Any, "Answer | KayrrosError"]


class Answer(httpx.Response):
    """A whole answer to an operation, whose JSON is that of the contract or an error."""

    operation: Operation
    failures: Failures

    def json(self, **options: Any) -> Any:
        """The JSON of the body.

        Raises:
            ContractError: it is not JSON, or another type than the contract says.
        """
        found = self._json_or_failure(options)
        # Raised here: what the answer holds would show among the locals of the frame that read it.
        if isinstance(found, ContractError):
            raise found
        return found

    def _json_or_failure(self, options: dict[str, Any]) -> Any:
        documented = _documented(self.operation, self.status_code) or {}
        expected = _JSON_TYPES.get(documented.get("application/json") or "", object)
        try:
            value = super().json(**options)
        except (ValueError, RecursionError) as error:
            return self.failures.contract(self.operation.id, f"{type(error).__name__}: {error}", self.content)
        if isinstance(value, expected):
            return value
        return self.failures.contract(self.operation.id, "it is JSON of another type", self.content)


@attrs.frozen
class Exchange:
    """From a request to a whole answer: the rule of retries, the limit of a body, and the errors. Performs no I/O."""

    failures: Failures
    retries: Retries
    total_timeout_s: float
    max_body: int

    def flow(self, request: httpx.Request, operation: Operation, unless: frozenset[int]) -> _Flow:
        """The attempts at one request.

        Args:
            request: of the operation.
            operation: whose it is.
            unless: statuses that are not tried again here.

        Returns:
            A whole answer, of any status; or the error that there is none, for the caller to raise.
        """
        statuses = LOGIN_STATUSES if operation.id == "login" else STATUSES - unless
        attempts = Attempts(self.retries, self.total_timeout_s, statuses)
        fault: Answer | Exception
        while True:
            attempts.begin(request)
            try:
                response = yield request
            except TooLargeError as error:
                return self.failures.contract(operation.id, str(error), is_too_large=True)
            except (*NO_ANSWER, LoginError) as error:
                fault = error
            else:
                fault = response
            wait_s = attempts.wait_after(fault, self.failures.during(operation.id, fault))
            if wait_s is not None:
                yield wait_s
            elif isinstance(fault, Answer):
                fault.extensions["attempts"] = attempts.count
                return fault
            elif isinstance(fault, LoginError):
                return fault
            else:
                return self.failures.transport(operation.id, fault, attempts.count)  # type: ignore[arg-type]

    def whole(self, response: httpx.Response, operation: Operation, body: bytes) -> Answer:
        """An answer with its body."""
        headers = httpx.Headers(response.headers)
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):  # these were of the wire
            headers.pop(name, None)
        answer = Answer(
            response.status_code,
            headers=headers,
            content=body,
            request=response.request,
            extensions=dict(response.extensions),
            history=response.history,
        )
        answer.operation, answer.failures = operation, self.failures
        with contextlib.suppress(RuntimeError):
            answer.elapsed = response.elapsed
        return answer

    def check(self, answer: httpx.Response, operation: Operation) -> None:
        """That the contract knows an answer to a generated call: its status, and its content type.

        Raises:
            APIError: a status that is not documented, or a documented error whose body is not.
            ContractError: a success of another content type.
        """
        documented = _documented(operation, answer.status_code)
        problem = None if documented is None else content_problem(answer, documented)
        if answer.is_success and problem:
            raise self.failures.contract(operation.id, problem, answer.content)
        is_error = not answer.is_success and "application/json" in (documented or {})
        if documented is None or (is_error and (problem or not _is_object(answer))):
            raise self.failures.status(operation.id, answer, answer.content, answer.extensions.get("attempts", 1))


def _documented(operation: Operation, status: int) -> dict[str, str | None] | None:
    """The content types that a status may have; None where it is not documented, by itself, its class or a default."""
    names = (str(status), f"{status // 100}XX", "default")
    return next((operation.answers[name] for name in names if name in operation.answers), None)


def _answer(found: "Answer | KayrrosError") -> Answer:
    if isinstance(found, KayrrosError):
        raise found
    return found


JSON = {"application/json": "object"}


def content_problem(response: httpx.Response, documented: Mapping[str, str | None] = JSON) -> str | None:
    """What is wrong with the content type of an answer. None given is the documented one (assumed)."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # JSON has more names than one, such as application/problem+json.
    known = {*documented, *(("text/json", kind) if kind.endswith(("/json", "+json")) else ())}
    if not kind or not documented or "*/*" in documented or kind in (known if _wants_json(documented) else documented):
        return None
    return f"it is {kind!r:.80}, not {' or '.join(documented)}"


def _wants_json(documented: Mapping[str, str | None]) -> bool:
    return any(kind.endswith(("/json", "+json")) for kind in documented)


def _is_object(answer: httpx.Response) -> bool:
    try:
        return isinstance(httpx.Response.json(answer), dict)
    except (ValueError, RecursionError):
        return False


def operation_of(request: httpx.Request, base_path: str) -> Operation | None:
    """The operation that a request is, if it is one."""
    path = request.url.path.removeprefix(base_path.rstrip("/"))
    return next((known for known, it in _PATTERNS if known.method == request.method and it.fullmatch(path)), None)


class HTTPClient(httpx.Client):
    """The sync client. What is streamed, and what is no operation of the contract, goes through as it is."""

    def __init__(self, *, exchange: Exchange, **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [guard(self)]})
        self.exchange, self.process = exchange, os.getpid()

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request.

        Raises:
            APIError, ContractError, TransportError, LoginError, UsageError: as the contract has it.
        """
        operation = None if stream else operation_of(request, self.base_url.path)
        if operation is None:
            return super().send(request, stream=stream, **options)
        answer = self.complete(request, operation, **options)
        self.exchange.check(answer, operation)
        return answer

    def complete(
        self,
        request: httpx.Request,
        operation: Operation,
        unless: frozenset[int] = frozenset(),
        max_body: int | None = None,
        **options: Any,
    ) -> Answer:
        """A whole answer of any status, after as many attempts as it takes."""
        most = min(self.exchange.max_body, max_body or self.exchange.max_body)
        flow = self.exchange.flow(request, operation, unless)
        step = next(flow)
        try:
            while True:
                if isinstance(step, float | int):
                    self.exchange.retries.sleep(step)
                    step = next(flow)
                    continue
                try:
                    answer = self._once(step, operation, most, options)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found = end.value
        return _answer(found)

    def _once(self, request: httpx.Request, operation: Operation, max_body: int, options: dict[str, Any]) -> Answer:
        if self.is_closed:  # by another thread between two attempts, too
            raise self.exchange.failures.closed()
        response = super().send(request, stream=True, **options)
        with contextlib.closing(response):
            if not response.is_success:
                return self.exchange.whole(response, operation, beginning(response))
            found = list(pieces(response, max_body))
        return self.exchange.whole(response, operation, b"".join(found))


class AsyncHTTPClient(httpx.AsyncClient):
    """The async client, alike."""

    def __init__(self, *, exchange: Exchange, **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [guard_async(self)]})
        self.exchange, self.process = exchange, os.getpid()

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request; errors as for HTTPClient."""
        operation = None if stream else operation_of(request, self.base_url.path)
        if operation is None:
            return await super().send(request, stream=stream, **options)
        answer = await self._complete(request, operation, options)
        self.exchange.check(answer, operation)
        return answer

    async def _complete(self, request: httpx.Request, operation: Operation, options: dict[str, Any]) -> Answer:
        flow = self.exchange.flow(request, operation, frozenset())
        step = next(flow)
        try:
            while True:
                if isinstance(step, float | int):
                    await self.exchange.retries.sleep_async(step)
                    step = next(flow)
                    continue
                try:
                    answer = await self._once(step, operation, options)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found = end.value
        return _answer(found)

    async def _once(self, request: httpx.Request, operation: Operation, options: dict[str, Any]) -> Answer:
        if self.is_closed:
            raise self.exchange.failures.closed()
        response = await super().send(request, stream=True, **options)
        async with contextlib.aclosing(response):
            if not response.is_success:
                return self.exchange.whole(response, operation, await beginning_async(response))
            found = [piece async for piece in pieces_async(response, self.exchange.max_body)]
        return self.exchange.whole(response, operation, b"".join(found))
