"""Accounts of the platform fake, and the tokens that logins give."""

import secrets
from collections.abc import Callable

import attrs

# The account of the example in openapi.yaml, so that its example request logs in.
EMAIL = "analyst@example.com"
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - made up, and opens nothing  # nosec B105


@attrs.frozen
class Account:
    """Someone who may log in to the fake."""

    email: str
    password: str = attrs.field(repr=False)


@attrs.define
class _Token:
    email: str
    since_s: float
    expired: bool = False


class Tokens:
    """The tokens that were given out. How long a real one lives is unknown; these live as long as they are told to.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Token] = {}

    def give(self, email: str) -> str:
        """A new token. That it is opaque, and no JWT, is assumed."""
        token = f"fake-{secrets.token_hex(16)}"
        self._known[token] = _Token(email, self._clock())
        return token

    def expire(self) -> None:
        """All tokens given so far expire now."""
        for token in self._known.values():
            token.expired = True

    def owner(self, token: str | None, lifetime_s: float | None) -> str | None:
        """Email of the account that a token is of; None where it is unknown or has expired."""
        known = self._known.get(token or "")
        return known.email if known and not self._has_expired(known, lifetime_s) else None

    def is_known(self, token: str | None) -> bool:
        """Whether it was given out, ever."""
        return token in self._known

    def _has_expired(self, token: _Token, lifetime_s: float | None) -> bool:
        return token.expired or (lifetime_s is not None and self._clock() - token.since_s >= lifetime_s)
