"""The login flow by hand: it yields requests, and is sent responses."""

import json
from collections.abc import Iterator

import httpx
import pytest

from kayrros_ext import LoginError
from kayrros_ext.auth import FRESH_S, KayrrosAuth
from kayrros_ext.settings import Settings
from tests.leaks import PASSWORD

DATA = "https://data.example/v1/thing"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_auth(clock: Clock, **credentials: str) -> KayrrosAuth:
    hosts = {"base_url": "https://data.example", "auth_url": "https://login.example/under"}
    return KayrrosAuth(Settings.load(**(credentials or {"email": "e", "password": PASSWORD}), **hosts), clock=clock)  # type: ignore[arg-type]  # all of them strings


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
