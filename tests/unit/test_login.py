"""The login: one for all callers that wait, a token for the data host alone, and refusals that are remembered."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable  # noqa: TC003 - an annotation of an attribute
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio.to_thread
import httpx
import pytest

from kayrros_ext import ConfigurationError, LoginError, Retries
from kayrros_ext._auth.login import EXPIRY_LEEWAY_S, FORBIDDEN_GRACE_S, LoginAuth
from kayrros_ext._auth.token_cache import Token, TokenCache, jwt_expiry, open_token_cache
from kayrros_ext._secret import Secret
from tests.support.jwt import jwt
from tests.support.leaks import PASSWORD
from tests.support.settings import load_settings

DATA = "https://data.example/v1/thing"
AUTH_URL, BASE_URL = "https://login.example/under", "https://data.example"


class Hosts:
    """A login host and a data host: tokens are `t1`, `t2`, ... unless `tokens` has others."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.tokens: list[str] = []
        self.rejected: set[str] = set()
        self.logins = 0
        self.status = 401
        self.reply: Callable[[], httpx.Response] | None = None
        self.now = 1_000_000.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/under/v3/login":
            self.logins += 1
            if self.reply:
                return self.reply()
            token = self.tokens.pop(0) if self.tokens else f"t{self.logins}"
            return httpx.Response(200, json={"token": token})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return httpx.Response(self.status if token in self.rejected else 200, json={"token": token})

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def auth(self, cache: TokenCache | None = None, **credentials: str) -> LoginAuth:
        account = credentials or {"email": "e", "password": PASSWORD}
        retries = Retries(backoff_initial=0, max_retries=1)
        settings = load_settings(**account, base_url=BASE_URL, auth_url=AUTH_URL, retries=retries)
        return LoginAuth(settings, {"transport": self.transport}, cache, now=lambda: self.now)

    def get(self, auth: LoginAuth, url: str = DATA) -> httpx.Response:
        with httpx.Client(transport=self.transport, auth=auth) as client:
            return client.get(url)


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenCache:
    monkeypatch.setenv("KAYRROS_CACHE_DIR", str(tmp_path))
    opened = open_token_cache(AUTH_URL, BASE_URL, "e")
    assert opened
    return opened


def test_first_request_logs_in(hosts: Hosts) -> None:
    """The login sends email and password to the login host, and the request carries its token."""
    assert hosts.get(hosts.auth()).json() == {"token": "t1"}
    login = hosts.requests[0]
    assert str(login.url) == "https://login.example/under/v3/login"
    assert json.loads(login.content) == {"email": "e", "password": PASSWORD}
    assert "Authorization" not in login.headers


def test_second_request_uses_the_token(hosts: Hosts) -> None:
    """One login serves all requests."""
    auth = hosts.auth()
    hosts.get(auth)
    hosts.get(auth)
    assert hosts.logins == 1


def test_401_costs_one_login(hosts: Hosts) -> None:
    """A rejected token is replaced once, and the request is repeated once."""
    auth = hosts.auth()
    hosts.get(auth)
    hosts.rejected = {"t1"}
    assert hosts.get(auth).json() == {"token": "t2"}
    assert hosts.logins == 2


def test_401_on_a_new_token_is_final(hosts: Hosts) -> None:
    """Another new token would be rejected too, so there is no third login."""
    auth = hosts.auth()
    hosts.get(auth)
    hosts.rejected = {"t1", "t2", "t3"}
    assert hosts.get(auth).status_code == 401
    assert hosts.logins == 2


def test_403_renews_an_old_token_only(hosts: Hosts) -> None:
    """Within five minutes of the login, a 403 is about the dataset."""
    auth = hosts.auth()
    hosts.get(auth)
    hosts.rejected, hosts.status = {"t1"}, 403
    assert hosts.get(auth).status_code == 403
    hosts.now += FORBIDDEN_GRACE_S + 1
    assert hosts.get(auth).json() == {"token": "t2"}


def test_token_without_credentials_is_sent_as_it_is(hosts: Hosts) -> None:
    """There is no login, and a 401 is returned."""
    hosts.rejected = {"mine"}
    assert hosts.get(hosts.auth(token="mine")).status_code == 401
    assert hosts.logins == 0


@pytest.mark.parametrize("status", [401, 403])
def test_token_with_credentials_is_replaced(status: int, hosts: Hosts) -> None:
    """It is tried first. Its age is unknown, so a 403 renews it as well."""
    hosts.rejected, hosts.status = {"mine"}, status
    auth = hosts.auth(token="mine", email="e", password=PASSWORD)
    assert hosts.get(auth).json() == {"token": "t1"}


@pytest.mark.parametrize(
    "url",
    ["https://other.example/v1", "http://data.example/v1", "https://data.example:444/v1", "https://login.example/x"],
)
def test_no_other_host_gets_the_token(url: str, hosts: Hosts) -> None:
    """Another name, scheme or port is another host."""
    hosts.get(hosts.auth(), url)
    assert "Authorization" not in hosts.requests[-1].headers
    assert hosts.logins == 0


def test_default_port_is_the_same_host(hosts: Hosts) -> None:
    """Port 443 of https is the data host."""
    assert hosts.get(hosts.auth(), "https://data.example:443/v1").json() == {"token": "t1"}


def test_generated_login_goes_to_the_login_host(hosts: Hosts) -> None:
    """The generated client knows one host; the password must not reach it."""
    with httpx.Client(transport=hosts.transport, auth=hosts.auth()) as client:
        client.post(BASE_URL + "/v3/login", json={})
    assert [request.url.host for request in hosts.requests] == ["login.example"]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, json={"token": None}),
        httpx.Response(200, json={"token": 5}),
        httpx.Response(200, json={"token": ""}),
        httpx.Response(200, json={"token": "two words"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="<html>"),
        httpx.Response(204),
    ],
)
def test_reply_without_a_token_is_a_login_error(reply: httpx.Response, hosts: Hosts) -> None:
    """The error has the status, and repeats nothing of the reply."""
    hosts.reply = lambda: reply
    with pytest.raises(LoginError, match="without a usable token") as caught:
        hosts.get(hosts.auth())
    assert caught.value.status == reply.status_code


@pytest.mark.parametrize("status", [400, 401, 403, 422, 423])
def test_refused_credentials_are_tried_once(status: int, hosts: Hosts) -> None:
    """The refusal is remembered, so that no account gets locked, and login() tries again. Notes of one caller are not."""
    hosts.reply = lambda: httpx.Response(status, json={"code": "NO", "message": f"not {PASSWORD}"})
    auth = hosts.auth()
    for _ in range(2):
        with pytest.raises(LoginError, match="avoid locking the account") as caught:
            hosts.get(auth)
        assert (caught.value.status, caught.value.code) == (status, "NO")
        assert PASSWORD not in str(caught.value) + repr(vars(caught.value))
        assert not hasattr(caught.value, "__notes__")
        caught.value.add_note("1 KB are kept.")
    assert hosts.logins == 1
    with pytest.raises(LoginError):
        auth.tokens.renew()
    assert hosts.logins == 2
    hosts.reply = None
    auth.tokens.renew()
    hosts.rejected = {"t3"}
    assert hosts.get(auth).json() == {"token": "t4"}  # the refusal is forgotten


@pytest.mark.parametrize("status", [400, 403, 422, 423])
@pytest.mark.parametrize(
    "page",
    [
        httpx.Response(200, text="<html>Blocked</html>"),
        httpx.Response(200, json={"blocked": True}),
        httpx.Response(200, json={"message": "Forbidden"}),
        httpx.Response(200, json={"error": "policy"}),
        httpx.Response(200, json=["no"]),
        httpx.Response(200),
    ],
)
def test_the_page_of_a_firewall_is_no_refusal(
    page: httpx.Response, status: int, hosts: Hosts, cache: TokenCache
) -> None:
    """It says nothing about the credentials, so the next call logs in, and other processes do not hear of it."""
    hosts.reply = lambda: httpx.Response(status, content=page.content, headers=page.headers)
    auth = hosts.auth(cache)
    with pytest.raises(LoginError, match="proxy or a firewall"):
        hosts.get(auth)
    hosts.reply = None
    assert hosts.get(auth).status_code == 200
    assert hosts.logins == 2


@pytest.mark.parametrize("body", ["", "<html>"])
def test_a_401_needs_json_to_be_a_refusal(body: str, hosts: Hosts) -> None:
    """Any JSON, because the API's own is assumed."""
    auth = hosts.auth()
    hosts.reply = lambda: httpx.Response(401, text=body)
    with pytest.raises(LoginError):
        hosts.get(auth)
    hosts.reply = lambda: httpx.Response(401, json={"reason": "no"})
    for _ in range(2):
        with pytest.raises(LoginError):
            hosts.get(auth)
    assert hosts.logins == 2


def test_a_refused_password_is_not_tried_by_others(cache: TokenCache, hosts: Hosts) -> None:
    """Another client with the same password gets the error of the first; another password, or login(), is tried at once."""
    hosts.reply = lambda: httpx.Response(401, json={"code": "NO", "message": "no such pair"})
    for _ in range(3):
        with pytest.raises(LoginError, match="no such pair.*avoid locking") as caught:
            hosts.get(hosts.auth(cache))
    assert hosts.logins == 1
    assert (caught.value.status, caught.value.code, caught.value.message) == (401, "NO", "no such pair")
    assert caught.value.hint_cli
    assert "seconds ago" in str(caught.value)
    with pytest.raises(LoginError):
        hosts.get(hosts.auth(cache, email="e", password="another"))
    with pytest.raises(LoginError):
        hosts.auth(cache).tokens.renew()
    assert hosts.logins == 3
    hosts.reply = None
    hosts.auth(cache).tokens.renew()
    assert cache.load_refusal(Secret(PASSWORD)) is None
    assert hosts.get(hosts.auth(cache)).json() == {"token": "t4"}


def test_failing_login_host_is_asked_again_by_the_next_call(hosts: Hosts) -> None:
    """A 500 says nothing about the credentials: it is retried, and the next call tries again."""
    hosts.reply = lambda: httpx.Response(500)
    auth = hosts.auth()
    for _ in range(2):
        with pytest.raises(LoginError, match="Try again later"):
            hosts.get(auth)
    assert hosts.logins == 4  # two calls, each with one retry


def test_32_threads_share_one_login(hosts: Hosts) -> None:
    """Threads that need a token at the same time log in once, and once more after it expires."""
    auth = hosts.auth()
    with ThreadPoolExecutor(32) as pool:
        assert {response.status_code for response in pool.map(lambda _: hosts.get(auth), range(32))} == {200}
        hosts.rejected = {"t1"}
        assert {response.status_code for response in pool.map(lambda _: hosts.get(auth), range(32))} == {200}
    assert hosts.logins == 2


def test_waiting_tasks_leave_the_threads_of_anyio_to_others(hosts: Hosts) -> None:
    """More tasks wait for a login than anyio has worker threads, and another blocking call still runs."""
    go_on = threading.Event()
    hosts.reply = lambda: httpx.Response(200 if go_on.wait(20) else 500, json={"token": "t1"})
    auth = hosts.auth()

    async def main() -> None:
        async with httpx.AsyncClient(transport=hosts.transport, auth=auth) as client:
            tasks = [asyncio.create_task(client.get(DATA)) for _ in range(60)]
            await asyncio.sleep(0)
            await anyio.to_thread.run_sync(go_on.set)
            assert {(await task).status_code for task in tasks} == {200}

    asyncio.run(main())
    assert hosts.logins == 1


def test_waiting_threads_share_a_failed_login(hosts: Hosts) -> None:
    """Callers that wait for a login raise its error instead of logging in one after the other."""
    auth = hosts.auth()

    def call() -> None:
        with pytest.raises(LoginError):
            auth.tokens.get()

    waiters = [threading.Thread(target=call) for _ in range(7)]

    def reply() -> httpx.Response:
        for waiter in waiters:
            waiter.start()
        # A thread that waits for the lock has `get` as its innermost frame.
        while any(sys._current_frames()[waiter.ident or 0].f_code.co_name != "get" for waiter in waiters):
            threading.Event().wait(0.001)
        return httpx.Response(418)

    hosts.reply = reply
    call()
    for waiter in waiters:
        waiter.join()
    assert hosts.logins == 1


def test_cached_token_needs_no_login(cache: TokenCache, hosts: Hosts) -> None:
    """The token of another process is used as it is."""
    cache.save(Secret("theirs"))
    assert hosts.get(hosts.auth(cache)).json() == {"token": "theirs"}
    assert hosts.logins == 0


def test_a_renewal_logs_in_despite_a_cached_token(cache: TokenCache, hosts: Hosts) -> None:
    """`Kayrros.login` is to show whether the password is right. Its token replaces the cached one."""
    cache.save(Secret("cached"))
    assert hosts.auth(cache).tokens.renew().secret == Secret("t1")
    assert hosts.logins == 1
    assert cache.load().secret == Secret("t1")  # type: ignore[union-attr]


def test_login_fills_the_cache(cache: TokenCache, hosts: Hosts) -> None:
    """Another client of the account finds the token there."""
    hosts.get(hosts.auth(cache))
    assert hosts.get(hosts.auth(cache)).json() == {"token": "t1"}
    assert hosts.logins == 1


def test_rejected_cached_token_is_replaced(cache: TokenCache, hosts: Hosts) -> None:
    """It costs one login, whose token takes its place."""
    cache.save(Secret("theirs"))
    hosts.rejected = {"theirs"}
    assert hosts.get(hosts.auth(cache)).json() == {"token": "t1"}
    cached = cache.load()
    assert cached
    assert cached.secret == Secret("t1")


def test_newer_cached_token_comes_before_a_login(cache: TokenCache, hosts: Hosts) -> None:
    """When that is rejected as well, a login follows."""
    auth = hosts.auth(cache)
    hosts.get(auth)
    cache.save(Secret("newer"))
    hosts.rejected = {"t1"}
    assert hosts.get(auth).json() == {"token": "newer"}
    cache.save(Secret("newest"))
    hosts.rejected = {"newer", "newest"}
    assert hosts.get(auth).json() == {"token": "t2"}


def test_refused_login_leaves_no_cached_token(cache: TokenCache, hosts: Hosts) -> None:
    """The rejected one would cost each process a 401."""
    cache.save(Secret("theirs"))
    hosts.rejected, hosts.reply = {"theirs"}, lambda: httpx.Response(401)
    with pytest.raises(LoginError):
        hosts.get(hosts.auth(cache))
    assert cache.load() is None


def test_jwt_is_replaced_before_it_expires(cache: TokenCache, hosts: Hosts) -> None:
    """A minute before its end, without a 401; a cached one as well."""
    hosts.tokens = [jwt(exp=hosts.now + EXPIRY_LEEWAY_S + 10)]
    auth = hosts.auth(cache)
    hosts.get(auth)
    hosts.now += 11
    assert hosts.get(auth).json() == {"token": "t2"}
    hosts.now -= 11
    cache.save(Secret(jwt(exp=hosts.now + 10)))
    assert hosts.get(hosts.auth(cache)).json() == {"token": "t3"}


def test_expired_jwt_is_sent_when_there_is_no_other(hosts: Hosts) -> None:
    """The clock may be wrong. With credentials it is replaced at once."""
    expired = jwt(exp=hosts.now - 10)
    assert hosts.get(hosts.auth(token=expired)).json() == {"token": expired}
    assert hosts.get(hosts.auth(token=expired, email="e", password=PASSWORD)).json() == {"token": "t1"}


def test_wrong_clock_does_not_log_in_each_time(hosts: Hosts) -> None:
    """A new token that has expired already is believed until a 401."""
    hosts.tokens = [jwt(exp=hosts.now - 3600)]
    auth = hosts.auth()
    hosts.get(auth)
    hosts.get(auth)
    assert hosts.logins == 1


def test_all_secrets_are_redacted(cache: TokenCache, hosts: Hosts) -> None:
    """Errors hide password and tokens, those of the cache too, in every spelling that a server repeats."""
    cache.save(Secret("token/of+others"))
    auth = hosts.auth(cache)
    hosts.get(auth)
    assert auth.redact(f'{PASSWORD} "token\\/of+others" token%2Fof%2Bothers').count("**********") >= 2
    assert PASSWORD not in repr(auth) + repr(auth.tokens) + repr(Token(Secret(PASSWORD)))


@pytest.mark.parametrize("expiry", [1.5, 1_700_000_000, 253_402_300_799])
def test_jwt_expiry(expiry: float) -> None:
    """It is the claim `exp`, with any padding of the token."""
    for filler in range(4):
        assert jwt_expiry(Secret(jwt(exp=expiry, filler="x" * filler))) == expiry


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c",
        jwt(),
        jwt(exp="soon"),
        jwt(exp=True),
        jwt(exp=-1),
        jwt(exp=1e300),
        jwt(exp=1) + ".four",
        "...",
        "é.é.é",
        jwt(exp=1).replace(".", "", 1),
    ],
)
def test_opaque_token_has_no_expiry(token: str) -> None:
    """Only a 401 tells."""
    assert jwt_expiry(Secret(token)) is None


def test_a_saved_login_needs_no_password(cache: TokenCache, hosts: Hosts) -> None:
    """An email is enough where `kayrros login` has saved a token, and an error where it has not."""
    with pytest.raises(ConfigurationError, match="no password for e .*run `kayrros login`"):
        hosts.auth(cache, email="e")
    cache.save(Secret("saved"))
    auth = hosts.auth(open_token_cache(AUTH_URL, BASE_URL, "E"), email="E")
    assert hosts.get(auth).json() == {"token": "saved"}
    assert (auth.identity().source, auth.identity().has_token) == ("login", True)
    with pytest.raises(ConfigurationError, match="no password to log in with.*kayrros login"):
        auth.tokens.renew()
    assert hosts.logins == 0


def test_a_saved_login_that_is_rejected_is_not_tried_again(cache: TokenCache, hosts: Hosts) -> None:
    """The 401 is returned. The token stays, because a gateway may have sent the 401."""
    cache.save(Secret("saved"))
    hosts.rejected = {"saved"}
    auth = hosts.auth(cache, email="e")
    assert hosts.get(auth).status_code == 401
    assert len(hosts.requests) == 1
    assert cache.load()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_long_run_finds_a_later_login(is_async: bool, cache: TokenCache, hosts: Hosts) -> None:
    """After a 401 it takes the token that `kayrros login` has saved meanwhile, once and again."""
    cache.save(Secret("saved"))
    auth = hosts.auth(cache, email="e")

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=hosts.transport, auth=auth) as client:
            return await client.get(DATA)

    for token in ("saved", "later", "latest"):
        cache.save(Secret(token))
        response = asyncio.run(get()) if is_async else hosts.get(auth)
        assert response.json() == {"token": token}
        hosts.rejected.add(token)
    assert hosts.logins == 0


def test_logins_that_are_rejected_one_after_the_other_end(cache: TokenCache, hosts: Hosts) -> None:
    """A cache that has another bad token each time does not make an endless loop."""
    cache.save(Secret("bad-0"))
    auth = hosts.auth(cache, email="e")
    number = iter(range(1, 100))

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.requests.append(request)
        cache.save(Secret(f"bad-{next(number)}"))
        return httpx.Response(401)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as client:
        assert client.get(DATA).status_code == 401
    assert len(hosts.requests) == 3


def test_a_token_of_an_email_gives_way_to_a_saved_login(cache: TokenCache, hosts: Hosts) -> None:
    """The token that was passed is tried first."""
    cache.save(Secret("saved"))
    hosts.rejected = {"mine"}
    assert hosts.get(hosts.auth(cache, email="e", token="mine")).json() == {"token": "saved"}


def test_a_saved_jwt_that_has_expired_is_sent_without_a_password(cache: TokenCache, hosts: Hosts) -> None:
    """The clock may be wrong, and then another login would not help."""
    expired = jwt(exp=hosts.now - 10)
    cache.save(Secret(expired))
    assert hosts.get(hosts.auth(cache, email="e")).json() == {"token": expired}
