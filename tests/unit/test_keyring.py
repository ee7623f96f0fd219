"""The keyring stores passwords, and one that fails never stops a run."""

import logging
import sys
from collections.abc import Callable

import pytest
from keyring.backend import KeyringBackend

from kayrros_ext._config import keyring
from kayrros_ext._config.keyring import delete_password, load_password, save_password
from kayrros_ext._secret import Secret
from tests.support.keyrings import Locked, Silent, Working
from tests.support.leaks import PASSWORD

UseKeyring = Callable[[KeyringBackend], None]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_password_is_stored_under_its_email(use_keyring: UseKeyring) -> None:
    """It is found by email, or without one where the keyring can list its accounts, until it is deleted."""
    use_keyring(backend := Working())
    assert save_password("e@example.com", Secret(PASSWORD))
    assert backend.held == {("kayrros-ext", "e@example.com"): PASSWORD}
    assert load_password("e@example.com") == load_password(None) == ("e@example.com", Secret(PASSWORD))
    assert load_password("other@example.com") is None
    assert delete_password("e@example.com")
    assert not delete_password("e@example.com")
    assert load_password(None) is None


def test_a_locked_keyring_is_a_warning(use_keyring: UseKeyring, caplog: pytest.LogCaptureFixture) -> None:
    """Each call fails without an error, and the message of the backend is not repeated."""
    use_keyring(Locked())
    assert load_password("e@example.com") is None
    assert not save_password("e@example.com", Secret(PASSWORD))
    assert not delete_password("e@example.com")
    assert warnings(caplog) == [
        f"The keyring could not {action} the password (KeyringLocked). Continuing without it."
        for action in ("read", "store", "delete")
    ]


def test_a_keyring_that_does_not_answer_is_a_warning(
    use_keyring: UseKeyring, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded."""
    monkeypatch.setattr(keyring, "TIMEOUT_S", 0.05)
    use_keyring(silent := Silent())
    assert load_password(None) is None
    silent.typed.set()
    assert warnings(caplog) == [
        "The keyring could not read the password (no answer in 0.05 seconds; is it locked?). Continuing without it."
    ]


def test_without_a_backend_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A server has the package and no keyring."""
    assert load_password(None) is None
    assert not save_password("e@example.com", Secret(PASSWORD))
    assert warnings(caplog) == []


def test_without_the_extra_there_is_no_keyring(
    use_keyring: UseKeyring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The package is optional, so its absence is no warning."""
    use_keyring(backend := Working(**{"e@example.com": PASSWORD}))
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert load_password("e@example.com") is None
    assert (backend.calls, warnings(caplog)) == (0, [])
