"""Cache of tokens for other processes, so that a hundred short runs cost one login.

It is in the user's cache directory. No method raises, because a missing token costs no more than a login.
"""

import base64
import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from kayrros_ext._config.environment import user_path
from kayrros_ext._config.settings import Settings, clean_token
from kayrros_ext._files import make_private_folder, read_private, write_private
from kayrros_ext._secret import Secret
from kayrros_ext.errors import KayrrosError, LoginError

_log = logging.getLogger(__name__)

# A token goes into a header, and servers accept headers of 8 KB to 64 KB.
_MAX_BYTES = 64 * 1024
# A refused password is not tried again for this long, so that a typo does not lock the account.
REFUSAL_S = 600


def jwt_expiry(token: Secret) -> float | None:
    """Return `exp` of a JWT, in epoch seconds; None for any other token.

    Whether the platform's tokens are JWTs is unknown. The signature is the platform's to check.
    """
    parts = token.value.split(".")
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError):
        expiry = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))["exp"]
        if len(parts) == 3 and type(expiry) in {int, float} and expiry > 0:
            datetime.fromtimestamp(expiry, UTC)  # raises where no calendar has that date
            return float(expiry)
    return None


@attrs.frozen(eq=False)
class Token:
    """A token; epoch seconds of its login (minus infinity: unknown) and expiry; whether it comes from the cache."""

    secret: Secret
    obtained_at: float = -math.inf
    cached: bool = False
    expires_at: float | None = attrs.Factory(lambda self: jwt_expiry(self.secret), takes_self=True)


class TokenCache:
    """The cached token of one account: a file of mode 0600 in a directory of mode 0700.

    Each method opens the file anew and holds no state, so threads and forked processes may share one.
    """

    def __init__(self, folder: Path, key: str, *, now: Callable[[], float] = time.time) -> None:
        self._folder, self._now = folder, now
        self._path, self._lock_path = folder / f"{key}.json", folder / f"{key}.lock"
        self._refusal_path = folder / f"{key}.refused"

    def load(self) -> Token | None:
        """Return the cached token; None without one, or where its file is invalid or not private."""
        with self._log_errors("read"):
            if (record := self._read(self._path))["version"] == 1:
                return Token(clean_token(Secret(record["token"])), float(record["obtained_at"]), cached=True)
        return None

    def save(self, token: Secret) -> None:
        """Cache a token in place of any other, and forget the refusal of a password."""
        with self._log_errors("saved"):
            self._write(self._path, {"token": token.value, "obtained_at": self._now()})
            self._delete(self._refusal_path)

    def load_refusal(self, password: Secret | None) -> LoginError | None:
        """Return the error with which the login host refused this password up to REFUSAL_S ago, in any process."""
        with self._log_errors("checked for a refusal"):
            record = self._read(self._refusal_path)
            age_s = self._now() - record["refused_at"]
            if 0 <= age_s < REFUSAL_S and record["hash"] == _hash(password, record["salt"]):
                return LoginError(f"{record['text']} That was {age_s:.0f} seconds ago.", **record["details"])
        return None

    def save_refusal(self, password: Secret | None, error: KayrrosError) -> None:
        """Remember that the login host refused a password, by its hash."""
        with self._log_errors("given a refusal"):
            salt, details = os.urandom(16).hex(), {"text": error.args[0], "details": vars(error)}
            record = {"refused_at": self._now(), "salt": salt, "hash": _hash(password, salt), **details}
            self._write(self._refusal_path, record)

    def discard(self, token: Secret) -> None:
        """Delete this token; not a newer one, which another process may have saved in its place."""
        cached = self.load()
        if cached and cached.secret == token:
            with self._log_errors("deleted"):
                self._delete(self._path)

    @contextlib.contextmanager
    def lock(self, timeout_s: float) -> Iterator[bool]:
        """Lock the cache among threads and processes. Yield whether that worked before the timeout."""
        import filelock  # here because it takes longer to import than a cached token takes to read

        # thread_local, the default, would not let another thread release it.
        lock = filelock.FileLock(self._lock_path, timeout=timeout_s, mode=0o600, thread_local=False)
        with self._log_errors("locked"):
            make_private_folder(self._folder)
            lock.acquire()
        try:
            yield lock.is_locked
        finally:
            lock.release()

    # A cache in another place replaces these three, and the lock.
    def _read(self, path: Path) -> Any:
        """Return a record, or raise an error of any type."""
        return json.loads(read_private(path, _MAX_BYTES))

    def _write(self, path: Path, record: dict[str, Any]) -> None:
        write_private(path, json.dumps({"version": 1, **record}).encode())

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _log_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # at worst, this costs a login
            _log.debug("The token in %s could not be %s (%s).", self._folder, action, type(error).__name__)


def open_token_cache(auth_url: str, base_url: str, email: str) -> TokenCache | None:
    """Return the cache of an account, in upper or lower case, and its hosts, as in Settings; None without a place for it."""
    folder = user_cache_dir()
    # A hash, because file names are seen by more people than file contents.
    key = hashlib.sha256(json.dumps([auth_url, base_url, email.casefold()]).encode()).hexdigest()[:32]
    return TokenCache(folder / "tokens", key) if folder else None


def cache_of(settings: Settings) -> TokenCache | None:
    """Return the token cache of a client; None where it is off, or is for a saved login alone and has not got one."""
    if not settings.email or settings.token_cache is False:
        return None
    cache = open_token_cache(str(settings.auth_url), str(settings.base_url), settings.email)
    return cache if cache and (settings.token_cache or cache.load()) else None


def user_cache_dir() -> Path | None:
    """Return the user's cache directory: KAYRROS_CACHE_DIR, else the usual place of the platform; None without one."""
    return user_path("KAYRROS_CACHE_DIR", "user_cache_path")


def _hash(password: Secret | None, salt: str) -> str:
    """Return a slow hash, because a refused password may differ from the right one by a letter."""
    secret = password.value if password else ""
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()
