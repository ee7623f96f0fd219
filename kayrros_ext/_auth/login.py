"""Login: when it is needed, once for all who wait, and only ever for the data host.

The flow performs no I/O. It yields requests and is sent responses; httpx does the sending, for threads and tasks alike.
Where it must wait, or look into the store of tokens, it yields that too, as a step.
"""

import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import httpx

from kayrros_ext._auth.steps import Doing, Turn
from kayrros_ext._auth.token_cache import TokenCache
from kayrros_ext._auth.tokens import Token, end_of
from kayrros_ext._config.credentials import Identity
from kayrros_ext._config.settings import USER_AGENT, Settings, clean_token
from kayrros_ext._http.body import TooLargeError, beginning, beginning_async
from kayrros_ext._http.error_body import MAX_BODY, Explanation, explain
from kayrros_ext._http.retry import PACE, retry_after_s
from kayrros_ext._secret import Secret, redact
from kayrros_ext.errors import ConfigurationError, LoginError
from kayrros_openapi.api.authentication import login
from kayrros_openapi.models import LoginReply, LoginRequest

# Whether an expired token gets 401 or 403 is unknown. A 403 on a token younger than this is about the dataset.
FRESH_S = 300

# Tokens that a call is sent with, at most. Where they end as fast as that, it is not the token.
MOST_TOKENS = 6

# A login that ends so is not tried again: the account would get locked.
REFUSALS = {400, 401, 403, 422, 423}

# How long one process waits for another that logs in. One that was stopped in the middle keeps the lock.
PATIENCE_S = 15.0


_NOTHING_SAID = Explanation()

# Marks a request as one for a new login, whatever token is at hand.
LOG_IN = "kayrros_log_in"

# Yields a request, and is sent its response; or yields a Step, and is sent its outcome.
_Flow = Generator[Any, Any, None]


class KayrrosAuth(httpx.Auth):
    """Logs in when the first request needs it, and again when the data host no longer takes the token.

    Works under httpx.Client and httpx.AsyncClient, both at once if need be; threads and tasks that need a token at the
    same time share one login. A login that was refused is not tried again: accounts get locked that way.

    Args:
        settings: hosts and credentials.
        store: keeps the tokens of logins for other processes.
        clock: seconds that only grow.
        now: seconds since 1970, which the end of a token is held against.
        patience_s: seconds to wait for another process that logs in.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: TokenCache | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._settings = settings
        self._store, self._patience_s = store, patience_s
        self._clock, self._now = clock, now
        self._turn = Turn(settings.timeout, patience_s if store else 0)
        given = settings.token
        self._accepted: Token | None = None  # the last one that the data host has taken
        self._token = None if given is None else Token(given, float("-inf"), end_of(given))
        self._failures, self._last_failure = 0, LoginError("")
        self._secrets = {
            held for held in (settings.token, settings.credentials and settings.credentials.password) if held
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._settings.base_url)!r})"

    @property
    def can_log_in(self) -> bool:
        """Whether there are credentials to get a new token with."""
        return self._settings.credentials is not None

    def whoami(self) -> Identity:
        """Who we are, by what, and with what token; nothing is sent."""
        settings, token = self._settings, self._token
        if token is None and self._store:
            token = self._read_kept(None)
        return Identity(
            source=settings.source,
            email=settings.credentials.email if settings.credentials else None,
            base_url=str(settings.base_url),
            auth_url=str(settings.auth_url),
            profile=settings.profile if settings.source == "profile" else None,
            token_cache="file" if self._store else "off",
            has_token=token is not None,
            token_expires=datetime.fromtimestamp(token.until_s, UTC) if token and token.until_s else None,
        )

    def is_login(self, request: httpx.Request) -> bool:
        """Whether a request is the login, for errors to say so."""
        return request.url == self._login_url()

    def redact(self, text: str) -> str:
        """The text without any secret that we hold or have held."""
        return redact(text, list(self._secrets))

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The flow under httpx.Client."""
        flow, answered = self._flow(request), None
        try:
            step = next(flow)
            while True:
                if not isinstance(step, httpx.Request):
                    step = flow.send(step.wait())
                    continue
                self._hurry(step, request)
                if answered:
                    answered.stream.close()  # type: ignore[union-attr]  # a sync client's stream
                    _replace_body(answered, b"")
                response = yield step
                if step is request:
                    answered = response
                else:  # the login: its body is ours to read
                    _read_bounded(response)
                step = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The flow under httpx.AsyncClient."""
        flow, answered = self._flow(request), None
        try:
            step = next(flow)
            while True:
                if not isinstance(step, httpx.Request):
                    step = flow.send(await step.wait_async())
                    continue
                self._hurry(step, request)
                if answered:
                    await answered.stream.aclose()  # type: ignore[union-attr]  # an async client's stream
                    _replace_body(answered, b"")
                response = yield step
                if step is request:
                    answered = response
                else:
                    await _read_bounded_async(response)
                step = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()

    @staticmethod
    def _hurry(step: httpx.Request, request: httpx.Request) -> None:
        """The login has no more time than the call that it is for."""
        known = {name: request.extensions[name] for name in ("timeout", PACE) if name in request.extensions}
        step.extensions = {**step.extensions, **known}

    def _flow(self, request: httpx.Request) -> _Flow:
        base = self._settings.base_url
        if request.extensions.get(LOG_IN):
            yield from self._new_login()
        elif request.method == "POST" and request.url == _join(base, _login_path()):
            # The generator knows one host alone, so a login by the generated call arrives at the wrong door.
            request.url = self._login_url()
            request.headers["Host"] = request.url.netloc.decode("ascii")
            yield request
        elif _origin(request.url) == _origin(base):
            yield from self._with_token(request)
        else:
            yield request

    def _new_login(self) -> _Flow:
        """A login, whose token takes the place of the one at hand, here and in the store."""
        held = yield self._turn
        try:
            stale = self._token or (yield Doing(lambda: self._read_kept(None)))
            self._token = yield from self._new_token(stale, look=False, alone=not held)
            self._secrets.add(self._token.value)
        finally:
            if held:
                self._turn.release()

    def _with_token(self, request: httpx.Request) -> _Flow:
        token, renewed = (yield from self._usable_token(stale=None)), False
        for others in reversed(range(MOST_TOKENS)):
            response = yield self._signed(request, token)
            if response.status_code < 400:
                self._accepted = token
            old = self._clock() - token.since_s > FRESH_S
            refused = response.status_code == 401 or (response.status_code == 403 and old)
            if not (refused and others and self.can_log_in) or (renewed and self._is_hopeless(token)):
                return
            # One of another process may have ended like ours. Then a login alone will do.
            token, renewed = (yield from self._usable_token(stale=token, look=not (renewed and token.cached))), True

    def _is_hopeless(self, token: Token) -> bool:
        """Whether a new token was refused as it was new, and not because it has ended since: another would be, too."""
        return not token.cached and token is self._token and token is not self._accepted

    def _usable_token(self, stale: Token | None, *, look: bool = True) -> Generator[Any, Any, Token]:
        """The token at hand, unless it is the stale one or ends; else a new one, by whoever comes first."""
        token, failures = self._token, self._failures
        if token is not None and self._is_usable(token, stale):
            return token
        held = yield self._turn
        try:
            token = self._token
            if token is None or not self._is_usable(token, stale):
                self._raise_known_failure(failures)
                token = yield from self._new_token(stale or token, look=look, alone=not held)
                self._token = token
                self._secrets.add(token.value)
            return token
        finally:
            if held:
                self._turn.release()

    def _is_usable(self, token: Token, stale: Token | None) -> bool:
        return token is not stale and not (self.can_log_in and token.has_ended(self._now()))

    def _new_token(self, stale: Token | None, *, look: bool, alone: bool) -> Generator[Any, Any, Token]:
        """A token that another process has put into the store, else that of a login, which then goes there.

        Args:
            stale: the one that is refused, or ends.
            look: whether one of another process will do.
            alone: whether not to wait for other processes, since we keep the one from running that we would wait for.
        """
        store = self._store
        if store is None:
            return self._token_of_login((yield self._login_request()))
        if look and (kept := (yield Doing(lambda: self._read_kept(stale)))):
            return cast("Token", kept)
        lock = contextlib.ExitStack()
        locked = not alone and (yield Doing(lambda: lock.enter_context(store.lock(self._patience_s))))
        with lock:
            # Whoever had the lock before us may have logged in.
            if look and locked and (kept := (yield Doing(lambda: self._read_kept(stale)))):
                return cast("Token", kept)
            if stale:
                refused = stale.value
                yield Doing(lambda: store.discard(refused))
            token = self._token_of_login((yield self._login_request()))
            yield Doing(lambda: store.save(token.value))
            return token

    def _read_kept(self, stale: Token | None) -> Token | None:
        """The token in the store, unless it is the stale one or ends."""
        kept = self._store.load() if self._store else None
        if kept is None or (stale and kept.token == stale.value):
            return None
        age_s = self._now() - kept.obtained_at
        since_s = self._clock() - age_s if age_s >= 0 else float("-inf")
        token = Token(kept.token, since_s, end_of(kept.token), cached=True)
        return None if token.has_ended(self._now()) else token

    def _token_of_login(self, response: httpx.Response) -> Token:
        token = Token(secret := self._read_login(response), self._clock(), end_of(secret))
        # A token that ends as it is given is one of a clock that is wrong, here or there: a 401 will tell.
        return attrs.evolve(token, until_s=None) if token.has_ended(self._now()) else token

    def _raise_known_failure(self, known: int) -> None:
        """What a login that we waited for ended in is our answer too; and what the host has refused, it will again."""
        last = self._last_failure
        if self._failures > known or (self._failures and last.status in REFUSALS):
            raise LoginError(str(last), **vars(last))

    def _signed(self, request: httpx.Request, token: Token) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token.value.value}"
        return request

    def _login_url(self) -> httpx.URL:
        return _join(self._settings.auth_url, _login_path())

    def _login_request(self) -> httpx.Request:
        account = self._settings.credentials
        if account is None:  # not reached: without credentials there is a token, and its 401 is the answer
            raise ConfigurationError("There are no credentials to log in with. Give email and password.")
        kwargs = login._get_kwargs(body=LoginRequest(email=account.email, password=account.password.value))
        headers = {**kwargs.pop("headers"), "Accept": "application/json", "User-Agent": USER_AGENT}
        # What a client would add to a request that it builds.
        extensions = {"timeout": self._settings.timeout.as_dict()}
        return httpx.Request(**{**kwargs, "url": self._login_url(), "headers": headers, "extensions": extensions})

    def _read_login(self, response: httpx.Response) -> Secret:
        status, host = response.status_code, self._settings.auth_url.host
        if status == 200:
            with contextlib.suppress(ConfigurationError, ValueError, TypeError, RecursionError):
                return clean_token(_token_of(response.content))
        if 200 <= status < 300:
            # What it holds may be a token, and is not shown.
            todo = "Check KAYRROS_AUTH_URL; if it is right, the API has changed."
            raise self._failed(
                f"The login at {host} was answered {status} without a token that can be used. {todo}", status
            )
        said = explain(response.content[:MAX_BODY], self.redact)
        if status in REFUSALS:
            todo = "Check email and password, then make a new Kayrros: this one tries no more, so that no account is locked."
        elif 300 <= status < 500 and status not in {408, 425, 429}:
            todo = "Check KAYRROS_AUTH_URL."
        else:
            todo = "Try again later."
        wait_s = retry_after_s(response)
        waits = f" It asks to wait {wait_s:,.0f} seconds." if wait_s else ""
        words = f"The login at {host} failed with status {status} ({said}).{waits} {todo}"
        raise self._failed(words, status, said, wait_s)

    def _failed(
        self, words: str, status: int, said: Explanation = _NOTHING_SAID, wait_s: float | None = None
    ) -> LoginError:
        error = LoginError(words, status=status, code=said.code, message=said.message, retry_after_s=wait_s)
        self._failures, self._last_failure = self._failures + 1, error
        return error


# In frames of their own: what they hold is not to show among the locals of the flow.
def _read_bounded(response: httpx.Response) -> None:
    body = beginning(response, TooLargeError)
    response.close()
    _replace_body(response, body)
    response.read()


async def _read_bounded_async(response: httpx.Response) -> None:
    body = await beginning_async(response, TooLargeError)
    await response.aclose()
    _replace_body(response, body)
    await response.aread()


def _replace_body(response: httpx.Response, body: bytes) -> None:
    """What httpx finds as the body: it would read the one on the wire before the next request, however it unpacks."""
    response.stream = httpx.ByteStream(body)
    response.headers.pop("Content-Encoding", None)
    response.is_stream_consumed = response.is_closed = False


def _login_path() -> str:
    path: str = login._get_kwargs(body=LoginRequest(email="", password=""))["url"]  # nosec B106
    return path


def _token_of(body: bytes) -> Secret:
    reply = json.loads(body)
    token = LoginReply.from_dict(reply).token if isinstance(reply, dict) else None
    if not isinstance(token, str):
        raise TypeError
    return Secret(token)


def _join(base: httpx.URL, path: str) -> httpx.URL:
    return base.copy_with(path=base.path.rstrip("/") + path)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
