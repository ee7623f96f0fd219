"""The login flow by hand: it yields requests, and is sent responses."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from kayrros_ext import LoginError
from kayrros_ext._auth.login import FRESH_S, KayrrosAuth
from kayrros_ext._auth.token_cache import CachedToken
from kayrros_ext._config.settings import Settings
from kayrros_ext._secret import Secret
from tests.support.leaks import PASSWORD
from tests.unit.test_tokens import jwt

DATA = "https://data.example/v1/thing"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Store:
    """A store in memory, whose lock may be another's."""

    def __init__(self, kept: str | None = None, since_s: float = 0) -> None:
        self.kept = CachedToken(Secret(kept), since_s) if kept else None
        self.locked = False
        self.free = True
        self.saved: list[str] = []

    def load(self) -> CachedToken | None:
        return self.kept

    def save(self, token: Secret) -> None:
        assert self.locked == self.free
        self.saved.append(token.value)
        self.kept = CachedToken(token, 0)

    def discard(self, token: Secret) -> None:
        if self.kept and self.kept.token == token:
            self.kept = None

    @contextlib.contextmanager
    def lock(self, timeout_s: float) -> Iterator[bool]:
        self.locked = self.free
        try:
            yield self.free
        finally:
            self.locked = False


def make_auth(clock: Clock, store: Store | None = None, **credentials: str) -> KayrrosAuth:
    hosts = {"base_url": "https://data.example", "auth_url": "https://login.example/under"}
    settings = Settings.load(**(credentials or {"email": "e", "password": PASSWORD}), **hosts)  # type: ignore[arg-type]  # all of them strings
    return KayrrosAuth(
        settings,
        store=store,  # type: ignore[arg-type]  # a double
        clock=clock,
        now=clock,
        patience_s=0,
    )


def reply(token: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"token": token, "user": {"id": 1}})


def sent_token(request: httpx.Request) -> object:
    return request.headers.get("Authorization")


def ends(flow: Iterator[httpx.Request], response: httpx.Response) -> bool:
    try:
        flow.send(response)  # type: ignore[attr-defined]  # a generator, which mypy was not told
    except StopIteration:
        return True
    return False


def test_the_first_request_logs_in_first(clock: Clock) -> None:
    """The login goes to the login host with email and password, then the request goes out with its token."""
    request = httpx.Request("GET", DATA)
    flow = make_auth(clock).sync_auth_flow(request)
    login = next(flow)
    assert ("POST", "https://login.example/under/v3/login") == (login.method, str(login.url))
    assert {"email": "e", "password": PASSWORD} == json.loads(login.content)
    assert sent_token(login) is None
    assert request is flow.send(reply("t1"))
    assert "Bearer t1" == sent_token(request)
    assert ends(flow, httpx.Response(200))


def test_the_token_is_kept(clock: Clock) -> None:
    """The second request needs no login."""
    auth = make_auth(clock)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.send(reply("t1"))
    second = next(auth.sync_auth_flow(httpx.Request("GET", DATA)))
    assert (DATA, "Bearer t1") == (str(second.url), sent_token(second))


def test_a_401_costs_one_login_and_one_repeat(clock: Clock) -> None:
    """The second 401 is the answer."""
    request = httpx.Request("GET", DATA)
    flow = make_auth(clock).sync_auth_flow(request)
    next(flow)
    flow.send(reply("t1"))
    assert "login.example" == flow.send(httpx.Response(401)).url.host
    assert request is flow.send(reply("t2"))
    assert "Bearer t2" == sent_token(request)
    assert ends(flow, httpx.Response(401))


def test_a_token_that_ended_under_way_is_replaced_again(clock: Clock) -> None:
    """One that another call got through with has ended since; one that nobody did is refused for good."""
    auth = make_auth(clock)
    flow, other = (auth.sync_auth_flow(httpx.Request("GET", DATA)) for _ in range(2))
    next(flow)
    flow.send(reply("t1"))
    assert "/under/v3/login" == flow.send(httpx.Response(401)).url.path
    flow.send(reply("t2"))
    next(other)
    assert ends(other, httpx.Response(200))
    assert "/under/v3/login" == flow.send(httpx.Response(401)).url.path
    assert "Bearer t3" == sent_token(flow.send(reply("t3")))
    assert ends(flow, httpx.Response(401))


def test_a_403_costs_a_login_only_where_the_token_is_old(clock: Clock) -> None:
    """On a token of five minutes or less, a 403 is about the dataset."""
    auth = make_auth(clock)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.send(reply("t1"))
    clock.now += FRESH_S
    assert ends(flow, httpx.Response(403))
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    clock.now += 1
    assert "login.example" == flow.send(httpx.Response(403)).url.host


def test_a_given_token_is_used_as_it_is(clock: Clock) -> None:
    """Without credentials there is no login, and a 401 is the answer."""
    request = httpx.Request("GET", DATA)
    flow = make_auth(clock, token="given").sync_auth_flow(request)
    assert request is next(flow)
    assert "Bearer given" == sent_token(request)
    assert ends(flow, httpx.Response(401))


@pytest.mark.parametrize("status", [401, 403])
def test_a_given_token_is_replaced_where_there_are_credentials(clock: Clock, status: int) -> None:
    """It is tried first; nobody knows how old it is, so a 403 counts too."""
    flow = make_auth(clock, token="given", email="e", password="p").sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    assert "login.example" == flow.send(httpx.Response(status)).url.host


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/v1/thing",
        "http://data.example/v1/thing",
        "https://data.example:8443/v1/thing",
        "https://data.example.evil.example/",
        "https://login.example/v1/thing",
    ],
)
def test_no_other_host_gets_the_token(clock: Clock, url: str) -> None:
    """Another name, scheme or port is another host: no header, and no login on its account."""
    request = httpx.Request("GET", url)
    flow = make_auth(clock, token="given").sync_auth_flow(request)
    assert request is next(flow)
    assert sent_token(request) is None
    assert ends(flow, httpx.Response(401))


def test_the_same_host_with_its_port_spelled_out_gets_it(clock: Clock) -> None:
    """443 is https."""
    assert "Bearer given" == sent_token(
        next(make_auth(clock, token="given").sync_auth_flow(httpx.Request("GET", "https://data.example:443/")))
    )


def test_a_generated_login_goes_to_the_login_host(clock: Clock) -> None:
    """The generator knows one host alone; the password must not arrive at the other."""
    request = httpx.Request("POST", "https://data.example/v3/login", json={})
    flow = make_auth(clock, token="given").sync_auth_flow(request)
    sent = next(flow)
    assert ("https://login.example/under/v3/login", "login.example") == (str(sent.url), sent.headers["Host"])
    assert sent_token(sent) is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        reply(None),
        reply(""),
        reply(5),
        reply("two words"),
        reply("line\nend" + "x"),
        httpx.Response(204),
        httpx.Response(302, headers={"Location": "https://evil.example"}),
        httpx.Response(500, content=b"\xff\xfe"),
        httpx.Response(520),
    ],
)
def test_a_reply_without_a_token_is_a_login_error(clock: Clock, answer: httpx.Response) -> None:
    """Whatever comes instead; the error has the status."""
    flow = make_auth(clock).sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    with pytest.raises(LoginError, match="login.example") as caught:
        flow.send(answer)
    assert answer.status_code == caught.value.status


def refused(auth: KayrrosAuth) -> None:
    """A request whose login, if it comes to that, is refused."""
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.send(httpx.Response(401, json={"code": "WRONG_CREDENTIALS", "message": "wrong pair"}))


def test_wrong_credentials_are_tried_once(clock: Clock) -> None:
    """A refused login is remembered, so that no account gets locked."""
    auth = make_auth(clock)
    for _ in range(2):
        with pytest.raises(LoginError, match="wrong pair.*no account is locked") as caught:
            refused(auth)
        assert (401, "WRONG_CREDENTIALS", "wrong pair") == (
            caught.value.status,
            caught.value.code,
            caught.value.message,
        )
    with pytest.raises(LoginError):
        next(auth.sync_auth_flow(httpx.Request("GET", DATA)))


def test_a_login_host_that_is_down_is_tried_again(clock: Clock) -> None:
    """A 500 says nothing about the credentials."""
    auth = make_auth(clock)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    with pytest.raises(LoginError):
        flow.send(httpx.Response(500))
    assert "login.example" == next(auth.sync_auth_flow(httpx.Request("GET", DATA))).url.host


def test_an_abandoned_login_lets_the_next_one_in(clock: Clock) -> None:
    """A flow that is closed in the middle, as by a connection that fails, does not keep its turn."""
    auth = make_auth(clock)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.close()
    assert "login.example" == next(auth.sync_auth_flow(httpx.Request("GET", DATA))).url.host


def test_no_secret_shows_in_an_error_or_a_repr(clock: Clock) -> None:
    """Not even where the server repeats the password, in whatever spelling."""
    auth = make_auth(clock, email="e", password='pa"ss wörd')
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    body = b'you sent {"password": "pa\\"ss w\\u00f6rd"} or pa%22ss%20w%C3%B6rd or pa"ss w\xc3\xb6rd'
    with pytest.raises(LoginError) as caught:
        flow.send(httpx.Response(400, content=body))
    shown = str(caught.value) + repr(caught.value) + repr(auth) + str(vars(caught.value))
    assert 3 == str(caught.value).count("**********")
    assert not [
        part for part in ("pa\\", "ss w", "pa%22", "rd") if part in shown.replace("password", "").replace("right", "")
    ]


def is_login(request: httpx.Request) -> bool:
    return "login.example" == request.url.host


def test_a_kept_token_needs_no_login(clock: Clock) -> None:
    """It is tried as it is."""
    request = httpx.Request("GET", DATA)
    flow = make_auth(clock, Store("kept")).sync_auth_flow(request)
    assert request is next(flow)
    assert "Bearer kept" == sent_token(request)
    assert ends(flow, httpx.Response(200))


def test_the_token_of_a_login_is_kept(clock: Clock) -> None:
    """Under the lock, which is free afterwards, also where the flow is given up in the middle."""
    store = Store()
    flow = make_auth(clock, store).sync_auth_flow(httpx.Request("GET", DATA))
    assert is_login(next(flow))
    assert store.locked
    flow.send(reply("t1"))
    assert (["t1"], False) == (store.saved, store.locked)
    store.kept = None
    flow = make_auth(clock, store).sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.close()
    assert not store.locked


def test_a_kept_token_that_is_refused_is_dropped_and_replaced(clock: Clock) -> None:
    """One 401, one login."""
    store = Store("old")
    flow = make_auth(clock, store).sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    assert is_login(flow.send(httpx.Response(401)))
    assert store.kept is None
    assert "Bearer new" == sent_token(flow.send(reply("new")))
    assert ends(flow, httpx.Response(401))
    assert ["new"] == store.saved


def test_a_newer_token_of_another_process_comes_before_a_login(clock: Clock) -> None:
    """And where that one is refused too, there is a login after all; one, and its 401 is the answer."""
    store = Store("old")
    auth = make_auth(clock, store)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    store.kept = CachedToken(Secret("newer"), 0)
    assert "Bearer newer" == sent_token(flow.send(httpx.Response(401)))
    store.kept = CachedToken(Secret("newest"), 0)
    assert is_login(flow.send(httpx.Response(401)))
    assert "Bearer mine" == sent_token(flow.send(reply("mine")))
    assert ends(flow, httpx.Response(401))


def test_a_refused_login_leaves_no_token_behind(clock: Clock) -> None:
    """The old one would cost each process a 401."""
    store = Store("old")
    flow = make_auth(clock, store).sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.send(httpx.Response(401))
    with pytest.raises(LoginError):
        flow.send(httpx.Response(401))
    assert (None, []) == (store.kept, store.saved)


def test_a_lock_that_another_keeps_does_not_keep_us(clock: Clock) -> None:
    """After our patience we log in without it, and leave it alone."""
    store = Store()
    store.free = False
    flow = make_auth(clock, store).sync_auth_flow(httpx.Request("GET", DATA))
    assert is_login(next(flow))
    assert "Bearer t1" == sent_token(flow.send(reply("t1")))


@pytest.mark.parametrize(("age_s", "logs_in"), [(0, False), (FRESH_S, False), (FRESH_S + 1, True), (-5, True)])
def test_a_kept_token_has_the_age_of_its_login(age_s: float, logs_in: bool, clock: Clock) -> None:
    """A 403 on one of five minutes or less is about the dataset; one from the future is of unknown age."""
    flow = make_auth(clock, Store("kept", since_s=clock.now - age_s)).sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    assert logs_in != ends(flow, httpx.Response(403))


def test_a_jwt_that_ends_is_replaced_in_time(clock: Clock) -> None:
    """A minute before its end, without a 401; another process's as well as ours."""
    clock.now = 1_700_000_000
    first, second = jwt(exp=clock.now + 3600), jwt(exp=clock.now + 7200)
    store = Store(first)
    auth = make_auth(clock, store)
    assert f"Bearer {first}" == sent_token(next(auth.sync_auth_flow(httpx.Request("GET", DATA))))
    assert datetime.fromtimestamp(clock.now + 3600, UTC) == auth.whoami().token_expires
    clock.now += 3600 - 59
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    assert is_login(next(flow))
    assert f"Bearer {second}" == sent_token(flow.send(reply(second)))
    assert is_login(next(make_auth(clock, Store(first)).sync_auth_flow(httpx.Request("GET", DATA))))


def test_a_given_jwt_that_has_ended_is_sent_where_there_is_no_other(clock: Clock) -> None:
    """The clock may be wrong. With credentials it is replaced at once."""
    clock.now = 1_700_000_000
    old = jwt(exp=clock.now - 1)
    assert not is_login(next(make_auth(clock, token=old).sync_auth_flow(httpx.Request("GET", DATA))))
    auth = make_auth(clock, token=old, email="e", password="p")
    assert is_login(next(auth.sync_auth_flow(httpx.Request("GET", DATA))))


def test_a_clock_that_is_wrong_does_not_log_in_each_time(clock: Clock) -> None:
    """A token that has ended when it is given does not say the truth, here or there: a 401 tells."""
    clock.now = 1_700_000_000
    auth = make_auth(clock)
    flow = auth.sync_auth_flow(httpx.Request("GET", DATA))
    next(flow)
    flow.send(reply(jwt(exp=clock.now - 86400)))
    assert not is_login(next(auth.sync_auth_flow(httpx.Request("GET", DATA))))


def test_a_kept_token_is_hidden_too(clock: Clock) -> None:
    """A server that repeats it gives nothing away."""
    auth = make_auth(clock, Store("of-another"))
    next(auth.sync_auth_flow(httpx.Request("GET", DATA)))
    assert "you sent **********" == auth.redact("you sent of-another")
