"""The token kept between processes, so that a hundred short runs cost one login.

A file of the user's cache directory, for its owner alone, or a record of the keyring. Whatever is odd about it is taken
for no token at all: the cost is a login. Nothing here raises, and nothing but the lock makes anyone wait.
"""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import attrs

from kayrros_ext._auth.folders import PrivateFolder, lock, unlock
from kayrros_ext._config.keyring import Keyring
from kayrros_ext._config.profiles import APP
from kayrros_ext._config.settings import Settings, clean_token
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

_VERSION = 1


@attrs.frozen
class Kept:
    """A token as it was kept, and when: seconds since 1970."""

    token: Secret
    since_s: float


class TokenStore(Protocol):
    """Where a token is kept for other processes. No method raises."""

    @property
    def kind(self) -> Literal["file", "keyring"]:
        """Where it is kept."""

    def load(self) -> Kept | None:
        """The token that is kept, if one is."""

    def save(self, token: Secret) -> None:
        """Keep a token, in place of any other."""

    def discard(self, token: Secret) -> None:
        """Drop this token; not a newer one, which another process may have put in its place."""

    def try_lock(self) -> bool:
        """Take the lock among processes, without waiting. True also where there can't be one."""

    def unlock(self) -> None:
        """Give it back."""


def open_store(settings: Settings, *, keyring: Keyring | None = None) -> TokenStore | None:
    """The store for the account and hosts of some settings; None where no token of a login is to be kept."""
    account = settings.credentials
    if account is None or not settings.token_cache:
        return None
    return store_of(str(settings.auth_url), str(settings.base_url), account.email, keyring=keyring)


def store_of(auth_url: str, base_url: str, email: str, *, keyring: Keyring | None = None) -> TokenStore | None:
    """The store for an account and its hosts, spelled as in Settings; None where there is no place for one."""
    # Not the email itself: names of files are seen by more eyes than their content. JSON, since it keeps the parts apart.
    key = hashlib.sha256(json.dumps([auth_url, base_url, email]).encode()).hexdigest()[:32]
    cache = user_cache()
    folder = cache and cache / "tokens"
    files = FileTokens(folder, key) if folder else None
    if importlib.util.find_spec("keyring") is None:
        return files
    return KeyringTokens(keyring or Keyring(), key, files)


def user_cache() -> Path | None:
    """The user's cache directory: KAYRROS_CACHE_DIR, else the platform's place; None where it has none."""
    if named := os.environ.get("KAYRROS_CACHE_DIR"):
        return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 - Path.expanduser may raise
    import platformdirs

    folder = platformdirs.user_cache_path(APP, appauthor=False)
    if folder.is_absolute():
        return folder
    _log.debug("There is no cache directory; nothing is kept.")
    return None


def _written(token: Secret, now_s: float) -> bytes:
    return json.dumps({"version": _VERSION, "token": token.reveal(), "since_s": now_s}).encode()


def _read(content: bytes) -> Kept | None:
    """What was written; None for anything else."""
    try:
        record = json.loads(content)
        if record["version"] != _VERSION or not isinstance(record["token"], str):
            return None
        return Kept(clean_token(Secret(record["token"])), float(record["since_s"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, ConfigurationError):
        return None


class FileTokens:
    """A token in a file of mode 0600, in a directory of mode 0700 that is ours and no symlink.

    All is done relative to the opened directory, so that nobody can put another in its place in between.

    Args:
        folder: made if it is not there.
        key: name of the file, without its ending.
        now: seconds since 1970.
    """

    def __init__(self, folder: Path, key: str, *, now: Callable[[], float] = time.time) -> None:
        self._path = folder
        self._name = f"{key}.json"
        self._lock_name = f"{key}.lock"
        self._now = now
        self._lock: int | None = None

    @property
    def kind(self) -> Literal["file", "keyring"]:
        """A file."""
        return "file"

    def load(self) -> Kept | None:
        """The token in the file, unless anything is odd about it."""
        kept = None
        with self._without_failing("read"), self._folder(make=False) as folder:
            kept = _read(folder.read(self._name))
            if kept is None:
                _log.debug("The kept token in %s can't be used.", self._path)
        return kept

    def save(self, token: Secret) -> None:
        """The file, in place of whatever bears its name."""
        with self._without_failing("kept"), self._folder(make=True) as folder:
            folder.write(self._name, _written(token, self._now()))

    def discard(self, token: Secret | None) -> None:
        """Remove the file, if it holds this token or nothing that can be used; without a token, in any case."""
        with self._without_failing("dropped"), self._folder(make=False) as folder:
            kept = _read(folder.read(self._name)) if token else None
            if kept is None or kept.token == token:
                folder.remove(self._name)

    def try_lock(self) -> bool:
        """Lock a file beside the token's; it stays, since removing it would let two have it."""
        with self._without_failing("locked"), self._folder(make=True) as folder:
            file = folder.open(self._lock_name, os.O_RDWR | os.O_CREAT)
            try:
                lock(file)
            except (BlockingIOError, PermissionError):  # held by another; Windows says it the second way
                os.close(file)
                return False
            except OSError:  # a file system without locks
                os.close(file)
                raise
            self._lock = file
        return True

    def unlock(self) -> None:
        """Let the next process in."""
        file, self._lock = self._lock, None
        if file is not None:
            with contextlib.suppress(OSError):
                # Closing alone would not do: a child made by fork meanwhile holds the same lock.
                unlock(file)
            os.close(file)

    @contextlib.contextmanager
    def _without_failing(self, done: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            pass  # none is kept
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            _log.debug("The token could not be %s in %s (%s).", done, self._path, type(error).__name__)

    @contextlib.contextmanager
    def _folder(self, *, make: bool) -> Iterator[PrivateFolder]:
        if make:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
        folder = PrivateFolder(self._path)
        try:
            yield folder
        finally:
            folder.close()


class KeyringTokens:
    """A token in the system's keyring; in the file where there is no keyring, or it does not take it.

    The file is looked at first, since a keyring takes a tenth of a second to find. The lock is the file's.
    """

    def __init__(
        self, keyring: Keyring, key: str, files: FileTokens | None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._keyring = keyring
        self._key = key
        self._files = files
        self._now = now

    @property
    def kind(self) -> Literal["file", "keyring"]:
        """Where a token goes."""
        return "keyring" if self._keyring.works else "file"

    def load(self) -> Kept | None:
        """The token of the file or of the keyring."""
        return (self._files.load() if self._files else None) or self._stored()

    def save(self, token: Secret) -> None:
        """Into the keyring, and then there is none in the file."""
        kept = self._keyring.set(self._key, Secret(_written(token, self._now()).decode()))
        if self._files:
            self._files.discard(None) if kept else self._files.save(token)

    def discard(self, token: Secret) -> None:
        """Drop this token from both."""
        if self._files:
            self._files.discard(token)
        if (stored := self._stored()) and stored.token == token:
            self._keyring.delete(self._key)

    def try_lock(self) -> bool:
        """The file's, if there is one."""
        return self._files.try_lock() if self._files else True

    def unlock(self) -> None:
        """Let the next process in."""
        if self._files:
            self._files.unlock()

    def _stored(self) -> Kept | None:
        record = self._keyring.get(self._key)
        return _read(record.reveal().encode("utf-8", "replace")) if record else None
