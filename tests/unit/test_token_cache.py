"""The token cache is private to its owner, and a damaged or unsafe file counts as no token."""

import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import filelock
import pytest

from kayrros_ext import LoginError
from kayrros_ext._auth.token_cache import REFUSAL_S, TokenCache, open_token_cache, user_cache_dir
from kayrros_ext._secret import Secret
from tests.support.leaks import PASSWORD, TOKEN

pytestmark = [
    pytest.mark.holds_secrets("tokens/*.json", "cache/tokens/*.json", "victim"),
    pytest.mark.skipif(os.name != "posix", reason="modes and symlinks are those of POSIX"),
]
OTHER = Secret("another")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def cache(folder: Path) -> TokenCache:
    return TokenCache(folder, "key", now=lambda: 1000.0)


def cached(cache: TokenCache) -> str | None:
    record = cache.load()
    return record.secret.value if record else None


def test_a_saved_token_is_loaded(cache: TokenCache, folder: Path) -> None:
    """It has the time at which it was obtained. The last token counts, and no other file remains."""
    assert cache.load() is None
    assert not folder.exists()
    cache.save(OTHER)
    cache.save(Secret(TOKEN))
    record = cache.load()
    assert record
    assert (record.secret.value, record.obtained_at) == (TOKEN, 1000.0)
    assert [path.name for path in folder.iterdir()] == ["key.json"]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_file_and_directory_are_private(umask: int, cache: TokenCache, folder: Path) -> None:
    """The modes are 0600 and 0700 with any umask, for the lock file too."""
    before = os.umask(umask)
    try:
        cache.save(Secret(TOKEN))
        with cache.lock(0):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_directory_that_others_can_enter_is_made_private(cache: TokenCache, folder: Path) -> None:
    """The directory is ours, so we may."""
    folder.mkdir()
    folder.chmod(0o777)
    cache.save(Secret(TOKEN))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_token_of_another_process_is_not_discarded(cache: TokenCache) -> None:
    """Another process may have saved a newer one meanwhile."""
    cache.save(Secret(TOKEN))
    cache.discard(OTHER)
    assert cached(cache) == TOKEN
    cache.discard(Secret(TOKEN))
    cache.discard(Secret(TOKEN))
    assert cached(cache) is None


GOOD: dict[str, Any] = {"version": 1, "token": "good", "obtained_at": 1.5}
ODD: list[Any] = [None, [], {}, "", "soon"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        json.dumps(GOOD).encode()[:-5],
        b"[]",
        b"5",
        b"null",
        b'"text"',
        b"[" * 60_000,
        *(json.dumps({**GOOD, name: value}).encode() for name in ("version", "obtained_at") for value in ODD),
        *(json.dumps({**GOOD, "token": token}).encode() for token in [*ODD[:-1], 5, "a b", "a\nb", "ü", "\ud800"]),
        *(json.dumps({key: GOOD[key] for key in GOOD if key != name}).encode() for name in GOOD),
        json.dumps({**GOOD, "version": 2}).encode(),
        json.dumps({**GOOD, "obtained_at": 10**400}).encode(),
        json.dumps({**GOOD, "padding": "x" * 70_000}).encode(),
    ],
    ids=lambda content: content[:60].decode("latin-1").encode("ascii", "replace").decode(),
)
def test_an_invalid_file_is_no_token_and_is_replaced(content: bytes, cache: TokenCache, folder: Path) -> None:
    """Truncated, of another version, not JSON, huge."""
    cache.save(OTHER)
    (folder / "key.json").write_bytes(content)
    assert cached(cache) is None
    cache.save(Secret(TOKEN))
    assert cached(cache) == TOKEN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_access_is_no_token_and_is_replaced(mode: int, cache: TokenCache, folder: Path) -> None:
    """Somebody may have read or written it."""
    cache.save(OTHER)
    (folder / "key.json").chmod(mode)
    assert cached(cache) is None
    cache.save(Secret(TOKEN))
    assert cached(cache) == TOKEN


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_no_token_and_is_replaced(cache: TokenCache, folder: Path) -> None:
    """Somebody else may have written it."""
    cache.save(OTHER)
    os.chown(folder / "key.json", 12345, 12345)
    assert cached(cache) is None
    cache.save(Secret(TOKEN))
    assert cached(cache) == TOKEN


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")
def test_nothing_is_written_to_a_directory_of_another_user(cache: TokenCache, folder: Path) -> None:
    """Files that root writes there under sudo would lock the owner out."""
    folder.mkdir()
    folder.chmod(0o755)
    os.chown(folder, 12345, 12345)
    cache.save(Secret(TOKEN))
    with cache.lock(0) as held:
        assert not held
    assert list(folder.iterdir()) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_symlink_is_no_token_and_its_target_is_left_alone(cache: TokenCache, folder: Path, tmp_path: Path) -> None:
    """The link is replaced."""
    cache.save(OTHER)
    victim = (folder / "key.json").rename(tmp_path / "victim")
    before = victim.read_bytes()
    (folder / "key.json").symlink_to(victim)
    assert cached(cache) is None
    cache.save(Secret(TOKEN))
    assert victim.read_bytes() == before
    assert (cached(cache), (folder / "key.json").is_symlink()) == (TOKEN, False)


def test_nothing_is_written_through_a_directory_that_is_a_symlink(
    cache: TokenCache, folder: Path, tmp_path: Path
) -> None:
    """Its target stays empty and keeps its mode."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    folder.symlink_to(elsewhere)
    cache.save(Secret(TOKEN))
    with cache.lock(0) as held:
        assert not held
    assert list(elsewhere.iterdir()) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["key.json", "key.lock"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_directory_or_pipe_in_place_of_a_file_does_not_block(
    name: str, make: Callable[[Path], None], cache: TokenCache, folder: Path
) -> None:
    """Neither raises."""
    folder.mkdir()
    make(folder / name)
    assert cached(cache) is None
    with cache.lock(0):
        cache.save(Secret(TOKEN))
    cache.discard(OTHER)


@pytest.mark.parametrize("path", ["/proc/1/none", "/dev/null/x", "a\0b"])
def test_without_a_place_there_is_no_cache(path: str) -> None:
    """Read-only, below a file, not even a path: no error, and no waiting for a lock."""
    cache = TokenCache(Path(path), "key")
    began = time.monotonic()
    cache.save(Secret(TOKEN))
    cache.discard(Secret(TOKEN))
    assert cache.load() is None
    with cache.lock(60) as held:
        assert not held
    assert time.monotonic() - began < 30


def test_a_failed_write_keeps_the_old_token(cache: TokenCache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No temporary file remains."""
    cache.save(OTHER)

    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        patch.setattr(Path, "replace", full)
        cache.save(Secret(TOKEN))
    assert (cached(cache), [path.name for path in folder.iterdir()]) == ("another", ["key.json"])


def test_readers_see_a_complete_token(folder: Path) -> None:
    """While others write, a reader gets one of the saved tokens, never part of one and never none."""
    tokens = {letter * 1000 for letter in "abcd"}
    cache = TokenCache(folder, "key")
    cache.save(Secret("a" * 1000))
    stop = threading.Event()

    def write(token: str) -> None:
        while not stop.is_set():
            cache.save(Secret(token))

    threads = [threading.Thread(target=write, args=[token]) for token in tokens]
    for thread in threads:
        thread.start()
    seen = {cached(cache) for _ in range(300)}
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= tokens


def test_the_lock_excludes_others(folder: Path) -> None:
    """A second lock of the account waits, even of the same object. The block frees the lock, after an error too."""
    cache, same, other = (TokenCache(folder, key) for key in ("key", "key", "other"))
    with pytest.raises(KeyError), cache.lock(0) as first, same.lock(0) as second, other.lock(0) as third:  # noqa: PT012
        with cache.lock(0) as again:
            assert (first, second, third, again) == (True, False, True, False)
        raise KeyError
    with same.lock(0) as held:
        assert held


def test_the_lock_is_released_by_another_thread(cache: TokenCache) -> None:
    """An event loop may enter and leave the block in different threads of its pool."""
    lock = cache.lock(0)
    thread = threading.Thread(target=lock.__enter__)
    thread.start()
    thread.join()
    lock.__exit__(None, None, None)
    with cache.lock(0) as held:
        assert held


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError()])
def test_a_file_system_without_locks_is_used_without(
    error: Exception, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst case is that two processes log in."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with cache.lock(60) as held:
        assert not held


def test_each_account_and_host_has_its_own_cache(home: Path) -> None:
    """The name of the file shows none of them."""
    odd = ["e", "ünï@example.com", "a/../../b", "a\0b", "x" * 5000, 'a", "b']
    accounts = [*[("a", "b", email) for email in odd], ("c", "b", "e"), ("a", "c", "e"), ("ab", "", "e")]
    for number, account in enumerate(accounts, 1):
        cache = open_token_cache(*account)
        assert cache
        assert cache.load() is None
        cache.save(OTHER)
        names = [path.name for path in (home / "cache" / "tokens").iterdir()]
        assert len(names) == number
        assert all(re.fullmatch(r"[0-9a-f]{32}\.json", name) for name in names)


def no_home(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("find", [no_home, lambda *_, **__: Path("cache")], ids=["raises", "relative"])
def test_without_a_home_there_is_no_cache(find: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer platformdirs raise, older ones return a relative path, and the working directory is no place for tokens."""
    monkeypatch.delenv("KAYRROS_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_path", find)
    assert user_cache_dir() is None
    assert open_token_cache("a", "b", "e") is None


REFUSED = LoginError("The login failed.", status=401, hint="Check it.")


def test_a_refusal_is_remembered_for_some_minutes(folder: Path) -> None:
    """Of this password alone. A clock that was set back forgets it."""
    now = [1000.0]
    cache = TokenCache(folder, "key", now=lambda: now[0])
    assert cache.load_refusal(Secret(PASSWORD)) is None
    cache.save_refusal(Secret(PASSWORD), REFUSED)
    for seconds, is_remembered in ((0, True), (REFUSAL_S - 1, True), (REFUSAL_S, False), (-1, False)):
        now[0] = 1000 + seconds
        assert bool(cache.load_refusal(Secret(PASSWORD))) == is_remembered
    now[0] = 1000
    assert cache.load_refusal(OTHER) is None
    cache.save(Secret(TOKEN))
    assert cache.load_refusal(Secret(PASSWORD)) is None


def test_a_refusal_does_not_contain_the_password(cache: TokenCache, folder: Path) -> None:
    """The file is private and has a salted hash, which differs each time."""
    contents = set()
    for _ in range(2):
        cache.save_refusal(Secret(PASSWORD), REFUSED)
        [path] = folder.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        contents.add(path.read_bytes())
    assert len(contents) == 2
    assert not any(PASSWORD.encode() in content for content in contents)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"refused_at": "soon"}', b'{"refused_at": 1000, "salt": "x"}']
)
def test_a_damaged_refusal_is_none_at_all(content: bytes, cache: TokenCache, folder: Path) -> None:
    """So is one that others can write to: nobody else may keep the user from a login."""
    cache.save_refusal(Secret(PASSWORD), REFUSED)
    [path] = folder.iterdir()
    path.chmod(0o666)
    assert cache.load_refusal(Secret(PASSWORD)) is None
    path.chmod(0o600)
    assert cache.load_refusal(Secret(PASSWORD))
    path.write_bytes(content)
    assert cache.load_refusal(Secret(PASSWORD)) is None
