"""Retries with the clock of a test: which failures are retried, the waits, and the limits."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

import attrs
import httpx
import pytest

from kayrros_ext import (
    AccessDeniedError,
    APIError,
    ConfigurationError,
    ContractError,
    Kayrros,
    KayrrosError,
    LoginError,
    NotFoundError,
    Retries,
    TransportError,
    UsageError,
)
from kayrros_ext._http.retry import retry_after
from kayrros_ext.testing import Fault, Platform
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata
from tests.support.server import DATASET, Server, StubResponse, as_json

ID = UUID(DATASET)


@attrs.define
class Clock:
    """Time that passes when somebody waits."""

    now_s: float = 0
    waits: list[float] = attrs.field(factory=list)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def retries(self, **settings: Any) -> Retries:
        """Return retries without jitter: each wait has its maximum length."""
        waits = {"sleep": self.sleep, "sleep_async": self.sleep_async, "clock": lambda: self.now_s}
        return Retries(**{"jitter": lambda _, most: most, **waits, **settings})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform() -> Platform:
    """Return a fake with the examples whose waits take no time."""
    platform = Platform(sleep=lambda _: None)
    platform.add_examples()
    return platform


def metadata_requests(platform: Platform) -> list[int | None]:
    return [seen.status for seen in platform.requests if seen.operation == "getDatasetMetadata"]


FAULTS = {
    "429": Fault.status(429),
    "502": Fault.html(502),
    "503": Fault.status(503),
    "504": Fault.html(504),
    "dropped": Fault.dropped(),
    "cut": Fault.cut(20),
    "late": Fault.late(1000),
    "gzip": Fault.bad_gzip(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_temporary_failure_is_retried(
    name: str, platform: Platform, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """There are at most four retries. Each wait is up to twice the last one, and each has a log line."""
    platform.fail_next(FAULTS[name], times=4, operation="getDatasetMetadata")
    with (
        caplog.at_level(logging.INFO, "kayrros_ext"),
        platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros,
    ):
        assert str(kayrros.metadata(DATASET).id) == DATASET
    assert clock.waits == [1, 2, 4, 8]
    assert len(metadata_requests(platform)) == 5
    lines = [record.getMessage() for record in caplog.records if record.name == "kayrros_ext"]
    assert [record.levelname for record in caplog.records if record.name == "kayrros_ext"] == ["INFO"] * 4
    assert lines[0].startswith("getDatasetMetadata: ")
    assert lines[0].endswith("retrying in 1.0 s, attempt 2 of 5")


def test_retries_after_three_seconds_have_a_notice(
    platform: Platform, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log record of each has it, for people who wait; shorter waits need none."""
    platform.fail_next(503, times=4, operation="getDatasetMetadata")
    with (
        caplog.at_level(logging.INFO, "kayrros_ext"),
        platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros,
    ):
        kayrros.metadata(DATASET)
    notices = [[vars(record).get(name) for name in ("notice", "wait_s", "reason")] for record in caplog.records]
    assert [notice for notice in notices if any(notice)] == [
        ["attempt 3 of 5", 2, "status 503"],
        ["attempt 4 of 5", 4, "status 503"],
        ["attempt 5 of 5", 8, "status 503"],
    ]


@pytest.mark.parametrize(
    ("code", "proxy", "attempts", "hint"),
    [
        (socket.EAI_NONAME, None, 1, "Are you online?"),
        (socket.EAI_AGAIN, None, 2, "Are you online?"),
        (socket.EAI_AGAIN, "http://proxy.example.com:1", 2, "Are you online, and is the name of the proxy right?"),
    ],
)
def test_a_host_without_an_address_is_not_tried_five_times(
    code: int, proxy: str | None, attempts: int, hint: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name service may be busy for a moment, but who is offline does not wait."""
    lookups = []

    def look_up(host: str, *_: object, **__: object) -> None:
        lookups.append(host)
        raise socket.gaierror(code, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.delenv("NO_PROXY", raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    with (
        Kayrros(email="a@b", password="x", token_cache=False, retries=clock.retries()) as kayrros,
        pytest.raises(TransportError) as caught,
    ):
        kayrros.collections()
    assert str(caught.value) == f"Could not resolve auth.kayrros.com. {hint}"
    assert len(lookups) == attempts


def test_a_host_that_has_answered_is_tried_five_times(clock: Clock) -> None:
    """Its name exists, and a fetch that runs for hours does not fail for one lookup."""
    answers = [httpx.Response(200, json=[])]

    def answer(request: httpx.Request) -> httpx.Response:
        if answers:
            return answers.pop()
        raise httpx.ConnectError("no address", request=request) from socket.gaierror(socket.EAI_AGAIN, "no address")

    with Kayrros(token="a-token", transport=httpx.MockTransport(answer), retries=clock.retries()) as kayrros:
        assert kayrros.collections() == []
        with pytest.raises(TransportError, match="Could not resolve") as caught:
            kayrros.collections()
    assert caught.value.attempts == 5


@pytest.mark.parametrize("name", sorted({*FAULTS} - {"late"}))  # in a task, a late answer is waited for
def test_a_generated_call_is_retried(name: str, platform: Platform, clock: Clock) -> None:
    """Sync and asyncio calls follow the same rule, for a truncated body too."""

    async def main() -> object:
        async with platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros:
            platform.fail_next(FAULTS[name], times=2, operation="getDatasetMetadata")
            return await get_dataset_metadata.asyncio(ID, client=kayrros.client)

    assert isinstance(asyncio.run(main()), DatasetMetadata)
    with platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros:
        platform.fail_next(FAULTS[name], times=2, operation="getDatasetMetadata")
        assert isinstance(get_dataset_metadata.sync(ID, client=kayrros.client), DatasetMetadata)
    assert clock.waits == [1, 2, 1, 2]


@pytest.mark.parametrize("name", sorted({*FAULTS} - {"429"}))
def test_the_last_attempt_raises_the_error(name: str, platform: Platform, clock: Clock) -> None:
    """The error has the number of attempts. 0 turns retries off."""
    platform.fail_next(FAULTS[name], times=None, operation="getDatasetMetadata")
    expected = APIError if name.isdecimal() else TransportError
    with (
        platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros,
        pytest.raises(expected, match="after 5 attempts"),
    ):
        kayrros.metadata(DATASET)
    assert len(metadata_requests(platform)) == 5
    with platform.connect(retries=0, total_timeout=1e6) as kayrros, pytest.raises(expected):
        kayrros.metadata(DATASET)
    assert len(metadata_requests(platform)) == 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 418, 423, 500, 501, 520])
def test_a_refusal_is_not_retried(status: int, platform: Platform, clock: Clock) -> None:
    """The platform would refuse the same request again."""
    platform.fail_next(status, times=None, operation="getDatasetMetadata")
    with (
        platform.connect(token=platform.give_token(), retries=clock.retries()) as kayrros,
        pytest.raises(APIError) as caught,
    ):
        kayrros.metadata(DATASET)
    assert (status, 1, []) == (caught.value.status, len(metadata_requests(platform)), clock.waits)


def test_the_waits_are_random(platform: Platform) -> None:
    """The jitter is full, between zero and the bound, so that many clients do not return at once."""
    rule = Retries()
    waits = [[rule.backoff(attempt, None) for _ in range(200)] for attempt in (1, 2, 3, 4, 9)]
    for bound, drawn in zip((1, 2, 4, 8, 30), waits, strict=True):
        assert 0 <= min(drawn) < bound / 4
        assert bound * 3 / 4 < max(drawn) <= bound


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(7, [8, 9]), ("1.5", [2.5, 3.5]), (120, [121, 122])]
    + [
        (value, [1, 2]) for value in (0, "0.0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon", "", "-5", "1e9", "nan", "7, 8")
    ],
)
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retry_after_lengthens_the_backoff(
    status: int, asked: int | str, waits: list[float], platform: Platform, clock: Clock
) -> None:
    """Retry-After is in seconds or a date, and the backoff comes on top. 0, the past and an invalid value change nothing."""
    platform.fail_next(Fault.status(status, retry_after=asked), times=2, operation="getDatasetMetadata")
    with platform.connect(retries=clock.retries(), total_timeout=1e6) as kayrros:
        kayrros.metadata(DATASET)
    assert waits == clock.waits


def test_a_header_that_shortens_nothing_gives_the_same_chances(platform: Platform, clock: Clock) -> None:
    """With `Retry-After: 0`, a call that fails four times takes the time that it takes without the header."""
    for asked in (None, 0):
        platform.fail_next(Fault.status(503, retry_after=asked), times=4, operation="getDatasetMetadata")
        with platform.connect(retries=clock.retries()) as kayrros:
            kayrros.metadata(DATASET)
    assert clock.waits == [1, 2, 4, 8] * 2


def test_a_date_refers_to_the_clock_of_the_server() -> None:
    """The local clock may be wrong. The zone of a date counts; a date without a zone is no date."""
    dates = {"06 Nov 1994 08:50:00 GMT": 23, "06 Nov 1994 10:50:00 +0200": 23, "06 Nov 1994 08:50:00 CEST": None}
    for date, seconds in dates.items():
        headers = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": f"Sun, {date}"}
        assert retry_after(httpx.Response(503, headers=headers)) == seconds


@pytest.mark.parametrize("asked", ["121", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_asks_for_too_much_is_an_error(asked: str, platform: Platform, clock: Clock) -> None:
    """The error has the wait that the server asked for."""
    platform.fail_next(Fault.status(503, retry_after=asked), operation="getDatasetMetadata")
    with (
        platform.connect(retries=clock.retries()) as kayrros,
        pytest.raises(APIError, match=r"asks to wait [\d,]+ seconds") as caught,
    ):
        kayrros.metadata(DATASET)
    assert clock.waits == []
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s > 120


def test_the_total_timeout_ends_the_retries(platform: Platform, clock: Clock) -> None:
    """No attempt begins after it or outlasts it."""
    platform.fail_next(Fault.status(503, retry_after=40), times=None, operation="getDatasetMetadata")
    with platform.connect(retries=clock.retries(), total_timeout=100) as kayrros, pytest.raises(APIError):
        kayrros.metadata(DATASET)
    assert clock.waits == [41, 42]
    platform.faults.clear()
    sleeps: list[float] = []
    slow = Platform(latency_s=1000, sleep=sleeps.append)
    with (
        slow.connect(token=slow.give_token(), timeout=50, total_timeout=9, retries=0) as kayrros,
        pytest.raises(TransportError, match="ReadTimeout"),
    ):
        kayrros.metadata(DATASET)
    assert [pytest.approx(9, abs=1)] == sleeps


def test_a_login_is_retried_after_a_temporary_failure(platform: Platform, clock: Clock) -> None:
    """Connection faults and 5xx are temporary."""
    for fault in (Fault.dropped(), Fault.status(500), Fault.html(502)):
        platform.fail_next(fault, operation="login")
    with platform.connect(retries=clock.retries()) as kayrros:
        kayrros.metadata(DATASET)
    assert clock.waits == [1, 2, 4]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 423])
def test_wrong_credentials_are_tried_once(status: int, platform: Platform, clock: Clock) -> None:
    """More attempts could lock the account."""
    platform.fail_next(status, times=None, operation="login")
    with platform.connect(retries=clock.retries()) as kayrros, pytest.raises(LoginError):
        kayrros.metadata(DATASET)
    assert (len(platform.requests), clock.waits) == (1, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("retries", value) for value in (-1, 1.5, True, "2", None)),
        *(("total_timeout", value) for value in (0, -1, float("nan"), float("inf"), "9", None, True)),
        *((name, value) for name in ("concurrency", "max_body") for value in (0, -1, 1.5, True, None)),
    ],
)
def test_invalid_settings_are_refused(name: str, value: object) -> None:
    """They are refused before any request."""
    with pytest.raises(ConfigurationError, match=name):
        Kayrros(token="a-token", **{name: value})  # type: ignore[arg-type]  # on purpose


CALLS: dict[str, Callable[[Kayrros], object]] = {
    "sync": lambda kayrros: get_dataset_metadata.sync(ID, client=kayrros.client),
    "sync detailed": lambda kayrros: get_dataset_metadata.sync_detailed(ID, client=kayrros.client).parsed,
    "asyncio": lambda kayrros: asyncio.run(_asyncio(kayrros)),
}


async def _asyncio(kayrros: Kayrros) -> object:
    try:
        return await get_dataset_metadata.asyncio(ID, client=kayrros.client)
    finally:
        await kayrros.client.get_async_httpx_client().aclose()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (StubResponse(418, b"{}"), APIError, "418"),
        (StubResponse(520, b"<html>"), APIError, "520"),
        (StubResponse(499), APIError, "499"),
        (StubResponse(204), APIError, "204"),
        (StubResponse(302, headers={"Location": "/"}), APIError, "302"),
        (
            StubResponse(200, b"<html>", {"Content-Type": "text/html"}),
            ContractError,
            "'text/html', not application/json",
        ),
        (StubResponse(200, b"<html>"), ContractError, "JSON is malformed"),
        (StubResponse(200, b"[]"), ContractError, "Expected `object`, got `array`"),
        (StubResponse(200, b"{", cut=0, headers={"Content-Length": "9"}), TransportError, "RemoteProtocolError"),
        (StubResponse(404, b"<html>", {"Content-Type": "text/html"}), NotFoundError, "404"),
        (StubResponse(403, b"", {"Content-Type": "application/json"}), AccessDeniedError, "403"),
    ],
)
def test_a_generated_call_raises_a_kayrros_error(
    call: str,
    answer: StubResponse,
    error: type[KayrrosError],
    message: str,
    start: Callable[..., Server],
    connect: Callable[..., Kayrros],
) -> None:
    """An undocumented status, content type or body raises it, with the operation."""
    kayrros = connect(start(lambda _: answer), token="a-token", retries=0)
    with pytest.raises(error, match=message) as caught:
        CALLS[call](kayrros)
    assert error is type(caught.value)
    assert vars(caught.value)["operation"] == "getDatasetMetadata"


@pytest.mark.parametrize("call", CALLS)
def test_a_documented_error_is_raised_too(
    call: str, start: Callable[..., Server], connect: Callable[..., Kayrros]
) -> None:
    """A generated call through `kayrros.client` returns documented successes only."""
    kayrros = connect(start(lambda _: as_json({"code": "NOT_FOUND"}, 404)), token="a-token")
    with pytest.raises(NotFoundError) as caught:
        CALLS[call](kayrros)
    assert caught.value.code == "NOT_FOUND"


def test_a_generated_call_of_a_closed_client_is_an_error(platform: Platform) -> None:
    """The error is that of the methods of Kayrros."""
    kayrros = platform.connect()
    kayrros.close()
    with pytest.raises(UsageError, match="closed"):
        get_dataset_metadata.sync(ID, client=kayrros.client)


@pytest.mark.off_contract("a path that no operation has")
def test_other_requests_of_the_http_client_are_those_of_httpx(platform: Platform) -> None:
    """The client adds the token and changes nothing else."""
    platform.fail_next(503, operation=None, skip=1)
    with platform.connect() as kayrros:
        assert kayrros.client.get_httpx_client().get("/v9/new").status_code == 503


@pytest.mark.parametrize("make", [lambda client: client.with_headers({"X-A": "1"}), lambda client: client])
def test_a_copy_of_the_client_raises_the_same_errors(make: Any, platform: Platform) -> None:
    """with_headers and similar methods of the generated client make a copy."""
    platform.fail_next(418, operation="getDatasetMetadata")
    with platform.connect() as kayrros, pytest.raises(APIError):
        get_dataset_metadata.sync(ID, client=make(kayrros.client))


def test_a_body_has_a_limit(start: Callable[..., Server], connect: Callable[..., Kayrros]) -> None:
    """The limit holds for decompressed bytes too. Bytes beyond it are never decompressed."""
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    for body, headers in ((bomb, {"Content-Encoding": "gzip"}), (b" " * 2_000_000, {})):
        answer = StubResponse(200, body, {"Content-Type": "application/json", **headers})
        kayrros = connect(start(lambda _, answer=answer: answer), token="a-token", max_body=1_000_000)
        with pytest.raises(ContractError, match="more than 1,000,000 bytes"):
            kayrros.metadata(DATASET)


def test_no_cookie_reaches_another_host(start: Callable[..., Server], connect: Callable[..., Kayrros]) -> None:
    """The host that set it does not get it back either, because no documented operation needs one."""
    server = start(lambda _: StubResponse(200, b"{}", {"Set-Cookie": "a=b"}))
    kayrros = connect(server, token="a-token")
    kayrros.metadata(DATASET)
    kayrros.metadata(DATASET)
    assert not [request for request in server.requests if "cookie" in request.headers]
