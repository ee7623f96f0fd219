"""Login over real sockets: waiting calls share it, an expired token costs another, and no secret is shown."""

import asyncio
import logging
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
import trio

from kayrros_ext import APIError, Kayrros, KayrrosError, LoginError, TransportError, UnauthorizedError
from kayrros_ext.testing import Platform
from kayrros_openapi.api.authentication import login
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import DatasetMetadata, LoginReply, LoginRequest
from tests.support.leaks import PASSWORD, TOKEN, ours
from tests.support.server import DATASET, LOGIN, METADATA, RESULTS, Request, Server, StubResponse, StubServer, as_json

Start = Callable[..., Server]
Connect = Callable[..., Kayrros]
ID = UUID(DATASET)
MANY = 32


def test_nothing_is_sent_before_the_first_call(platform: StubServer, start: Start, connect: Connect) -> None:
    """The login is lazy, and happens once."""
    server = start(platform)
    kayrros = connect(server)
    assert not server.requests
    kayrros.metadata(DATASET)
    kayrros.metadata(DATASET)
    assert server.paths() == [LOGIN, METADATA, METADATA]


def test_an_expired_token_costs_one_login(platform: StubServer, start: Start, connect: Connect) -> None:
    """After a 401 we log in once, repeat once, and keep the new token."""
    server = start(platform)
    kayrros = connect(server)
    kayrros.metadata(DATASET)
    platform.expire_tokens()
    kayrros.metadata(DATASET)
    kayrros.metadata(DATASET)
    assert platform.logins == 2
    assert server.paths() == [LOGIN, METADATA, METADATA, LOGIN, METADATA, METADATA]


def test_a_second_401_is_final(platform: StubServer, start: Start, connect: Connect) -> None:
    """The client does not log in a third time."""
    platform.answers[METADATA] = as_json({"message": "still no"}, 401)
    server = start(platform)
    with pytest.raises(UnauthorizedError, match="still no.*rejected a new token"):
        connect(server).metadata(DATASET)
    assert server.paths() == [LOGIN, METADATA, LOGIN, METADATA]


def test_a_token_without_credentials_is_used_as_it_is(platform: StubServer, start: Start, connect: Connect) -> None:
    """It needs no login. If it is refused, the error lists the arguments to pass."""
    platform.valid.add("a-token")
    server = start(platform)
    kayrros = connect(server, token="a-token")
    assert kayrros.metadata(DATASET).name == "Tanks"
    platform.expire_tokens()
    with pytest.raises(
        UnauthorizedError, match=r"Replace the token \(arguments\), or remove it and run `kayrros login`"
    ):
        kayrros.metadata(DATASET)
    assert server.paths() == [METADATA, METADATA]


def gated(platform: StubServer, size: int) -> Callable[[Request], StubResponse]:
    """Return the platform; its first `size` data requests wait for each other, so that they fail together."""
    gate = threading.Barrier(size)
    held = iter(range(size))

    def answer(request: Request) -> StubResponse:
        if request.path != LOGIN and next(held, None) is not None:
            gate.wait(20)
        return platform(request)

    return answer


def test_many_threads_share_a_login(platform: StubServer, start: Start, connect: Connect) -> None:
    """32 threads without a token log in once."""
    server = start(gated(platform, MANY))
    kayrros = connect(server, email="e", password="p")
    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(lambda _: kayrros.metadata(DATASET).name, range(MANY))) == ["Tanks"] * MANY
    assert platform.logins == 1


def test_many_threads_share_a_renewal(platform: StubServer, start: Start, connect: Connect) -> None:
    """32 threads that get a 401 at the same time cost one login."""
    server = start(gated(platform, MANY))
    kayrros = connect(server, token="expired", email="e", password="p")
    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(lambda _: kayrros.metadata(DATASET).name, range(MANY))) == ["Tanks"] * MANY
    assert platform.logins == 1


async def name_of(kayrros: Kayrros) -> object:
    metadata = await get_dataset_metadata.asyncio(ID, client=kayrros.client)
    assert isinstance(metadata, DatasetMetadata)
    return metadata.name


def test_many_tasks_share_a_login(platform: StubServer, start: Start, connect: Connect) -> None:
    """32 asyncio tasks log in once, at the start and when the token has expired."""
    server = start(platform)

    async def main() -> None:
        async with connect(server) as kayrros:
            for logins in (1, 2):
                names = await asyncio.gather(*(name_of(kayrros) for _ in range(MANY)))
                assert names == ["Tanks"] * MANY
                assert logins == platform.logins
                platform.expire_tokens()

    asyncio.run(main())


def test_tasks_of_trio_share_a_login(platform: StubServer, start: Start, connect: Connect) -> None:
    """The wait for the turn does not depend on asyncio."""
    server = start(platform)

    async def main() -> None:
        async with connect(server) as kayrros, trio.open_nursery() as nursery:
            for _ in range(MANY):
                nursery.start_soon(name_of, kayrros)

    trio.run(main)
    assert platform.logins == 1


def test_threads_and_tasks_share_a_login(platform: StubServer, start: Start, connect: Connect) -> None:
    """Threads and tasks use one Kayrros at the same time."""
    server = start(platform)

    async def main() -> None:
        async with connect(server) as kayrros:
            threads = [asyncio.to_thread(kayrros.metadata, DATASET) for _ in range(8)]
            await asyncio.gather(*threads, *(name_of(kayrros) for _ in range(8)))

    asyncio.run(main())
    assert platform.logins == 1


def test_a_sync_call_inside_a_loop_does_not_hang(platform: StubServer, start: Start, connect: Connect) -> None:
    """A sync call that blocks the event loop shares the login of a task, which runs in a worker thread."""
    arrived = threading.Event()
    loop_thread = threading.get_ident()

    def answer(request: Request) -> StubResponse:
        if request.path == LOGIN:
            arrived.set()
            # The thread of the loop waits for the lock of the login.
            while sys._current_frames()[loop_thread].f_code.co_name != "get":
                threading.Event().wait(0.001)
        return platform(request)

    server = start(answer)

    async def main() -> None:
        async with connect(server) as kayrros:
            task = asyncio.create_task(name_of(kayrros))
            await asyncio.to_thread(arrived.wait, 20)
            assert kayrros.metadata(DATASET).name == "Tanks"
            assert await task == "Tanks"

    asyncio.run(main())
    assert platform.logins == 1


def test_a_cancelled_task_leaves_its_login_to_the_next_call(
    platform: StubServer, start: Start, connect: Connect
) -> None:
    """A task that is cancelled while it logs in, or while it waits, ends at once. The login goes on, and is not repeated."""
    arrived, go_on = threading.Event(), threading.Event()

    def answer(request: Request) -> StubResponse:
        if request.path == LOGIN:
            arrived.set()
            go_on.wait(20)
        return platform(request)

    server = start(answer)

    async def main() -> None:
        async with connect(server) as kayrros:
            first, second = (asyncio.create_task(name_of(kayrros)) for _ in range(2))
            await asyncio.to_thread(arrived.wait, 20)
            for task in (second, first):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            go_on.set()
            assert await name_of(kayrros) == "Tanks"

    asyncio.run(main())
    assert platform.logins == 1


CANCELLED = """
import asyncio, sys
from kayrros_ext import Kayrros
from kayrros_openapi.api.collections import list_collections

async def main():
    async with Kayrros(email="e", password="p", base_url=sys.argv[1], auth_url=sys.argv[1]) as kayrros:
        await asyncio.wait_for(list_collections.asyncio(client=kayrros.client), 0.2)

asyncio.run(main())
"""


def test_a_cancelled_login_does_not_keep_the_program_alive(start: Start) -> None:
    """A login host that is silent for minutes does not hold a program that has ended."""
    done = threading.Event()
    server = start(lambda _: StubResponse(500) if done.wait(60) else StubResponse())
    command = [sys.executable, "-c", CANCELLED, server.url]
    try:
        ended = subprocess.run(command, timeout=30, capture_output=True, text=True, check=False)
    finally:
        done.set()
    assert "TimeoutError" in ended.stderr


LATE = """
import asyncio, atexit, sys, threading
from kayrros_ext import Kayrros
from kayrros_openapi.api.datasets import get_dataset_metadata
from uuid import UUID

def connect():
    return Kayrros(email="e", password="p", base_url=sys.argv[1], auth_url=sys.argv[1])

async def in_a_task():
    async with connect() as kayrros:
        return (await get_dataset_metadata.asyncio(UUID(sys.argv[2]), client=kayrros.client)).name

def late():
    if sys.argv[3] == "thread":
        threading.main_thread().join()
    with connect() as kayrros:
        print(kayrros.metadata(sys.argv[2]).name, asyncio.run(in_a_task()))

atexit.register(late) if sys.argv[3] == "atexit" else threading.Thread(target=late).start()
"""


@pytest.mark.parametrize("moment", ["atexit", "thread"])
def test_a_login_at_the_end_of_the_program(moment: str, platform: StubServer, start: Start) -> None:
    """Exit handlers, and threads that outlive the main thread, log in: some Pythons start no thread then."""
    server = start(platform)
    command = [sys.executable, "-c", LATE, server.url, DATASET, moment]
    ended = subprocess.run(command, timeout=60, capture_output=True, text=True, check=True)
    assert ended.stdout == "Tanks Tanks\n"


def test_many_threads_try_wrong_credentials_once(platform: StubServer, start: Start, connect: Connect) -> None:
    """All get the error, and the account is not locked."""
    platform.refuse_logins_with = as_json({"code": "WRONG_CREDENTIALS", "message": "no such pair"}, 401)
    kayrros = connect(start(platform))

    def attempt(_: int) -> int:
        with pytest.raises(LoginError, match="no such pair") as caught:
            kayrros.metadata(DATASET)
        return caught.value.status

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(attempt, range(MANY))) == [401] * MANY
    assert platform.logins == 1


def test_many_threads_share_a_login_host_that_is_down(platform: StubServer, start: Start, connect: Connect) -> None:
    """Threads that waited for a failed login share its outcome. A later call tries again."""
    arrived = threading.Semaphore(0)
    platform.refuse_logins_with = StubResponse(503)

    def answer(request: Request) -> StubResponse:
        # The first login is answered once the other threads have had every chance to queue behind it.
        arrived.acquire(timeout=0.5)
        return platform(request)

    kayrros = connect(start(answer), retries=0)

    def attempt(_: int) -> int:
        with pytest.raises(LoginError, match="503.*Try again later") as caught:
            kayrros.metadata(DATASET)
        return caught.value.status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(8))) == [503] * 8
    assert platform.logins < 4
    platform.refuse_logins_with = None
    arrived.release(10)
    assert kayrros.metadata(DATASET).name == "Tanks"


def test_a_login_host_that_hangs_is_a_timeout(platform: StubServer, start: Start) -> None:
    """The timeout holds for the login, and waiting calls do not add theirs to it."""
    done = threading.Event()

    def answer(request: Request) -> StubResponse:
        done.wait(20)
        return platform(request)

    server = start(answer)
    with Kayrros(email="e", password="p", base_url=server.url, auth_url=server.url, timeout=0.2, retries=0) as kayrros:

        def attempt(_: int) -> str:
            with pytest.raises(TransportError, match="^login: ") as caught:
                kayrros.metadata(DATASET)
            return caught.value.operation

        with ThreadPoolExecutor(MANY) as pool:
            assert list(pool.map(attempt, range(MANY))) == ["login"] * MANY

        async def main() -> None:
            for _ in range(2):
                errors = await asyncio.gather(*(name_of(kayrros) for _ in range(8)), return_exceptions=True)
                assert {TransportError} == {type(error) for error in errors}
            await kayrros.client.get_async_httpx_client().aclose()

        asyncio.run(main())
    assert len(server.requests) <= 2 * 4
    done.set()


@pytest.mark.parametrize(
    "answer",
    [
        StubResponse(401, b"x" * 1000, cut=10),
        StubResponse(401, b"not gzip", {"Content-Encoding": "gzip"}),
        StubResponse(401, b"x" * 20_000_000),
    ],
)
def test_the_body_of_a_401_has_no_effect(
    answer: StubResponse, platform: StubServer, start: Start, connect: Connect
) -> None:
    """The body may be truncated, badly compressed or huge. The client logs in and repeats the request."""
    refusals = [answer]

    def respond(request: Request) -> StubResponse:
        return refusals.pop() if request.path != LOGIN and refusals else platform(request)

    server = start(respond)
    kayrros = connect(server)
    assert kayrros.metadata(DATASET).name == "Tanks"
    refusals.append(answer)

    async def main() -> None:
        async with connect(server) as other:
            assert await name_of(other) == "Tanks"

    asyncio.run(main())
    assert not refusals


def test_a_login_without_a_response_is_a_transport_error(platform: StubServer, start: Start, connect: Connect) -> None:
    """The error names the login as the operation, and a later call logs in again."""
    broken = [StubResponse(200, b"x" * 100, cut=10)]

    def answer(request: Request) -> StubResponse:
        return broken.pop() if broken else platform(request)

    kayrros = connect(start(answer), retries=0)
    with pytest.raises(TransportError, match="^login: ") as caught:
        kayrros.metadata(DATASET)
    assert caught.value.operation == "login"
    assert isinstance(caught.value.__cause__, httpx.RequestError)
    assert kayrros.metadata(DATASET).name == "Tanks"


def test_the_generated_login_works_with_the_client(platform: StubServer, start: Start) -> None:
    """Any generated operation takes kayrros.client, the login too, though it is on another host."""
    data, auth = start(platform), start(platform)
    body = LoginRequest(email="e", password="p")
    with Kayrros(token="a-token", base_url=data.url, auth_url=auth.url) as kayrros:
        assert isinstance(login.sync(client=kayrros.client, body=body), LoginReply)
    assert (data.paths(), auth.paths()) == ([], [LOGIN])


@pytest.mark.off_contract("it follows a redirect, and a URL of its own, to what is no operation")
def test_the_token_stays_with_the_data_host(platform: StubServer, start: Start) -> None:
    """Neither a redirect nor an absolute URL takes it elsewhere."""
    elsewhere = start(lambda _: StubResponse())
    platform.answers[METADATA] = StubResponse(302, b"", {"Location": elsewhere.url + "/landing"})
    data = start(platform)
    with Kayrros(email="e", password="p", base_url=data.url, auth_url=data.url) as kayrros:
        http = kayrros.client.get_httpx_client()
        http.get(elsewhere.url)
        http.get(METADATA, follow_redirects=True)
        with pytest.raises(APIError, match="302") as caught:
            kayrros.metadata(DATASET)
    assert caught.value.status == 302
    assert elsewhere.paths() == ["/", "/landing"]
    assert [request.token for request in elsewhere.requests] == [None, None]


def test_proxies_of_the_environment_get_nothing_for_loopback(
    platform: StubServer, start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request to this machine goes there directly: a proxy would be given the password in the clear."""
    proxy = start(lambda _: StubResponse(500))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert connect(start(platform)).metadata(DATASET).name == "Tanks"
    assert not proxy.requests


def everything_about(error: BaseException) -> str:
    """Return the message, the traceback with locals, the attributes and the causes of an error."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format()) + repr(error) + repr(vars(error))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 520])
def test_no_secret_in_errors_or_logs(
    status: int, platform: StubServer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """The server repeats each request, the log is at debug level, and tracebacks show locals."""
    secrets = {"password": PASSWORD, "token": TOKEN}

    def echo(request: Request) -> StubResponse:
        body = f"{dict(request.headers)} {request.body.decode()} {list(secrets.values())}"
        return StubResponse(status, body.encode(), {"X-Echo": "1"})

    server = start(echo)
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for credentials in ({"token": secrets["token"]}, {"email": "e", "password": secrets["password"]}):
            arguments: dict[str, Any] = credentials
            with Kayrros(**arguments, base_url=server.url, auth_url=server.url, retries=0) as kayrros:
                shown += [repr(kayrros), repr(kayrros.client), str(vars(kayrros))]
                for call in (kayrros.metadata, kayrros.results, kayrros.download):
                    with pytest.raises(KayrrosError) as caught:
                        call(DATASET)
                    shown.append(everything_about(caught.value))
    shown += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert caplog.records
    assert not [
        (name, text[max(0, text.find(secret) - 300) :][:600])
        for text in shown
        for name, secret in secrets.items()
        if secret in text and "secrets = {" not in text
    ]


def test_an_unreachable_login_host_shows_no_password_to_an_error_tracker() -> None:
    """Trackers such as Sentry send the locals of every frame away, those of the generated client and of httpx, too."""
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with (
            Kayrros(email="e", password=PASSWORD, base_url=url, auth_url=url, retries=0) as kayrros,
            pytest.raises(TransportError, match="Nothing listens") as caught,
        ):
            kayrros.metadata(DATASET)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert PASSWORD not in everything_about(caught.value)


SECRET = TOKEN


@pytest.mark.parametrize("path", [METADATA, RESULTS])
@pytest.mark.parametrize(
    "answer",
    [
        as_json({"asset_count": f"Bearer {SECRET}", "assets": f"Bearer {SECRET}"}),
        as_json({"name": 5, "assets": [{"results": [{"value_date": SECRET}]}]}),
        StubResponse(200, f"<p>{SECRET}".encode()),
        as_json({"x": SECRET}, 400),
        as_json([SECRET], 400),
        as_json({"error": {"message": SECRET}}, 400),
        StubResponse(302, b"", {"Location": f"http://h:x{SECRET}"}),
        StubResponse(200, b"xx", {"Transfer-Encoding": "chunked", SECRET: SECRET}, cut=1),
        StubResponse(200, b"{}", {"Set-Cookie": f"session={SECRET}", "Content-Length": f"1{SECRET}"}),
    ],
)
def test_a_server_that_repeats_the_token_leaks_nothing(
    path: str,
    answer: StubResponse,
    platform: StubServer,
    start: Start,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No message and no log line repeats it from a success, an error or a broken header."""
    platform.valid.add(SECRET)
    platform.answers[path] = answer
    kayrros = connect(start(platform), token=SECRET, email="e", password="p")
    for _ in range(2):
        with caplog.at_level(logging.DEBUG, "kayrros_ext"), pytest.raises(KayrrosError) as caught:
            kayrros.metadata(DATASET) if path == METADATA else kayrros.results(DATASET)
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("kayrros_ext")]
        assert SECRET not in f"{caught.value} {vars(caught.value)} {lines}"
        platform.valid.discard(SECRET)  # the second time around it is an old one


@pytest.mark.parametrize("status", [201, 200, 400, 500])
def test_the_error_of_an_invalid_login_hides_its_body(status: int, start: Start, connect: Connect) -> None:
    """The body may contain a token in an undocumented place."""
    server = start(lambda _: as_json({"jwt": SECRET}, status))
    with pytest.raises(LoginError) as caught:
        connect(server).metadata(DATASET)
    assert SECRET not in ours(caught.value)


def test_the_client_sends_its_own_name(platform: StubServer, start: Start, connect: Connect) -> None:
    """Kayrros can tell who calls."""
    server = start(platform)
    connect(server).metadata(DATASET)
    assert all(request.headers["user-agent"].startswith("kayrros-ext/") for request in server.requests)


@pytest.mark.parametrize("source", ["environment", "arguments"])
def test_a_wrong_password_of_the_environment_names_its_variable(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login in the shell would not help as long as the variable counts first."""
    platform, arguments = Platform(), {"email": "analyst@example.com", "password": "a wrong one"}
    if source == "environment":
        for name in tuple(arguments):
            monkeypatch.setenv(f"KAYRROS_{name.upper()}", arguments.pop(name))
    with Kayrros(transport=platform.transport(), **arguments) as kayrros, pytest.raises(LoginError) as caught:  # type: ignore[arg-type]
        kayrros.collections()
    for hint in (caught.value.hint, str(caught.value.hint_cli)):
        assert hint.startswith("Correct or unset KAYRROS_PASSWORD" if source == "environment" else "Check your email")
