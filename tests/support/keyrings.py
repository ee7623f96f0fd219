"""Keyring backends for tests: one that works, one that is locked, one that never answers."""

import threading

from keyring.backend import KeyringBackend
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import KeyringLocked, PasswordDeleteError

from tests.support.leaks import PASSWORD


class Working(KeyringBackend):
    """A keyring in memory."""

    priority = 5.0

    def __init__(self, **passwords: str) -> None:
        self.held = {("kayrros-ext", name): password for name, password in passwords.items()}
        self.calls = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.calls += 1
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.calls += 1
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self.calls += 1
        if self.held.pop((service, username), None) is None:
            raise PasswordDeleteError

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        self.calls += 1
        names = [name for held, name in self.held if held == service and username in {None, name}]
        return SimpleCredential(names[0], self.held[service, names[0]]) if names else None


class Locked(Working):
    """A keyring that refuses every call, with a message that repeats the password."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked(password)

    def delete_password(self, service: str, username: str) -> None:
        raise KeyringLocked(f"{PASSWORD} stays")

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        raise KeyringLocked(f"{PASSWORD} is not for you")


class Silent(Working):
    """A keyring that waits until somebody types its password."""

    def __init__(self) -> None:
        super().__init__()
        self.typed = threading.Event()

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        self.typed.wait(20)
        return None
