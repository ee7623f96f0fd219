"""Login: when it is needed, once for all who wait, and only ever for the data host.

The flow performs no I/O. It yields requests and is sent responses; httpx does the sending, for threads and tasks alike.
"""

import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any
from urllib.parse import quote

import attrs
import httpx

from kayrros_client.api.authentication import login
from kayrros_client.models import LoginReply, LoginRequest
from kayrros_ext.answers import explain
from kayrros_ext.errors import ConfigurationError, LoginError
from kayrros_ext.settings import USER_AGENT, Secret, Settings, clean_token

# Whether an expired token gets 401 or 403 is unknown. A 403 on a token younger than this is about the dataset.
FRESH_S = 300

WAIT = "wait for the turn to log in"
# Yields a request, and is sent its response; or yields WAIT, and is sent whether the turn is ours.
_Flow = Generator[Any, Any, None]


@attrs.frozen(eq=False)
class Token:
    """A token, and when we got it (seconds of the auth's clock; minus infinity where its age is not known)."""

    value: Secret
    since_s: float


class KayrrosAuth(httpx.Auth):
    """Logs in when the first request needs it, and again when the data host no longer takes the token.

    Works under httpx.Client and httpx.AsyncClient, both at once if need be; threads and tasks that need a token at the
    same time share one login. A login that was refused is not tried again: accounts get locked that way.

    Args:
        settings: hosts and credentials.
        clock: seconds that only grow.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._turn = _Turn()
        self._token = None if settings.token is None else Token(settings.token, float("-inf"))
        self._refused: LoginError | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.base_url})"

    @property
    def can_log_in(self) -> bool:
        """Whether there are credentials to get a new token with."""
        return self._settings.can_log_in

    def is_login(self, request: httpx.Request) -> bool:
        """Whether a request is the login, for errors to say so."""
        return request.url == self._login_url()

    def redact(self, text: str) -> str:
        """The text without our secrets, in case a server repeats what it was sent."""
        held = [self._settings.password, self._settings.token, self._token and self._token.value]
        for secret in {secret.reveal() for secret in held if secret}:
            for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                text = text.replace(form, "**********")
        return text

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The flow under httpx.Client."""
        flow = self._flow(request)
        try:
            step = next(flow)
            while True:
                if step is WAIT:
                    step = flow.send(self._turn.wait())
                else:
                    response = yield step
                    if step is not request:  # the login: its body is ours to read, before httpx would
                        response.read()
                    step = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The flow under httpx.AsyncClient."""
        flow = self._flow(request)
        try:
            step = next(flow)
            while True:
                if step is WAIT:
                    step = flow.send(await self._turn.wait_async())
                else:
                    response = yield step
                    if step is not request:
                        await response.aread()
                    step = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    def _flow(self, request: httpx.Request) -> _Flow:
        base = self._settings.base_url
        if request.method == "POST" and request.url == _join(base, _login_path()):
            # The generator knows one host alone, so a login by the generated call arrives at the wrong door.
            request.url = self._login_url()
            request.headers["Host"] = request.url.netloc.decode("ascii")
            yield request
        elif _origin(request.url) == _origin(base):
            yield from self._with_token(request)
        else:
            yield request

    def _with_token(self, request: httpx.Request) -> _Flow:
        token = yield from self._usable_token(stale=None)
        response = yield self._signed(request, token)
        old = self._clock() - token.since_s > FRESH_S
        if self.can_log_in and (response.status_code == 401 or (response.status_code == 403 and old)):
            token = yield from self._usable_token(stale=token)
            yield self._signed(request, token)

    def _usable_token(self, stale: Token | None) -> Generator[Any, Any, Token]:
        """The token at hand, unless it is the stale one; else a new one, by whoever comes first."""
        token = self._token
        if token is not None and token is not stale:
            return token
        held = yield WAIT
        try:
            token = self._token
            if token is None or token is stale:
                if self._refused:
                    raise LoginError(str(self._refused), **vars(self._refused))
                response = yield self._login_request()
                token = self._token = Token(self._read_login(response), self._clock())
            return token
        finally:
            if held:
                self._turn.release()

    def _signed(self, request: httpx.Request, token: Token) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token.value.reveal()}"
        return request

    def _login_url(self) -> httpx.URL:
        return _join(self._settings.auth_url, _login_path())

    def _login_request(self) -> httpx.Request:
        email, password = self._settings.email, self._settings.password
        if not (email and password):
            raise ConfigurationError("There are no credentials to log in with: give email and password.")
        kwargs = login._get_kwargs(body=LoginRequest(email=email, password=password.reveal()))
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        return httpx.Request(**{**kwargs, "url": self._login_url(), "headers": {**kwargs["headers"], **headers}})

    def _read_login(self, response: httpx.Response) -> Secret:
        status, host = response.status_code, self._settings.auth_url.host
        if status == 200:
            try:
                return Secret(clean_token(_token_of(response.content)))
            except (ConfigurationError, ValueError, TypeError):
                raise LoginError(
                    f"The login at {host} was answered without a token that can be used. Check KAYRROS_AUTH_URL; if it is "
                    "right, the API has changed.",
                    status=status,
                ) from None
        said = explain(response.content, self.redact)
        refused = 400 <= status < 500 and status not in {408, 425, 429}
        todo = (
            "Check email and password, then make a new Kayrros: this one does not try again, so that the account is not "
            "locked."
            if refused
            else "Try again later."
        )
        error = LoginError(
            f"The login at {host} failed with status {status} ({said}). {todo}",
            status=status,
            code=said.code,
            message=said.message,
        )
        if refused:
            self._refused = error
        raise error


class _Turn:
    """A lock that threads and tasks share: one login at a time, whoever wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_of_task: int | None = None

    def wait(self) -> bool:
        """Wait as a thread. False: not waited for, since the holder is a task that this thread keeps from running."""
        if self._thread_of_task == threading.get_ident():
            return False
        return self._lock.acquire()

    async def wait_async(self) -> bool:
        """Wait as a task, and let the other tasks run meanwhile."""
        import anyio  # httpx's own, which loads it for async clients alone

        while not self._lock.acquire(blocking=False):
            await anyio.sleep(0.01)
        self._thread_of_task = threading.get_ident()
        return True

    def release(self) -> None:
        self._thread_of_task = None
        self._lock.release()


def _login_path() -> str:
    path: str = login._get_kwargs(body=LoginRequest(email="", password=""))["url"]
    return path


def _token_of(body: bytes) -> str:
    reply = json.loads(body)
    token = LoginReply.from_dict(reply).token if isinstance(reply, dict) else None
    if not isinstance(token, str):
        raise TypeError
    return token


def _join(base: httpx.URL, path: str) -> httpx.URL:
    return base.copy_with(path=base.path.rstrip("/") + path)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
