"""Secrets that do not show themselves, and their removal from text of others."""

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "**********"
# A shorter one also occurs in ordinary words, which would become unreadable and would show it.
MIN_SECRET_CHARS = 4


class Secret:
    """A password or token, in `value`. It shows as `**********` in repr, str, format, and JSON made with `default=str`."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    @classmethod
    def parse(cls, value: "str | Secret | None") -> "Secret | None":
        """Return the secret of a string; None for None and for an empty string."""
        if isinstance(value, Secret):
            return value
        return cls(value) if value else None

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        # A Secret never equals a plain string, because a comparison with one is a mistake.
        return self.value == other.value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Return the text with each secret of MIN_SECRET_CHARS or more hidden, as it is and as JSON or a URL spells it."""
    for value in (secret.value for secret in secrets if len(secret.value) >= MIN_SECRET_CHARS):
        in_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        spellings = {value, *in_json, quote(value), quote(value, safe=""), quote_plus(value)}
        # The longest first, because a shorter spelling may be part of it.
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, HIDDEN)
    return text
