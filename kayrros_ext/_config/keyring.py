"""Passwords in the system's keyring, with the extra `keyring`. A keyring that fails or hangs never stops a run."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from kayrros_ext._secret import Secret

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

SERVICE = "kayrros-ext"
# An unlocked keyring answers in milliseconds. A locked one waits until somebody types its password.
TIMEOUT_S = 5.0


def load_password(email: str | None) -> tuple[str, Secret] | None:
    """Return email and password of the account; of whichever account the keyring holds where the email is None."""

    def load() -> tuple[str, Secret] | None:
        import keyring

        entry = keyring.get_credential(SERVICE, email)
        return (entry.username, Secret(entry.password)) if entry and entry.username and entry.password else None

    return _call_with_timeout("read the password", load)


def save_password(email: str, password: Secret) -> bool:
    """Store the password under its email. Return whether that worked."""

    def save() -> bool:
        import keyring

        keyring.set_password(SERVICE, email, password.value)
        return True

    return bool(_call_with_timeout("store the password", save))


def delete_password(email: str) -> bool:
    """Delete the password of an email. Return whether there was one."""

    def delete() -> bool:
        import keyring
        from keyring.errors import PasswordDeleteError

        try:
            keyring.delete_password(SERVICE, email)
        except PasswordDeleteError:  # there was no such password
            return False
        return True

    return bool(_call_with_timeout("delete the password", delete))


def _call_with_timeout(action: str, function: Callable[[], _T]) -> _T | None:
    """Return the result of the function; None, with a warning, where the backend fails or does not answer in time."""
    try:
        # Outside of the thread, because the import takes long on a busy machine and that is not the keyring's fault.
        import keyring
    except Exception as error:  # the extra is not installed, or the installation is broken
        _log.debug("The package keyring can't be imported (%s).", type(error).__name__)
        return None
    result: list[_T | None] = []
    reason = f"no answer in {TIMEOUT_S:g} seconds; is it locked?"

    def call() -> None:
        nonlocal reason
        try:
            # keyring's stand-ins for "there is no keyring" have a priority of 0 or less.
            priority: float = keyring.get_keyring().priority
            result.append(function() if priority > 0 else None)
        except Exception as error:  # backends raise anything, and their messages may repeat the password
            reason = type(error).__name__

    # A daemon, so that a backend that never answers does not keep the process alive.
    thread = threading.Thread(target=call, name="kayrros-keyring", daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    if result:
        return result[0]
    _log.warning("The keyring could not %s (%s). Continuing without it.", action, reason)
    return None
