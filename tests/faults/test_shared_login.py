"""One login for many processes: real ones, against the platform fake on loopback."""

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
from kayrros_ext._auth.login import KayrrosAuth
from kayrros_ext._auth.token_cache import FileTokens, open_store
from kayrros_ext._config.settings import Settings
from kayrros_ext.testing import Fault, Platform
from kayrros_openapi.api.collections import list_collections

pytestmark = [
    pytest.mark.holds_secrets("cache/tokens/*.json"),
    pytest.mark.skipif(os.name != "posix", reason="signals and file locks are those of POSIX"),
]

RUN = """
import sys
from kayrros_ext import Kayrros
with Kayrros() as kayrros:
    sys.stdin.readline()
    kayrros.collections()
    print(kayrros.whoami().token_cache)
"""
LOCK = """
import pathlib, sys
from kayrros_ext._auth.token_cache import FileTokens
store = FileTokens(pathlib.Path(sys.argv[1]), sys.argv[2])
print(store.try_lock(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def fake() -> Platform:
    return Platform()


@pytest.fixture
def url(fake: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The fake on loopback, and the environment that leads to it, with the cache turned on."""
    with fake.serve() as served:
        for name, value in fake.environment(served).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "on")
        yield served


def start(number: int) -> "list[subprocess.Popen[str]]":
    """So many processes, each waiting for a line before its first call."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", RUN]
    return [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(number)]


def go(processes: "list[subprocess.Popen[str]]") -> list[str]:
    """All at once; what each said."""

    def finish(process: "subprocess.Popen[str]") -> str:
        out, err = process.communicate("go\n")
        assert "" == err
        return out.strip()

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(finish, processes))


def test_short_runs_cost_one_login(fake: Platform, url: str) -> None:
    """One after the other."""
    for _ in range(3):
        assert ["file"] == go(start(1))
    assert 1 == fake.logins


def test_processes_that_start_together_share_a_login(fake: Platform, url: str) -> None:
    """First, and again when the token has expired: who comes second waits for the first."""
    fake.fail_next(Fault.late(0.3), operation="login", times=None)
    for logins in (1, 2):
        assert ["file"] * 5 == go(start(5))
        assert logins == fake.logins
        fake.expire_tokens()


def test_a_renewal_is_shared(fake: Platform, url: str) -> None:
    """One client's new token is what the other one's 401 leads to."""
    with Kayrros() as first, Kayrros() as second:
        first.collections()
        second.collections()
        fake.expire_tokens()
        first.collections()
        second.collections()
    assert 2 == fake.logins


def test_a_shared_token_that_has_expired_too_costs_one_login(fake: Platform, url: str) -> None:
    """A 401 for ours, a 401 for the newer one, a login."""
    with Kayrros() as first, Kayrros() as second:
        first.collections()
        second.collections()
        fake.expire_tokens()
        first.collections()
        fake.expire_tokens()
        second.collections()
    assert 3 == fake.logins


def test_off_means_off(fake: Platform, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written: with the argument, with the variable, and without a word for a host of this machine."""
    with Kayrros(token_cache=False) as kayrros:
        kayrros.collections()
    for value in ("off", ""):
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", value)
        with Kayrros() as kayrros:
            kayrros.collections()
    with fake.connect() as kayrros:
        kayrros.collections()
    assert 4 == fake.logins
    assert not (home / "cache").exists()


def test_the_token_of_a_fake_stays_in_the_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the variable is on; the argument alone means this transport."""
    monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "on")
    with Platform().connect() as kayrros:
        kayrros.collections()
    assert not (home / "cache").exists()
    with Platform().connect(token_cache=True) as kayrros:
        kayrros.collections()
    assert 1 == len(list((home / "cache" / "tokens").glob("*.json")))


def test_without_a_place_for_it_everything_works(
    fake: Platform, url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache directory that can't be made costs a login in each process, and no more."""
    (home / "file").touch()
    monkeypatch.setenv("KAYRROS_CACHE_DIR", str(home / "file" / "cache"))
    for _ in range(2):
        with Kayrros() as kayrros:
            kayrros.collections()
    assert 2 == fake.logins


def test_a_wrong_password_is_kept_nowhere(url: str, home: Path) -> None:
    """No token, no record of the failure."""
    with Kayrros(email="analyst@example.com", password="wrong") as kayrros, pytest.raises(LoginError):
        kayrros.collections()
    assert [] == list((home / "cache" / "tokens").glob("*.json"))


def key_of(settings: Settings, home: Path) -> str:
    """The name under which the token of these settings is kept."""
    store = open_store(settings)
    assert store
    assert store.try_lock()
    store.unlock()
    [lock] = (home / "cache" / "tokens").glob("*.lock")
    return lock.stem


def test_a_process_that_is_stopped_with_the_lock_holds_nobody_up_for_ever(fake: Platform, url: str, home: Path) -> None:
    """After a bounded wait the others log in; once it is killed, the lock is free."""
    settings = Settings.load()
    key = key_of(settings, home)
    folder = home / "cache" / "tokens"
    command = [sys.executable, "-c", LOCK, str(folder), key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "True\n" == process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        auth = KayrrosAuth(settings, store=open_store(settings), patience_s=0.05)
        with httpx.Client(auth=auth) as client:
            assert 200 == client.get(f"{url}/v1/processing/collection/list").status_code
        assert 1 == fake.logins
        assert not FileTokens(folder, key).try_lock()
        process.kill()
    store = FileTokens(folder, key)
    assert store.try_lock()
    store.unlock()


def test_a_child_made_by_fork_does_not_keep_the_lock(home: Path) -> None:
    """It shares the open file; what its parent gives back is free, though the child lives on."""
    store, other = (FileTokens(home / "tokens", "key") for _ in range(2))
    assert store.try_lock()
    out, into = os.pipe()
    if not (child := os.fork()):
        os.close(into)
        os.read(out, 1)
        os._exit(0)
    store.unlock()
    assert other.try_lock()
    other.unlock()
    os.close(out)
    os.close(into)
    os.waitpid(child, 0)


def test_tasks_run_while_one_waits_for_another_process(fake: Platform, url: str, home: Path) -> None:
    """The wait for the lock gives the event loop back; whoever had it may have left a token."""
    settings = Settings.load()
    other = FileTokens(home / "cache" / "tokens", key_of(settings, home))
    assert other.try_lock()
    waiting = threading.Event()

    async def main() -> None:
        async with Kayrros() as kayrros:
            call = asyncio.create_task(list_collections.asyncio_detailed(client=kayrros.client))
            for _ in range(20):
                await asyncio.sleep(0)
            waiting.set()
            assert not call.done()
            with Kayrros(token_cache=False) as another:
                another.collections()
                token = another._door.http.exchange.failures.auth._token
            assert token
            other.save(token.value)
            other.unlock()
            assert 200 == (await call).status_code

    asyncio.run(main())
    assert waiting.is_set()
    assert 1 == fake.logins
