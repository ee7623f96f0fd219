"""Passwords in the system's keyring, with the extra `keyring`. A keyring that fails or hangs never stops a run."""

import logging
from collections.abc import Callable
from typing import Any

from kayrros_ext._secret import Secret
from kayrros_ext._threads import run_in_daemon

_log = logging.getLogger(__name__)

SERVICE = "kayrros-ext"
# An unlocked keyring answers in milliseconds. A locked one waits until somebody types its password.
TIMEOUT_S = 5.0


def load_password(email: str | None) -> tuple[str, Secret] | None:
    """Return email and password of the account. Without an email, the keyring chooses an account."""
    _, entry = _call_with_timeout("read", lambda keyring: keyring.get_credential(SERVICE, email))
    return (entry.username, Secret(entry.password)) if entry and entry.username and entry.password else None


def save_password(email: str, password: Secret) -> bool:
    """Store the password under its email. Return whether that worked."""
    return _call_with_timeout("store", lambda keyring: keyring.set_password(SERVICE, email, password.value))[0]


def delete_password(email: str) -> bool:
    """Delete the password of an email. Return whether there was one."""
    return _call_with_timeout("delete", lambda keyring: keyring.delete_password(SERVICE, email))[0]


def _call_with_timeout(action: str, function: Callable[[Any], Any]) -> tuple[bool, Any]:
    """Return whether the function worked, and its result. Warn where the backend fails or does not answer in time."""
    try:
        # Outside of the thread, because the import takes long on a busy machine and that is not the keyring's fault.
        import keyring.errors
    except Exception as error:  # the extra is not installed, or the installation is broken
        _log.debug("The package keyring can't be imported (%s).", type(error).__name__)
        return False, None

    def call() -> tuple[bool, Any]:
        # keyring's stand-ins for "there is no keyring" have a priority of 0 or less.
        return (True, function(keyring)) if keyring.get_keyring().priority > 0 else (False, None)

    try:
        # A daemon, so that a backend that never answers does not keep the process alive.
        return run_in_daemon(call, "kayrros-keyring").result(TIMEOUT_S)
    except TimeoutError:
        problem = f"no answer in {TIMEOUT_S:g} seconds; is it locked?"
    except Exception as error:  # backends raise anything, and their messages may repeat the password
        # RuntimeError: there is no home, where keyring has its settings.
        is_none = isinstance(error, keyring.errors.PasswordDeleteError) or type(error) is RuntimeError
        problem = "" if is_none else type(error).__name__
    if problem:
        _log.warning("The keyring could not %s the password (%s). Continuing without it.", action, problem)
    return False, None
