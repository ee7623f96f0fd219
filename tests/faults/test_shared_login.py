"""Processes share one login: real processes, with the platform fake on loopback."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from kayrros_ext import Kayrros, LoginError
from kayrros_ext._auth.login import LoginAuth
from kayrros_ext._auth.token_cache import TokenCache, open_token_cache
from kayrros_ext._secret import Secret
from kayrros_ext.testing import Fault, Platform
from kayrros_openapi.api.collections import list_collections
from tests.support.settings import load_settings

pytestmark = [
    pytest.mark.holds_secrets("cache/tokens/*.json"),
    pytest.mark.skipif(os.name != "posix", reason="signals and fork are those of POSIX"),
]

CALL = """
import sys
from kayrros_ext import Kayrros
with Kayrros() as kayrros:
    sys.stdin.readline()
    kayrros.collections()
    print(kayrros.whoami().token_cache)
"""
LOCK = """
import sys
from kayrros_ext._auth.token_cache import open_token_cache
with open_token_cache(*sys.argv[1:]).lock(0) as held:
    print(held, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def fake() -> Platform:
    return Platform()


@pytest.fixture
def url(fake: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the fake on loopback, point the environment to it, and turn the cache on."""
    with fake.serve() as url:
        for name, value in fake.environment(url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "on")
        yield url


@pytest.fixture
def account(url: str) -> tuple[str, str, str]:
    """Hosts and email, as the token cache takes them."""
    settings = load_settings()
    assert settings.email
    return str(settings.auth_url), str(settings.base_url), settings.email


def cache_of(account: tuple[str, str, str]) -> TokenCache:
    cache = open_token_cache(*account)
    assert cache
    return cache


def start(count: int) -> "list[subprocess.Popen[str]]":
    """Start processes that wait for a line before their first call."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CALL]
    return [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(count)]


def run(processes: "list[subprocess.Popen[str]]") -> list[str]:
    """Let all of them make their call at once, and return their outputs."""

    def finish(process: "subprocess.Popen[str]") -> str:
        out, err = process.communicate("go\n")
        assert err == ""
        return out.strip()

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(finish, processes))


def test_short_runs_cost_one_login(fake: Platform, url: str) -> None:
    """The runs follow one another."""
    for _ in range(2):
        assert run(start(1)) == ["file"]
    assert fake.logins == 1


def test_processes_that_start_together_share_a_login(fake: Platform, url: str) -> None:
    """The others wait for the first process, at the start and again when the token has expired."""
    fake.fail_next(Fault.late(0.3), operation="login", times=None)
    for logins in (1, 2):
        assert run(start(3)) == ["file"] * 3
        assert fake.logins == logins
        fake.expire_tokens()


def test_clients_share_a_renewal(fake: Platform, url: str) -> None:
    """After a 401 a client finds the token that another one has renewed."""
    with Kayrros() as first, Kayrros() as second:
        first.collections()
        second.collections()
        fake.expire_tokens()
        first.collections()
        second.collections()
    assert fake.logins == 2


def test_a_shared_token_that_has_expired_too_costs_one_login(fake: Platform, url: str) -> None:
    """A 401 for its own token, a 401 for the cached one, a login."""
    with Kayrros() as first, Kayrros() as second:
        first.collections()
        second.collections()
        fake.expire_tokens()
        first.collections()
        fake.expire_tokens()
        second.collections()
    assert fake.logins == 3


def test_a_cache_that_is_off_writes_no_file(
    fake: Platform, url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument and the variable turn it off. It is off by default for loopback."""
    with Kayrros(token_cache=False) as kayrros:
        kayrros.collections()
    for value in ("off", ""):
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", value)
        with Kayrros() as kayrros:
            kayrros.collections()
    with fake.connect() as kayrros:
        kayrros.collections()
    assert fake.logins == 4
    assert not (home / "cache").exists()


def test_a_token_alone_is_not_cached(fake: Platform, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without email and password there is no login."""
    monkeypatch.delenv("KAYRROS_EMAIL")
    monkeypatch.delenv("KAYRROS_PASSWORD")
    with Kayrros(token=fake.give_token()) as kayrros:
        kayrros.collections()
        assert kayrros.whoami().token_cache == "off"
    assert not (home / "cache").exists()


def test_the_token_of_a_fake_is_not_cached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable has no effect. Only the argument turns the cache on for a transport."""
    monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "on")
    with Platform().connect() as kayrros:
        kayrros.collections()
    assert not (home / "cache").exists()
    with Platform().connect(token_cache=True) as kayrros:
        kayrros.collections()
    assert len(list((home / "cache" / "tokens").glob("*.json"))) == 1


def test_without_a_place_for_the_cache_everything_works(
    fake: Platform, url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache directory that can't be created costs a login in each process, and no more."""
    (home / "file").touch()
    monkeypatch.setenv("KAYRROS_CACHE_DIR", str(home / "file" / "cache"))
    for _ in range(2):
        with Kayrros() as kayrros:
            kayrros.collections()
    assert fake.logins == 2


TYPO = """
import sys
from kayrros_ext import Kayrros, LoginError
sys.stdin.readline()
for _ in range(2):
    with Kayrros(password="wrong") as kayrros:
        try:
            kayrros.collections()
        except LoginError as error:
            print(error.status)
"""


def test_a_typo_in_a_pipeline_is_tried_once(fake: Platform, url: str, home: Path) -> None:
    """Six clients in three processes. The right password is tried at once, and then the wrong one is forgotten."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", TYPO]
    outputs = run([subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)])
    assert outputs == ["401\n401"] * 3
    logins = [seen.status for seen in fake.requests if seen.operation == "login"]
    assert logins == [401]
    assert list((home / "cache" / "tokens").glob("*.json")) == []
    with Kayrros(password="wrong") as kayrros, pytest.raises(LoginError, match="seconds ago"):
        kayrros.collections()
    with Kayrros(password="wrong") as kayrros, pytest.raises(LoginError):
        kayrros.login()
    with Kayrros() as kayrros:
        kayrros.collections()
    assert [seen.status for seen in fake.requests if seen.operation == "login"] == [401, 401, 200]
    assert not list((home / "cache" / "tokens").glob("*.refused"))


def test_a_stopped_process_with_the_lock_delays_others_for_a_bounded_time(
    fake: Platform, url: str, account: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They log in without the lock; once the process is killed, the lock is free."""
    command = [sys.executable, "-c", LOCK, *account]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr("kayrros_ext._auth.login.LOCK_TIMEOUT_S", 0.05)
        auth = LoginAuth(load_settings(), {}, cache_of(account))
        with httpx.Client(auth=auth) as client:
            assert client.get(f"{url}/v1/processing/collection/list").status_code == 200
        assert fake.logins == 1
        with cache_of(account).lock(0) as held:
            assert not held
        process.kill()
    with cache_of(account).lock(0) as held:
        assert held


def test_a_forked_child_does_not_keep_the_lock(account: tuple[str, str, str]) -> None:
    """It inherits the open lock file, but what its parent releases is free while the child lives."""
    out, into = os.pipe()
    with cache_of(account).lock(0) as held:
        assert held
        if not (child := os.fork()):
            os.close(into)
            os.read(out, 1)
            os._exit(0)
    with cache_of(account).lock(0) as held:
        assert held
    os.close(out)
    os.close(into)
    os.waitpid(child, 0)


def test_a_forked_child_does_not_release_the_lock(account: tuple[str, str, str]) -> None:
    """Its parent still holds it after the child has used the same cache and ended."""
    cache = cache_of(account)
    with cache.lock(0) as held:
        assert held
        if not (child := os.fork()):
            cache.save(Secret("of-the-child"))
            with cache.lock(0) as held_by_child:
                os._exit(held_by_child)
        assert os.waitpid(child, 0)[1] == 0
        with cache.lock(0) as again:
            assert not again
    record = cache.load()
    assert record
    assert record.secret == Secret("of-the-child")


def test_tasks_run_while_one_waits_for_another_process(fake: Platform, url: str, account: tuple[str, str, str]) -> None:
    """The event loop is free while one task waits for the lock, and a token that its holder has saved is used."""
    waiting = threading.Event()

    async def main() -> None:
        async with Kayrros() as kayrros:
            with cache_of(account).lock(0) as held:
                assert held
                call = asyncio.create_task(list_collections.asyncio_detailed(client=kayrros.client))
                for _ in range(20):
                    await asyncio.sleep(0)
                waiting.set()
                assert not call.done()
                cache_of(account).save(Secret(fake.give_token()))
            assert (await call).status_code == 200

    asyncio.run(main())
    assert waiting.is_set()
    assert fake.logins == 0
