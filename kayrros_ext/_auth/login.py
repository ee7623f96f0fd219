"""The login: when it is needed, once for all callers that wait, and only ever for the data host."""

import contextlib
import copy
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime
from typing import Any

import attrs
import httpx

from kayrros_ext._auth.token_cache import Token, TokenCache
from kayrros_ext._config.credentials import Identity
from kayrros_ext._config.settings import Settings, clean_token
from kayrros_ext._http.client import RequestPolicy, parsed
from kayrros_ext._http.errors import ErrorMapper
from kayrros_ext._http.retry import LOGIN_RETRY_STATUSES
from kayrros_ext._http.transport import build_client
from kayrros_ext._secret import Secret, redact
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import APIError, ConfigurationError, ContractError, KayrrosError, LoginError, TransportError
from kayrros_openapi.api.authentication import login
from kayrros_openapi.contract import OPERATIONS
from kayrros_openapi.models import LoginRequest

# Whether an expired token gets 401 or 403 is unknown. A 403 on a younger token is about the dataset.
FORBIDDEN_GRACE_S = 300
# Renewals in one call: the first may take the token of another process, the second logs in.
MAX_TOKEN_RENEWALS = 2
# Seconds between two looks of a task at its login.
LOGIN_POLL_S = 0.01
# Another process that logs in is waited for this long. One that was stopped in the middle keeps the lock.
LOCK_TIMEOUT_S = 15.0
# A token that expires within a minute is not used: the call may take longer, and clocks differ.
EXPIRY_LEEWAY_S = 60
# Enough for any login reply.
MAX_REPLY_BYTES = 1024**2

_Flow = Generator[httpx.Request, httpx.Response, None]

LOGIN_PATH = next(operation.path for operation in OPERATIONS if operation.id == "login")


class TokenSource:
    """The token of an account. One login at a time, whoever asks; blocking, and safe to share between threads.

    `log_in` returns a new token; pass None if there are no credentials. Other processes share the cache.
    """

    def __init__(
        self,
        token: Secret | None,
        log_in: Callable[[], Secret] | None,
        cache: TokenCache | None = None,
        now: Callable[[], float] = time.time,
        password: Secret | None = None,
    ) -> None:
        self._log_in, self.cache, self._now, self._password = log_in, cache, now, password
        self._lock, self._process = threading.Lock(), os.getpid()
        self._failures = 0
        self._last_failure: KayrrosError = LoginError("")
        self._token = Token(token) if token else None
        self.secrets = {secret for secret in (token, password) if secret}

    def peek(self, rejected: Token | None = None) -> Token | None:
        """Return the token at hand or in the cache, unless it is rejected or expires. No request is sent."""
        return self.at_hand(rejected) or self._load_cached(rejected)

    def get(self, rejected: Token | None = None, *, force: bool = False) -> Token:
        """Return a token other than the rejected one: the one at hand, a cached one, or that of a login.

        With `force`, there is a login in spite of a cached token or a refusal.

        Raises:
            LoginError: the login failed. A refusal is remembered, so that no account gets locked.
            TransportError: the login host did not answer.
            ConfigurationError: a login is needed, and there are no credentials.
        """
        failures = self._failures
        if token := self.at_hand(rejected):
            return token
        if self._process != os.getpid():  # after a fork, where no thread of the child would release the parent's lock
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            if token := self.at_hand(rejected):
                return token
            if self._failures > failures or (_is_refusal(self._last_failure) and not force):
                raise copy.copy(self._last_failure)  # each caller gets a traceback of its own
            token = self._token = self._renew(rejected, force=force)
            self.secrets.add(token.secret)
            return token

    def renew(self) -> Token:
        """Log in although there is a token or was a refusal. Raises as `get`."""
        return self.get(self._token, force=True)

    def at_hand(self, rejected: Token | None) -> Token | None:
        """Return the token in memory, unless it is rejected or expires."""
        token = self._token
        return token if token and token is not rejected and not self._is_expired(token) else None

    def _is_expired(self, token: Token) -> bool:
        # Without a password it is sent all the same, because the clock may be wrong.
        return bool(self._log_in and token.expires_at and self._now() > token.expires_at - EXPIRY_LEEWAY_S)

    def _renew(self, rejected: Token | None, *, force: bool) -> Token:
        """Return a token from the cache or a login; the caller holds the lock."""
        if not force and (token := self._load_cached(rejected)):
            return token
        with self.cache.lock(LOCK_TIMEOUT_S) if self.cache else contextlib.nullcontext() as is_held:
            if self.cache and not force:
                # The process that held the lock may have logged in.
                if is_held and (token := self._load_cached(rejected)):
                    return token
                if refusal := self.cache.load_refusal(self._password):
                    raise refusal
            return self._logged_in(rejected)

    def _logged_in(self, rejected: Token | None) -> Token:
        if self._log_in is None:
            hint = "Run `kayrros login`, or pass email and password."
            raise ConfigurationError("There is no password to log in with.", hint=hint, needs_login=True)
        if self.cache and rejected:
            self.cache.discard(rejected.secret)
        try:
            secret = self._log_in()
        except KayrrosError as error:
            # A copy, because callers add notes to the error that is raised.
            self._failures, self._last_failure = self._failures + 1, copy.copy(error)
            if self.cache and _is_refusal(error):
                self.cache.save_refusal(self._password, error)
            raise
        self._last_failure = LoginError("")
        if self.cache:
            self.cache.save(secret)
        token = Token(secret, self._now())
        # A new token that has expired already tells of a wrong clock, ours or theirs. A 401 will decide.
        return attrs.evolve(token, expires_at=None) if self._is_expired(token) else token

    def _load_cached(self, rejected: Token | None) -> Token | None:
        token = self.cache.load() if self.cache else None
        is_rejected = token and rejected and token.secret == rejected.secret
        return None if token is None or is_rejected or self._is_expired(token) else token


class LoginAuth(httpx.Auth):
    """Signs requests to the data host with a token, and renews it when the host rejects it.

    `connections` are options of httpx for the login's own client.
    """

    def __init__(
        self,
        settings: Settings,
        connections: dict[str, Any],
        cache: TokenCache | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._connections, self._now = settings, connections, now
        password = settings.password
        self.tokens = TokenSource(settings.token, self._log_in if password else None, cache, now, password)
        if settings.no_login and not self.tokens.peek():
            raise settings.no_login
        errors = ErrorMapper(settings.auth_url.host, self.redact)
        self._policy = RequestPolicy(
            errors, settings.retries, settings.total_timeout, MAX_REPLY_BYTES, LOGIN_RETRY_STATUSES
        )

    def redact(self, text: str) -> str:
        """Return the text without any secret that we hold or have held."""
        return redact(text, list(self.tokens.secrets))

    def identity(self) -> Identity:
        """Return whose account this is. Nothing is sent."""
        settings, token = self._settings, self.tokens.peek()
        return Identity(
            source=settings.source,
            email=settings.email,
            base_url=str(settings.base_url),
            auth_url=str(settings.auth_url),
            profile=settings.profile,
            token_cache="file" if self.tokens.cache else "off",
            has_token=token is not None,
            token_expires=datetime.fromtimestamp(token.expires_at, UTC) if token and token.expires_at else None,
        )

    def sync_auth_flow(self, request: httpx.Request) -> _Flow:
        """Sign, and renew the token, under httpx.Client."""
        if not self._is_for_data_host(request):
            yield request
            return
        token = self.tokens.get()
        for renewal in range(MAX_TOKEN_RENEWALS + 1):
            request.headers["Authorization"] = f"Bearer {token.secret.value}"
            response = yield request
            if not self._may_renew(response, token, renewal):
                return
            token = self.tokens.get(token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same under httpx.AsyncClient."""
        flow, response = self.sync_auth_flow(request), None
        while signed := await self._advance(flow, response):
            response = yield signed

    async def _advance(self, flow: _Flow, response: httpx.Response | None) -> httpx.Request | None:
        """Send a response to a flow, in a thread if it may log in: no cancelled task or ending program waits for it."""
        import anyio  # httpx loads it for async clients only

        def send() -> httpx.Request | None:
            with contextlib.suppress(StopIteration):
                return flow.send(response)  # type: ignore[arg-type]  # None begins it
            return None

        if self.tokens.at_hand(None) if response is None else response.status_code not in {401, 403}:
            return send()
        future = run_in_daemon(send, "kayrros-login")
        while not future.done():
            await anyio.sleep(LOGIN_POLL_S)
        return future.result()

    def _is_for_data_host(self, request: httpx.Request) -> bool:
        """Return whether to sign a request; a generated login call is sent to the login host instead."""
        base = self._settings.base_url
        if request.method == "POST" and request.url == _join(base, LOGIN_PATH):
            # The generated client knows one host.
            request.url = _join(self._settings.auth_url, LOGIN_PATH)
            request.headers["Host"] = request.url.netloc.decode("ascii")
            return False
        return (request.url.scheme, request.url.netloc) == (base.scheme, base.netloc)

    def _may_renew(self, response: httpx.Response, token: Token, renewal: int) -> bool:
        is_old = self._now() - token.obtained_at > FORBIDDEN_GRACE_S
        if response.status_code != 401 and not (response.status_code == 403 and is_old):
            return False
        # The platform rejects the token of a new login, and would reject another, too.
        if renewal == MAX_TOKEN_RENEWALS or (renewal and not token.cached):
            return False
        # Without a password, only `kayrros login` in another process renews it.
        return self._settings.password is not None or self.tokens.peek(token) is not None

    def _log_in(self) -> Secret:
        """Log in over a client of its own. Raise LoginError or TransportError without a token."""
        settings, email, password = self._settings, self._settings.email, self._settings.password
        assert email and password  # noqa: S101, PT018 - for mypy  # nosec B101
        client, status = build_client(settings, settings.auth_url, self._policy, self._connections), 200
        try:
            # No local variable holds the password or the token, because a traceback with locals would show it.
            return clean_token(
                Secret(parsed(login.sync_detailed(client=client, body=LoginRequest(email, password.value))).token)
            )
        except APIError as error:
            if error.status >= 300:
                raise _login_error(error, settings) from None
            status = error.status
        except (ContractError, ConfigurationError):
            pass  # its text may quote the token
        except TransportError as error:
            raise error.with_traceback(None) from error.__cause__  # the frames that it passed hold the password
        finally:
            if "transport" not in self._connections:  # which the data host's client uses, too
                client.get_httpx_client().close()
        raise LoginError(
            f"The login at {settings.auth_url.host} was answered {status} without a usable token.",
            hint="Check KAYRROS_AUTH_URL. If it is right, the API has changed: please report it.",
            status=status,
        )


def _is_refusal(error: KayrrosError) -> bool:
    """Return whether a login failed because of the credentials: not by a page of a firewall or a proxy."""
    status, code, message = (getattr(error, name, None) for name in ("status", "code", "message"))
    # The API answers with JSON, and but for a 401, which is about credentials anyway, with a code.
    return status in LoginError.REFUSALS and bool(message and (code or status == 401))


def _login_error(error: APIError, settings: Settings) -> LoginError:
    hint, hint_cli = "Try again later.", None
    if _is_refusal(error):
        is_variable = settings.source == "environment" and not settings.token
        advice = "Correct or unset KAYRROS_PASSWORD" if is_variable else "Check your email and password"
        hint = f"{advice}. To avoid locking the account, only kayrros.login() tries these again at once."
        hint_cli = f"{advice}, then run `kayrros login`."
    elif 300 <= error.status < 500 and error.status not in {408, 425, 429}:
        hint = "Check KAYRROS_AUTH_URL, and whether a proxy or a firewall answered."
    details = {name: getattr(error, name) for name in ("status", "code", "message", "retry_after_s")}
    return LoginError(error.args[0], hint=hint, hint_cli=hint_cli, **details)


def _join(base: httpx.URL, path: str) -> httpx.URL:
    return base.copy_with(path=base.path.rstrip("/") + path)
