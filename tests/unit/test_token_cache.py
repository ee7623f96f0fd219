"""The token kept between processes: for its owner alone, and whatever is odd about it is no token."""

import json
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend

from kayrros_ext import ConfigurationError, Kayrros
from kayrros_ext._auth.token_cache import FileTokens, KeyringTokens, TokenStore, open_store
from kayrros_ext._config.keyring import Keyring
from kayrros_ext._config.settings import Settings
from kayrros_ext._secret import Secret
from tests.support.keyrings import Locked, Small, Working
from tests.support.leaks import PASSWORD, TOKEN

pytestmark = [
    pytest.mark.holds_secrets("tokens/*.json", "cache/tokens/*.json", "victim"),
    pytest.mark.skipif(os.name != "posix", reason="modes and symlinks are those of POSIX"),
]
OTHER = Secret("another")
UseKeyring = Callable[[KeyringBackend], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def store(folder: Path) -> FileTokens:
    return FileTokens(folder, "key", now=lambda: 1000.0)


def kept(store: TokenStore) -> str | None:
    found = store.load()
    return found.token.reveal() if found else None


def test_what_is_saved_is_loaded(store: FileTokens, folder: Path) -> None:
    """With when it was; the last one counts; nothing else is left lying about."""
    assert store.load() is None
    store.save(OTHER)
    store.save(Secret(TOKEN))
    found = store.load()
    assert (TOKEN, 1000.0) == (kept(store), found and found.since_s)
    assert ["key.json"] == [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o377])
def test_it_is_for_its_owner_alone(umask: int, store: FileTokens, folder: Path) -> None:
    """Whatever the umask adds or takes: 0600 in 0700."""
    before = os.umask(umask)
    try:
        store.save(Secret(TOKEN))
    finally:
        os.umask(before)
    assert (0o700, 0o600) == (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE((folder / "key.json").stat().st_mode))


def test_a_directory_that_others_can_enter_is_closed(store: FileTokens, folder: Path) -> None:
    """It is ours, so we may."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    store.save(Secret(TOKEN))
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)


def test_a_token_is_discarded_only_where_it_is_that_one(store: FileTokens) -> None:
    """Another process may have put a newer one there meanwhile."""
    store.save(Secret(TOKEN))
    store.discard(OTHER)
    assert TOKEN == kept(store)
    store.discard(Secret(TOKEN))
    store.discard(Secret(TOKEN))
    assert kept(store) is None


GOOD: dict[str, Any] = {"version": 1, "token": "good", "since_s": 1.5}
ODD: list[Any] = [None, [], {}, "", 2]


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
        *(json.dumps({**GOOD, name: value}).encode() for name in GOOD for value in ODD),
        *(json.dumps({**GOOD, "token": token}).encode() for token in ("a b", "a\nb", "ü", "\ud800")),
        json.dumps({**GOOD, "since_s": "soon"}).encode(),
        json.dumps({**GOOD, "padding": "x" * 70_000}).encode(),
    ],
    ids=lambda content: content[:40].decode("latin-1").encode("ascii", "replace").decode(),
)
def test_what_can_not_be_used_is_no_token_and_is_replaced(content: bytes, store: FileTokens, folder: Path) -> None:
    """Truncated, of another version, not JSON, huge."""
    store.save(OTHER)
    (folder / "key.json").write_bytes(content)
    if content != json.dumps({**GOOD, "since_s": 2}).encode():
        assert kept(store) is None
    store.save(Secret(TOKEN))
    assert TOKEN == kept(store)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_reach_is_no_token_and_is_replaced(mode: int, store: FileTokens, folder: Path) -> None:
    """Somebody may have read it, or written it."""
    store.save(OTHER)
    (folder / "key.json").chmod(mode)
    assert kept(store) is None
    store.save(Secret(TOKEN))
    assert TOKEN == kept(store)


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given", [".", "key.json"])
def test_what_belongs_to_another_is_no_token(given: str, store: FileTokens, folder: Path) -> None:
    """The file, which is replaced; the directory, which is left alone."""
    store.save(OTHER)
    os.chown(folder / given, 12345, 12345)
    assert kept(store) is None
    store.save(Secret(TOKEN))
    assert (TOKEN if given == "key.json" else None) == kept(store)


def test_a_symlink_is_no_token_and_its_target_is_left_alone(store: FileTokens, folder: Path, tmp_path: Path) -> None:
    """The link is replaced, as is what stands where a lock belongs never opened."""
    store.save(OTHER)
    victim = tmp_path / "victim"
    victim.write_bytes((folder / "key.json").read_bytes())
    victim.chmod(0o600)
    before = victim.read_bytes()
    (folder / "key.json").unlink()
    (folder / "key.json").symlink_to(victim)
    (folder / "key.lock").symlink_to(tmp_path / "made")
    assert kept(store) is None
    assert store.try_lock()
    store.unlock()
    store.save(Secret(TOKEN))
    assert (before, False) == (victim.read_bytes(), (tmp_path / "made").exists())
    assert (TOKEN, False) == (kept(store), (folder / "key.json").is_symlink())


def test_a_directory_that_is_a_symlink_is_not_followed(store: FileTokens, folder: Path, tmp_path: Path) -> None:
    """Nothing is read from where it leads, nor written there, nor is its mode changed."""
    elsewhere = tmp_path / "elsewhere"
    FileTokens(elsewhere, "key").save(OTHER)
    elsewhere.chmod(0o755)
    folder.symlink_to(elsewhere)
    assert kept(store) is None
    store.save(Secret(TOKEN))
    assert store.try_lock()
    assert ["key.json"] == [path.name for path in elsewhere.iterdir()]
    assert 0o755 == stat.S_IMODE(elsewhere.stat().st_mode)


@pytest.mark.parametrize("name", ["key.json", "key.lock"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_holds_nobody_up(
    name: str, make: Callable[[Path], None], store: FileTokens, folder: Path
) -> None:
    """A directory, or a pipe that nobody writes to, under one of our names."""
    folder.mkdir()
    make(folder / name)
    assert kept(store) is None
    assert store.try_lock()
    store.unlock()
    store.save(Secret(TOKEN))
    store.discard(OTHER)


@pytest.mark.parametrize("path", ["/proc/1/none", "/dev/null/x", "a\0b"])
def test_without_a_place_there_is_no_cache(path: str) -> None:
    """Read-only, not a directory, not even a path: no error, and no waiting."""
    store = FileTokens(Path(path), "key")
    store.save(Secret(TOKEN))
    store.discard(Secret(TOKEN))
    assert store.load() is None
    assert store.try_lock()
    store.unlock()


def test_a_write_that_fails_leaves_nothing(store: FileTokens, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old token stays, and no half of the new one lies beside it."""
    store.save(OTHER)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        store.save(Secret(TOKEN))
    assert ("another", ["key.json"]) == (kept(store), [path.name for path in folder.iterdir()])


def test_readers_see_a_whole_token(folder: Path) -> None:
    """While others write: one that was saved, never a part of one, never none."""
    tokens = {letter * 1000 for letter in "abcd"}
    FileTokens(folder, "key").save(Secret("a" * 1000))
    stop = threading.Event()

    def write(token: str) -> None:
        while not stop.is_set():
            FileTokens(folder, "key").save(Secret(token))

    threads = [threading.Thread(target=write, args=[token]) for token in tokens]
    for thread in threads:
        thread.start()
    seen = {kept(FileTokens(folder, "key")) for _ in range(300)}
    stop.set()
    for thread in threads:
        thread.join()
    assert seen <= tokens


def test_one_at_a_time_has_the_lock(folder: Path) -> None:
    """Of one account; and it is free again once it is given back."""
    first, second, other = (FileTokens(folder, key) for key in ("key", "key", "other"))
    assert [True, False, True] == [store.try_lock() for store in (first, second, other)]
    first.unlock()
    first.unlock()
    assert second.try_lock()
    second.unlock()
    other.unlock()


# Which store.


def load(**given: Any) -> Settings:
    return Settings.load(**{"email": "someone@example.com", "password": PASSWORD, **given})


@pytest.mark.parametrize(
    ("variable", "argument", "host", "expected"),
    [
        (None, None, "https://data.example", True),
        ("off", None, "https://data.example", False),
        ("OFF", None, "https://data.example", False),
        ("off", True, "https://data.example", True),
        ("on", False, "https://data.example", False),
        (None, None, "http://127.0.0.1:4010", False),
        (None, None, "http://localhost:4010", False),
        ("on", None, "http://127.0.0.1:4010", True),
        (None, True, "http://127.0.0.1:4010", True),
    ],
)
def test_one_setting_turns_it_off(
    variable: str | None, argument: bool | None, host: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On, but for hosts of this machine; the argument counts before the variable."""
    if variable:
        monkeypatch.setenv("KAYRROS_TOKEN_CACHE", variable)
    assert expected == (open_store(load(base_url=host, token_cache=argument)) is not None)


def test_a_setting_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who means off should not get on."""
    monkeypatch.setenv("KAYRROS_TOKEN_CACHE", "never")
    with pytest.raises(ConfigurationError, match="KAYRROS_TOKEN_CACHE is 'never'. Set it to on or off"):
        Kayrros(token="t")


def test_a_given_token_is_not_kept() -> None:
    """Without credentials there is no login, so there is no store."""
    assert open_store(Settings.load(token="t")) is None


def names_of_files(home: Path) -> set[str]:
    return {path.name for path in (home / "cache" / "tokens").glob("*.json")}


def test_each_account_and_host_has_its_own(home: Path) -> None:
    """And the name of the file shows none of them."""
    odd = [{"email": email} for email in ("ünï@example.com", "a/../../b", "a\0b", "x" * 5000, 'a", "b')]
    hosts = [{"base_url": "https://a.example"}, {"auth_url": "https://a.example"}]
    for number, given in enumerate([{}, *odd, *hosts]):
        store = open_store(load(**given))
        assert store
        assert store.load() is None
        store.save(OTHER)
        assert number + 1 == len(names_of_files(home))
    assert all(re.fullmatch(r"[0-9a-f]{32}\.json", name) for name in names_of_files(home))


def test_a_relative_place_of_the_platform_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a home gets one, and its working directory is no place for tokens."""
    monkeypatch.delenv("KAYRROS_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_store(load()) is None


# The keyring.


def test_the_keyring_has_it_where_there_is_one(use_keyring: UseKeyring, home: Path) -> None:
    """And no file has; a file of before is gone."""
    store = open_store(load())
    assert store
    store.save(OTHER)
    assert 1 == len(names_of_files(home))
    use_keyring(held := Working())
    store = open_store(load())
    assert store
    assert ("another", "keyring") == (kept(store), store.kind)
    store.save(Secret(TOKEN))
    assert (TOKEN, set()) == (kept(store), names_of_files(home))
    [((service, name), record)] = held.held.items()
    assert ("kayrros-ext tokens", TOKEN) == (service, json.loads(record)["token"])
    assert "@" not in name
    store.discard(OTHER)
    assert TOKEN == kept(store)
    store.discard(Secret(TOKEN))
    assert ({}, None) == (held.held, kept(store))


@pytest.mark.parametrize("backend", [Locked, Small])
def test_the_file_has_it_where_the_keyring_does_not_take_it(
    backend: Callable[[], Working], use_keyring: UseKeyring, folder: Path
) -> None:
    """Locked, or too small for it."""
    use_keyring(backend())
    store = KeyringTokens(Keyring(), "key", FileTokens(folder, "key"))
    store.save(Secret(TOKEN))
    assert (TOKEN, "file") == (kept(store), store.kind)
    assert ["key.json"] == [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("record", ["", "{", "\udcff", '{"version": 1}'])
def test_a_record_that_can_not_be_used_is_no_token(record: str, use_keyring: UseKeyring) -> None:
    """As with the file."""
    use_keyring(held := Working())
    held.held["kayrros-ext tokens", "key"] = record
    assert KeyringTokens(Keyring(), "key", None).load() is None
