"""The system's keyring, where the extra is installed and a keyring answers. It never breaks a run, nor holds it up."""

import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from typing import Any

from kayrros_ext._secret import Secret

_log = logging.getLogger(__name__)

SERVICE = "kayrros-ext"
TOKEN_SERVICE = "kayrros-ext tokens"  # noqa: S105 - a name  # nosec B105
# A keyring that is there answers in milliseconds; one that is locked may wait for somebody to type, at night too.
PATIENCE_S = 5.0


class Keyring:
    """The keyring of the process. Once it has failed, it is not asked again: each time might cost the wait.

    Args:
        patience_s: seconds to wait for an answer.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._works: bool | None = None

    @property
    def works(self) -> bool:
        """Whether there is one; asked once."""
        if self._works is None:
            self._works = _is_installed() and bool(self._ask("say what it is", _has_backend))
        return self._works

    def account(self, email: str | None) -> tuple[str, Secret] | None:
        """Email and password as stored; whichever account is stored where the email is None."""
        return self._ask("get the password", lambda: _account(email)) if self.works else None

    def keep_account(self, email: str, password: Secret) -> bool:
        """Keep a password under its email; whether that worked."""
        return bool(self.works and self._ask("keep the password", lambda: _set(SERVICE, email, password)))

    def forget_account(self, email: str) -> bool:
        """Forget the password of an email; whether there was one."""
        return bool(self.works and self._ask("drop the password", lambda: _delete(SERVICE, email)))

    def get(self, key: str) -> Secret | None:
        """A token record."""
        return self._ask("get the token", lambda: _get(key)) if self.works else None

    def set(self, key: str, record: Secret) -> bool:
        """Keep a token record; whether that worked."""
        return bool(self.works and self._ask("keep the token", lambda: _set(TOKEN_SERVICE, key, record)))

    def delete(self, key: str) -> None:
        """Forget a token record."""
        if self.works:
            self._ask("drop the token", lambda: _delete(TOKEN_SERVICE, key))

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:
        """An answer, or None and a warning: a backend may raise anything, and may never return."""
        answer: list[Any] = []
        failure: list[str] = []

        def ask() -> None:
            try:
                answer.append(question())
            except Exception as error:  # backends raise what they like; their words may hold what was asked
                failure.append(type(error).__name__)

        thread = threading.Thread(target=ask, name="kayrros keyring", daemon=True)
        thread.start()
        thread.join(self._patience_s)
        if answer:
            return answer[0]
        self._works = False
        reason = failure[0] if failure else f"no answer in {self._patience_s:g} seconds; is it locked?"
        _log.warning("The keyring could not %s (%s). Going on without it.", what, reason)
        return None


def _is_installed() -> bool:
    """Whether it can be imported. Imported here: on a busy machine that takes its time, which is not the keyring's."""
    if importlib.util.find_spec("keyring") is None:
        return False
    try:
        importlib.import_module("keyring")
    except Exception as error:  # an installation that is broken may raise anything
        _log.warning("The package keyring can't be imported (%s). Going on without it.", type(error).__name__)
        return False
    return True


def _has_backend() -> bool:
    import keyring

    # The backends that stand for no keyring have 0 and less.
    priority: float = keyring.get_keyring().priority
    return priority > 0


def _account(email: str | None) -> tuple[str, Secret] | None:
    import keyring

    found = keyring.get_credential(SERVICE, email)
    return (found.username, Secret(found.password)) if found and found.username and found.password else None


def _get(key: str) -> Secret | None:
    import keyring

    return Secret.of(keyring.get_password(TOKEN_SERVICE, key))


def _set(service: str, key: str, record: Secret) -> bool:
    import keyring

    keyring.set_password(service, key, record.reveal())
    return True


def _delete(service: str, key: str) -> bool:
    import keyring
    from keyring.errors import PasswordDeleteError

    try:
        keyring.delete_password(service, key)
    except PasswordDeleteError:  # not there
        return False
    return True
