"""HTTP clients, sync and async, that retry, buffer and validate every response.

Calls of `Kayrros` and generated calls through `kayrros.client` both go through `send`. It raises the errors of our tree,
so a response that comes back is a documented success.
"""

import contextlib
import logging
import math
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import httpx
import msgspec

from kayrros_ext._config.retries import Retries, slices
from kayrros_ext._config.settings import is_loopback
from kayrros_ext._http.errors import MAX_ERROR_BYTES, TRANSPORT_ERRORS, ErrorMapper
from kayrros_ext._http.retry import RETRY_STATUSES, is_retryable
from kayrros_ext.errors import APIError, ContractError, TransportError, UsageError
from kayrros_openapi import Client
from kayrros_openapi.contract import OPERATIONS, Operation
from kayrros_openapi.models import ErrorResponse
from kayrros_openapi.types import Response

if TYPE_CHECKING:
    from kayrros_ext._download.transfer import FileConsumer

_T = TypeVar("_T")

# Key of CallOptions among the extensions of a request.
CALL_OPTIONS = "kayrros_ext"
# A body that brings less than this within the total timeout is as good as silent.
MIN_PROGRESS_BYTES = 1024 * 1024
MAX_REDIRECTS = 5
# Seconds of a call after which the log records of its retries have a `notice` for people, and `wait_s`.
NOTICE_S = 3
# Seconds between two looks for a slot of the gate. Threads and tasks of any event loop wait alike.
SLOT_POLL_S = 0.1
# Of a typed response: the JSON takes up to 40 times its bytes as Python objects.
MAX_TYPED_BODY, MAX_CONTAINERS = 64 * 1024**2, 2_000_000

_log = logging.getLogger("kayrros_ext")
_PATTERNS = [(operation, re.compile(re.sub(r"\{[^}]*\}", "[^/]+", operation.path))) for operation in OPERATIONS]


@attrs.frozen
class CallOptions:
    """Options of a call that takes a 200 alone, carried in its request.

    A consumer takes the body instead of memory, over all attempts. With one, redirects are followed.
    """

    no_retry_statuses: frozenset[int] = frozenset()
    max_body: int | None = None
    consumer: "FileConsumer | None" = None


class Gate:
    """Holds the requests of a client back, in threads and tasks, after the platform has refused one because of their rate.

    A refusal closes it for a time, and halves the number of requests in flight. Each round of successes allows one more
    (additive increase, multiplicative decrease). Its operations are atomic instead of locked, which suits forked children.
    """

    def __init__(self, retries: Retries) -> None:
        self.in_flight: set[_Call] = set()
        self.has_answered = False  # a call has succeeded
        self.closings = self.refusals = 0  # refusals are the closings since the last success
        self._retries, self._limit, self._opens_at, self._process = retries, math.inf, -math.inf, os.getpid()

    def enter(self, call: "_Call") -> float:
        """Give a call a slot and return 0, or return the seconds after which it may ask again."""
        if self._process != os.getpid():  # the threads of the parent are not here to leave
            self._process, self.in_flight = os.getpid(), set()
        wait_s = self._opens_at - self._retries.clock()
        has_waited, call.closings = call.closings == self.closings, self.closings
        if wait_s > 0 and not has_waited:
            # With jitter, because those who wait would wake up together.
            return self._retries.backoff(max(self.refusals, 1), wait_s)
        self.in_flight.add(call)
        if len(self.in_flight) <= self._limit:
            return 0
        self.in_flight.discard(call)
        return SLOT_POLL_S

    def close(self, call: "_Call", seconds: float) -> None:
        """Send nothing for some seconds, because a call was refused; that call waits by itself, and longer."""
        opens_at = self._retries.clock() + seconds
        if call.closings == self.closings:  # else it is one refusal with that of a call that was in flight with it
            self._limit = max(1, min(self._limit, len(self.in_flight)) // 2)
            self.refusals += 1
        elif opens_at <= self._opens_at:
            return
        self._opens_at = max(self._opens_at, opens_at)
        self.closings += 1
        call.closings = self.closings

    def leave(self, call: "_Call", *, is_success: bool = False) -> None:
        """Free the slot of a call. A success of a call that was sent after the last refusal opens the gate."""
        self.in_flight.discard(call)
        self.has_answered = self.has_answered or is_success
        if is_success and call.closings == self.closings:
            self.refusals, self._opens_at = 0, -math.inf
            self._limit += 1 / self._limit


@attrs.frozen
class RequestPolicy:
    """What all requests of a client have in common. `max_body` is in bytes, decoded."""

    errors: ErrorMapper
    retries: Retries
    total_timeout_s: float
    max_body: int
    retry_statuses: frozenset[int] = RETRY_STATUSES
    gate: Gate = attrs.field(default=attrs.Factory(lambda self: Gate(self.retries), takes_self=True))


class CompleteResponse(httpx.Response):
    """A response with its whole body, whose JSON is validated against openapi.yaml."""

    operation: Operation
    errors: ErrorMapper

    def json(self, **options: Any) -> Any:
        """Return the JSON of the body, or raise ContractError for JSON that the schema does not allow."""
        documented = _documented_content(self.operation, self.status_code) or {}
        if self.content.count(b"{") + self.content.count(b"[") > MAX_CONTAINERS:
            problem = f"it has more than {MAX_CONTAINERS:,} objects and arrays"
            raise self.errors.contract(self.operation.id, problem, too_large=True)
        try:
            for schema in (kind for media, kind in documented.items() if _is_json(media)):
                msgspec.json.decode(self.content, type=schema)
            return super().json(**options)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$")
            where = path.rstrip("`").lstrip(".") or None
            place = f" at `{where}`" if where else ""
            raise self.errors.contract(self.operation.id, problem + place, where=where) from None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise self.errors.contract(self.operation.id, problem, self.content) from None


class _Call:
    """The attempts of one request."""

    closings = 0  # of the gate, which it has waited for
    wait_s: float | None = None  # until its next turn; None after the last

    def __init__(self, policy: RequestPolicy, request: httpx.Request, operation: Operation) -> None:
        self.request, self.operation, self.attempts = request, operation, 0
        self.options: CallOptions = request.extensions.get(CALL_OPTIONS, CallOptions(max_body=MAX_TYPED_BODY))
        self._policy, self._clock = policy, policy.retries.clock
        self._headers, self._timeout = request.headers.copy(), request.extensions.get("timeout", {})
        self._started = self._clock()
        self._ends = self._started + policy.total_timeout_s
        self._furthest = self._failures = 0
        self._error: APIError | TransportError | None = None
        if request.headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in request.headers:
            # A generated request names the type of a body that it leaves out.
            self._headers.pop("Content-Type", None)

    @contextlib.contextmanager
    def turn(self) -> Iterator[bool]:
        """Yield whether an attempt may begin now. An error that ends it is kept, and `wait_s` says when the next one may."""
        left = max(self._ends - self._clock(), 0.001)
        closed_s = self._policy.gate.enter(self)
        self.wait_s = closed_s if closed_s < left else None
        try:
            if not closed_s:
                self._begin(left)
            yield not closed_s
        except (APIError, *TRANSPORT_ERRORS) as error:
            self.wait_s = self._fail(error)
        finally:
            self._policy.gate.leave(self)

    def waits(self, sleep: Callable[[float], object]) -> list[float]:
        """Return the wait until the next turn, as `slices` does. Raise the error of the last attempt if there is no turn."""
        if self.wait_s is not None:
            return slices(self.wait_s, sleep)
        if self._error:
            raise self._error
        host, hint = self._policy.errors.host, "Send fewer requests at a time, or raise total_timeout."
        text = f"{self.operation.id}: not sent within total_timeout, because {host} refuses requests."
        raise APIError(text, hint=hint, status=429, operation=self.operation.id, attempts=0)

    def _begin(self, left: float) -> None:
        """Begin an attempt, with the seconds that are left of the total timeout."""
        self.attempts += 1
        timeout = {part: left if seconds is None else min(seconds, left) for part, seconds in self._timeout.items()}
        self.request.extensions = {**self.request.extensions, "timeout": timeout}
        consumer = self.options.consumer
        self.request.headers = self._headers.copy()
        self.request.headers.update(consumer.headers() if consumer else {})
        self._chunks: list[bytes] = []
        self._size = self._progress = 0
        self._deadline = self._clock() + left

    def check_progress(self, size: int, response: httpx.Response) -> None:
        """Raise httpx.ReadTimeout when a body makes too little progress; `size` bytes have just arrived."""
        self._progress += size
        if self._progress >= MIN_PROGRESS_BYTES:
            self._deadline, self._progress = self._clock() + self._policy.total_timeout_s, 0
        elif self._clock() > self._deadline:
            raise httpx.ReadTimeout("less than a mebibyte arrived within total_timeout", request=response.request)

    def add(self, response: httpx.Response, chunk: bytes) -> bool:
        """Keep a chunk of the body; False: the rest is not needed."""
        self.check_progress(len(chunk), response)
        self._chunks.append(chunk)
        self._size += len(chunk)
        if not response.is_success:
            return self._size < MAX_ERROR_BYTES
        limit = min(self._policy.max_body, self.options.max_body or self._policy.max_body)
        if self._size > limit:
            raise self._contract_error(f"it has more than {limit:,} bytes", too_large=True)
        return True

    def complete(self, response: httpx.Response) -> CompleteResponse:
        """Return the response with the chunks as its body. Raise APIError or ContractError unless it is documented."""
        headers = httpx.Headers(response.headers)
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):  # these were of the wire
            headers.pop(name, None)
        complete = CompleteResponse(
            response.status_code,
            headers=headers,
            content=b"".join(self._chunks),
            request=response.request,
            extensions={**response.extensions, "attempts": self.attempts},
        )
        complete.operation, complete.errors = self.operation, self._policy.errors
        documented = _documented_content(self.operation, response.status_code)
        is_other = response.status_code != 200 and CALL_OPTIONS in self.request.extensions
        if documented is None or not response.is_success or is_other:
            raise self._policy.errors.from_response(self.operation.id, complete, complete.content, self.attempts)
        content_type = _content_type(response)
        # Without a type it is the documented one (assumed). JSON has several names, such as application/problem+json.
        is_documented = content_type in documented or (_is_json(content_type) and any(map(_is_json, documented)))
        if content_type and documented and "*/*" not in documented and not is_documented:
            raise self._contract_error(f"it is {content_type!r:.80}, not {' or '.join(documented)}", complete.content)
        self._policy.gate.leave(self, is_success=True)
        return complete

    def check_encoding(self, response: httpx.Response) -> None:
        """Raise ContractError for an encoding that unpacks 64 KiB to far more than 64 MiB."""
        encoding = response.headers.get("Content-Encoding", "")
        if re.search("br|zstd|(gzip|deflate).*(gzip|deflate)", encoding.lower()):
            raise self._contract_error(f"it is encoded as {encoding!r:.80}, which was not requested")

    def check_is_file(self, response: httpx.Response) -> None:
        """Raise ContractError for a web page in place of a file: a proxy that wants a sign-in answers with one."""
        content_type = _content_type(response)
        is_page = content_type in {"text/html", "application/xhtml+xml"}
        if is_page and response.status_code == 200 and "Content-Disposition" not in response.headers:
            begin = next(response.iter_bytes(), b"")
            raise self._contract_error(f"it is {content_type!r} without a file name", begin)
        self._policy.gate.leave(self, is_success=True)  # it counts requests, and the body may take hours

    def _contract_error(self, problem: str, body: bytes | None = None, *, too_large: bool = False) -> ContractError:
        return self._policy.errors.contract(self.operation.id, problem, body, too_large=too_large)

    def _fail(self, error: Exception) -> float | None:
        """Keep the error of a failed attempt, and return the seconds until the next one; None after the last."""
        policy, retries, gate = self._policy, self._policy.retries, self._policy.gate
        if isinstance(error, APIError):
            self._error = error
            status, asked_s, reason = error.status, error.retry_after_s, f"status {error.status}"
            retryable = status in policy.retry_statuses - self.options.no_retry_statuses
        else:
            self._error = policy.errors.from_exception(self.operation.id, error, self.attempts)
            status, asked_s, reason = 0, None, type(error).__name__
            retryable = is_retryable(error, self._failures, has_answered=gate.has_answered)
        consumer = self.options.consumer
        if consumer and consumer.size >= self._furthest + MIN_PROGRESS_BYTES:
            # A download that makes progress is not given up: count and total timeout start again.
            self._furthest, self.attempts, self._failures = consumer.size, 1, 0
            self._ends = self._clock() + policy.total_timeout_s
        # With a Retry-After, the platform limits requests. Without it, a refusal may be for good.
        is_counted = status not in {429, 503} or asked_s is None
        self._failures += is_counted
        is_last = not retries.max_retries or self._failures > retries.max_retries
        if not retryable or is_last or (asked_s or 0) > retries.retry_after_max:
            return None
        closes = status == 429 or not is_counted
        delay = retries.backoff(gate.refusals + 1 if closes else self._failures, asked_s)
        if delay >= self._ends - self._clock():
            return None
        if closes:
            gate.close(self, asked_s or delay)
        count = f"attempt {self._failures + 1} of {retries.max_retries + 1}"
        notice = count if is_counted else "the platform limits requests"
        is_slow = self._clock() + delay - self._started >= NOTICE_S
        extra = {"notice": notice, "wait_s": delay, "reason": reason} if is_slow else {}
        _log.info("%s: %s, retrying in %.1f s, %s", self.operation.id, reason, delay, notice, extra=extra)
        return delay


class HTTPClient(httpx.Client):
    """The sync client. Streams, and requests that are no operation of the contract, go through as they are."""

    def __init__(self, *, policy: RequestPolicy, **options: Any) -> None:
        super().__init__(**options)
        self.policy = policy

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request, with retries, and return the whole response, a documented success. All else raises our errors."""
        operation = None if stream else _operation_of(request, self.base_url.path)
        if operation is None:
            return super().send(request, stream=stream, **options)
        call, sleep = _Call(self.policy, request, operation), self.policy.retries.sleep
        while not self.is_closed:  # perhaps by another thread, between two attempts
            with call.turn() as may_send:
                if may_send:
                    return self._attempt(call, options)
            for part in call.waits(sleep):
                if not self.is_closed:
                    sleep(part)
        raise closed_error()

    def _attempt(self, call: _Call, options: dict[str, Any]) -> CompleteResponse:
        consumer = call.options.consumer
        send = self._send_following_redirects if consumer else super().send
        with contextlib.closing(send(call.request, stream=True, **options)) as response:
            call.check_encoding(response)
            if consumer and consumer.accepts(response):
                call.check_is_file(response)
                if consumer.consume(response, self._chunks(call, response)):
                    return call.complete(httpx.Response(200, headers=response.headers, request=response.request))
                raise httpx.RemoteProtocolError("the server ignores the range that was asked for", request=call.request)
            try:
                for chunk in response.iter_bytes():
                    if not call.add(response, chunk):
                        break
            except httpx.RequestError:
                if response.is_success:
                    raise  # of an error, the beginning is enough
            return call.complete(response)

    @staticmethod
    def _chunks(call: _Call, response: httpx.Response) -> Iterator[bytes]:
        for chunk in response.iter_bytes():
            call.check_progress(len(chunk), response)
            yield chunk

    def _send_following_redirects(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Follow redirects to https, and from http to http of this machine. httpx drops the token on other hosts."""
        for _ in range(MAX_REDIRECTS + 1):
            response = super().send(request, **{**options, "follow_redirects": False})
            if response.next_request is None:
                return response
            response.close()
            before, request = request, response.next_request
            is_local = before.url.scheme == request.url.scheme == "http" and is_loopback(request.url)
            if request.url.scheme != "https" and not is_local:
                problem = f"it redirects to {request.url.scheme} of {request.url.host or 'no host'}, which is refused"
                raise httpx.UnsupportedProtocol(problem, request=before)
        raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)


class AsyncHTTPClient(httpx.AsyncClient):
    """The async client of an event loop: the same without downloads. It closes with the loop."""

    _until_loop_ends: AsyncGenerator[None, None] | None = None

    def __init__(self, *, policy: RequestPolicy, **options: Any) -> None:
        super().__init__(**options)
        self.policy = policy

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await super().aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await super().aclose()
        if self._until_loop_ends:
            await self._until_loop_ends.aclose()

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request, with retries, and return the whole response. It raises what HTTPClient.send raises."""
        if not self._until_loop_ends:
            # asyncio and trio close the generators that are open when the loop ends.
            self._until_loop_ends = self._close_with_loop()
            await anext(self._until_loop_ends)
        operation = None if stream else _operation_of(request, self.base_url.path)
        if operation is None:
            return await super().send(request, stream=stream, **options)
        call, sleep = _Call(self.policy, request, operation), self.policy.retries.sleep_async
        while not self.is_closed:
            with call.turn() as may_send:
                if may_send:
                    return await self._attempt(call, options)
            for part in call.waits(sleep):
                if not self.is_closed:
                    await sleep(part)
        raise closed_error()

    async def _attempt(self, call: _Call, options: dict[str, Any]) -> CompleteResponse:
        async with contextlib.aclosing(await super().send(call.request, stream=True, **options)) as response:
            call.check_encoding(response)
            try:
                async for chunk in response.aiter_bytes():
                    if not call.add(response, chunk):
                        break
            except httpx.RequestError:
                if response.is_success:
                    raise
            return call.complete(response)


class ApiClient(Client):
    """The generated client over our HTTP clients. A process made by fork and an event loop open their own connections."""

    _process = -1
    _async_clients: dict[object, AsyncHTTPClient]  # by event loop

    def get_httpx_client(self) -> HTTPClient:
        """Return the sync client of this process."""
        if self._process != os.getpid() or not isinstance(self._client, HTTPClient):
            # Those of the parent are not closed, because it uses their connections.
            self._client, self._async_clients = HTTPClient(**self._options(is_async=False)), {}
            self._process = os.getpid()
        return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the async client of the running event loop."""
        if self.get_httpx_client().is_closed:
            raise closed_error()
        for loop, client in list(self._async_clients.items()):
            if client.is_closed or getattr(loop, "is_closed", bool)():  # asyncio's loops can tell
                self._async_clients.pop(loop, None)
        loop = _running_loop()
        if loop not in self._async_clients:
            if not isinstance(self._httpx_args.get("transport"), httpx.AsyncBaseTransport | None):
                raise UsageError("The transport is for sync calls only.", hint="Pass one for async calls, too.")
            self._async_clients[loop] = AsyncHTTPClient(**self._options(is_async=True))
        return self._async_clients[loop]

    async def aclose(self) -> None:
        """Close the connections of sync calls and of this event loop. Those of another one close when that ends."""
        self.get_httpx_client().close()
        if client := self._async_clients.pop(_running_loop(), None):
            await client.aclose()

    def _options(self, *, is_async: bool) -> dict[str, Any]:
        options = {"base_url": self._base_url, "headers": self._headers, "timeout": self._timeout, **self._httpx_args}
        connect = options.pop("connect", None)
        return {**options, **(connect(is_async=is_async) if connect else {})}


def parsed(response: Response[_T | ErrorResponse]) -> _T:
    """Return the parsed success: the HTTP client raises for everything else."""
    if response.parsed is None or response.status_code != 200:
        hint = "Try again later. The generated operation returns the status and the headers."
        content = "no content" if response.parsed is None else "not with the data"
        raise ContractError(f"The API answered with status {response.status_code:d} and {content}.", hint=hint)
    return cast("_T", response.parsed)


def closed_error() -> UsageError:
    """Return the error for a call after close()."""
    return UsageError("This Kayrros is closed.", hint="Make the call inside its `with` block, or create a new one.")


def _running_loop() -> object:
    """Return the loop of asyncio, or the token of trio; None outside of both."""
    import anyio.lowlevel  # httpx loads it for async clients only

    with contextlib.suppress(RuntimeError):
        token = anyio.lowlevel.current_token()
        return getattr(token, "native_token", token)  # since anyio 4.11
    return None


def _operation_of(request: httpx.Request, base_path: str) -> Operation | None:
    path = request.url.path.removeprefix(base_path.rstrip("/"))
    return next(
        (operation for operation, it in _PATTERNS if operation.method == request.method and it.fullmatch(path)), None
    )


def _documented_content(operation: Operation, status: int) -> dict[str, Any] | None:
    """Return the content types of a documented status, with the type of their JSON."""
    names = (str(status), f"{status // 100}XX", "default")
    return next((operation.responses[name] for name in names if name in operation.responses), None)


def _content_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    return content_type.endswith(("/json", "+json"))
